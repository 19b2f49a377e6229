"""How hard a text is to read, from its words and sentences alone: Flesch-Kincaid, Dale-Chall, and LIX.

Flesch-Kincaid and Dale-Chall were fitted on American school texts and are for English; LIX counts long words and long
sentences and can be compared within any alphabetic language. Words and sentences are those of ICU, so abbreviations
such as "Mr." end no sentence and scripts without spaces have words too. Use: the manipulation check of arXiv
2309.16349 (whose released code has 0.38 where Flesch-Kincaid has 0.39), and ``feedback.annotation.preambles``.
"""

import re
from collections.abc import Sequence
from functools import cache

from paribus.errors import ConfigError, DataError

_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(r"(?:[^aeiouy](?:e|es|ed)|[aeiouy]ue)$")
_SPOKEN = re.compile(r"(?:[^aeiouyrlw]le|[^aeiouyrlw]les|[td]ed|(?:[sxzcg]|ch|sh)es)$")
_APART = re.compile(r"(?<![tscgx])i[aou]|[^gq]ua(?=[lt])|eo(?=[nu]?s?$)|ying|eing$|crea[^mks]|uou|ism$|ie[ntr]")
_ENDINGS = (
    ("'s", ""),
    ("s'", "s"),
    ("ies", "y"),
    ("es", ""),
    ("s", ""),
    ("ied", "y"),
    ("ed", ""),
    ("d", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ier", "y"),
    ("er", ""),
    ("r", ""),
    ("iest", "y"),
    ("est", ""),
    ("st", ""),
    ("ily", "y"),
    ("ly", ""),
)


def words(text: str, language: str = "en") -> list[str]:
    """The words of a text, in order, by the rules of ICU for the language; marks without letter or digit are none."""
    from icu4py.breakers import WordBreaker

    return [piece for piece in WordBreaker(text, language) if any(sign.isalnum() for sign in piece)]


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of a text that have words; known abbreviations and line breaks within a sentence end none."""
    from icu4py.breakers import SentenceBreaker

    # A single line break is where a line was wrapped; an empty line or a list item starts something new.
    joined = re.sub(r"(?<!\n)\n(?!\s*(?:\n|[-*•]|\d+[.)]))", " ", text)
    return [piece for piece in SentenceBreaker(joined, f"{language}@ss=standard") if words(piece, language)]


def syllables(word: str) -> int:
    """Syllables of an English word by rules of spelling, at least 1; numbers count 1 for each digit.

    Against the CMU pronouncing dictionary: right for 98% of the words of running text, 92% of all words it lists, and
    0.1% too few in sum.
    """
    digits = sum(sign.isdigit() for sign in word)
    parts = [part for part in re.split(r"[^a-z]+", re.sub(r"['’](?:s|t|re|ve|ll|d|m)$", "", word.lower())) if part]
    return max(1, digits + sum(_spelt(part) for part in parts))


def _spelt(word: str) -> int:
    count = len(_VOWELS.findall(word)) + len(_APART.findall(word))
    if _SILENT.search(word) and not _SPOKEN.search(word):
        count -= 1
    return max(1, count)


def flesch_kincaid(text: str) -> float:
    """The US school grade of an English text: 0.39 words a sentence + 11.8 syllables a word - 15.59.

    Raises ``DataError`` for a text without words.
    """
    found, lines = _counted(text)
    return 0.39 * len(found) / lines + 11.8 * sum(map(syllables, found)) / len(found) - 15.59


def dale_chall(text: str) -> float:
    """The Dale-Chall score of an English text: 0.1579 * percent unfamiliar + 0.0496 words a sentence, and 3.6365 more
    where over 5% of the words are unfamiliar. Below 5: fourth grade; 9 and above: college.

    Familiar: on the list of about 3,000 words (package ``new-dale-chall-readability``), also in regular inflection;
    numbers; and words with a capital within a sentence, which are taken for names.

    Raises ``DataError`` for a text without words, ``ConfigError`` when the package is not installed.
    """
    found, lines = _counted(text)
    percent = 100 * unfamiliar(text) / len(found)
    return 0.1579 * percent + 0.0496 * len(found) / lines + (3.6365 if percent > 5 else 0.0)


def unfamiliar(text: str) -> int:
    """How many words of an English text are unfamiliar in the sense of ``dale_chall``."""
    known = _easy_words()
    return sum(_strange(words(sentence), known) for sentence in sentences(text))


def lix(text: str, language: str) -> float:
    """LIX (Björnsson): words a sentence + percent of words of more than six letters. Raises as ``flesch_kincaid``.

    For scripts without spaces and for short-worded languages the second part says little; compare within a language.
    """
    found, lines = _counted(text, language)
    return len(found) / lines + 100 * sum(len(word) > 6 for word in found) / len(found)


def reading_difficulty(text: str, language: str) -> float:
    """One number that is higher for harder texts of the same language: Dale-Chall for English, LIX for the others."""
    return dale_chall(text) if language == "en" else lix(text, language)


def _counted(text: str, language: str = "en") -> tuple[list[str], int]:
    found = words(text, language)
    if not found:
        raise DataError(f"The text {text[:40]!r} has no words, so it has no readability; leave it out.")
    return found, len(sentences(text, language))


def _strange(found: Sequence[str], known: frozenset[str]) -> int:
    return sum(not _familiar(word, place, known) for place, word in enumerate(found))


def _familiar(word: str, place: int, known: frozenset[str]) -> bool:
    if word[0].isdigit() or (place > 0 and word[0].isupper()):
        return True
    plain = word.lower().replace("’", "'")
    return plain in known or any(base in known for base in _bases(plain))


def _bases(word: str) -> list[str]:
    """What the word may be a regular inflection of: ``stopped`` of stopp and stop, ``making`` of mak and make."""
    found = []
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            base = word[: -len(ending)] + instead
            found.append(base)
            if len(base) > 3 and base[-1] == base[-2]:
                found.append(base[:-1])
    return found


@cache
def _easy_words() -> frozenset[str]:
    try:
        from new_dale_chall_readability.easy_words import EASY_WORDS
    except ImportError:
        raise ConfigError(
            "The Dale-Chall score needs a list of easy words; install it: pip install new-dale-chall-readability."
        ) from None
    return frozenset(EASY_WORDS)
