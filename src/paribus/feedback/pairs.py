"""Preference pairs from scored answers, and fine-tuning rows from the best of them.

Aya Expanse: chosen = highest-scored, rejected = lowest-scored completion of the same prompt. Pairs without a margin say
nothing and are dropped, and counted.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paribus.errors import DataError
from paribus.feedback.arbiters import score_of, unit_noise
from paribus.records import Completion, Example, Message, PreferencePair, Prompt


@dataclass(frozen=True)
class PairStatistics:
    """What a set of pairs is like, and what was left out.

    dropped_ties      best and worst scored alike, or are the same text
    dropped_empty     the best answer is empty
    dropped_single    fewer than two answers (failed requests are no answers)
    margin            mean score difference (0 where margins are unknown)
    length_gap        mean characters of chosen minus rejected
    chosen_longer     share of pairs whose chosen answer is the longer one: what a policy will learn about length
    """

    pairs: int
    dropped_ties: int
    dropped_empty: int
    dropped_single: int = 0
    by_language: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, int] = field(default_factory=dict)
    margin: float = 0.0
    margin_by_language: dict[str, float] = field(default_factory=dict)
    length_gap: float = 0.0
    length_gap_by_language: dict[str, float] = field(default_factory=dict)
    chosen_longer: float = 0.0


def best_worst_pairs(
    prompts: Sequence[Prompt], scored: Sequence[Completion], *, seed: int = 0, source: str = "best-worst"
) -> tuple[list[PreferencePair], PairStatistics]:
    """One pair a prompt, in prompt order: its best against its worst answer.

    Of equal scores the seed draws; an empty answer cannot be chosen. Prompts that give no pair are counted by reason.
    """
    pairs, ties, empty, single = [], 0, 0, 0
    answers = by_prompt(scored)
    for prompt in prompts:
        ranked = _ranked(answers.get(prompt.id, []), seed)
        if len(ranked) < 2:
            single += 1
        elif ranked[0].score == ranked[-1].score or ranked[0].text == ranked[-1].text:
            ties += 1
        elif not ranked[0].text.strip():
            empty += 1
        else:
            pairs.append(_pair(prompt, ranked[0], ranked[-1], source))
    return pairs, _statistics(pairs, ties, empty, single)


def translationese_pairs(
    prompts: Sequence[Prompt],
    native: Mapping[str, str],
    translated: Mapping[str, str],
    *,
    source: str = "translationese",
) -> tuple[list[PreferencePair], PairStatistics]:
    """Pairs of a native strong answer over a machine-translated weak English one (both by prompt id).

    RLHF Can Speak Many Languages (arXiv 2407.02552): the policy is pushed away from translated text. Prompts without
    both texts raise ``DataError``; pairs whose texts are equal are dropped as ties, and empty texts (an empty
    translation would teach length, not language) as empty.
    """
    pairs, ties, empty = [], 0, 0
    for prompt in prompts:
        if prompt.id not in native or prompt.id not in translated:
            raise DataError(
                f"The prompt {prompt.id!r} lacks its native or its translated answer; give both by prompt id."
            )
        if native[prompt.id] == translated[prompt.id]:
            ties += 1
            continue
        if not (native[prompt.id].strip() and translated[prompt.id].strip()):
            empty += 1
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
    return pairs, _statistics(pairs, ties, empty, 0)


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
    """Answers by prompt id, failed requests left out. Raises ``DataError`` for one without a finite score."""
    grouped: dict[str, list[Completion]] = defaultdict(list)
    for row in scored:
        if row.finish == "error":
            continue  # its empty text is the engine's doing, and no policy should learn from it
        score_of(row)
        grouped[row.prompt_id].append(row)
    return grouped


def _ranked(answers: Sequence[Completion], seed: int) -> list[Completion]:
    return sorted(answers, key=lambda row: (-score_of(row), unit_noise("rank", seed, row.id)))


def _pair(prompt: Prompt, best: Completion, worst: Completion, source: str) -> PreferencePair:
    return PreferencePair(
        id=f"{source}/{prompt.id}",
        prompt_id=prompt.id,
        language=prompt.language,
        prompt=prompt.messages,
        chosen=best.text,
        rejected=worst.text,
        margin=score_of(best) - score_of(worst),
        source=source,
        meta={"chosen_model": best.model, "rejected_model": worst.model},
    )


def _statistics(pairs: Sequence[PreferencePair], ties: int, empty: int, single: int) -> PairStatistics:
    margins = [(pair.language, pair.margin) for pair in pairs if pair.margin is not None]
    gaps = [(pair.language, float(len(pair.chosen) - len(pair.rejected))) for pair in pairs]
    return PairStatistics(
        pairs=len(pairs),
        dropped_ties=ties,
        dropped_empty=empty,
        dropped_single=single,
        by_language=dict(sorted(Counter(pair.language for pair in pairs).items())),
        by_source=dict(sorted(Counter(pair.source for pair in pairs).items())),
        margin=_mean([margin for _, margin in margins]),
        margin_by_language=_means(margins),
        length_gap=_mean([gap for _, gap in gaps]),
        length_gap_by_language=_means(gaps),
        chosen_longer=_mean([float(gap > 0) for _, gap in gaps]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _means(rows: Sequence[tuple[str, float]]) -> dict[str, float]:
    languages = sorted({language for language, _ in rows})
    return {language: _mean([value for own, value in rows if own == language]) for language in languages}
