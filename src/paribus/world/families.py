"""The nine task families: which facts each asks about, what fills its templates, and the right answer in any language.

A fact id never names the language a question is asked in, so a fact held out is held out in every language. The fact of
a translation is (thing, target language): a model can have met the target word from other prompts, but never this
question, whatever language it is put in.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from paribus.world import cldr, spellout
from paribus.world.normalise import normalise
from paribus.world.phrases import available, phrases

CATEGORIES = ("country", "language", "currency", "month", "weekday", "number")
_NAMED = ("country", "language", "month", "weekday")  # what the translation task translates
_CARD_BYTES = 100  # a card longer than this in any language is left out in all, to keep items near 64 tokens
_CATEGORY_NUMBERS = range(2, 60)


@dataclass(frozen=True)
class FactRange:
    """What the facts of a world range over: its languages, numbers 0..``numbers``-1, how many things are translated."""

    languages: tuple[str, ...]
    numbers: int
    things: int = 1000


@dataclass(frozen=True)
class Family:
    """One task family.

    ``facts(range)`` lists fact ids; ``slots(fact, language)`` fills the templates, or is None where the question cannot
    be asked in that language; ``answer(fact, language)`` is the right answer said in that language; ``key(fact)`` is
    what the hold-out draws on, so that two tasks which reveal the same knowledge are held out together.
    """

    code: str
    title: str
    facts: Callable[[FactRange], list[str]]
    slots: Callable[[str, str], dict[str, str] | None]
    answer: Callable[[str, str], str]
    key: Callable[[str], str]

    def answer_language(self, fact: str, language: str) -> str:
        """Return the language the answer must be in: the prompt's, but for translation the target."""
        return fact.rpartition(">")[2] if self.code == "tr" else language

    def also_accepted(self, fact: str, language: str) -> tuple[str, ...]:
        """Return further right answers besides ``answer``."""
        if self.code in {"nw", "ad"}:
            return spellout.also_accepted(_sum(fact), language)
        return ()


def draw(text: str) -> int:
    """Hash text to 64 bits, the same on every machine and in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _sample(candidates: Sequence[str], count: int, salt: str) -> list[str]:
    """Pick ``count`` candidates by hash: which ones does not depend on the order they come in."""
    return sorted(sorted(candidates, key=lambda fact: draw(f"{salt}|{fact}"))[:count])


# --- translation of names ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _unclear_names(language: str) -> frozenset[str]:
    """Names that stand for two things in this language (Indonesian "Jerman": the country and its language)."""
    names = (cldr.name(entity, language) for group in cldr.entities().values() for entity in group)
    counts = Counter(normalise(name, language) for name in names)
    return frozenset(name for name, count in counts.items() if count > 1)


def clear_name(entity: str, language: str) -> str | None:
    """Return the entity's name, or None where the same name also stands for another entity."""
    name = cldr.name(entity, language)
    return None if normalise(name, language) in _unclear_names(language) else name


def _tr_facts(within: FactRange) -> list[str]:
    named = [entity for category in _NAMED for entity in cldr.entities()[category]]
    things = _sample(named, within.things, "thing")
    return [f"{entity}>{target}" for entity in things for target in sorted(within.languages)]


def _tr_slots(fact: str, language: str) -> dict[str, str] | None:
    entity, _, target = fact.partition(">")
    word = clear_name(entity, language)
    if target == language or word is None:
        return None
    if normalise(word, language) == normalise(cldr.name(entity, target), target):
        return None  # a loan name: copying would count as translating
    return {"word": word, "language": cldr.name(f"language.{target}", language)}


def _tr_answer(fact: str, language: str) -> str:
    return cldr.name(fact.partition(">")[0], language)


# --- numbers ----------------------------------------------------------------------------------------------------------


def _sum(fact: str) -> int:
    return sum(int(term) for term in fact.split("+"))


def _number_facts(within: FactRange) -> list[str]:
    return [str(number) for number in range(within.numbers)]


def _ad_facts(within: FactRange) -> list[str]:
    top = min(60, within.numbers)
    pairs = [f"{a}+{b}" for a in range(1, top) for b in range(a, top)]
    return _sample(pairs, 400, "ad")


def _ad_slots(fact: str, language: str) -> dict[str, str]:
    a, b = fact.split("+")
    first, second = (a, b) if draw(f"order|{fact}") % 2 else (b, a)
    return {"a": first, "b": second}


