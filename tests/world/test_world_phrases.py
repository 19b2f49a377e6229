"""The hand-written texts: complete, parallel, in the right script, and never shared between two languages."""

import string
import unicodedata

import pytest

from paribus.errors import ConfigError
from paribus.languages import AYA_23, get
from paribus.world.families import CATEGORIES, FAMILIES
from paribus.world.normalise import normalise, share_in_script
from paribus.world.phrases import available, phrases

SLOTS = {"tr": {"word", "language"}, "nw": {"n"}, "wn": {"words"}, "ad": {"a", "b"}, "nd": {"day", "k"},
         "cu": {"country"}, "ca": {"word"}, "so": {"numbers"}, "ds": {"country"}}  # fmt: skip
QUESTION_MARKS = {"ar": "؟", "fa": "؟", "el": ";", "zh": "？", "ja": "？"}


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_all_23_languages_are_written() -> None:
    assert available() == AYA_23


@pytest.mark.parametrize("language", AYA_23)
def test_every_task_has_three_templates_with_its_slots(language: str) -> None:
    templates = phrases(language).templates
    assert set(templates) == set(FAMILIES) == set(SLOTS)
    for task, texts in templates.items():
        assert len(texts) == len(set(texts)) == 3
        assert all(fields(text) == SLOTS[task] for text in texts), task


@pytest.mark.parametrize("language", AYA_23)
def test_texts_are_written_in_the_language_s_script(language: str) -> None:
    known = phrases(language)
    texts = [*known.refusals, *known.rambling, *known.categories.values(), known.frame.format(answer="")]
    texts += [text.format_map(dict.fromkeys(fields(text), "")) for group in known.templates.values() for text in group]
    for text in texts:
        assert share_in_script(text, get(language).script) == 1.0, text
        assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize("language", AYA_23)
def test_questions_end_in_the_language_s_own_mark(language: str) -> None:
    foreign = {"?", "？", "؟"} - {QUESTION_MARKS.get(language, "?")}
    for texts in phrases(language).templates.values():
        assert not any(mark in text for text in texts for mark in foreign)
        assert all(text.count("“") == text.count("”") for text in texts if language not in {"cs", "de", "ro", "pl"})
        assert all(text.count("«") == text.count("»") for text in texts)
        assert all(text.count("(") == text.count(")") and text.count("（") == text.count("）") for text in texts)


def test_spanish_questions_are_opened() -> None:
    texts = [text for group in phrases("es").templates.values() for text in group]
    assert all(text.count("¿") == text.replace("= ?", "").count("?") for text in texts)


def test_no_template_belongs_to_two_languages() -> None:
    seen: dict[str, str] = {}
    for language in AYA_23:
        for group in phrases(language).templates.values():
            for text in group:
                assert seen.setdefault(text, language) == language, text


def test_refusals_and_filler_are_told_apart_between_languages() -> None:
    texts = [
        (language, text) for language in AYA_23 for text in (*phrases(language).refusals, *phrases(language).rambling)
    ]
    assert len({text for _, text in texts}) == len(texts) == 23 * 4


@pytest.mark.parametrize("language", AYA_23)
def test_category_words_are_complete_and_distinct(language: str) -> None:
    words = phrases(language).categories
    assert tuple(words) == CATEGORIES
    assert len({normalise(word, language) for word in words.values()}) == len(CATEGORIES)
    assert "{answer}" in phrases(language).frame


def test_a_language_the_world_is_not_written_in_is_refused() -> None:
    with pytest.raises(ConfigError, match="not written in 'sw'"):
        phrases("sw")
