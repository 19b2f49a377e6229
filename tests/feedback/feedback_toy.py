"""Prompts, answers and pools whose quality is written in them: ``"0.70 xxxx"`` is an answer of quality 0.7."""

from collections.abc import Mapping, Sequence

import numpy as np

from paribus.records import Completion, Message, Prompt


def prompt(number: int, language: str = "en", text: str = "") -> Prompt:
    """Question ``number`` in a language; the question is the same in all languages."""
    message = Message(role="user", content=text or f"question {number} in {language}")
    meta = {"question_id": f"q{number}"}
    return Prompt(id=f"q{number}/{language}", language=language, messages=(message,), task="toy", meta=meta)


def answer(
    asked: Prompt, model: str, text: str, *, score: float | None = None, tokens: int | None = None, number: int = 0
) -> Completion:
    """A completion; its token count is the number of words unless given."""
    return Completion(
        id=f"{model}/{asked.id}#{number}",
        prompt_id=asked.id,
        language=asked.language,
        model=model,
        text=text,
        score=score,
        tokens=len(text.split()) if tokens is None else tokens,
    )


def quality(text: str) -> float:
    """The number that an answer begins with; 0 for an empty one."""
    return float(text.split()[0]) if text.strip() else 0.0


def gold(asked: Prompt, text: str) -> float:
    """The truth about toy answers."""
    return quality(text)


def prompts_in(languages: Sequence[str], count: int) -> list[Prompt]:
    """``count`` questions in every language."""
    return [prompt(number, language) for number in range(count) for language in languages]


def skilled_pool(
    asked: Sequence[Prompt], skills: Mapping[str, Mapping[str, float]], rng: np.random.Generator
) -> dict[str, dict[str, Completion]]:
    """Right (1) or wrong (0) answers; ``skills`` is teacher -> language -> chance to be right. Scores are the truth."""
    pool: dict[str, dict[str, Completion]] = {}
    for row in asked:
        pool[row.id] = {}
        for teacher, chances in skills.items():
            if row.language in chances:
                mark = int(rng.random() < chances[row.language])
                pool[row.id][teacher] = answer(row, teacher, f"{mark} by {teacher}", score=float(mark))
    return pool
