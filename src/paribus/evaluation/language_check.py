"""Is an answer in the language that was asked for? Found out offline, by py3langid among the languages that can be.

A text is named only where that is safe: the identifier is at least 90% sure, the language's script makes up most of
its letters, and it is not a few Chinese characters that may be Japanese. Everything else (numbers, code, names, one or
two words) is *undetermined*, counted apart, and never taken for a wrong language. Code and addresses are left out
first, since they are in no language.

Measured among the 23 languages of Aya 23. Hand-written texts (tests/evaluation/language_sentences.py): all 46 sentences
and 62 of 69 answers of two to four words were named, none wrongly. The embedded world, 4,600 prompts and 4,600 answers
of one or two words: 81% and 38% named, none wrongly. It takes 0.7 s and 100 MB once, then about 0.2 ms a short text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from paribus.errors import DataError
from paribus.evaluation.games import question_of
from paribus.evaluation.items import ItemRow, Summary, summarise
from paribus.evaluation.prompts import cluster_of
from paribus.languages import AYA_23, get
from paribus.records import Completion, Prompt, Verdict

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SURE = 0.9
"""Below this confidence a text is undetermined. At 0.9 no text of the measurement was named wrongly; at 0.8, 1.4% of
the one- and two-word answers were."""
HAN_ALONE = 12
"""Characters from which a text of Chinese characters alone is Chinese: Japanese that long has kana in it."""
MEASURES = ("right_language", "wrong_language", "undetermined_language")

# Fenced code (closed or cut off), code in line, addresses, tags: in no language.
_NO_LANGUAGE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\w+://\S+|</?[A-Za-z][^<>\n]*>", re.DOTALL)

# How Unicode's names of letters begin, by script of the language registry.
_LETTERS: dict[str, tuple[str, ...]] = {
    "Arab": ("ARABIC",),
    "Armn": ("ARMENIAN",),
    "Beng": ("BENGALI",),
    "Cyrl": ("CYRILLIC",),
    "Deva": ("DEVANAGARI",),
    "Ethi": ("ETHIOPIC",),
    "Geor": ("GEORGIAN",),
    "Grek": ("GREEK",),
    "Gujr": ("GUJARATI",),
    "Guru": ("GURMUKHI",),
    "Hans": ("CJK",),
    "Hant": ("CJK",),
    "Hebr": ("HEBREW",),
    "Jpan": ("HIRAGANA", "KATAKANA", "CJK"),
    "Khmr": ("KHMER",),
    "Knda": ("KANNADA",),
    "Kore": ("HANGUL", "CJK"),
    "Laoo": ("LAO",),
    "Latn": ("LATIN",),
    "Mlym": ("MALAYALAM",),
    "Mymr": ("MYANMAR",),
    "Sinh": ("SINHALA",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Thai": ("THAI",),
}


class Detected(NamedTuple):
    """The language of a text (None: undetermined) and how sure the identifier is of its first choice, 0 to 1."""

    code: str | None
    confidence: float


def language_of(text: str, among: Iterable[str] = AYA_23) -> Detected:
    """Which of the languages ``among`` (codes of the registry) a text is in; see the module for what is undetermined.

    Languages that the identifier does not know (nine of Aya-101's) are never found. Raises ``ConfigError`` for an
    unknown code, ``DataError`` if fewer than two of the codes can be told apart.
    """
    plain = _NO_LANGUAGE.sub(" ", text)
    scripts = _scripts(plain)
    if not scripts:
        return Detected(None, 0.0)
    code, confidence = _identifier(tuple(sorted(set(among)))).classify(plain)
    named = confidence >= SURE and _fits(code, scripts)
    return Detected(code if named else None, float(confidence))


def language_for(text: str, asked: str) -> str | None:
    """The language of an answer, found among Aya 23's and the one that was asked for; None: undetermined."""
    return language_of(text, {*AYA_23, get(asked).code}).code


def language_rows(completions: Sequence[Completion], prompts: Sequence[Prompt] = ()) -> list[ItemRow]:
    """Three values for each answer, of which one is 1: right, wrong or undetermined language; groups are models.

    The language asked for, and the question that answers are clustered by, are those of the prompt where ``prompts``
    holds it, else the answer's own language and its prompt's id.
    """
    known = {(prompt.id, prompt.language): prompt for prompt in prompts}
    rows = []
    for answer in completions:
        prompt = known.get((answer.prompt_id, answer.language))
        asked = answer.language if prompt is None else str(prompt.meta.get("answer_language", prompt.language))
        cluster = answer.prompt_id if prompt is None else cluster_of(prompt)
        item = f"{answer.model}/{answer.language}/{answer.id}"
        found = language_for(answer.text, asked)
        rows += _rows(item, cluster, answer.language, asked, found, answer.model)
    return rows


def language_rates(
    completions: Sequence[Completion], prompts: Sequence[Prompt] = (), *, resamples: int = 2_000
) -> list[Summary]:
    """Shares of ``MEASURES`` in all answers, by language and model, intervals clustered by question.

    Errors as ``items.summarise``.
    """
    return summarise(language_rows(completions, prompts), resamples=resamples)


def judged_language_rates(verdicts: Sequence[Verdict], *, resamples: int = 2_000) -> list[Summary]:
    """The same shares of the two sides of judged games, read from ``meta["answer_languages"]``; groups are models.

    An answer counts once, however often it was judged. Raises ``DataError`` where no verdict says the languages.
    """
    known = [(row, row.meta["answer_languages"]) for row in verdicts if "answer_languages" in row.meta]
    if not known:
        raise DataError(
            f"None of the {len(verdicts)} verdicts says what languages its answers are in; judge with "
            "check_language=True (`paribus judge --check-language`)."
        )
    rows: dict[str, list[ItemRow]] = {}
    for row, spoken in known:
        for model, found in ((row.a, spoken["a"]), (row.b, spoken["b"])):
            item = f"{model}/{row.language}/{row.prompt_id}"
            rows[item] = _rows(item, str(question_of(row)), row.language, spoken["asked"], found, model)
    return summarise([value for values in rows.values() for value in values], resamples=resamples)


def _rows(item: str, cluster: str, language: str, asked: str, found: str | None, model: str) -> list[ItemRow]:
    outcome = "undetermined" if found is None else "right" if found == get(asked).code else "wrong"
    return [
        ItemRow(measure, item, cluster, language, float(measure == f"{outcome}_language"), model)
        for measure in MEASURES
    ]


@lru_cache(maxsize=16)
def _identifier(among: tuple[str, ...]) -> LanguageIdentifier:
    from copy import copy

    model = copy(_whole_identifier())
    known = sorted({get(code).code for code in among} & set(model.labels))
    if len(known) < 2:
        raise DataError(
            f"Only {known} of the languages {list(among)} are known to the identifier; give two or more to tell apart."
        )
    model.set_languages(known)
    return model


@lru_cache(maxsize=1)
def _whole_identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _scripts(text: str) -> Counter[str]:
    """How many letters begin with each word in their Unicode names: LATIN, CJK, HIRAGANA ..."""
    letters = (letter for letter in unicodedata.normalize("NFKC", text) if letter.isalpha())
    return Counter(re.split(r"[ -]", unicodedata.name(letter, "?"), maxsplit=1)[0] for letter in letters)


def _fits(code: str, scripts: Counter[str]) -> bool:
    """Whether the text's letters are mostly the language's, and enough of them where Chinese and Japanese share all."""
    own = _LETTERS.get(get(code).script, tuple(scripts))
    total, inside = sum(scripts.values()), sum(scripts[name] for name in own)
    if 2 * inside <= total:
        return False
    return code not in ("zh", "ja") or scripts["CJK"] < inside or inside >= HAN_ALONE
