"""Multilingual hard-prompt sets: the same questions in every language, with the English original and its translations.

A set is JSONL of ``Prompt`` rows, one per question and language. ``meta`` carries ``question_id`` (the same in all
languages; the row's own id will do where it is), and for every row that is not the original ``translation``, an object
with ``by`` (the system or person), ``source`` (the language translated from) and, if known, ``edited`` (whether a human
corrected it). m-ArenaHard is such a set (papers/aya-expanse.md section 3).
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import ConfigError, DataError
from paribus.evaluation.games import Question
from paribus.records import Message, Prompt, Verdict, read_records

_SHOWN = 5


@dataclass(frozen=True)
class PromptSet:
    """A validated set. ``untranslated`` lists (question id, language) whose text equals the original word for word."""

    prompts: tuple[Prompt, ...]
    languages: tuple[str, ...]
    questions: tuple[str, ...]
    original: str
    untranslated: tuple[tuple[str, str], ...]

    def of(self, language: str) -> tuple[Prompt, ...]:
        """The prompts of one language, in the order of ``questions``; ``ConfigError`` for a language not in the set."""
        if language not in self.languages:
            raise ConfigError(f"The prompt set has no {language!r}; its languages are {', '.join(self.languages)}.")
        return tuple(prompt for prompt in self.prompts if prompt.language == language)


def question_id(prompt: Prompt) -> str:
    """The id that a question keeps in all languages: ``meta["question_id"]``, else the prompt's own id."""
    return str(prompt.meta.get("question_id", prompt.id))


def cluster_of(prompt: Prompt) -> str:
    """What is resampled together: ``meta["question_id"]``, else the world's ``meta["fact"]`` (with its task), else the
    prompt's own id. (The column ``cluster`` of m-ArenaHard is a topic of several questions and is not meant.)
    """
    if "question_id" in prompt.meta:
        return str(prompt.meta["question_id"])
    return f"{prompt.task}/{prompt.meta['fact']}" if "fact" in prompt.meta else prompt.id


def question_lookup(prompts: Iterable[Prompt]) -> Question:
    """A ``question`` function for win rates and ratings that finds the cluster of a verdict's prompt in ``prompts``.

    The function raises ``DataError`` for a verdict on a prompt that is not among them.
    """
    known = {(prompt.id, prompt.language): cluster_of(prompt) for prompt in prompts}

    def question(verdict: Verdict) -> Hashable:
        try:
            return known[verdict.prompt_id, verdict.language]
        except KeyError:
            raise DataError(
                f"A verdict is on the prompt {verdict.prompt_id!r} ({verdict.language}), which is not in the set; "
                "give the set that was judged."
            ) from None

    return question


def load_prompt_set(
    paths: Path | Sequence[Path], languages: Sequence[str] | None = None, *, original: str = "en"
) -> PromptSet:
    """Read one JSONL or Parquet file, or one per language, and check the set; see ``check_prompt_set``."""
    files = [paths] if isinstance(paths, Path) else list(paths)
    return check_prompt_set([p for file in files for p in read_records(file, Prompt)], languages, original=original)


def check_prompt_set(
    prompts: Sequence[Prompt], languages: Sequence[str] | None = None, *, original: str = "en"
) -> PromptSet:
    """Check that every question stands in every language once, the original among them, every translation with its
    provenance; sort by question (in order of first appearance), then language.

    ``languages`` are those that must be there; ``None`` takes those that are. Raises ``DataError`` listing the first
    few offenders: missing or repeated (question, language), a missing original, a translation without ``by`` and
    ``source``, an original that claims to be a translation.
    """
    table = _by_question(prompts)
    wanted = tuple(sorted({p.language for p in prompts})) if languages is None else tuple(languages)
    if original not in wanted:
        raise DataError(f"The set has no original in {original!r}; its languages are {', '.join(wanted)}.")
    missing = [(q, code) for q, row in table.items() for code in wanted if code not in row]
    _refuse("questions are missing in a language", missing)
    extra = sorted({p.language for p in prompts} - set(wanted))
    if extra:
        raise DataError(f"The set holds languages that were not asked for: {', '.join(extra)}; drop them or name them.")
    lacking = _without_provenance(table, original)
    _refuse("rows lack their translation's provenance (meta.translation.by and .source)", lacking)
    claimed = [(q, original) for q, row in table.items() if "translation" in row[original].meta]
    _refuse("originals claim to be translations", claimed)
    same = [
        (q, code)
        for q, row in table.items()
        for code in wanted
        if code != original and row[code].text.strip() == row[original].text.strip()
    ]
    ordered = tuple(row[code] for row in table.values() for code in wanted)
    return PromptSet(ordered, wanted, tuple(table), original, tuple(same))


def prompts_from_columns(
    rows: Iterable[Mapping[str, Any]], *, translation: Mapping[str, Any] | None, original: str = "en"
) -> list[Prompt]:
    """Make ``Prompt`` records from rows with the columns ``question_id``, ``language``, ``prompt`` and optional others.

    ``translation`` is the provenance to note on every row outside ``original``; further columns go to ``meta``. Raises
    ``DataError`` for a row without one of the three columns.
    """
    prompts = []
    for number, row in enumerate(rows, 1):
        missing = [name for name in ("question_id", "language", "prompt") if name not in row]
        if missing:
            raise DataError(f"Row {number} has no column {missing[0]!r}; it has {', '.join(map(str, row))}.")
        meta = {key: value for key, value in row.items() if key not in ("language", "prompt")}
        meta["question_id"] = str(meta["question_id"])
        if row["language"] != original and translation is not None:
            meta["translation"] = dict(translation)
        message = Message(role="user", content=row["prompt"])
        name = f"{row['question_id']}/{row['language']}"
        prompts.append(Prompt(id=name, language=row["language"], messages=(message,), meta=meta))
    return prompts


def _by_question(prompts: Sequence[Prompt]) -> dict[str, dict[str, Prompt]]:
    if not prompts:
        raise DataError("The prompt set is empty; give at least one question.")
    table: dict[str, dict[str, Prompt]] = defaultdict(dict)
    repeated = []
    for prompt in prompts:
        row = table[question_id(prompt)]
        if prompt.language in row:
            repeated.append((question_id(prompt), prompt.language))
        row[prompt.language] = prompt
    _refuse("questions stand more than once in a language", repeated)
    return dict(table)


def _without_provenance(table: Mapping[str, Mapping[str, Prompt]], original: str) -> list[tuple[str, str]]:
    lacking = []
    for question, row in table.items():
        for code, prompt in row.items():
            noted = prompt.meta.get("translation")
            if code != original and not (isinstance(noted, Mapping) and noted.get("by") and noted.get("source")):
                lacking.append((question, code))
    return lacking


def _refuse(problem: str, offenders: Sequence[tuple[str, str]]) -> None:
    if offenders:
        shown = ", ".join(f"{question} ({code})" for question, code in offenders[:_SHOWN])
        more = f" and {len(offenders) - _SHOWN} more" if len(offenders) > _SHOWN else ""
        raise DataError(f"In the prompt set {len(offenders)} {problem}: {shown}{more}; mend these rows.")
