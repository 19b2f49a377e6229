"""Does a reward model prefer length? Accuracy by which answer is longer, and how margins follow the length gap.

papers/reward-critiques.md section 5 (robustness). A length cue that holds in training and not in the test shows as a
high accuracy where the preferred answer is longer and a low one where it is shorter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paribus.evaluation.items import ALL
from paribus.evaluation.reward_models import Outcomes, ScoredPairs, cluster_of_pair
from paribus.records import PreferencePair
from paribus.statistics import Interval, cluster_codes, cluster_weights, percentile_interval, resampled_means, wilson
from paribus.statistics.arrays import Rng, generator

Length = Callable[[str], float]


@dataclass(frozen=True)
class LengthBias:
    """Accuracy and margins by length in one cell; None where there is nothing to compute it from.

    ``language`` or ``group`` is ``"all"`` where the cell runs over them.

    Attributes:
        longer, shorter: accuracy among pairs whose preferred answer is the longer, or the shorter one.
        gap: ``longer - shorter``, on the same resamples; 0 without length bias if both kinds are equally hard.
        pearson, spearman: correlation of the margin with ``log((1 + chosen length) / (1 + rejected length))``. None for
            judges, who give no margins.
        longer_wins: share of the pairs of unequal length whose preferred answer is longer: what the rule "take the
            longer" would score.
        pairs, equal: how many pairs there are, and how many of them have answers of equal length.
    """

    by: str
    language: str
    group: str
    longer: Interval | None
    shorter: Interval | None
    gap: Interval | None
    longer_wins: Interval | None
    pearson: Interval | None
    spearman: Interval | None
    pairs: int
    equal: int


def length_gaps(pairs: Sequence[PreferencePair], length: Length = len) -> NDArray[np.float64]:
    """``log((1 + chosen length) / (1 + rejected length))`` of each pair, (n,); ``length`` counts letters by default."""
    return np.array([np.log((1.0 + length(pair.chosen)) / (1.0 + length(pair.rejected))) for pair in pairs])


def length_bias(
    found: ScoredPairs | Outcomes,
    *,
    length: Length = len,
    by_language: bool = True,
    group: Callable[[PreferencePair], str] | None = None,
    resamples: int = 2_000,
    level: float = 0.95,
    rng: Rng = 0,
) -> list[LengthBias]:
    """Length bias over all pairs, in each language, and in each group that ``group`` names (such as a benchmark's
    section); intervals resample clusters.

    Logarithms of lengths make a gap mean the same in every script: twice as long is twice as long.
    """
    outcomes = found.outcomes() if isinstance(found, ScoredPairs) else found
    margins = found.margins if isinstance(found, ScoredPairs) else None
    gaps = length_gaps(outcomes.pairs, length)
    languages = [pair.language for pair in outcomes.pairs]
    groups = [group(pair) if group else ALL for pair in outcomes.pairs]
    cells = [(ALL, ALL)]
    cells += [(language, ALL) for language in sorted(set(languages))] if by_language else []
    cells += [(ALL, name) for name in dict.fromkeys(groups)] if group else []
    reports = []
    for cell in cells:
        places = [n for n, own in enumerate(zip(languages, groups, strict=True)) if _within(own, cell)]
        table = _Cell([cluster_of_pair(outcomes.pairs[n]) for n in places], resamples, level, rng)
        margin = None if margins is None else margins[places]
        reports.append(_report(outcomes.by, cell, table, outcomes.value[places], gaps[places], margin))
    return reports


def _within(own: tuple[str, str], cell: tuple[str, str]) -> bool:
    return all(wanted in (ALL, mine) for mine, wanted in zip(own, cell, strict=True))


def _report(
    by: str,
    place: tuple[str, str],
    cell: "_Cell",
    value: NDArray[np.float64],
    gap: NDArray[np.float64],
    margin: NDArray[np.float64] | None,
) -> LengthBias:
    from scipy.stats import rankdata

    up, down = (gap > 0).astype(np.float64), (gap < 0).astype(np.float64)
    ranks = None if margin is None else (rankdata(margin), rankdata(gap))
    return LengthBias(
        by=by,
        language=place[0],
        group=place[1],
        longer=cell.share(value * up, up),
        shorter=cell.share(value * down, down),
        gap=cell.difference((value * up, up), (value * down, down)),
        longer_wins=cell.share(up, up + down),
        pearson=None if margin is None else cell.correlation(margin, gap),
        spearman=None if ranks is None else cell.correlation(*ranks),
        pairs=len(gap),
        equal=int(np.count_nonzero(gap == 0)),
    )


class _Cell:
    """Shares, differences and correlations over some pairs, all on the same resamples of their clusters."""

    def __init__(self, clusters: Sequence[str], resamples: int, level: float, rng: Rng) -> None:
        self.codes, self.k = cluster_codes(clusters)
        self.resamples, self.level, self.rng = resamples, level, rng

    def sums(self, *columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cluster sums of columns (n,), as (k, columns)."""
        return np.stack([np.bincount(self.codes, column, minlength=self.k) for column in columns], axis=1)

    def share(self, score: NDArray[np.float64], weight: NDArray[np.float64]) -> Interval | None:
        """``sum(score) / sum(weight)``; Wilson's interval over clusters where every resample gives the same."""
        if not weight.any():
            return None
        table = self.sums(score, weight)
        share, clusters = float(table[:, 0].sum() / table[:, 1].sum()), int(np.count_nonzero(table[:, 1]))
        if share in (0.0, 1.0):
            return wilson(round(share * clusters), clusters, level=self.level)
        draws = resampled_means(table[:, 0], table[:, 1], resamples=self.resamples, rng=self.rng)
        return percentile_interval(draws, share, n=clusters, level=self.level)

    def difference(
        self, first: tuple[NDArray[np.float64], ...], second: tuple[NDArray[np.float64], ...]
    ) -> Interval | None:
        """Difference of two shares, each a (score, weight)."""
        if not (first[1].any() and second[1].any()):
            return None
        sums, counts = self.sums(first[0], second[0]), self.sums(first[1], second[1])
        estimate = sums.sum(0) / counts.sum(0)
        draws = resampled_means(sums, counts, resamples=self.resamples, rng=self.rng)
        gap = draws[:, 0] - draws[:, 1]
        return percentile_interval(gap, float(estimate[0] - estimate[1]), n=self.k, level=self.level)

    def correlation(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Interval | None:
        """Pearson's correlation; None where one of the two does not vary."""
        if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
            return None
        x, y = x - x.mean(), y - y.mean()
        moments = self.sums(np.ones_like(x), x, y, x * x, y * y, x * y)
        weights = cluster_weights(self.k, self.resamples, generator(self.rng))
        draws = np.concatenate([_pearson(chunk @ moments) for chunk in weights])
        estimate = float(_pearson(moments.sum(0, keepdims=True))[0])
        return percentile_interval(draws, estimate, n=self.k, level=self.level)


def _pearson(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlations (rows,) from sums (rows, 6) of 1, x, y, xx, yy, xy; NaN where a resample does not vary."""
    n, x, y, xx, yy, xy = moments.T
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))
    return np.where(np.isfinite(found), np.clip(found, -1.0, 1.0), np.nan)
