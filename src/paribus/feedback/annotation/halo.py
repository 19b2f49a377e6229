"""Do raters tell errors apart? What an answer to another prompt does to the rate of every error.

A distractor is off topic by construction; it is no more likely than another answer to be false, refused or repetitive.
Rates of those errors that rise with it show a halo: a bad answer is given errors that it does not have. Source: arXiv
2309.16349, section 2, on part 1 (factuality there +0.32).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from paribus.feedback.annotation.columns import RatingTable, tables_of
from paribus.feedback.annotation.schema import DISTRACTOR
from paribus.records import Rating
from paribus.statistics import Interval, bootstrap_of_sums
from paribus.statistics.arrays import Rng
from paribus.statistics.sums import Floats


@dataclass(frozen=True)
class Halo:
    """One error (or ``overall``): its mean on distractors and on genuine outputs, and the difference.

    Shares of ratings for errors, points for ``overall``; ``difference`` resamples inputs.
    """

    question: str
    distractor: float
    genuine: float
    difference: Interval
    distractor_ratings: int
    genuine_ratings: int


def halo(ratings: Sequence[Rating], *, resamples: int = 1_000, level: float = 0.95, rng: Rng = 0) -> tuple[Halo, ...]:
    """How much the pass ``errors`` charges distractors more than genuine outputs, for every error and ``overall``.

    Genuine outputs that stood beside a distractor are left out: they may look better by contrast. Empty where there are
    no distractors.
    """
    stray = _alone([row for row in ratings if row.meta.get("model") == DISTRACTOR])
    genuine = _alone([row for row in ratings if not row.meta.get("distractor")])
    if stray is None or genuine is None:
        return ()
    names = [name for name in genuine.columns if name in stray.columns]
    terms = np.concatenate([_terms(stray, names, side=0), _terms(genuine, names, side=1)])
    clusters = [table.outputs[number].cluster for table in (stray, genuine) for number in table.of]
    found = bootstrap_of_sums(terms, _differences, clusters, resamples=resamples, level=level, rng=rng)
    total = terms.sum(axis=0).reshape(4, len(names))
    means = total[:2] / total[2:]
    return tuple(
        Halo(name, float(means[0, j]), float(means[1, j]), found[j], int(total[2, j]), int(total[3, j]))
        for j, name in enumerate(names)
        if total[2:, j].all()
    )


def _alone(rows: Sequence[Rating]) -> RatingTable | None:
    """The error pass of these rows, distractors or not."""
    plain = [
        row.model_copy(update={"meta": {**row.meta, "distractor": False}}) for row in rows if row.pass_ == "errors"
    ]
    return tables_of(plain).get("errors")


def _terms(table: RatingTable, names: Sequence[str], *, side: Literal[0, 1]) -> Floats:
    """Shape ``(n, 4 m)``: sums by column of distractors, of genuine outputs, then counts in the same order."""
    values = np.stack([table.columns[name] for name in names], axis=1)
    terms = np.zeros((len(values), 4, len(names)))
    terms[:, side], terms[:, 2 + side] = np.nan_to_num(values), np.isfinite(values)
    return terms.reshape(len(values), -1)


def _differences(sums: Floats) -> Floats:
    parts = sums.reshape(*sums.shape[:-1], 4, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return parts[..., 0, :] / parts[..., 2, :] - parts[..., 1, :] / parts[..., 3, :]
