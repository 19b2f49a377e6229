"""The gold verdict on a text: right or wrong, and if wrong, how.

``check`` needs the prompt's ``meta`` alone. What other answers look like (the same fact in another language, other
facts of the task) is not carried in meta but worked out from CLDR and ICU on first use and kept for the process.

Order of the questions asked, first yes wins: right? empty? refusal? the right fact in another language? another fact's
answer in this language? a repeated unit? a prefix of the answer? the answer in a wrong form or inside other text?
another language's answer or script? Otherwise the fact is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from paribus.errors import DataError
from paribus.languages import get
from paribus.records import Prompt
from paribus.world.normalise import has_letters, normalise, share_in_script
from paribus.world.phrases import available, phrases
from paribus.world.translationese import translationese_forms
from paribus.world.vocabulary import card_languages, pattern_languages, said_in, vocabulary, vocabulary_languages

ErrorKind = Literal["wrong_fact", "wrong_language", "format", "refusal", "repetition", "truncated"]
ERRORS: tuple[ErrorKind, ...] = ("wrong_fact", "wrong_language", "format", "refusal", "repetition", "truncated")


@dataclass(frozen=True, slots=True)
class Check:
    """A verdict. ``score``: 1 if correct; else partial credit of at most 0.5 (see ``check``)."""

    correct: bool
    error: ErrorKind | None
    score: float


def check(prompt: Prompt, text: str) -> Check:
    """Grade a text against the world's answer.

    Exact match after normalisation (NFC, spaces, native digits, case, trailing punctuation). Partial credit: the answer
    in a wrong form or inside other text 0.25-0.5 (less the longer the text), a prefix up to 0.4 by its share, the right
    fact in another language or repeated 0.25, a country card 0.5 times its share of right fields, else 0.

    Raises DataError if the prompt carries no world meta.
    """
    case = _Case.of(prompt, text)
    if case.clean in case.right:
        return Check(correct=True, error=None, score=1.0)
    for rule in _RULES:
        found = rule(case)
        if found is not None:
            return Check(correct=False, error=found[0], score=found[1])
    return Check(correct=False, error="wrong_fact", score=_card_share(case))


@dataclass(frozen=True)
class _Case:
    task: str
    fact: str
    language: str  # the language the answer must be in
    answer: str
    accepted: tuple[str, ...]
    clean: str

    @classmethod
    def of(cls, prompt: Prompt, text: str) -> _Case:
        try:
            meta = prompt.meta
            task, fact, answer = meta["task"], meta["fact"], meta["answer"]
        except KeyError as missing:
            raise DataError(
                f"Prompt {prompt.id!r} has no {missing.args[0]!r} in its meta; grade prompts made by Item.to_prompt()."
            ) from None
        language = meta.get("answer_language", prompt.language)
        return cls(task, fact, language, answer, tuple(meta.get("accepted", ())), normalise(text, language))

    @cached_property
    def right(self) -> tuple[str, ...]:
        return tuple(normalise(form, self.language) for form in (self.answer, *self.accepted))

    @cached_property
    def other_languages(self) -> frozenset[str]:
        return said_in(self.task, self.fact).get(self.clean, frozenset()) - {self.language}


_Finding = tuple[ErrorKind, float] | None


def _empty(case: _Case) -> _Finding:
    return None if case.clean else ("truncated", 0.0)


def _refusal(case: _Case) -> _Finding:
    for code in available():
        if any(normalise(refusal, case.language) in case.clean for refusal in phrases(code).refusals):
            return "refusal", 0.0
    return None


def _right_fact_elsewhere(case: _Case) -> _Finding:
    return ("wrong_language", 0.25) if case.other_languages else None


def _other_fact(case: _Case) -> _Finding:
    if case.clean in vocabulary(case.task, case.language):
        return "wrong_fact", 0.0
    if case.task == "so" and case.language in pattern_languages(case.clean) and not _same_numbers(case):
        return "wrong_fact", 0.0
    if case.task == "ds" and case.language in card_languages(case.clean):
        return "wrong_fact", _card_share(case)
    return None


def _card_share(case: _Case) -> float:
    if case.task != "ds":
        return 0.0
    wanted, got = case.right[0].split(" | "), case.clean.split(" | ")
    return 0.5 * sum(a == b for a, b in zip(wanted, got, strict=False)) / len(wanted)


_FIELD_MARKS = re.compile(r"\s*[|,;/،、]\s*")
_SEPARATORS = re.compile(r"[\s,.;|、，。]+")


def _period(text: str) -> int:
    """Return the length of the shortest unit whose repetition (the last one may be cut off) is the text."""
    borders = [0] * len(text)
    for end in range(1, len(text)):
        width = borders[end - 1]
        while width and text[end] != text[width]:
            width = borders[width - 1]
        borders[end] = width + (text[end] == text[width])
    return len(text) - borders[-1]


def _repetition(case: _Case) -> _Finding:
    """A unit three times or more, whatever stands between; the last one may be cut off, as a length limit does."""
    text = _SEPARATORS.sub("", case.clean)
    if len(text) < 3 or len(text) < 3 * (period := _period(text)):
        return None
    right = {_SEPARATORS.sub("", form) for form in case.right}
    return "repetition", 0.25 if text[:period] in right else 0.0


def _truncated(case: _Case) -> _Finding:
    for form in case.right:
        if form.startswith(case.clean):
            return "truncated", 0.4 * len(case.clean) / len(form)
    return None


def _form(case: _Case) -> _Finding:
    if case.clean in translationese_forms(case.task, case.fact, case.language, case.answer):
        return "format", 0.5
    if case.task == "so" and _same_numbers(case):
        return "format", 0.5
    if case.task == "ds" and _FIELD_MARKS.split(case.clean) == case.right[0].split(" | "):
        return "format", 0.5
    if case.task in {"nw", "ad"} and case.clean == str(sum(map(int, case.fact.split("+")))):
        return "format", 0.5
    if case.task == "wn" and case.language in said_in("nw", case.fact).get(case.clean, ()):
        return "format", 0.5
    for form in case.right:
        if _contains(case.clean, form, case.language):
            return "format", 0.25 + 0.25 * len(form) / len(case.clean)
    return None


def _other_language(case: _Case) -> _Finding:
    if case.task == "wn" and case.clean in said_in("nw", case.fact):
        return "wrong_language", 0.25
    spoken = vocabulary_languages(case.task).get(case.clean, frozenset())
    if case.task == "so":
        spoken = pattern_languages(case.clean)
    elif case.task == "ds":
        spoken = card_languages(case.clean)
    if spoken and case.language not in spoken:
        return "wrong_language", 0.0
    return None


def _other_script(case: _Case) -> _Finding:
    if has_letters(case.clean) and share_in_script(case.clean, get(case.language).script) < 0.5:
        return "wrong_language", 0.0
    return None


_RULES = (
    _empty,
    _refusal,
    _right_fact_elsewhere,
    _other_fact,
    _repetition,
    _truncated,
    _form,
    _other_language,
    _other_script,
)


def _same_numbers(case: _Case) -> bool:
    return re.findall(r"\d+", case.clean) == case.fact.split(".")


def _contains(text: str, form: str, language: str) -> bool:
    """Say whether ``form`` stands in ``text`` as words of its own.

    Chinese and Japanese have no spaces, so two characters in a row are enough; Korean puts particles behind a word.
    """
    if language in {"ja", "zh"} and len(form) > 1 and has_letters(form):
        return form in text
    after = "" if language == "ko" and has_letters(form) else r"(?!\w)"
    return re.search(rf"(?<!\w){re.escape(form)}{after}", text) is not None
