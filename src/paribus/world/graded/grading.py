"""The checker: says what is wrong with an answer, from the request and the text alone.

It knows nothing of how a text came about, so it grades what a model writes as well as what ``write_answer`` wrote.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from paribus.records import Prompt
from paribus.world.graded.parts import Part
from paribus.world.graded.plans import quality_of
from paribus.world.graded.reading import Reading, read_answer
from paribus.world.graded.requests import Request
from paribus.world.graded.wording import REGISTERS, wording
from paribus.world.normalise import normalise


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

    A part is right if its item is quoted as asked with one value, the right one. No value right for the item quoted is
    factuality, another item quoted inconsistent, two values contradiction. A part without an entry, and a layout that
    is not the rule's, is formatting; what belongs to no part is relevance; the same sentence or entry twice is
    repetition. A refusal excludes the rest, and a text that says nothing counts as one.
    """
    request = asked if isinstance(asked, Request) else Request.from_prompt(asked)
    reading = read_answer(request, text)
    said = set(reading.sentences)
    errors, right = {"refusal"}, tuple(False for _ in request.parts)
    if not reading.empty and not said & set(wording(request.language).refusals.values()):
        found = [_part_errors(part, place, reading) for place, part in enumerate(request.parts)]
        errors, right = _form_errors(request, reading).union(*found), tuple(not errors for errors in found)
    style = _style(said, request.language)
    return Grade(frozenset(errors), right, quality_of(errors, right, style["wordiness"]), **style)


def _part_errors(part: Part, place: int, reading: Reading) -> set[str]:
    entries = [entry for entry in reading.entries if entry.place == place]
    if not entries:
        return {"formatting"}
    values = [entry.value for entry in entries] + [value for number, value in reading.retractions if number == place]
    about = [part.about(entry.fact) for entry in entries]
    wrong = {
        "inconsistent": any(quoted.fact != part.fact for quoted in about),
        "factuality": not any(quoted.accepts(value) for quoted in about for value in values),
        "contradiction": len({_meaning(value, about) for value in values}) > 1,
    }
    return {error for error, found in wrong.items() if found}


def _meaning(value: str, about: list[Part]) -> str:
    """Return one form for all right values, so that two spellings of one number are no contradiction."""
    return next((quoted.answer for quoted in about if quoted.accepts(value)), normalise(value, about[0].language))


def _form_errors(request: Request, reading: Reading) -> set[str]:
    said = Counter([*reading.sentences, *reading.entries])
    wrong = {
        "relevance": bool(reading.unasked),
        "formatting": _layout(len(request.parts), reading) != request.rule,
        "repetition": max(said.values(), default=0) > 1,
    }
    return {error for error, found in wrong.items() if found}


def _layout(parts: int, reading: Reading) -> str:
    """Return the rule that the entries' layout and order follow, or "" for none."""
    places, forward = [entry.place for entry in reading.entries], list(range(parts))
    if places == forward and reading.layouts == [f"list {place + 1}" for place in forward]:
        return "list"
    if reading.layouts != ["line"]:
        return ""
    return "line" if places == forward else "reversed" if places == forward[::-1] else ""


def _style(said: set[str], language: str) -> dict[str, int]:
    words = wording(language)
    assertive = sum(text in words.boosters for text in said) - sum(text in words.hedges for text in said)
    filler = sum(text in (*words.greetings, *words.closings) for text in said)
    of_register = [{*words.leads[register], words.refusals[register]} for register in REGISTERS]
    registers = [step for step, texts in enumerate(of_register, start=-1) if said & texts]
    return {
        "assertiveness": max(-2, min(2, assertive)),
        "complexity": registers[0] if len(registers) == 1 else 0,
        "wordiness": min(2, filler),
    }
