"""Preference pairs from scored answers, and fine-tuning rows from the best of them.

Aya Expanse: chosen = highest-scored, rejected = lowest-scored completion of the same prompt. Pairs without a margin say
nothing and are dropped, and counted.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paribus.errors import DataError
from paribus.feedback.arbiters import unit_noise
from paribus.records import Completion, Example, Message, PreferencePair, Prompt


@dataclass(frozen=True)
class PairStatistics:
    """What a set of pairs is like: how many, per language, margin, and length of chosen minus rejected in characters."""

    pairs: int
    dropped_ties: int
    dropped_empty: int
    by_language: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, int] = field(default_factory=dict)
    margin: float = 0.0
    length_gap: float = 0.0


def best_worst_pairs(
    prompts: Sequence[Prompt], scored: Sequence[Completion], *, seed: int = 0, source: str = "best-worst"
) -> tuple[list[PreferencePair], PairStatistics]:
    """One pair a prompt, in prompt order. Equal scores are broken by a seeded draw; an empty answer cannot be chosen."""
    pairs, ties, empty = [], 0, 0
    answers = by_prompt(scored)
    for prompt in prompts:
        ranked = _ranked(answers.get(prompt.id, []), seed)
        if len(ranked) < 2 or ranked[0].score == ranked[-1].score:
            ties += 1
        elif not ranked[0].text.strip():
            empty += 1
        else:
            pairs.append(_pair(prompt, ranked[0], ranked[-1], source))
    return pairs, _statistics(pairs, ties, empty)


def translationese_pairs(
    prompts: Sequence[Prompt],
    native: Mapping[str, str],
    translated: Mapping[str, str],
    *,
    source: str = "translationese",
) -> tuple[list[PreferencePair], PairStatistics]:
    """Pairs of a native strong answer over a machine-translated weak English one (both by prompt id).

    RLHF Can Speak Many Languages (arXiv 2407.02552): the policy is pushed away from translated text. Prompts without
    both texts raise ``DataError``; pairs whose texts are equal are dropped as ties.
    """
    pairs, ties = [], 0
    for prompt in prompts:
        if prompt.id not in native or prompt.id not in translated:
            raise DataError(
                f"The prompt {prompt.id!r} lacks its native or its translated answer; give both by prompt id."
            )
        if native[prompt.id] == translated[prompt.id]:
            ties += 1
            continue
        pairs.append(
            PreferencePair(
                id=f"{source}/{prompt.id}",
                prompt_id=prompt.id,
                language=prompt.language,
                prompt=prompt.messages,
                chosen=native[prompt.id],
                rejected=translated[prompt.id],
                source=source,
            )
        )
    return pairs, _statistics(pairs, ties, 0)


def best_of_n(prompts: Sequence[Prompt], scored: Sequence[Completion], *, seed: int = 0) -> list[Example]:
    """The best answer of each prompt as a fine-tuning row: the control that every preference method must beat."""
    answers = by_prompt(scored)
    rows = []
    for prompt in prompts:
        best = next(iter(_ranked(answers.get(prompt.id, []), seed)), None)
        if best is not None and best.text.strip():
            messages = (*prompt.messages, Message(role="assistant", content=best.text))
            rows.append(
                Example(
                    id=prompt.id,
                    language=prompt.language,
                    messages=messages,
                    task=prompt.task,
                    source=f"best-of-n/{best.model}",
                    meta=prompt.meta,
                )
            )
    return rows


def by_prompt(scored: Sequence[Completion]) -> dict[str, list[Completion]]:
    """Completions by prompt id. Raises ``DataError`` for one without a score."""
    grouped: dict[str, list[Completion]] = defaultdict(list)
    for row in scored:
        if row.score is None:
            raise DataError(f"The completion {row.id!r} has no score; let an arbiter score it first.")
        grouped[row.prompt_id].append(row)
    return grouped


def _ranked(answers: Sequence[Completion], seed: int) -> list[Completion]:
    return sorted(answers, key=lambda row: (-(row.score or 0.0), unit_noise("rank", seed, row.id)))


def _pair(prompt: Prompt, best: Completion, worst: Completion, source: str) -> PreferencePair:
    return PreferencePair(
        id=f"{source}/{prompt.id}",
        prompt_id=prompt.id,
        language=prompt.language,
        prompt=prompt.messages,
        chosen=best.text,
        rejected=worst.text,
        margin=(best.score or 0.0) - (worst.score or 0.0),
        source=source,
        meta={"chosen_model": best.model, "rejected_model": worst.model},
    )


def _statistics(pairs: Sequence[PreferencePair], ties: int, empty: int) -> PairStatistics:
    margins: list[Any] = [pair.margin for pair in pairs if pair.margin is not None]
    gaps = [len(pair.chosen) - len(pair.rejected) for pair in pairs]
    return PairStatistics(
        pairs=len(pairs),
        dropped_ties=ties,
        dropped_empty=empty,
        by_language=dict(sorted(Counter(pair.language for pair in pairs).items())),
        by_source=dict(sorted(Counter(pair.source for pair in pairs).items())),
        margin=float(np.mean(margins)) if margins else 0.0,
        length_gap=float(np.mean(gaps)) if gaps else 0.0,
    )
