"""Answers in the right language but in English's shape, as weak translation leaves them.

Four shapes, by task: numbers composed word by word in the English order ("zwanzig-eins" for einundzwanzig), lists
joined by the native word for "and" in the English pattern with its comma, two-word names in the English order, cards in
the English field syntax; otherwise the answer inside the word-for-word image of "The answer is ...". English itself has
no translationese: there, the last shape is merely wordy.
"""

from __future__ import annotations

import re
from functools import lru_cache

from paribus.world import cldr, spellout
from paribus.world.normalise import normalise
from paribus.world.phrases import phrases

# Languages that put the adjective after its noun: swapping the two words of a name gives the English order.
_NOUN_FIRST = frozenset({"ar", "el", "es", "fa", "fr", "he", "id", "it", "pt", "ro", "vi"})


def translationese(task: str, fact: str, language: str, answer: str) -> str:
    """Return the English-shaped rendering of ``answer``, which is never the right answer in normal form."""
    shaped = _shape(task, fact, language, answer)
    if shaped is None or normalise(shaped, language) == normalise(answer, language):
        return phrases(language).frame.format(answer=answer)
    return shaped


@lru_cache(maxsize=50_000)
def translationese_forms(task: str, fact: str, language: str, answer: str) -> tuple[str, ...]:
    """Return, in normal form, the renderings the checker files under "format"."""
    framed = phrases(language).frame.format(answer=answer)
    return tuple(normalise(form, language) for form in (translationese(task, fact, language, answer), framed))


def _shape(task: str, fact: str, language: str, answer: str) -> str | None:
    if language == "en":
        return None
    if task in {"nw", "ad"}:
        return _number(sum(map(int, fact.split("+"))), language)
    if task == "so":
        return _list(fact, language)
    if task == "cu":
        return _swapped(answer, language)
    if task == "ds":
        return answer.replace(" | ", ", ")
    return None


def _number(number: int, language: str) -> str | None:
    """Spell a number the way English builds it: units, "hundred", then tens-units, each a word of the language."""
    hundreds, below = divmod(number, 100)
    parts = []
    if hundreds:
        parts += [spellout.words(hundreds, language), spellout.words(100, language)]
    tens, units = divmod(below, 10)
    if below > 20 and units:
        parts.append(f"{spellout.words(tens * 10, language)}-{spellout.words(units, language)}")
    elif below or not hundreds:
        parts.append(spellout.words(below, language))
    return " ".join(parts) if len(parts) > 1 or "-" in parts[0] else None


def _list(fact: str, language: str) -> str:
    first, second, third = fact.split(".")
    conjunction = re.sub(r"\{\d\}|[,،、\s]", "", cldr.list_pattern(language)["end"])
    return f"{first}, {second}, {conjunction} {third}" if conjunction else f"{first}, {second}, {third}"


def _swapped(answer: str, language: str) -> str | None:
    parts = answer.split(" ")
    return f"{parts[1]} {parts[0]}" if language in _NOUN_FIRST and len(parts) == 2 else None
