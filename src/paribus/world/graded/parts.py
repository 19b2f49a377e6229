"""The parts of a request: one question of the world each, with what an answer quotes and how its value may be said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from paribus.world.families import FAMILIES, FactRange
from paribus.world.normalise import normalise
from paribus.world.phrases import available, phrases
from paribus.world.spellout import LIMIT

_QUOTES: dict[str, Callable[[dict[str, str]], str]] = {
    "ad": lambda slots: f"{slots['a']} + {slots['b']}",
    "ca": lambda slots: slots["word"],
    "cu": lambda slots: slots["country"],
    "nd": lambda slots: f"{slots['day']} + {slots['k']}",
    "nw": lambda slots: slots["n"],
    "wn": lambda slots: slots["words"],
}

#: The world's task families that parts can be of: those whose item can be quoted in a few words. The parts of one
#: request are of different families, and the kinds of item and value tell which part an entry is about.
TASKS: tuple[str, ...] = tuple(_QUOTES)


@dataclass(frozen=True)
class Part:
    """One question of a request: ``fact`` of a world ``task``, asked in ``language`` through template ``template``."""

    task: str
    fact: str
    language: str
    template: int

    @cached_property
    def question(self) -> str:
        """The question as the world asks it."""
        slots = FAMILIES[self.task].slots(self.fact, self.language)
        assert slots is not None, "requests ask only what can be asked in every language"
        return phrases(self.language).templates[self.task][self.template].format_map(slots)

    @property
    def item(self) -> str:
        """What the question is about, as an answer quotes it."""
        return quote(self.task, self.fact, self.language)

    @property
    def answer(self) -> str:
        """The right value."""
        return FAMILIES[self.task].answer(self.fact, self.language)

    @property
    def known(self) -> bool:
        """Whether this is a question of the world."""
        if self.task == "ad":
            return _sum_fact(self.fact) == self.fact
        return self.task in TASKS and self.fact in _known_facts(self.task, self.language)

    def about(self, fact: str) -> Part:
        """The same question about another fact."""
        return Part(self.task, fact, self.language, self.template)

    def accepts(self, value: str) -> bool:
        """Say whether ``value`` is a right answer (in the world's normal form)."""
        return normalise(value, self.language) in right_forms(self.task, self.fact, self.language)


def quote(task: str, fact: str, language: str) -> str:
    """Return how an answer in ``language`` names what a question is about."""
    slots = FAMILIES[task].slots(fact, language)
    assert slots is not None, "requests ask only what can be asked in every language"
    return _QUOTES[task](slots)


@lru_cache(maxsize=50_000)
def right_forms(task: str, fact: str, language: str) -> frozenset[str]:
    """Return every right value of a fact, in normal form."""
    family = FAMILIES[task]
    forms = (family.answer(fact, language), *family.also_accepted(fact, language))
    return frozenset(normalise(form, language) for form in forms)


@lru_cache(maxsize=50_000)
def askable(task: str, fact: str) -> bool:
    """Say whether the question can be asked in all languages of the world."""
    return all(FAMILIES[task].slots(fact, language) is not None for language in available())


def fact_of(task: str, item: str, language: str) -> str | None:
    """Return the fact that an item in normal form is about, or None; a sum may be quoted in either order."""
    return _sum_fact(item) if task == "ad" else _facts_by_item(task, language).get(item)


_SUM = re.compile(r"(\d{1,3}) ?\+ ?(\d{1,3})")


def _sum_fact(text: str) -> str | None:
    """Any sum below the world's limit counts, not only those that the world asks."""
    terms = sorted(map(int, found.groups())) if (found := _SUM.fullmatch(text)) else [LIMIT]
    return "+".join(map(str, terms)) if sum(terms) < LIMIT else None


@cache
def _facts_by_item(task: str, language: str) -> dict[str, str]:
    family = FAMILIES[task]
    facts = [fact for fact in family.facts(FactRange((language,), LIMIT)) if family.slots(fact, language) is not None]
    return {normalise(quote(task, fact, language), language): fact for fact in facts}


@cache
def _known_facts(task: str, language: str) -> frozenset[str]:
    return frozenset(_facts_by_item(task, language).values())
