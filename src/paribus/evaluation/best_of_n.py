"""Best-of-n: how good is the answer that a scorer picks, against a random pick and against the best there is?

Measured from N answers a prompt for every n up to N at once, without drawing subsets: the expected truth of the answer
with the highest score among n of N drawn without replacement has a closed form by order statistics (the unbiased
estimator for pass@k of Chen et al. 2021, arXiv 2107.03374, with a score in place of right and wrong).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.items import ALL, ItemRow
from paribus.evaluation.prompts import cluster_of
from paribus.evaluation.reward_models import Scorer
from paribus.records import Completion, Prompt
from paribus.statistics import Interval, clustered_bootstrap, paired_bootstrap

RANDOM, ORACLE = "random pick", "oracle"


@dataclass(frozen=True)
class Selection:
    """What picking the best-scored of ``n`` answers gives, in one language (or ``"all"``).

    ``gold`` is the mean truth of the picked answer; ``gain`` its difference to a random pick, paired by prompt. For the
    random pick itself ``gain`` is 0 without width. Both in the unit of the truth, intervals clustered by question.
    """

    by: str
    n: int
    language: str
    gold: Interval
    gain: Interval
    prompts: int


def expected_best(gold: ArrayLike, scores: ArrayLike, n: int) -> float:
    """Expected gold of the best-scored of ``n`` answers drawn without replacement from N; tied scores share the pick.

    Args:
        gold, scores: shape (N,), finite.
        n: from 1 (the mean of gold) to N (gold of the best-scored).
    """
    truth, marks = np.asarray(gold, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != marks.shape or not (np.isfinite(truth).all() and np.isfinite(marks).all()):
        raise DataError(f"gold has shape {truth.shape} and scores {marks.shape}; give two finite vectors alike.")
    if not 1 <= n <= len(truth):
        raise ConfigError(f"The best of n={n} cannot be taken from {len(truth)} answers; n is from 1 to their number.")
    order = np.argsort(-marks, kind="stable")
    weights = _pick_weights(len(truth), n)
    _, group = np.unique(-marks[order], return_inverse=True)
    shared = np.bincount(group, weights) / np.bincount(group)
    return float(shared[group] @ truth[order])


def _pick_weights(total: int, n: int) -> NDArray[np.float64]:
    """Chance that the i-th best of ``total`` is the best of ``n`` drawn: C(total - i, n - 1) / C(total, n), i from 1.

    Computed as a running product, which neither overflows nor loses digits: no better one was drawn, and this one is.
    """
    weights, none_better = np.zeros(total), 1.0
    for place in range(total):
        drawn = min(1.0, n / (total - place))
        weights[place] = none_better * drawn
        none_better *= 1.0 - drawn
    return weights


def best_of_n_rows(
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    gold: Callable[[Prompt, str], float],
    scorers: Sequence[Scorer],
    *,
    sizes: Sequence[int] = (1, 2, 4, 8, 16),
) -> list[ItemRow]:
    """One row for every scorer, size and prompt: the expected truth of the pick. The group is the picker's name.

    The pickers ``"random pick"`` (the mean of the answers' truth) and ``"oracle"`` (the truth itself as score) are
    always among them. The measure is ``best_of_<n>``.

    Raises:
        DataError: a prompt with fewer answers than the largest size, an answer to an unknown prompt.
        ConfigError: no size, or two scorers of one name.
    """
    names = [scorer.identity for scorer in scorers]
    if not sizes or len({*names, RANDOM, ORACLE}) < len(names) + 2:
        raise ConfigError(f"sizes={tuple(sizes)}, scorers={names}: give sizes, and every scorer a name of its own.")
    pools = _pools(prompts, completions, max(sizes))
    known = {prompt.id: prompt for prompt in prompts}
    asked = [known[row.prompt_id] for row in completions]
    truth = np.array([gold(prompt, row.text) for prompt, row in zip(asked, completions, strict=True)], dtype=np.float64)
    scores = {scorer.identity: np.asarray(scorer.score(asked, completions)) for scorer in scorers}
    scores |= {RANDOM: np.zeros(len(truth)), ORACLE: truth}
    return [
        ItemRow(
            f"best_of_{n}",
            f"{name}/{prompt.id}",
            cluster_of(prompt),
            prompt.language,
            expected_best(truth[pools[prompt.id]], marks[pools[prompt.id]], n),
            name,
        )
        for name, marks in scores.items()
        for n in sizes
        for prompt in prompts
    ]


def _pools(prompts: Sequence[Prompt], completions: Sequence[Completion], largest: int) -> Mapping[str, list[int]]:
    pools: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(completions):
        pools[row.prompt_id].append(place)
    unknown = sorted(pools.keys() - {prompt.id for prompt in prompts})
    if unknown:
        raise DataError(f"There are answers to {len(unknown)} unknown prompts, the first is {unknown[0]!r}.")
    short = [prompt.id for prompt in prompts if len(pools.get(prompt.id, ())) < largest]
    if short:
        raise DataError(
            f"{len(short)} prompts have fewer than {largest} answers, the first is {short[0]!r} with "
            f"{len(pools.get(short[0], ()))}; sample more, or lower the sizes."
        )
    return pools


def summarise_selection(
    rows: Sequence[ItemRow], *, by_language: bool = True, resamples: int = 2_000, level: float = 0.95, rng: int = 0
) -> list[Selection]:
    """Mean truth of the picks and their gain over a random pick, from the rows of ``best_of_n_rows``."""
    table: dict[tuple[str, str], list[ItemRow]] = defaultdict(list)
    for row in rows:
        for language in (ALL, row.language) if by_language else (ALL,):
            table[f"{row.measure}\n{language}", row.group].append(row)
    found = []
    for (cell, name), own in table.items():
        measure, language = cell.split("\n")
        clusters = [row.cluster for row in own]
        values, chance = [row.value for row in own], [row.value for row in table[cell, RANDOM]]
        gold = clustered_bootstrap(values, clusters, resamples=resamples, level=level, rng=rng)
        gain = paired_bootstrap(values, chance, clusters, resamples=resamples, level=level, rng=rng)
        found.append(Selection(name, int(measure.removeprefix("best_of_")), language, gold, gain, len(own)))
    return found
