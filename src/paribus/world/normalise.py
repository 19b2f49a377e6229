"""What two texts must share to count as the same answer: the checker's normal form, and the script of a text."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Direction marks, joiners and soft hyphens carry no answer; a missing zero-width non-joiner is not a wrong answer.
_INVISIBLE = dict.fromkeys(
    [
        0x00AD,
        0x200B,
        0x200C,
        0x200D,
        0x200E,
        0x200F,
        0x061C,
        0x2060,
        0xFEFF,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    ]
)
_APOSTROPHES = str.maketrans({"ʼ": "'", "’": "'", "‘": "'", "׳": "'", "‐": "-", "‑": "-", "־": "-"})
_TRAILING = " .,;:!?…。、．，！？।؛،؟·"
_SPACES = re.compile(r"\s+")


def _western_digit(char: str) -> str:
    value = unicodedata.digit(char, None) if unicodedata.category(char) == "Nd" else None
    return char if value is None else str(value)


@lru_cache(maxsize=200_000)
def normalise(text: str, language: str) -> str:
    """Return the normal form in which answers are compared.

    NFC; invisible marks dropped; whitespace runs become one space; native digits become Western ones; trailing sentence
    punctuation goes; case is folded (Turkish by its own rules), because the 23 languages' lists of weekdays, months and
    languages disagree on capitals and a capital is no fact.
    """
    text = unicodedata.normalize("NFC", text).translate(_INVISIBLE).translate(_APOSTROPHES)
    if not text.isascii():
        text = "".join(map(_western_digit, text))
    text = _SPACES.sub(" ", text).strip().rstrip(_TRAILING)
    if language == "tr":
        text = text.replace("İ", "i").replace("I", "ı")
    return unicodedata.normalize("NFC", text.casefold())


_KINDS = ("LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "HANGUL", "HIRAGANA", "KATAKANA", "CJK")
_SCRIPTS = {
    "Latn": {"LATIN"},
    "Cyrl": {"CYRILLIC"},
    "Grek": {"GREEK"},
    "Arab": {"ARABIC"},
    "Hebr": {"HEBREW"},
    "Deva": {"DEVANAGARI"},
    "Kore": {"HANGUL", "CJK"},
    "Jpan": {"HIRAGANA", "KATAKANA", "CJK"},
    "Hans": {"CJK"},
}


@lru_cache(maxsize=20_000)
def _kind(char: str) -> str:
    if not (char.isalpha() or unicodedata.category(char) in {"Mn", "Mc"}) or char == "ー":
        return ""
    first = unicodedata.name(char, "").split(" ")[0].split("-")[0]
    return first if first in _KINDS else ""


def share_in_script(text: str, script: str) -> float:
    """Return the share of the text's letters that belong to an ISO 15924 script; 1.0 if it has no letters."""
    kinds = [kind for kind in map(_kind, text) if kind]
    if not kinds:
        return 1.0
    return sum(kind in _SCRIPTS[script] for kind in kinds) / len(kinds)


def has_letters(text: str) -> bool:
    """Say whether the text holds at least one letter."""
    return any(map(_kind, text))
