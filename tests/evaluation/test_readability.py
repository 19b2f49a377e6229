"""Readability: sentences counted by hand, and what must hold for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import ConfigError, DataError
from paribus.evaluation import readability
from paribus.evaluation.readability import (
    dale_chall,
    flesch_kincaid,
    lix,
    reading_difficulty,
    sentences,
    syllables,
    unfamiliar,
    words,
)

CAT = "The cat sat on the mat. It was a very happy cat!"  # 12 words, 2 sentences, 14 syllables (ver-y, hap-py)
HARD = "Photosynthesis converts electromagnetic radiation."  # 4 words, 1 sentence, 5 + 2 + 6 + 4 syllables


def test_flesch_kincaid_of_sentences_counted_by_hand() -> None:
    assert flesch_kincaid(CAT) == pytest.approx(0.39 * 12 / 2 + 11.8 * 14 / 12 - 15.59)
    assert flesch_kincaid(HARD) == pytest.approx(0.39 * 4 + 11.8 * 17 / 4 - 15.59)


def test_dale_chall_of_sentences_counted_by_hand() -> None:
    assert unfamiliar(CAT) == 0
    assert dale_chall(CAT) == pytest.approx(0.0496 * 6)
    # All four words are unfamiliar: 100% of them, so the constant for hard texts is added.
    assert dale_chall(HARD) == pytest.approx(15.79 + 0.0496 * 4 + 3.6365)


def test_the_constant_of_dale_chall_begins_above_five_percent() -> None:
    text = " ".join(["the"] * 19 + ["radiation"]) + "."
    assert unfamiliar(text) == 1
    assert dale_chall(text) == pytest.approx(0.1579 * 5 + 0.0496 * 20)
    assert dale_chall("radiation " + text) == pytest.approx(0.1579 * 100 * 2 / 21 + 0.0496 * 21 + 3.6365)


@pytest.mark.parametrize(
    "word", ["cats", "babies", "boxes", "stopped", "making", "happily", "bigger", "hurried", "dog's", "1,000", "don’t"]
)
def test_inflected_words_and_numbers_are_familiar(word: str) -> None:
    assert unfamiliar(f"the {word}") == 0


def test_a_capital_is_a_name_only_within_a_sentence() -> None:
    assert unfamiliar("We saw Zanzibar.") == 0
    assert unfamiliar("Zanzibar was hot.") == 1
    assert unfamiliar("we saw zanzibar.") == 1


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("cat", 1),
        ("table", 2),
        ("make", 1),
        ("makes", 1),
        ("boxes", 2),
        ("wanted", 2),
        ("stopped", 1),
        ("little", 2),
        ("nation", 2),
        ("radio", 3),
        ("science", 2),
        ("previous", 3),
        ("video", 3),
        ("being", 2),
        ("rhythm", 1),
        ("don't", 1),
        ("well-known", 2),
        ("42", 2),
        ("created", 3),
        ("the", 1),
    ],
)
def test_syllables_by_rule(word: str, count: int) -> None:
    assert syllables(word) == count


def test_sentences_do_not_end_at_abbreviations_or_wrapped_lines() -> None:
    assert len(sentences("Mr. Smith went to\nWashington at 3.5 km/h. He slept.")) == 2
    assert len(sentences("- one thing\n- another thing")) == 2
    assert sentences("... !!! ") == []


def test_words_of_scripts_without_spaces() -> None:
    assert words("我喜欢吃苹果。", "zh") == ["我", "喜欢", "吃", "苹果"]
    assert len(words("私は学生です。", "ja")) > 1
    assert words("«Привет, мир!»", "ru") == ["Привет", "мир"]


def test_lix_counted_by_hand() -> None:
    assert lix("Das Haus ist klein. Die Geschichte beginnt.", "de") == pytest.approx(7 / 2 + 100 * 2 / 7)


def test_difficulty_is_dale_chall_in_english_and_lix_elsewhere() -> None:
    assert reading_difficulty(HARD, "en") == dale_chall(HARD)
    assert reading_difficulty("Das Haus.", "de") == lix("Das Haus.", "de")


@pytest.mark.parametrize("measure", [flesch_kincaid, dale_chall, lambda text: lix(text, "de")])
def test_a_text_without_words_is_refused(measure) -> None:
    with pytest.raises(DataError, match="no words"):
        measure(" ... ")


def test_without_the_word_list_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    readability._easy_words.cache_clear()
    monkeypatch.setitem(sys.modules, "new_dale_chall_readability.easy_words", None)
    with pytest.raises(ConfigError, match="pip install"):
        dale_chall("A cat.")
    monkeypatch.undo()
    assert dale_chall("A cat.") > 0


@given(st.text(max_size=200))
def test_any_text_has_a_score_or_no_words(text: str) -> None:
    found = words(text)
    if not found:
        with pytest.raises(DataError):
            flesch_kincaid(text)
        return
    assert 1 <= len(sentences(text)) <= len(found)
    assert all(syllables(word) >= 1 for word in found)
    assert 0 <= unfamiliar(text) <= len(found)
    assert flesch_kincaid(text) >= 0.39 + 11.8 - 15.59 - 1e-9


@given(st.lists(st.sampled_from(["the", "cat", "sat", "radiation"]), min_size=1, max_size=40))
def test_the_same_sentence_twice_is_as_hard_as_once(parts: list[str]) -> None:
    once = "The " + " ".join(parts) + ". "
    assert flesch_kincaid(once * 2) == pytest.approx(flesch_kincaid(once))
    assert dale_chall(once * 2) == pytest.approx(dale_chall(once))
    assert lix(once * 2, "en") == pytest.approx(lix(once, "en"))
