"""Reads an answer's text into sentences, entries and the rest, with the language's sentences and the world's facts."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

from paribus.world.graded.parts import fact_of
from paribus.world.graded.requests import Request
from paribus.world.graded.wording import REGISTERS, wording
from paribus.world.normalise import normalise
from paribus.world.vocabulary import vocabulary

_NUMBERED = re.compile(r"(\d{1,2})\. (.+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """An item and its value, in normal form: which part they are about (from 0), and which fact the item names."""

    place: int
    fact: str
    value: str


@dataclass
class Reading:
    """What a text consists of.

    ``sentences`` of the language's wording in reading order; ``entries`` about the parts; ``retractions``, further
    values for a part (from 0); ``unasked``, all that is neither; ``layouts``, how each line with entries is set:
    "line", or "list" and the number before it.
    """

    sentences: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    retractions: list[tuple[int, str]] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    layouts: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether the text says nothing at all."""
        return not (self.sentences or self.entries or self.unasked)


def read_answer(request: Request, text: str) -> Reading:
    """Read any text as an answer to a request. Blank lines and spaces around a line carry nothing."""
    reading = Reading()
    known = _sentences(request.language)
    for line in unicodedata.normalize("NFC", text).split("\n"):
        reading.sentences += known.findall(line)
        if rest := known.sub("", line).strip():
            _read_line(request, rest, reading)
    _set_aside_unasked(request, reading)
    return reading


def _read_line(request: Request, line: str, reading: Reading) -> None:
    retractions, asides = _templates(request.language)
    if found := retractions.fullmatch(line):
        number, value = (group for group in found.groups() if group is not None)
        reading.sentences.append(line)
        reading.retractions.append((int(number) - 1, value))
    elif asides.fullmatch(line):
        reading.sentences.append(line)
        reading.unasked.append(line)
    else:
        _read_body(request, line, reading)


def _read_body(request: Request, line: str, reading: Reading) -> None:
    numbered = _NUMBERED.fullmatch(line)
    texts = [numbered[2]] if numbered else line.split(" / ")
    found = [_entry(request, text) for text in texts]
    entries = [entry for entry in found if entry is not None]
    reading.entries += entries
    reading.unasked += [text for text, entry in zip(texts, found, strict=True) if entry is None]
    if entries:
        reading.layouts.append(f"list {numbered[1]}" if numbered else "line")


def _entry(request: Request, text: str) -> Entry | None:
    """Say which part an entry is about: the kinds of its item and value tell, or else its item alone."""
    item, _, value = text.partition(wording(request.language).colon)
    item, value = normalise(item, request.language), normalise(value, request.language)
    named = [(place, part.task, fact_of(part.task, item, part.language)) for place, part in enumerate(request.parts)]
    entries = [(task, Entry(place, fact, value)) for place, task, fact in named if fact is not None and value]
    fitting = [entry for task, entry in entries if value in vocabulary(task, request.language)]
    return next(iter([*fitting, *(entry for _, entry in entries)]), None)


def _set_aside_unasked(request: Request, reading: Reading) -> None:
    """Count entries about other items as unasked where the part has an entry about its own."""
    own = {entry.place for entry in reading.entries if entry.fact == request.parts[entry.place].fact}
    extra = [e for e in reading.entries if e.place in own and e.fact != request.parts[e.place].fact]
    reading.unasked += [entry.value for entry in extra]
    reading.entries = [entry for entry in reading.entries if entry not in extra]


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
    slots = {"{n}": r"(\d{1,2})", "{value}": "(.+)", "{item}": "(.+)"}
    patterns = []
    for template in templates:
        pieces = re.split(r"(\{\w+\})", template)
        patterns.append("".join(slots.get(piece, re.escape(piece)) for piece in pieces))
    return re.compile("|".join(patterns))
