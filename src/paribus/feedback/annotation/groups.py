"""Means of errors and scores by preamble, model, language, perceived assertiveness or length, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import Outputs
from paribus.feedback.annotation.schema import PREAMBLES
from paribus.statistics import Interval, bootstrap_of_sums
from paribus.statistics.arrays import Rng
from paribus.statistics.sums import Floats

REFUSAL = "refusal"
WORDS_A_BIN, MOST_WORDS = 50, 400


@dataclass(frozen=True)
class GroupMeans:
    """Means over the outputs of one group; shares of 1 for errors, points for scores, NaN where none was rated."""

    group: str
    outputs: int
    inputs: int
    means: dict[str, Interval]


def group_means(
    outputs: Outputs,
    groups: Sequence[str] | NDArray[np.str_],
    columns: Sequence[str],
    *,
    resamples: int = 1_000,
    level: float = 0.95,
    rng: Rng = 0,
) -> tuple[GroupMeans, ...]:
    """Means of ``columns`` in each group, with intervals that resample inputs for all groups together.

    ``groups`` names the group of every output, ``""`` for none; rows come in the order of ``in_order``. Raises
    ``DataError`` for a column that was not rated, or groups of another length.
    """
    labels = np.asarray(groups, dtype=np.str_)
    if len(labels) != len(outputs):
        raise DataError(f"There are {len(labels)} groups for {len(outputs)} outputs; give one each.")
    names = in_order(set(labels.tolist()) - {""})
    if not names:
        return ()
    inside = labels[:, None] == np.array(names)[None, :]
    values = np.stack([outputs.column(name) for name in columns], axis=1)
    given = inside[:, :, None] & np.isfinite(values)[:, None, :]
    sums = (given * np.nan_to_num(values)[:, None, :]).reshape(len(values), -1)
    terms = np.concatenate([sums, given.reshape(len(values), -1)], axis=1)
    found = bootstrap_of_sums(terms, _means, outputs.clusters, resamples=resamples, level=level, rng=rng)
    inputs = np.array(outputs.clusters)
    return tuple(
        GroupMeans(
            name,
            int(inside[:, g].sum()),
            len(set(inputs[inside[:, g]])),
            dict(zip(columns, found[g * len(columns) : (g + 1) * len(columns)], strict=True)),
        )
        for g, name in enumerate(names)
    )


def _means(sums: Floats) -> Floats:
    half = sums.shape[-1] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., :half] / sums[..., half:]


def in_order(names: set[str]) -> list[str]:
    """Preambles as the schema has them, then numbers by size, then all other names by the alphabet."""
    known = [name for name in PREAMBLES if name in names]
    numbers = sorted((name for name in names if name.isdigit()), key=int)
    return [*known, *numbers, *sorted(names.difference(known, numbers))]


def rating_bins(values: Floats) -> NDArray[np.str_]:
    """Mean ratings (1 to 5) as bins ``"1"`` to ``"5"``, ``""`` for NaN: ``round(value - 0.5) + 1``, halves to even.

    The paper's rule: 1 holds only ratings up to 1, and 2.0 and 4.0 fall into the bin above. Shape ``(u,)``.
    """
    return _named(np.round(values - 0.5) + 1)


def word_bins(words: Floats) -> NDArray[np.str_]:
    """Lengths to the nearest 50 words as names, ``"400+"`` for all above 375 words, ``""`` for unknown; ``(u,)``."""
    names = _named(np.minimum(np.round(words / WORDS_A_BIN) * WORDS_A_BIN, MOST_WORDS))
    return np.where(names == str(MOST_WORDS), f"{MOST_WORDS}+", names)


def _named(numbers: Floats) -> NDArray[np.str_]:
    return np.array([f"{number:.0f}" if np.isfinite(number) else "" for number in numbers], dtype=np.str_)


def refused(outputs: Outputs) -> NDArray[np.bool_]:
    """Outputs that count as refusals: at least half of the raters' modes say so. All false where nobody was asked."""
    shares = outputs.errors.get(REFUSAL)
    return np.zeros(len(outputs), dtype=bool) if shares is None else np.asarray(shares >= 0.5)