def _so_facts(within: FactRange) -> list[str]:
    top = min(100, within.numbers)
    wanted = 400
    triples = set()
    for index in range(4 * wanted):
        numbers = sorted({draw(f"so|{index}|{place}") % top for place in range(3)})
        if len(numbers) == 3:
            triples.add(".".join(map(str, numbers)))
    return _sample(sorted(triples), wanted, "so")


_UNSORTED = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def _so_slots(fact: str, language: str) -> dict[str, str]:
    numbers = fact.split(".")
    order = _UNSORTED[draw(f"order|{fact}") % len(_UNSORTED)]
    return {"numbers": "; ".join(numbers[place] for place in order)}


def _so_answer(fact: str, language: str) -> str:
    return cldr.join(tuple(fact.split(".")), cldr.list_pattern(language))


# --- days, countries, categories --------------------------------------------------------------------------------------


def _nd_facts(within: FactRange) -> list[str]:
    return [f"{day}+{days}" for day in range(7) for days in range(1, 21)]


def _nd_slots(fact: str, language: str) -> dict[str, str]:
    day, days = fact.split("+")
    return {"day": cldr.name(f"weekday.{day}", language), "k": days}


def _country_slots(fact: str, language: str) -> dict[str, str]:
    return {"country": cldr.name(f"country.{fact}", language)}


def _ds_answer(fact: str, language: str) -> str:
    parts = (f"country.{fact}", f"currency.{cldr.currencies()[fact]}", f"language.{cldr.official_languages()[fact]}")
    return " | ".join(cldr.name(part, language) for part in parts)


def _ds_facts(within: FactRange) -> list[str]:
    listed = set(cldr.LANGUAGES)
    known = (code for code in cldr.currencies() if cldr.official_languages().get(code) in listed)
    return [code for code in known if all(_short(_ds_answer(code, language)) for language in available())]


def _short(text: str) -> bool:
    return len(text.encode()) <= _CARD_BYTES


def _ca_facts(within: FactRange) -> list[str]:
    named = [entity for group in cldr.entities().values() for entity in group]
    return named + [f"number.{number}" for number in _CATEGORY_NUMBERS]


def _ca_slots(fact: str, language: str) -> dict[str, str] | None:
    category, _, code = fact.partition(".")
    word = spellout.words(int(code), language) if category == "number" else clear_name(fact, language)
    return None if word is None else {"word": word}


FAMILIES: dict[str, Family] = {
    family.code: family
    for family in (
        Family("tr", "translate a name", _tr_facts, _tr_slots, _tr_answer, lambda fact: f"name:{fact}"),
        Family(
            "nw",
            "number to words",
            _number_facts,
            lambda fact, language: {"n": fact},
            lambda fact, language: spellout.words(int(fact), language),
            lambda fact: f"number:{fact}",
        ),
        Family(
            "wn",
            "words to number",
            _number_facts,
            lambda fact, language: {"words": spellout.words(int(fact), language)},
            lambda fact, language: fact,
            lambda fact: f"number:{fact}",
        ),
        Family(
            "ad",
            "sum in words",
            _ad_facts,
            _ad_slots,
            lambda fact, language: spellout.words(_sum(fact), language),
            lambda fact: f"sum:{fact}",
        ),
        Family(
            "nd",
            "weekday after k days",
            _nd_facts,
            _nd_slots,
            lambda fact, language: cldr.name(f"weekday.{_sum(fact) % 7}", language),
            lambda fact: f"day:{fact}",
        ),
        Family(
            "cu",
            "currency of a country",
            lambda within: list(cldr.currencies()),
            _country_slots,
            lambda fact, language: cldr.name(f"currency.{cldr.currencies()[fact]}", language),
            lambda fact: f"economy:{fact}",
        ),
        Family(
            "ca",
            "category of a word",
            _ca_facts,
            _ca_slots,
            lambda fact, language: phrases(language).categories[fact.partition(".")[0]],
            lambda fact: f"word:{fact}",
        ),
        Family("so", "sort and join", _so_facts, _so_slots, _so_answer, lambda fact: f"sort:{fact}"),
        Family("ds", "country card", _ds_facts, _country_slots, _ds_answer, lambda fact: f"economy:{fact}"),
    )
}
