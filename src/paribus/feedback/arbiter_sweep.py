"""How good must an arbiter be? Reward routing against fixed routing, with arbiters of planted accuracy on one pool.

The fixed router needs one generation a prompt, the reward router one of every teacher and their scores; below some
accuracy its choice is no better than the language's known expert (papers/aya-expanse.md section 6).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.items import ALL, ItemRow
from paribus.evaluation.prompts import cluster_of
from paribus.feedback.arbiters import Gold, GoldArbiter, agreements, noise_for
from paribus.feedback.routing import Experts, Pool, route
from paribus.records import Completion, Prompt
from paribus.statistics import Interval, paired_bootstrap

ACCURACIES = (0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class SweepRow:
    """One accuracy in one language (or ``"all"``); gold values are means over prompts and over the repeats' noise.

    accuracy        as planted, of right against wrong answers
    measured        as found on this pool: share of differing answer pairs ordered as the truth does (None: none)
    reward, fixed   gold quality of the routed answers
    difference      reward minus fixed, paired by prompt, resampling questions
    """

    language: str
    accuracy: float
    measured: float | None
    reward: float
    fixed: float
    difference: Interval
    prompts: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def sweep_arbiter_accuracy(
    prompts: Sequence[Prompt],
    pool: Pool,
    experts: Experts,
    gold: Gold,
    *,
    accuracies: Sequence[float] = ACCURACIES,
    repeats: int = 5,
    cluster: Callable[[Prompt], str] = cluster_of,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> list[SweepRow]:
    """Route a pool by arbiters of several accuracies: for each accuracy a row of all languages, then one of each.

    Args:
        pool: answers by prompt and teacher; scores in it are not read.
        experts: of the fixed router, the same for every accuracy.
        gold: the truth. The planted accuracy is exact where it is 1 or 0; with partial credit look at ``measured``.
        accuracies: from 0.5 (chance) to 1.
        repeats: independent draws of the arbiter's noise, averaged prompt by prompt. A draw is shared by all accuracies
            (a lower one makes the same errors and more), so that rows differ by their accuracy.

    Raises:
        ConfigError: no repeats or accuracies, an accuracy out of range, or experts that do not fit the pool.
        DataError: no prompts, or a prompt without answers.
    """
    if repeats < 1 or not accuracies:
        raise ConfigError(f"A sweep needs accuracies and repeats; it got {list(accuracies)} and repeats={repeats}.")
    if not prompts:
        raise DataError("A sweep over arbiters needs prompts and got none; give those of the pool.")
    known = _Known(gold)
    fixed = _quality(prompts, route("fixed", prompts, pool, experts=experts), known)
    interval = partial(paired_bootstrap, resamples=resamples, level=level, rng=seed)
    rows = []
    for accuracy in accuracies:
        runs = [_Run.of(prompts, pool, known, noise_for(accuracy), seed + number) for number in range(repeats)]
        reward = np.mean([run.quality for run in runs], axis=0)
        for language in (ALL, *sorted({prompt.language for prompt in prompts})):
            own = np.array([language in (ALL, prompt.language) for prompt in prompts])
            clusters = [cluster(prompt) for prompt, kept in zip(prompts, own, strict=True) if kept]
            difference = interval(reward[own], fixed[own], clusters)
            means = float(reward[own].mean()), float(fixed[own].mean())
            rows.append(SweepRow(language, accuracy, _measured(runs, language), *means, difference, int(own.sum())))
    return rows


class _Known:
    """The truth, asked once for each answer: every accuracy and repeat reads the same ones."""

    def __init__(self, gold: Gold) -> None:
        self.gold = gold
        self.seen: dict[tuple[str, str], float] = {}

    def __call__(self, prompt: Prompt, text: str) -> float:
        key = (prompt.id, text)
        if key not in self.seen:
            self.seen[key] = float(self.gold(prompt, text))
        return self.seen[key]


@dataclass(frozen=True)
class _Run:
    """One draw of the noise: gold quality of the reward router's choice per prompt, and the arbiter's agreements."""

    quality: NDArray[np.float64]
    agreements: list[ItemRow]

    @classmethod
    def of(cls, prompts: Sequence[Prompt], pool: Pool, known: _Known, noise: float, seed: int) -> "_Run":
        arbiter = GoldArbiter(known, noise=noise, seed=seed)
        scored = {prompt.id: _scored(arbiter, prompt, pool[prompt.id]) for prompt in prompts}
        answers = [row for rows in scored.values() for row in rows.values()]
        found = agreements({prompt.id: prompt for prompt in prompts}, answers, known)
        return cls(_quality(prompts, route("reward", prompts, scored, seed=seed), known), found)


def _scored(arbiter: GoldArbiter, prompt: Prompt, answers: Mapping[str, Completion]) -> dict[str, Completion]:
    scores = arbiter.score([prompt] * len(answers), list(answers.values()))
    return {
        teacher: row.model_copy(update={"score": float(score)})
        for (teacher, row), score in zip(answers.items(), scores, strict=True)
    }


def _quality(prompts: Sequence[Prompt], chosen: Mapping[str, Completion], known: _Known) -> NDArray[np.float64]:
    return np.array([known(prompt, chosen[prompt.id].text) for prompt in prompts], dtype=np.float64)


def _measured(runs: Sequence[_Run], language: str) -> float | None:
    values = [row.value for run in runs for row in run.agreements if language in (ALL, row.language)]
    return float(np.mean(values)) if values else None


def break_even(rows: Sequence[SweepRow], language: str = ALL) -> float | None:
    """The lowest accuracy from which on reward routing beats fixed routing (interval above zero) at every higher one.

    None where it does not win even at the highest accuracy. Raises ``DataError`` for a language without rows.
    """
    own = sorted((row for row in rows if row.language == language), key=lambda row: -row.accuracy)
    if not own:
        raise DataError(f"The sweep has no rows of the language {language!r}.")
    lowest = None
    for row in own:
        if row.difference.low <= 0:
            break
        lowest = row.accuracy
    return lowest
