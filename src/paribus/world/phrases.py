"""The hand-written part of the world: templates, category words, refusals and filler, one JSON file per language.

Files are ``phrases/<code>.json``. Templates of one task stand in the same order in every language (template 1 says the
same thing everywhere), and put names into slots that need no inflection.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from paribus.errors import ConfigError

_FOLDER = Path(__file__).parent / "phrases"


class Phrases(BaseModel):
    """One language's phrases.

    ``frame`` is the word-for-word image of English "The answer is {answer}", used for translationese; ``rambling`` are
    filler sentences; ``categories`` maps the category ids of the category task to words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    templates: dict[str, tuple[str, ...]]
    categories: dict[str, str]
    refusals: tuple[str, ...] = Field(min_length=2)
    rambling: tuple[str, ...] = Field(min_length=2)
    frame: str


def available() -> tuple[str, ...]:
    """Return the codes of the languages the world is written in, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


@lru_cache(maxsize=64)
def phrases(language: str) -> Phrases:
    """Load one language's phrases; ConfigError for a language the world is not written in."""
    path = _FOLDER / f"{language}.json"
    if not path.is_file():
        raise ConfigError(f"The world is not written in {language!r}; use one of {', '.join(available())}.")
    return Phrases.model_validate(json.loads(path.read_text(encoding="utf-8")))
