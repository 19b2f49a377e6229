"""What the answers of a task look like in each language: the lookups behind "wrong fact" and "wrong language".

All are pure functions of CLDR, ICU and the phrase files over the 23 languages, built on first use and kept for the
process; texts are in the checker's normal form.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from paribus.world import cldr
from paribus.world.families import FAMILIES, FactRange
from paribus.world.normalise import normalise
from paribus.world.phrases import available
from paribus.world.spellout import LIMIT

_OPEN = frozenset({"so", "ds"})  # answers too many to list; told by their pattern or their fields instead


@lru_cache(maxsize=50_000)
def said_in(task: str, fact: str) -> dict[str, frozenset[str]]:
    """Map every way to say the fact's right answer to the languages that say it so (digits: every language)."""
    ways: dict[str, set[str]] = {}
    for language in available():
        family = FAMILIES[task]
        for form in (family.answer(fact, language), *family.also_accepted(fact, language)):
            ways.setdefault(normalise(form, language), set()).add(language)
    return {way: frozenset(languages) for way, languages in ways.items()}


@cache
def vocabulary(task: str, language: str) -> frozenset[str]:
    """Return every answer the task can have in a language; empty for the open tasks (so, ds)."""
    if task in _OPEN:
        return frozenset()
    family = FAMILIES["nw"] if task == "ad" else FAMILIES[task]
    facts = family.facts(FactRange((language,), LIMIT))
    return frozenset(normalise(family.answer(fact, language), language) for fact in facts)


@cache
def vocabulary_languages(task: str) -> dict[str, frozenset[str]]:
    """Map every answer of the task in any language to the languages it is an answer in."""
    spoken: dict[str, set[str]] = {}
    for language in available():
        for text in vocabulary(task, language):
            spoken.setdefault(text, set()).add(language)
    return {text: frozenset(languages) for text, languages in spoken.items()}


@lru_cache(maxsize=1)
def _patterns() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for language in available():
        joined = cldr.join(("0", "0", "0"), cldr.list_pattern(language))
        found.setdefault(normalise(joined, language), set()).add(language)
    return {pattern: frozenset(languages) for pattern, languages in found.items()}


def pattern_languages(text: str) -> frozenset[str]:
    """Return the languages whose list pattern for three numbers this text follows."""
    return _patterns().get(re.sub(r"\d+", "0", text), frozenset())


@cache
def _card_fields(language: str) -> tuple[frozenset[str], ...]:
    kinds = ("country", "currency", "language")
    return tuple(
        frozenset(normalise(cldr.name(entity, language), language) for entity in cldr.entities()[kind])
        for kind in kinds
    )


def card_languages(text: str) -> frozenset[str]:
    """Return the languages in which this text is a well-formed country card: known country | currency | language."""
    fields = text.split(" | ")
    if len(fields) != 3:
        return frozenset()
    known = (
        code for code in available() if all(f in names for f, names in zip(fields, _card_fields(code), strict=True))
    )
    return frozenset(known)
