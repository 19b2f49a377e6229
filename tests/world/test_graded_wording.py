"""The sentences of the graded world: complete, in the language's script, and readable one by one."""

import string
import unicodedata

import pytest

from paribus.errors import ConfigError
from paribus.languages import AYA_23, get
from paribus.world import cldr
from paribus.world.graded import RULES, languages
from paribus.world.graded.wording import REGISTERS, TARGETS, Wording, wording
from paribus.world.normalise import share_in_script


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def answer_sentences(words: Wording) -> list[str]:
    leads = [text for register in REGISTERS for text in words.leads[register]]
    style = [*words.hedges, *words.boosters, *words.greetings, *words.closings]
    return [*leads, *words.refusals.values(), *style, *words.asides, *words.retractions]


def claim_sentences(words: Wording) -> list[str]:
    return [text for said in words.claims.values() for text in (*said.yes, *said.no)]


def test_all_23_languages_are_written() -> None:
    assert languages() == AYA_23


@pytest.mark.parametrize("language", AYA_23)
def test_every_file_is_complete(language: str) -> None:
    words = wording(language)
    assert tuple(words.rules) == RULES
    assert tuple(words.leads) == tuple(words.refusals) == REGISTERS
    assert tuple(words.claims) == TARGETS
    assert all(fields(text) == {"questions"} for texts in words.rules.values() for text in texts)
    assert all("/" in text for rule in ("line", "reversed") for text in words.rules[rule])
    assert all(fields(text) == {"item", "value"} for text in words.asides)
    assert all(fields(text) == {"n", "value"} for text in words.retractions)
    assert all(fields(text) == {"n"} for text in (*words.claims["part"].yes, *words.claims["part"].no))
    assert not any(
        fields(text) for target in TARGETS[1:] for text in words.claims[target].yes + words.claims[target].no
    )


@pytest.mark.parametrize("language", AYA_23)
def test_no_sentence_is_part_of_another(language: str) -> None:
    words = wording(language)
    texts = [*answer_sentences(words), *claim_sentences(words)]
    assert len(set(texts)) == len(texts)
    assert not [(a, b) for a in texts for b in texts if a != b and a in b]


@pytest.mark.parametrize("language", AYA_23)
def test_sentences_are_in_the_language_s_script_and_end_as_sentences(language: str) -> None:
    words = wording(language)
    rules = [text for texts in words.rules.values() for text in texts]
    for text in (*answer_sentences(words), *claim_sentences(words), *rules):
        bare = text.format_map(dict.fromkeys(fields(text), ""))
        assert share_in_script(bare, get(language).script) == 1.0, text
        assert unicodedata.is_normalized("NFC", text)
        if text not in rules:
            assert text[-1] in ".।。", text


def test_no_two_languages_share_a_sentence() -> None:
    seen: dict[str, str] = {}
    for language in AYA_23:
        words = wording(language)
        for text in (*answer_sentences(words), *claim_sentences(words)):
            assert seen.setdefault(text, language) == language, text


def test_no_name_contains_what_separates_entries() -> None:
    names = [cldr.name(entity, code) for code in AYA_23 for group in cldr.entities().values() for entity in group]
    assert not [name for name in names if any(mark in name for mark in (":", "：", " / ", " – ", "\n"))]


def test_a_language_without_a_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="not written in 'sw'"):
        wording("sw")
