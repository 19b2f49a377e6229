"""Data arbitrage: which teacher's answer becomes the training target (Multilingual Arbitrage, arXiv 2408.14960).

All routers choose from one scored pool, so that they differ in the choice alone; what each would have had to generate
is counted as if it ran by itself: every teacher's answer for the reward router, one answer for the others.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from paribus.errors import ConfigError
from paribus.feedback.arbiters import Gold, unit_noise
from paribus.records import Completion, Example, Message, Prompt

RouterName = Literal["single", "random", "fixed", "reward", "learned"]
Pool = Mapping[str, Mapping[str, Completion]]
"""Prompt id -> teacher -> scored completion."""


@dataclass(frozen=True)
class TeacherPool:
    """Which teacher may answer which language."""

    registry: Mapping[str, tuple[str, ...]]

    def teachers(self, language: str) -> tuple[str, ...]:
        """Teachers of a language, in name order. Raises ``ConfigError`` when there is none."""
        able = tuple(sorted(name for name, languages in self.registry.items() if language in languages))
        if not able:
            raise ConfigError(
                f"No teacher may answer {language!r}; add it to one of {', '.join(sorted(self.registry))}."
            )
        return able


def build_pool(completions: Sequence[Completion], teachers: TeacherPool) -> dict[str, dict[str, Completion]]:
    """Arrange scored completions by prompt and teacher. Raises ``ConfigError`` for a teacher out of its registry,
    a completion without a score, or a prompt that one of its teachers has not answered."""
    pool: dict[str, dict[str, Completion]] = defaultdict(dict)
    for row in completions:
        if row.model not in teachers.teachers(row.language):
            raise ConfigError(
                f"Teacher {row.model!r} answered {row.prompt_id!r} in {row.language!r}, which it may not."
            )
        if row.score is None:
            raise ConfigError(f"The completion {row.id!r} has no score; let an arbiter score the pool first.")
        pool[row.prompt_id][row.model] = row
    for prompt_id, answers in pool.items():
        language = next(iter(answers.values())).language
        missing = set(teachers.teachers(language)) - set(answers)
        if missing:
            raise ConfigError(f"The prompt {prompt_id!r} ({language}) has no answer of {', '.join(sorted(missing))}.")
    return dict(pool)


@dataclass(frozen=True)
class Experts:
    """Mean scores on development prompts: who is best in each language, and who is best on average."""

    by_language: Mapping[str, str]
    overall: str


def find_experts(pool: Pool) -> Experts:
    """Read the experts off a development pool. The single teacher must be able to answer every language."""
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for answers in pool.values():
        for teacher, row in answers.items():
            sums[row.language, teacher].append(row.score or 0.0)
    means = {key: float(np.mean(values)) for key, values in sums.items()}
    languages = sorted({language for language, _ in means})
    by_language = {lang: max((m, t) for (own, t), m in means.items() if own == lang)[1] for lang in languages}
    everywhere = [t for t in {t for _, t in means} if all((lang, t) in means for lang in languages)]
    if not everywhere:
        raise ConfigError("No teacher answers every language, so there is no single best one; register one for all.")
    overall = max((float(np.mean([means[lang, t] for lang in languages])), t) for t in everywhere)[1]
    return Experts(by_language, overall)


def route(
    router: RouterName,
    prompts: Sequence[Prompt],
    pool: Pool,
    *,
    experts: Experts | None = None,
    learned: Mapping[str, str] | None = None,
    seed: int = 0,
) -> dict[str, Completion]:
    """The chosen completion of each prompt.

    Args:
        experts: for ``single`` and ``fixed``, from development prompts.
        learned: for ``learned``: prompt id -> teacher, predicted from the prompt alone.
        seed: of ``random``, and of ties of ``reward``.
    """
    chosen = {}
    for prompt in prompts:
        answers = pool[prompt.id]
        chosen[prompt.id] = answers[_teacher(router, prompt, answers, experts, learned, seed)]
    return chosen


def _teacher(
    router: str,
    prompt: Prompt,
    answers: Mapping[str, Completion],
    experts: Experts | None,
    learned: Mapping[str, str] | None,
    seed: int,
) -> str:
    names = sorted(answers)
    if router == "random":
        return names[int(unit_noise("random", seed, prompt.id) * len(names))]
    if router == "reward":
        return max(names, key=lambda name: (answers[name].score or 0.0, unit_noise("tie", seed, prompt.id, name)))
    if router == "learned":
        if learned is None:
            raise ConfigError("The learned router needs its predictions; fit one with LearnedRouter.fit first.")
        return learned[prompt.id]
    if experts is None:
        raise ConfigError(f"The {router} router needs the experts of a development pool; pass experts=.")
    return experts.overall if router == "single" else experts.by_language[prompt.language]


def as_examples(prompts: Sequence[Prompt], chosen: Mapping[str, Completion]) -> list[Example]:
    """Fine-tuning rows of the chosen answers. Empty answers teach nothing and are left out."""
    return [
        Example(
            id=prompt.id,
            language=prompt.language,
            messages=(*prompt.messages, Message(role="assistant", content=chosen[prompt.id].text)),
            task=prompt.task,
            source=chosen[prompt.id].model,
            meta=prompt.meta,
        )
        for prompt in prompts
        if chosen[prompt.id].text.strip()
    ]


@dataclass(frozen=True)
class RoutingReport:
    """What a router did.

    shares            language -> teacher -> share of prompts
    reward_gap        mean over prompts of best minus second-best score
    agreement         share of prompts on which the choice equals the reward router's
    gold              mean gold score of the chosen answers, over all and by language
    generated_tokens  tokens the router had to have generated; ``scorings`` the arbiter calls
    """

    router: str
    shares: dict[str, dict[str, float]]
    reward_gap: float
    agreement: float
    gold: dict[str, float]
    generated_tokens: int
    scorings: int
    prompts: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def routing_report(
    router: RouterName, prompts: Sequence[Prompt], pool: Pool, chosen: Mapping[str, Completion], gold: Gold
) -> RoutingReport:
    """Describe a routing of a scored pool."""
    best = route("reward", prompts, pool)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    marks: dict[str, list[float]] = defaultdict(list)
    for prompt in prompts:
        counts[prompt.language][chosen[prompt.id].model] += 1
        mark = gold(prompt, chosen[prompt.id].text)
        marks["all"].append(mark)
        marks[prompt.language].append(mark)
    asked = [row for p in prompts for row in (pool[p.id].values() if router == "reward" else [chosen[p.id]])]
    return RoutingReport(
        router=router,
        shares={lang: {t: n / row.total() for t, n in sorted(row.items())} for lang, row in sorted(counts.items())},
        reward_gap=float(np.mean([_gap(pool[prompt.id]) for prompt in prompts])),
        agreement=float(np.mean([chosen[p.id].model == best[p.id].model for p in prompts])),
        gold={language: float(np.mean(values)) for language, values in sorted(marks.items())},
        generated_tokens=sum(row.tokens or 0 for row in asked),
        scorings=len(asked) if router == "reward" else 0,
        prompts=len(prompts),
    )


def _gap(answers: Mapping[str, Completion]) -> float:
    ordered = sorted((row.score or 0.0 for row in answers.values()), reverse=True)
    return ordered[0] - ordered[1] if len(ordered) > 1 else 0.0
