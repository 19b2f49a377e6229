"""From many ratings an output to one row an output; and how far the raters agreed.

Errors become the mean of the mode(s) over raters (a tie between yes and no gives 0.5), scores the mean; the three
passes are joined on the output. Source: arXiv 2309.16349, section 2, and its released notebooks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.feedback.annotation.columns import Output, RatingTable
from paribus.feedback.annotation.schema import Pass
from paribus.statistics import Interval, agreement_interval
from paribus.statistics.agreement import Terms, ac1_terms, alpha_terms
from paribus.statistics.arrays import Rng

Floats = NDArray[np.float64]
Combine = Literal["mean", "mode"]
By = Literal["dataset", "language", "model", "preamble"]


@dataclass(frozen=True)
class Outputs:
    """One row an output (u), what its raters made of it together. NaN where nobody was asked.

    Attributes:
        keys: which outputs.
        errors: share of raters' modes that see the error, 0, 0.5 or 1, shape ``(u,)`` by name.
        scores: ``overall``, ``quality``, ``assertiveness``, ``complexity``, 1 to 5, those that were rated.
        words: lengths. raters: ratings an output, by pass.
    """

    keys: tuple[Output, ...]
    errors: dict[str, Floats]
    scores: dict[str, Floats]
    words: Floats
    raters: dict[Pass, Floats]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def clusters(self) -> list[str]:
        """The input of every output: what intervals resample."""
        return [key.cluster for key in self.keys]

    def labels(self, by: By) -> NDArray[np.str_]:
        """The model (or preamble, language, dataset) of every output, shape ``(u,)``."""
        return np.array([getattr(key, by) for key in self.keys], dtype=np.str_)

    def column(self, name: str) -> Floats:
        """An error or a score by its name. Raises ``DataError`` if it was not rated."""
        found = self.errors.get(name, self.scores.get(name))
        if found is None:
            known = ", ".join([*self.errors, *self.scores]) or "nothing"
            raise DataError(f"The ratings hold no {name!r}; they hold {known}. Add the pass that asks for it.")
        return found

    def where(self, mask: NDArray[np.bool_]) -> "Outputs":
        """The outputs where ``mask``, shape ``(u,)``, is true."""
        picked = np.flatnonzero(mask)
        return replace(
            self,
            keys=tuple(self.keys[number] for number in picked),
            errors={name: values[picked] for name, values in self.errors.items()},
            scores={name: values[picked] for name, values in self.scores.items()},
            words=self.words[picked],
            raters={name: values[picked] for name, values in self.raters.items()},
        )

    def has(self, *names: str) -> bool:
        """Whether all of these errors and scores were rated for some output."""
        return all(np.isfinite(self.errors.get(name, self.scores.get(name, np.nan))).any() for name in names)


def aggregate(tables: Iterable[RatingTable], *, scores: Combine = "mean") -> Outputs:
    """Join tables of one pass each into one row an output, in order of first appearance.

    Args:
        tables: one a pass; ``tables_of(...).values()``.
        scores: ``"mean"`` over raters, as the paper's quality; ``"mode"``, the mean of the mode(s), as the released
            ``overall`` of part 2.

    Raises:
        DataError: no table, or two of one pass.
    """
    tables = list(tables)
    passes = [table.pass_ for table in tables]
    if not tables or len(set(passes)) < len(passes):
        raise DataError(f"aggregate was given tables of the passes {passes}; give one a pass, and at least one.")
    keys = tuple(dict.fromkeys(output for table in tables for output in table.outputs))
    numbers = {output: number for number, output in enumerate(keys)}
    made = Outputs(keys, {}, {}, np.full(len(keys), np.nan), {})
    for table in tables:
        _join(made, table, np.array([numbers[output] for output in table.outputs]), scores)
    return made


def _join(made: Outputs, table: RatingTable, place: NDArray[np.int64], scores: Combine) -> None:
    for name, values in table.columns.items():
        error = name in table.errors
        combined = (_mode if error or scores == "mode" else _mean)(values, table.of, len(table.outputs))
        (made.errors if error else made.scores)[name] = _placed(combined, place, len(made))
    made.raters[table.pass_] = np.nan_to_num(
        _placed(np.bincount(table.of, minlength=len(table.outputs)), place, len(made))
    )
    known = np.isfinite(table.words)
    made.words[place[known]] = table.words[known]


def _placed(values: NDArray[np.generic], place: NDArray[np.int64], size: int) -> Floats:
    column = np.full(size, np.nan)
    column[place] = values
    return column


def _mean(values: Floats, of: NDArray[np.int64], size: int) -> Floats:
    given = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.bincount(of[given], values[given], minlength=size) / np.bincount(of[given], minlength=size)


def _mode(values: Floats, of: NDArray[np.int64], size: int) -> Floats:
    """Mean of the most frequent answers of each output; NaN without any."""
    answers = np.unique(values[np.isfinite(values)])
    if answers.size == 0:
        return np.full(size, np.nan)
    counts = np.stack([np.bincount(of[values == answer], minlength=size) for answer in answers], axis=1)
    modes = (counts == counts.max(axis=1, keepdims=True)) & (counts > 0)
    with np.errstate(invalid="ignore"):
        return (modes @ answers) / modes.sum(axis=1)


@dataclass(frozen=True)
class Agreement:
    """How far the raters agreed on one question of one pass.

    Attributes:
        question: an error or a score.
        unit: what was rated again: ``"form"`` (an output beside the same other one) or ``"output"``.
        items, ratings: units with two or more ratings, and the ratings of these.
        ac1: Gwet's AC1; scores are five unordered categories to it. alpha: Krippendorff's, nominal for errors and
            interval for scores. Both resample inputs; NaN where they do not exist.
    """

    question: str
    pass_: Pass
    unit: Literal["form", "output"]
    items: int
    ratings: int
    ac1: Interval
    alpha: Interval


def agreements(
    tables: Mapping[Pass, RatingTable], *, resamples: int = 1_000, level: float = 0.95, rng: Rng = 0
) -> tuple[Agreement, ...]:
    """Agreement on every question of every pass; empty where nothing was rated twice.

    Where forms were repeated (the same two outputs side by side, shown to more raters), these alone are used, as in the
    paper: of its part 2, 75 forms were shown five times, so 150 outputs have five ratings made on equal terms. The ten
    forms in which an output stands beside ten others do not count as repetitions. Without repeated forms all ratings of
    an output count.
    """
    found = []
    for table in tables.values():
        unit, codes = _units(table)
        for question, values in table.columns.items():
            made = _agreement(table, question, unit, _by_item(values, codes), (resamples, level, rng))
            found += [made] if made is not None else []
    return tuple(found)


def _units(table: RatingTable) -> tuple[Literal["form", "output"], NDArray[np.int64]]:
    known = table.beside >= 0
    if known.any() and np.bincount(table.beside[known]).max() > 1:
        return "form", table.beside
    return "output", table.of


def _by_item(values: Floats, codes: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Ratings as a table of (items, raters) with NaN for none, for items rated twice or more, and a row of each."""
    usable = np.flatnonzero(np.isfinite(values) & (codes >= 0))
    order = usable[np.argsort(codes[usable], kind="stable")]
    _, first, item, counts = np.unique(codes[order], return_index=True, return_inverse=True, return_counts=True)
    table = np.full((len(counts), int(counts.max(initial=1))), np.nan)
    table[item, np.arange(len(order)) - first[item]] = values[order]
    twice = counts > 1
    return table[twice], order[first[twice]]


def _agreement(
    table: RatingTable,
    question: str,
    unit: Literal["form", "output"],
    found: tuple[Floats, NDArray[np.int64]],
    drawing: tuple[int, float, Rng],
) -> Agreement | None:
    ratings, rows = found
    if not len(rows):
        return None
    clusters = [table.outputs[number].cluster for number in table.of[rows]]
    resamples, level, rng = drawing
    error = question in table.errors

    def interval(of: Terms) -> Interval:
        return agreement_interval(of, clusters, resamples=resamples, level=level, rng=rng)

    ac1 = interval(ac1_terms(ratings, (0, 1) if error else (1, 2, 3, 4, 5)))
    alpha = interval(alpha_terms(ratings, "nominal" if error else "interval"))
    return Agreement(question, table.pass_, unit, len(rows), int(np.isfinite(ratings).sum()), ac1, alpha)


def present(outputs: Outputs, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which outputs have all of these columns, shape ``(u,)``. Raises ``DataError`` for a name that was not rated."""
    return np.asarray(np.isfinite(np.stack([outputs.column(name) for name in names])).all(axis=0))
