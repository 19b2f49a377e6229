"""Names and facts from CLDR, through Babel: entities and their names in 23 languages, currencies, list patterns.

An *entity* is a language-independent id such as ``country.JP``, ``language.fr``, ``currency.JPY``, ``month.1``
(January) or ``weekday.0`` (Monday). All text is NFC, with ordinary spaces and without invisible direction marks.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from functools import cache, lru_cache

from babel import Locale
from babel.languages import get_territory_language_info
from babel.numbers import get_territory_currencies

_COUNTRY_CODES = """
AR AT AU BE BG BR CA CH CL CN CO CR CU CY CZ DE DK DZ EE EG ES ET FI FR GB GR HR HU ID IE IL IN IQ IR IS IT JO JP
KE KR KW LB LT LV LY MA MN MT MX MY NG NL NO NP NZ PE PH PL PT QA RO RS RU SA SE SG SI SK SY TH TN TR UA US UY UZ
VE VN YE ZA
"""
_LANGUAGE_CODES = """
ar bg bn ca cs da de el en es et fa fi fr he hi hr hu id is it ja ko lt lv ms nl no pl pt ro ru sk sl sr sv sw ta
th tr uk ur vi zh
"""

COUNTRIES: tuple[str, ...] = tuple(_COUNTRY_CODES.split())
LANGUAGES: tuple[str, ...] = tuple(_LANGUAGE_CODES.split())

# Currencies are those in use on this day, so that the world does not change with the calendar of the machine.
_REFERENCE_DAY = date(2025, 1, 1)

# These locales carry real nominative month names. In the others Babel's stand-alone form is an alias, which resolves to
# another language once a further locale has been loaded; there the format form is the nominative anyway.
_NOMINATIVE_MONTHS = frozenset({"cs", "el", "fa", "pl", "ru", "uk"})

# CLDR files Norway under Bokmål and "Norwegian" alike; one name is enough.
_LANGUAGE_OF = {"NO": "no"}

_INVISIBLE = dict.fromkeys([0x00AD, 0x200B, 0x200E, 0x200F, 0x061C, 0x2066, 0x2067, 0x2068, 0x2069])


def clean(text: str) -> str:
    """Return text as NFC with ordinary spaces; direction marks and soft hyphens go, the zero-width non-joiner stays."""
    text = text.translate(_INVISIBLE).replace("\u00a0", " ").replace("\u202f", " ")
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=64)
def _locale(language: str) -> Locale:
    return Locale.parse(language)


@lru_cache(maxsize=1)
def currencies() -> dict[str, str]:
    """Map each country that has exactly one currency in use to its ISO 4217 code (several in use: left out)."""
    table = {}
    for country in COUNTRIES:
        codes = get_territory_currencies(country, start_date=_REFERENCE_DAY, end_date=_REFERENCE_DAY)
        if len(codes) == 1:
            table[country] = codes[0]
    return table


@lru_cache(maxsize=1)
def official_languages() -> dict[str, str]:
    """Map each country to its most spoken official language (CLDR's share of speakers), script subtag dropped."""
    table = {}
    for country in COUNTRIES:
        info = get_territory_language_info(country)
        shares = {
            code: float(entry["population_percent"] or 0.0)
            for code, entry in info.items()
            if entry["official_status"] in {"official", "de_facto_official"}
        }
        if shares:
            largest = min(shares, key=lambda code: (-shares[code], code))
            table[country] = _LANGUAGE_OF.get(country, largest.split("_")[0])
    return table


@lru_cache(maxsize=1)
def entities() -> dict[str, tuple[str, ...]]:
    """Return every entity id by category, in a fixed order."""
    return {
        "country": tuple(f"country.{code}" for code in COUNTRIES),
        "language": tuple(f"language.{code}" for code in LANGUAGES),
        "currency": tuple(f"currency.{code}" for code in sorted(set(currencies().values()))),
        "month": tuple(f"month.{number}" for number in range(1, 13)),
        "weekday": tuple(f"weekday.{number}" for number in range(7)),
    }


def _month(locale: Locale, number: int) -> str:
    context = "stand-alone" if locale.language in _NOMINATIVE_MONTHS else "format"
    return str(locale.months[context]["wide"][number])


@cache
def name(entity: str, language: str) -> str:
    """Return the entity's name in a language (ISO code of the 23).

    Raises KeyError if CLDR has no such entity or no name for it; every entity of ``entities()`` is named in all 23.
    """
    category, _, code = entity.partition(".")
    locale = _locale(language)
    if category == "country":
        return clean(locale.territories[code])
    if category == "language":
        return clean(locale.languages[code])
    if category == "currency":
        return clean(locale.currencies[code])
    if category == "month":
        return clean(_month(locale, int(code)))
    if category == "weekday":
        return clean(locale.days["format"]["wide"][int(code)])
    raise KeyError(f"no such entity category: {entity}")


@lru_cache(maxsize=64)
def list_pattern(language: str) -> dict[str, str]:
    """Return the language's own pattern for lists joined by "and": keys start, middle, end, 2; slots {0} and {1}."""
    return {key: clean(text) for key, text in _locale(language).list_patterns["standard"].items()}


def join(parts: tuple[str, ...], pattern: dict[str, str]) -> str:
    """Join two or more parts by a CLDR list pattern."""
    if len(parts) == 2:
        return pattern["2"].format(*parts)
    joined = pattern["end"].format(parts[-2], parts[-1])
    for part in reversed(parts[1:-2]):
        joined = pattern["middle"].format(part, joined)
    return pattern["start"].format(parts[0], joined)
