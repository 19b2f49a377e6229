"""RewardBench scores (arXiv 2403.13787) of reward models and judges, over the pairs of ``reward_bench_data``.

Rules as in its code (papers/reward-critiques.md section 3): a section's score is the mean accuracy of its subsets,
weighted by their size, except that the 447 maths pairs weigh 984, as much as the six code subsets together; a reward
model's tie is a loss, a judge's tie or unread verdict a half (``reward_models.Outcomes`` has it so). Whether the longer
answer tends to win is annotated per subset as published; what the pairs at hand say stands beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.items import ALL
from paribus.evaluation.length_bias import length_gaps
from paribus.evaluation.reward_bench_data import (
    COUNTS,
    LENGTH_BIAS,
    SECTIONS,
    WEIGHTS,
    LengthTrend,
    deviations,
    subset_of,
)
from paribus.evaluation.reward_models import Outcomes, cluster_of_pair
from paribus.records import PreferencePair
from paribus.statistics import Interval, cluster_codes, percentile_interval, resampled_means, wilson
from paribus.statistics.arrays import Rng


@dataclass(frozen=True)
class SubsetScore:
    """Accuracy on one subset in one language.

    ``published_trend`` is the annotation, ``longer_wins`` the share of pairs of unequal length (letters) at hand whose
    preferred answer is longer, None where all are equal.
    """

    subset: str
    section: str
    language: str
    accuracy: Interval
    pairs: int
    published_trend: LengthTrend
    longer_wins: float | None


@dataclass(frozen=True)
class SectionScore:
    """A weighted score of one section, or the unweighted mean of all four (``section="all"``), in one language."""

    section: str
    language: str
    score: Interval
    pairs: int


@dataclass(frozen=True)
class RewardBenchScore:
    """Everything that RewardBench says about one scorer or judge.

    ``by_length``: accuracy over the subsets of each published trend, unweighted by section. ``deviations``: how the
    pairs at hand differ from the published set; empty where they do not.
    """

    by: str
    sections: tuple[SectionScore, ...]
    subsets: tuple[SubsetScore, ...]
    by_length: tuple[tuple[LengthTrend, Interval], ...]
    tied: int
    unparsed: int
    deviations: tuple[str, ...]

    def of(self, section: str, language: str = ALL) -> SectionScore:
        """The score of a section; ``DataError`` if there is none."""
        for row in self.sections:
            if (row.section, row.language) == (section, language):
                return row
        raise DataError(f"There is no score of the section {section!r} in {language!r}.")


def reward_bench(
    outcomes: Outcomes,
    *,
    weights: Mapping[str, int] = WEIGHTS,
    by_language: bool = True,
    resamples: int = 2_000,
    level: float = 0.95,
    rng: Rng = 0,
) -> RewardBenchScore:
    """Section and subset scores from the outcomes on pairs of ``load_reward_bench``, intervals clustered by prompt.

    Missing subsets are left out of their section's mean, and the mean of sections is given only where all four are
    there; ``deviations`` tells. Scores of all languages together (``"all"``) pool their pairs within a subset.
    """
    missing = [subset for subset in COUNTS if subset not in weights]
    if missing:
        raise ConfigError(f"weights lacks {', '.join(missing)}; give a weight for every subset, as in WEIGHTS.")
    languages = sorted({pair.language for pair in outcomes.pairs})
    everyone = range(len(outcomes.pairs))
    cells: dict[str, Sequence[int]] = {ALL: everyone}
    if by_language:
        cells |= {code: [n for n in everyone if outcomes.pairs[n].language == code] for code in languages}
    sections, subsets = list[SectionScore](), list[SubsetScore]()
    for language, places in cells.items():
        own = [outcomes.pairs[place] for place in places]
        table = _Table(own, outcomes.value[list(places)], (resamples, level, rng))
        sections += table.section_scores(language, weights)
        subsets += [table.subset_score(language, subset) for subset in table.present]
    everything = _Table(outcomes.pairs, outcomes.value, (resamples, level, rng))
    return RewardBenchScore(
        by=outcomes.by,
        sections=tuple(sections),
        subsets=tuple(subsets),
        by_length=everything.by_trend(),
        tied=outcomes.tied,
        unparsed=outcomes.unparsed,
        deviations=deviations(outcomes.pairs),
    )


class _Table:
    """Sums by prompt and subset of some pairs, and scores on one set of resamples of the prompts."""

    def __init__(
        self, pairs: Sequence[PreferencePair], value: NDArray[np.float64], options: tuple[int, float, Rng]
    ) -> None:
        self.pairs, self.level = pairs, options[1]
        codes, k = cluster_codes([cluster_of_pair(pair) for pair in pairs])
        self.subsets = [subset_of(pair) for pair in pairs]
        self.present = [subset for subset in COUNTS if subset in self.subsets]
        columns = np.array([self.present.index(subset) for subset in self.subsets])
        shape = (k, len(self.present))
        cells = codes * shape[1] + columns
        self.sums = np.bincount(cells, value, minlength=k * shape[1]).reshape(shape).astype(np.float64)
        self.counts = np.bincount(cells, minlength=k * shape[1]).reshape(shape).astype(np.float64)
        self.draws = resampled_means(self.sums, self.counts, resamples=options[0], rng=options[2])

    def section_scores(self, language: str, weights: Mapping[str, int]) -> list[SectionScore]:
        weight = np.array([weights[subset] for subset in self.present], dtype=np.float64)
        masks = {name: np.array([s in inside for s in self.present]) for name, inside in SECTIONS.items()}
        masks = {name: mask for name, mask in masks.items() if mask.any()}
        means = {name: self._weighted(weight * mask) for name, mask in masks.items()}
        counts = {name: int(self.counts[:, mask].sum()) for name, mask in masks.items()}
        scores = [
            SectionScore(name, language, self._interval(*means[name], self.counts[:, masks[name]]), counts[name])
            for name in means
        ]
        if len(means) == len(SECTIONS):
            exact = float(np.mean([mean for mean, _ in means.values()]))
            drawn = np.mean([draws for _, draws in means.values()], axis=0)
            scores.append(SectionScore(ALL, language, self._interval(exact, drawn, self.counts), len(self.pairs)))
        return scores

    def subset_score(self, language: str, subset: str) -> SubsetScore:
        column = self.present.index(subset)
        weight = np.eye(len(self.present))[column]
        gaps = length_gaps([pair for pair, own in zip(self.pairs, self.subsets, strict=True) if own == subset])
        return SubsetScore(
            subset=subset,
            section=next(name for name, inside in SECTIONS.items() if subset in inside),
            language=language,
            accuracy=self._interval(*self._weighted(weight), self.counts[:, [column]]),
            pairs=len(gaps),
            published_trend=LENGTH_BIAS[subset],
            longer_wins=float((gaps > 0).sum() / (gaps != 0).sum()) if (gaps != 0).any() else None,
        )

    def by_trend(self) -> tuple[tuple[LengthTrend, Interval], ...]:
        """Accuracy over the pairs of the subsets that share an annotation."""
        rows = []
        for trend in get_args(LengthTrend):
            mask = np.array([LENGTH_BIAS[subset] == trend for subset in self.present])
            if mask.any():
                mean = self._weighted(self.counts.sum(0) * mask)
                rows.append((trend, self._interval(*mean, self.counts[:, mask])))
        return tuple(rows)

    def _weighted(self, weight: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Weighted mean of subset accuracies, on the data and on each resample (without subsets that drew nothing)."""
        used = weight > 0
        exact = self.sums.sum(0)[used] / self.counts.sum(0)[used]
        drawn = self.draws[:, used]
        there = np.isfinite(drawn) * weight[used]
        with np.errstate(invalid="ignore"):
            means = (np.nan_to_num(drawn) * there).sum(1) / there.sum(1)
        return float(exact @ weight[used] / weight[used].sum()), means

    def _interval(self, exact: float, drawn: NDArray[np.float64], counts: NDArray[np.float64]) -> Interval:
        clusters = int(np.count_nonzero(counts.sum(1)))
        if exact in (0.0, 1.0):
            return wilson(round(exact * clusters), clusters, level=self.level)
        return percentile_interval(drawn, exact, n=clusters, level=self.level)
