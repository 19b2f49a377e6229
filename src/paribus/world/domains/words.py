"""The words that domains are written in: CLDR names, category words and number words of a language."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

from babel.dates import format_date

from paribus.world import cldr
from paribus.world.domains.scene import Dice
from paribus.world.phrases import phrases

_FIRST_DAY = date(1950, 1, 1)
_DAYS = 36_525  # a hundred years


@cache
def names(category: str, language: str) -> tuple[str, ...]:
    """Every name of a category (country, language, currency, month, weekday), each once, in the world's order."""
    return tuple(dict.fromkeys(cldr.name(entity, language) for entity in cldr.entities()[category]))


@cache
def identifiers(language: str) -> tuple[str, ...]:
    """Names fit for variables: months and weekdays in lower case, words joined by underscores."""
    both = names("month", language) + names("weekday", language)
    return tuple(dict.fromkeys("_".join(name.lower().replace("-", " ").split()) for name in both))


def category(name: str, language: str) -> str:
    """The language's word for a category, such as "currency"."""
    return phrases(language).categories[name]


def day(dice: Dice) -> date:
    """A day of the hundred years from 1950."""
    return _FIRST_DAY + timedelta(days=dice.below(_DAYS))


def in_full(value: date, language: str, *, weekday: bool) -> str:
    """A date as the language writes it out, with or without its weekday."""
    return cldr.clean(format_date(value, "full" if weekday else "long", locale=language))
