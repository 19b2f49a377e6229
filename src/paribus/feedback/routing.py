"""Data arbitrage: which teacher's answer becomes the training target (Multilingual Arbitrage, arXiv 2408.14960).

All routers choose from one scored pool, so that they differ in the choice alone; what each would have had to generate
is counted as if it ran by itself: every teacher's answer for the reward router, one answer for the others.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from paribus.errors import ConfigError, DataError
from paribus.feedback.arbiters import Gold, score_of, unit_noise
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
    """Arrange scored completions by prompt and teacher.

    Raises ``ConfigError`` for a teacher out of its registry or a prompt that one of its teachers has not answered, and
    ``DataError`` for a completion without a score or a teacher's second answer to a prompt.
    """
    pool: dict[str, dict[str, Completion]] = defaultdict(dict)
    for row in completions:
        if row.model not in teachers.teachers(row.language):
            raise ConfigError(
                f"Teacher {row.model!r} answered {row.prompt_id!r} in {row.language!r}, which it may not."
            )
        if row.model in pool[row.prompt_id]:
            raise DataError(
                f"Teacher {row.model!r} answered {row.prompt_id!r} more than once; a pool holds one answer of each."
            )
        score_of(row)
        pool[row.prompt_id][row.model] = row
    for prompt_id, answers in pool.items():
        language = next(iter(answers.values())).language
        missing = set(teachers.teachers(language)) - set(answers)
        if missing:
            raise ConfigError(f"The prompt {prompt_id!r} ({language}) has no answer of {', '.join(sorted(missing))}.")
    return dict(pool)


@dataclass(frozen=True)
class Experts:
    """Who is best in each language, and who is best on average: read off a development pool by ``find_experts``, or
    given by hand. ``overall`` is None where no teacher may answer every language.
    """

    by_language: Mapping[str, str]
    overall: str | None = None


def find_experts(pool: Pool) -> Experts:
    """Read the experts off a scored development pool; the one overall has the best mean over languages.

    Raises ``DataError`` for an empty pool or an answer without a score.
    """
    if not pool:
        raise DataError("The development pool is empty, so no expert can be read off it; give it scored answers.")
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for answers in pool.values():
        for teacher, row in answers.items():
            sums[row.language, teacher].append(score_of(row))
    means = {key: float(np.mean(values)) for key, values in sums.items()}
    languages = sorted({language for language, _ in means})
    by_language = {lang: max((m, t) for (own, t), m in means.items() if own == lang)[1] for lang in languages}
    everywhere = [t for t in {t for _, t in means} if all((lang, t) in means for lang in languages)]
    averages = [(float(np.mean([means[lang, t] for lang in languages])), t) for t in everywhere]
    return Experts(by_language, max(averages)[1] if averages else None)


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

    Raises ``ConfigError`` for an unknown router, one that lacks what it decides by, or a choice that the registry does
    not allow, and ``DataError`` for a prompt that is not in the pool.
    """
    if router not in get_args(RouterName):
        raise ConfigError(f"There is no router {router!r}; use one of {', '.join(get_args(RouterName))}.")
    chosen = {}
    for prompt in prompts:
        answers = answers_to(prompt, pool)
        teacher = _teacher(router, prompt, answers, experts, learned, seed)
        if teacher not in answers:
            raise ConfigError(
                f"The {router} router sends {prompt.id!r} ({prompt.language}) to {teacher!r}, which may not answer it; "
                f"its teachers are {', '.join(sorted(answers))}."
            )
        chosen[prompt.id] = answers[teacher]
    return chosen


def answers_to(prompt: Prompt, pool: Pool) -> Mapping[str, Completion]:
    """A prompt's answers by teacher; ``DataError`` where the pool has none."""
    if prompt.id not in pool:
        raise DataError(f"The pool has no answer to the prompt {prompt.id!r} ({prompt.language}); complete it first.")
    return pool[prompt.id]


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
        return max(names, key=lambda name: (score_of(answers[name]), unit_noise("tie", seed, prompt.id, name)))
    if router == "learned":
        if learned is None:
            raise ConfigError("The learned router needs its predictions; fit one with LearnedRouter.fit first.")
        if prompt.id not in learned:
            raise ConfigError(f"The learned router has no prediction for {prompt.id!r}; call its predict on it.")
        return learned[prompt.id]
    if experts is None:
        raise ConfigError(f"The {router} router needs the experts of a development pool; pass experts=.")
    if router == "single":
        if experts.overall is None:
            raise ConfigError(
                "No teacher answers every language, so there is no single best one; register one for all languages, or "
                "leave the single router out."
            )
        return experts.overall
    if prompt.language not in experts.by_language:
        raise ConfigError(
            f"There is no expert for {prompt.language!r} (prompt {prompt.id!r}); the development pool has only "
            f"{', '.join(sorted(experts.by_language))}."
        )
    return experts.by_language[prompt.language]


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
    reward_gap        mean best minus second-best score, over prompts with two teachers or more
    agreement         share of prompts on which the chosen teacher's score equals the best one's (the reward router's
                      choice, with its ties); ``agreement_by_language`` the same for each language
    gold              mean gold score of the chosen answers, over all and by language
    generated_tokens  tokens the router had to have generated; ``scorings`` the arbiter calls. What experts and the
                      learned router were read off, the development pool, is common to them and not counted
    """

    router: str
    shares: dict[str, dict[str, float]]
    reward_gap: float
    agreement: float
    agreement_by_language: dict[str, float]
    gold: dict[str, float]
    generated_tokens: int
    scorings: int
    prompts: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def routing_report(
    router: RouterName,
    prompts: Sequence[Prompt],
    pool: Pool,
    chosen: Mapping[str, Completion],
    gold: Gold | None = None,
) -> RoutingReport:
    """Describe a routing of a scored pool; without ``gold`` (no known truth) that part of the report is empty.

    Raises ``DataError`` for a completion without a token count: cost is part of the report.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    marks: dict[str, list[float]] = defaultdict(list)
    agreed: dict[str, list[bool]] = defaultdict(list)
    for prompt in prompts:
        row = chosen[prompt.id]
        counts[prompt.language][row.model] += 1
        best = max(map(score_of, pool[prompt.id].values()))
        for group in ("all", prompt.language):
            if gold is not None:
                marks[group].append(gold(prompt, row.text))
            agreed[group].append(score_of(row) == best)
    agreement = {group: float(np.mean(values)) for group, values in sorted(agreed.items())}
    asked = [row for p in prompts for row in (pool[p.id].values() if router == "reward" else [chosen[p.id]])]
    return RoutingReport(
        router=router,
        shares={lang: {t: n / row.total() for t, n in sorted(row.items())} for lang, row in sorted(counts.items())},
        reward_gap=_mean_gap([pool[prompt.id] for prompt in prompts]),
        agreement=agreement.pop("all"),
        agreement_by_language=agreement,
        gold={group: float(np.mean(values)) for group, values in sorted(marks.items())},
        generated_tokens=sum(map(_tokens, asked)),
        scorings=len(asked) if router == "reward" else 0,
        prompts=len(prompts),
    )


def _tokens(row: Completion) -> int:
    if row.tokens is None:
        raise DataError(f"The completion {row.id!r} has no token count, so the router's cost is unknown; record it.")
    return row.tokens


def _mean_gap(pools: Sequence[Mapping[str, Completion]]) -> float:
    scores = [sorted(map(score_of, answers.values()), reverse=True) for answers in pools if len(answers) > 1]
    return float(np.mean([row[0] - row[1] for row in scores])) if scores else 0.0
