"""How good is a benchmark at telling models apart, and does it tell them apart the right way?

Measures of Arena-Hard-Auto (arXiv 2406.11939), as described in papers/aya-expanse.md section 3.1. The reference may be
human votes, a second judge, or a planted truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import ConfigError, DataError
from paribus.statistics import Interval

Scale = Literal["half", "signed"]


@dataclass(frozen=True)
class Quality:
    """How well a benchmark agrees with a reference, on the models in both.

    A measure is None where it is not defined (the reference separates no pair, or has no different scores); ``missing``
    then says why. ``left_out`` are models of the benchmark that the reference does not know.
    """

    models: tuple[str, ...]
    left_out: tuple[str, ...]
    separability: float
    agreement: float | None
    agreement_signed: float | None
    brier: float | None
    spearman: float | None
    missing: tuple[str, ...]


def benchmark_quality(
    intervals: Mapping[str, Interval], draws: ArrayLike, reference: Mapping[str, Interval]
) -> Quality:
    """All measures at once, from a benchmark's scores, its bootstrap draws (columns in the order of ``intervals``) and
    the reference's scores with their intervals. Raises ``DataError`` where fewer than two models are in both.
    """
    shared = _shared(intervals, reference)
    if len(shared) < 2:
        raise DataError(
            f"The benchmark and the reference share {len(shared)} model(s) and two are needed; the reference knows "
            f"{', '.join(reference)}."
        )
    own, truth = ({name: side[name] for name in shared} for side in (intervals, reference))
    columns = [i for i, name in enumerate(intervals) if name in reference]
    scores, true_scores = ({name: side[name].estimate for name in shared} for side in (own, truth))
    table = np.asarray(draws, dtype=np.float64)[:, columns]
    found: dict[str, float | None] = {}
    missing: list[str] = []
    for measure, compute in {
        "agreement": lambda: agreement_with_confidence(own, truth),
        "agreement_signed": lambda: agreement_with_confidence(own, truth, scale="signed"),
        "brier": lambda: pair_rank_brier(table, shared, true_scores),
        "spearman": lambda: rank_correlation(scores, true_scores),
    }.items():
        try:
            found[measure] = compute()
        except DataError as error:
            found[measure] = None
            missing.append(str(error))
    left_out = tuple(name for name in intervals if name not in reference)
    return Quality(tuple(shared), left_out, separability(own), missing=tuple(dict.fromkeys(missing)), **found)


def separability(intervals: Mapping[str, Interval]) -> float:
    """Share of model pairs whose intervals do not overlap (touching counts as overlap). Needs two models."""
    pairs = list(combinations(intervals.values(), 2))
    if not pairs:
        raise DataError(f"Separability compares pairs of models and got {len(intervals)} model(s).")
    return sum(_order(a, b) != 0 for a, b in pairs) / len(pairs)


def agreement_with_confidence(
    benchmark: Mapping[str, Interval], reference: Mapping[str, Interval], *, scale: Scale = "half"
) -> float:
    """Over pairs that the reference separates: does the benchmark separate them the same way?

    ``"half"``: same way 1, not separated 0.5, opposite 0 (the repository); ``"signed"``: 1, 0, -1 (the paper's final
    form). Only models in both are compared; ``DataError`` where the reference separates no pair of them.
    """
    if scale not in ("half", "signed"):
        raise ConfigError(f"The scale is {scale!r}; use 'half' (1, 0.5, 0) or 'signed' (1, 0, -1).")
    agreements = []
    for first, second in combinations(_shared(benchmark, reference), 2):
        expected = _order(reference[first], reference[second])
        if expected != 0:
            agreements.append(expected * _order(benchmark[first], benchmark[second]))
    if not agreements:
        raise DataError("The reference separates no pair of the shared models, so there is nothing to agree with.")
    signed = float(np.mean(agreements))
    return signed if scale == "signed" else (signed + 1.0) / 2.0


def pair_rank_brier(draws: ArrayLike, models: tuple[str, ...] | list[str], reference: Mapping[str, float]) -> float:
    """Brier score of the benchmark's forecasts "a ranks below b" over all pairs; 0 is best, 0.25 is a coin.

    The forecast is normal with the mean and variance of the bootstrap difference of the two models, so that scores that
    move together are not taken for independent ones.

    Args:
        draws: bootstrap scores, shape ``(resamples, models)`` (e.g. ``BradleyTerry.draws``).
        models: names of the columns.
        reference: the true score of each model; pairs with equal scores are left out.
    """
    from scipy.special import ndtr

    table = np.asarray(draws, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(models):
        raise DataError(f"draws has shape {table.shape} and there are {len(models)} models; give (resamples, models).")
    losses = []
    for i, j in combinations(range(len(models)), 2):
        outcome = reference[models[j]] - reference[models[i]]
        if outcome == 0:
            continue
        forecast = _chance_below(table[:, i], table[:, j], ndtr)
        losses.append((forecast - float(outcome > 0)) ** 2)
    if not losses:
        raise DataError("No pair of models differs in the reference, so no ranking can be scored.")
    return float(np.mean(losses))


def _chance_below(first: NDArray[np.float64], second: NDArray[np.float64], ndtr: np.ufunc) -> float:
    gap = (second - first)[np.isfinite(first) & np.isfinite(second)]
    spread = float(gap.std())
    if spread == 0.0:
        return 0.5 + 0.5 * float(np.sign(gap.mean()))
    return float(ndtr(gap.mean() / spread))


def rank_correlation(benchmark: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Spearman's correlation over the models in both; needs two models, and scores that differ on both sides."""
    from scipy.stats import rankdata

    shared = _shared(benchmark, reference)
    ranks = np.array([rankdata([scores[name] for name in shared]) for scores in (benchmark, reference)])
    if len(shared) < 2 or (ranks.std(axis=1) == 0).any():
        raise DataError(
            f"A rank correlation needs two models with different scores on both sides; the {len(shared)} shared one(s) "
            f"are {', '.join(shared)}."
        )
    return float(np.corrcoef(ranks)[0, 1])


def _shared(benchmark: Mapping[str, object], reference: Mapping[str, object]) -> list[str]:
    return [name for name in benchmark if name in reference]


def _order(first: Interval, second: Interval) -> int:
    """1 where ``first`` lies wholly above, -1 wholly below, 0 where they overlap."""
    return int(first.low > second.high) - int(first.high < second.low)
