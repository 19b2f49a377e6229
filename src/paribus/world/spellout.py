"""Numbers in words for the 23 languages, from ICU's rule-based spell-out.

Range 0..999: above it some locales of ICU 7x give a wrong gender (Czech "jedna tisíc"). Inside it three locales have
known slips, mended here and pinned by tests: Greek ninety is misspelt; Arabic hundreds are written apart, eleven mixes
genders and two has a hamza it should not have; Romanian says "una sută". Within the range the words are one-to-one in
every language.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from icu4py.messageformat import MessageFormat

from paribus.errors import ConfigError
from paribus.world.cldr import clean

LIMIT = 1000

_ARABIC_HUNDREDS = {
    "ثلاثة": "ثلاث",
    "أربعة": "أربع",
    "خمسة": "خمس",
    "ستة": "ست",
    "سبعة": "سبع",
    "ثمانية": "ثمان",
    "تسعة": "تسع",
}
_MENDED: dict[str, tuple[tuple[str, str], ...]] = {
    "el": (("εννενήντα", "ενενήντα"),),
    "ar": (
        ("إثن", "اثن"),
        ("إحدى عشر", "أحد عشر"),
        *((f"{unit} مائة", f"{stem}مائة") for unit, stem in _ARABIC_HUNDREDS.items()),
    ),
    "ro": (("una sută", "o sută"),),
}
# Equally right ways to say the same number, accepted by the checker.
_ALSO: dict[str, dict[int, tuple[str, ...]]] = {"zh": {0: ("零",)}, "ja": {0: ("零", "ゼロ")}, "ko": {0: ("영",)}}


@lru_cache(maxsize=32)
def _format(language: str) -> MessageFormat:
    return MessageFormat("{n,spellout}", language)


@cache
def words(number: int, language: str) -> str:
    """Return ``number`` (0..999) in words, in citation form; ConfigError outside the range."""
    if not 0 <= number < LIMIT:
        raise ConfigError(f"Cannot spell {number} out in {language!r}: the world's numbers are 0..{LIMIT - 1}.")
    text = clean(_format(language).format({"n": number}))
    for wrong, right in _MENDED.get(language, ()):
        text = text.replace(wrong, right)
    return text


@cache
def also_accepted(number: int, language: str) -> tuple[str, ...]:
    """Return further right spellings: hyphens may be spaces, English "and" after hundred, second words for zero."""
    text = words(number, language)
    variants = [text.replace("-", " "), *_ALSO.get(language, {}).get(number, ())]
    if language == "en":
        variants += [re.sub(r"hundred (?=\w)", "hundred and ", form) for form in (text, variants[0])]
    return tuple(sorted(set(variants) - {text}))
