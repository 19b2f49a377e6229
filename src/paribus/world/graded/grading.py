"""The checker: reads an answer back and says what is wrong with it, from the request alone.

It knows the language's sentences and the world's facts, and nothing of how a text came about, so it grades what a
model writes as well as what ``write_answer`` wrote.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from paribus.records import Prompt
from paribus.world.graded.parts import Part, facts_by_item
from paribus.world.graded.plans import quality_of
from paribus.world.graded.requests import Request
from paribus.world.graded.wording import REGISTERS, wording
from paribus.world.normalise import normalise
from paribus.world.vocabulary import vocabulary

_NUMBERED = re.compile(r"(\d+)\. (.+)")


@dataclass(frozen=True, slots=True)
class Grade:
    """A verdict: the errors found, which parts are right, the quality in 0..1, and the style (as in ``Plan``)."""

    errors: frozenset[str]
    parts_right: tuple[bool, ...]
    score: float
    assertiveness: int = 0
    complexity: int = 0
    wordiness: int = 0


def grade(asked: Request | Prompt, text: str) -> Grade:
    """Grade any text as an answer to a request (or to the prompt made of it; DataError for another prompt).

    A part is right if its item is quoted as asked and every value given for it is right. Its value wrong about the
    world: factuality; another item quoted: inconsistent; two values: contradiction. What belongs to no part is
    relevance, a part without an entry or another layout than the rule's is formatting, the same sentence or entry
    twice is repetition. A refusal excludes the rest; an empty text counts as one.
    """
    request = asked if isinstance(asked, Request) else Request.from_prompt(asked)
    seen = _read(request, text)
    said = set(seen.sentences)
    style = _style(said, request.language)
    if not (seen.sentences or seen.entries or seen.stray) or said & set(wording(request.language).refusals.values()):
        errors, right = {"refusal"}, tuple(False for _ in request.parts)
    else:
        found = [_errors_of(part, number, seen) for number, part in enumerate(request.parts)]
        errors, right = set().union(*found, _form_errors(request, seen)), tuple(not errors for errors in found)
    score = quality_of(errors, right, style["wordiness"])
    return Grade(frozenset(errors - {"missing"}), right, score, **style)


@dataclass
class _Entry:
    place: int  # which part it is about
    fact: str
    value: str


@dataclass
class _Seen:
    """What a text was read as."""

    sentences: list[str] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)
    retractions: list[tuple[int, str]] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    layouts: list[str] = field(default_factory=list)


def _read(request: Request, text: str) -> _Seen:
    seen = _Seen()
    sentences = _sentences(request.language)
    for line in unicodedata.normalize("NFC", text).split("\n"):
        seen.sentences += sentences.findall(line)
        if rest := sentences.sub("", line).strip():
            _read_line(request, rest, seen)
    return seen


def _read_line(request: Request, line: str, seen: _Seen) -> None:
    retractions, asides = _templates(request.language)
    if found := retractions.fullmatch(line):
        number, value = (group for group in found.groups() if group is not None)
        seen.sentences.append(line)
        seen.retractions.append((int(number) - 1, value))
    elif asides.fullmatch(line):
        seen.sentences.append(line)
        seen.stray.append(line)
    else:
        _read_body(request, line, seen)


def _read_body(request: Request, line: str, seen: _Seen) -> None:
    numbered = _NUMBERED.fullmatch(line)
    seen.layouts.append(f"list {numbered[1]}" if numbered else "line")
    for text in [numbered[2]] if numbered else line.split(" / "):
        entry = _entry(request, text)
        if entry is None:
            seen.stray.append(text)
        else:
            seen.entries.append(entry)


def _entry(request: Request, text: str) -> _Entry | None:
    """Say which part an entry is about: the kinds of its item and value tell, or else its item alone."""
    item, _, value = text.partition(wording(request.language).colon)
    item, value = normalise(item, request.language), normalise(value, request.language)
    if not value:
        return None
    for need_value in (True, False):
        for place, part in enumerate(request.parts):
            fact = facts_by_item(part.task, request.language).get(item)
            if fact is not None and (value in vocabulary(part.task, request.language) or not need_value):
                return _Entry(place, fact, value)
    return None


def _errors_of(part: Part, place: int, seen: _Seen) -> set[str]:
    entries = [entry for entry in seen.entries if entry.place == place]
    if not entries:
        return {"missing"}
    values = [entry.value for entry in entries] + [value for number, value in seen.retractions if number == place]
    about = [part.about(entry.fact) for entry in entries]
    errors = set()
    if any(quoted.fact != part.fact for quoted in about):
        errors.add("inconsistent")
    if not any(quoted.accepts(value) for quoted in about for value in values):
        errors.add("factuality")
    if len({_same(about, value, part.language) for value in values}) > 1:
        errors.add("contradiction")
    return errors


def _same(about: list[Part], value: str, language: str) -> str:
    """Return one form for all right values, so that two spellings of one number are no contradiction."""
    return next((quoted.answer for quoted in about if quoted.accepts(value)), normalise(value, language))


def _form_errors(request: Request, seen: _Seen) -> set[str]:
    errors = set()
    if seen.stray:
        errors.add("relevance")
    if _layout(len(request.parts), seen) != request.rule:
        errors.add("formatting")
    said = [*seen.sentences, *(f"{entry.place} {entry.fact} {entry.value}" for entry in seen.entries)]
    if max(Counter(said).values(), default=0) > 1:
        errors.add("repetition")
    return errors


def _layout(parts: int, seen: _Seen) -> str:
    """Return the rule that the body follows, or "" for none."""
    places = [entry.place for entry in seen.entries]
    if places == list(range(parts)) and seen.layouts == [f"list {number + 1}" for number in range(parts)]:
        return "list"
    if seen.layouts != ["line"]:
        return ""
    return {tuple(range(parts)): "line", tuple(reversed(range(parts))): "reversed"}.get(tuple(places), "")


def _style(said: set[str], language: str) -> dict[str, int]:
    words = wording(language)
    assertive = sum(text in words.boosters for text in said) - sum(text in words.hedges for text in said)
    registers = [
        step
        for step, register in zip((-1, 0, 1), REGISTERS, strict=True)
        if said & {*words.leads[register], words.refusals[register]}
    ]
    filler = sum(text in (*words.greetings, *words.closings) for text in said)
    return {
        "assertiveness": max(-2, min(2, assertive)),
        "complexity": registers[0] if len(registers) == 1 else 0,
        "wordiness": min(2, filler),
    }


@lru_cache(maxsize=64)
def _sentences(language: str) -> re.Pattern[str]:
    words = wording(language)
    leads = [text for register in REGISTERS for text in words.leads[register]]
    plain = [*leads, *words.refusals.values(), *words.hedges, *words.boosters, *words.greetings, *words.closings]
    return re.compile("|".join(re.escape(text) for text in sorted(plain, key=len, reverse=True)))


@lru_cache(maxsize=64)
def _templates(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    words = wording(language)
    return _alternatives(words.retractions), _alternatives(words.asides)


def _alternatives(templates: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of whole sentences; its groups are the slots in their order (n before value, item first)."""
    slots = {"{n}": r"(\d+)", "{value}": "(.+)", "{item}": "(.+)"}
    patterns = []
    for template in templates:
        pieces = re.split(r"(\{\w+\})", template)
        patterns.append("".join(slots.get(piece, re.escape(piece)) for piece in pieces))
    return re.compile("|".join(patterns))
