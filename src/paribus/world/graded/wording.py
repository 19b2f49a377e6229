"""What graded requests, answers and claims are worded with: one JSON file per language, ``phrases/<code>.json``.

Every sentence stands alone and every slot (a number, or a name after a colon) needs no inflection. No sentence of a
language is part of another one, so that a text can be read back sentence by sentence.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from paribus.errors import ConfigError

_FOLDER = Path(__file__).parent / "phrases"

#: The format rules a request can set: a numbered list; one line in the order asked; one line, last question first.
RULES: tuple[str, ...] = ("list", "line", "reversed")

#: The registers of a lead sentence, by ``Plan.complexity`` -1, 0, 1.
REGISTERS: tuple[str, ...] = ("plain", "neutral", "elevated")

#: What claims speak of: a part (slot ``{n}``), then the instruction, then the style.
TARGETS: tuple[str, ...] = ("part", "format", "topic", "answer", "repetition", "length")

Two = Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]
Three = Annotated[tuple[str, ...], Field(min_length=3)]
Four = Annotated[tuple[str, ...], Field(min_length=4)]


class Polarity(BaseModel):
    """Ways to say that something good holds (``yes``) or does not (``no``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    yes: Three
    no: Three


class Wording(BaseModel):
    """One language's sentences.

    ``colon`` stands between an item and its value, ``joint`` between two sentences of one line. ``rules`` wrap the
    questions of a request (slot ``{questions}``); ``leads`` and ``refusals`` are given by register; ``greetings`` and
    ``closings`` are filler; ``asides`` (slots ``{item}``, ``{value}``) add what was not asked; ``retractions`` (slots
    ``{n}``, ``{value}``) give a part another value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    colon: str
    joint: str
    rules: dict[str, Two]
    leads: dict[str, Two]
    refusals: dict[str, str]
    hedges: Four
    boosters: Four
    greetings: Two
    closings: Two
    asides: Two
    retractions: Two
    claims: dict[str, Polarity]


def languages() -> tuple[str, ...]:
    """Return the codes of the languages the graded world is written in, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


@lru_cache(maxsize=64)
def wording(language: str) -> Wording:
    """Load one language's sentences; ConfigError for a language the graded world is not written in."""
    path = _FOLDER / f"{language}.json"
    if not path.is_file():
        raise ConfigError(f"The graded world is not written in {language!r}; use one of {', '.join(languages())}.")
    return Wording.model_validate(json.loads(path.read_text(encoding="utf-8")))
