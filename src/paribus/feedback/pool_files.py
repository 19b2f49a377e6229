"""From files of answers to a scored pool: who answered what, under which name, and with which score.

The user's files name models as they like and hold more than is asked for; a pool wants one answer of each teacher to
each prompt that it may answer, under the teacher's name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from paribus.data.growing import GrowingFile, fill
from paribus.errors import ConfigError, DataError
from paribus.feedback.arbiters import Arbiter
from paribus.feedback.routing import TeacherPool
from paribus.records import Completion, Prompt


def answers_of(
    teacher: str, rows: Sequence[Completion], prompts: Sequence[Prompt], pool: TeacherPool
) -> list[Completion]:
    """The answers of one teacher to the prompts that it may answer, in prompt order, under its name.

    Answers to other prompts, in languages it may not answer, and of failed requests are left out. Raises ``DataError``
    for two answers to one prompt.
    """
    able = {prompt.id: prompt for prompt in prompts if teacher in pool.teachers(prompt.language)}
    found: dict[str, Completion] = {}
    for row in rows:
        if row.prompt_id not in able or row.finish == "error":
            continue
        if row.prompt_id in found:
            raise DataError(
                f"Teacher {teacher!r} has two answers to {row.prompt_id!r}: {found[row.prompt_id].id!r}, {row.id!r}; "
                "give one answer a prompt."
            )
        found[row.prompt_id] = row
    kept = [(key, prompt, found[key]) for key, prompt in able.items() if key in found]
    return [
        row.model_copy(update={"id": f"{teacher}/{key}", "model": teacher, "language": prompt.language})
        for key, prompt, row in kept
    ]


def registry_of(teachers: Sequence[str], given: Mapping[str, Sequence[str]], languages: Sequence[str]) -> TeacherPool:
    """Who may answer which language: as given, and every language for teachers that are not named there.

    Raises ``ConfigError`` for a name that is no teacher's, and for a language that nobody may answer.
    """
    strange = sorted(set(given) - set(teachers))
    if strange:
        raise ConfigError(f"The registry names {', '.join(strange)}; the teachers are {', '.join(sorted(teachers))}.")
    pool = TeacherPool({name: tuple(given.get(name, languages)) for name in teachers})
    for language in languages:
        pool.teachers(language)
    return pool


def answered_by_all(
    prompts: Sequence[Prompt], rows: Sequence[Completion], pool: TeacherPool, on_missing: Literal["fail", "skip"]
) -> list[Prompt]:
    """The prompts that every teacher of their language has answered.

    Raises ``DataError`` when some are not and ``on_missing`` is ``fail``, or when none is.
    """
    answered = {(row.model, row.prompt_id) for row in rows}
    lacking = {
        prompt.id: [name for name in pool.teachers(prompt.language) if (name, prompt.id) not in answered]
        for prompt in prompts
    }
    kept = [prompt for prompt in prompts if not lacking[prompt.id]]
    missing = [(key, names) for key, names in lacking.items() if names]
    if missing and (on_missing == "fail" or not kept):
        key, names = missing[0]
        raise DataError(
            f"{len(missing)} of {len(prompts)} prompts lack an answer of a teacher that may answer them: {key!r} has "
            f"none of {', '.join(names)}. Complete the teachers' answers, say in the registry who may answer what, or "
            "leave such prompts out."
        )
    return kept


def score_into(
    file: GrowingFile[Completion],
    arbiter: Arbiter,
    prompts: Mapping[str, Prompt],
    rows: Sequence[Completion],
    *,
    size: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Completion]:
    """The rows with the arbiter's scores, written as they come; an interrupted call goes on with what is missing."""

    def scored(chunk: Sequence[Completion]) -> list[Completion]:
        values = arbiter.score([prompts[row.prompt_id] for row in chunk], chunk)
        return [row.model_copy(update={"score": float(value)}) for row, value in zip(chunk, values, strict=True)]

    fill(file, rows, lambda row: [row.id], scored, size=size, progress=progress)
    return file.finish([row.id for row in rows])


def with_token_counts(rows: Sequence[Completion], count: Callable[[str], int]) -> tuple[list[Completion], int]:
    """Rows whose missing token counts are filled by ``count`` (of the text, the stop token left out), and how many."""
    filled = [row if row.tokens is not None else row.model_copy(update={"tokens": count(row.text)}) for row in rows]
    return filled, sum(row.tokens is None for row in rows)
