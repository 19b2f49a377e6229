"""The language check: hand-written texts of 23 languages, what stays undetermined, planted wrong languages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_sentences import SENTENCES, SHORT

from paribus.errors import ConfigError, DataError
from paribus.evaluation.language_check import (
    MEASURES,
    judged_language_rates,
    language_for,
    language_of,
    language_rates,
    language_rows,
)
from paribus.languages import AYA_23
from paribus.records import Completion, Message, Prompt, Verdict


def test_the_sentences_cover_the_languages() -> None:
    assert sorted(SHORT) == sorted(SENTENCES) == list(AYA_23)


@pytest.mark.parametrize("code", AYA_23)
def test_sentences_are_named(code: str) -> None:
    assert [language_of(text).code for text in SENTENCES[code]] == [code] * len(SENTENCES[code])


def test_short_texts_are_named_rightly_or_not_at_all() -> None:
    found = [(language_of(text).code, code) for code, texts in SHORT.items() for text in texts]
    assert all(guess in (None, code) for guess, code in found)
    # 62 of 69 when measured: most are named, or the check would say nothing about short answers.
    assert sum(guess is not None for guess, _ in found) >= 58


@pytest.mark.parametrize("code", AYA_23)
@pytest.mark.parametrize("asked", ["en", "hi", "uk"])
def test_sentences_in_another_language_are_not_taken_for_the_one_asked_for(code: str, asked: str) -> None:
    assert {language_for(text, asked) for text in SENTENCES[code]} == {code}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "42",
        "1945: 12 + 7 = 19",
        "…!?",
        "🎉🎉",
        "Paris",
        "42 km",
        "https://example.org/the/answer/is/in/this/page",
        "`the quick brown fox jumps over the lazy dog`",
        "```python\nfor line in the_file:\n    print('the answer is', line)\n```",
        "```\nthe answer was cut off in the middle of the code",
        "東京",
        "人工知能",
        "вторник",
    ],
)
def test_what_is_in_no_single_language_is_undetermined(text: str) -> None:
    assert language_of(text).code is None


def test_code_in_an_answer_does_not_hide_its_language() -> None:
    code = "```python\nwhile the_answer_is_not_found:\n    search(for_it='everywhere and again')\n```"
    for language in ("de", "ja", "ar"):
        assert language_of(f"{SENTENCES[language][0]}\n\n{code}").code == language


def test_letters_of_two_scripts_are_named_by_the_greater_part() -> None:
    english, arabic = SENTENCES["en"], SENTENCES["ar"]
    assert language_of(f"{arabic[0]} {arabic[1]} (baking bread)").code == "ar"
    assert language_of(f"{english[0]} {english[1]} ({SHORT['ar'][0]})").code == "en"
    assert language_of(f"{english[0]} {arabic[0]}").code in (None, "en", "ar")


def test_chinese_characters_alone_may_be_japanese_unless_they_are_many() -> None:
    assert language_of("火曜日").code is None
    assert language_of("只要有面粉、水、盐和一点耐心").code == "zh"
    assert language_of("答えは火曜日です").code == "ja"


def test_a_language_outside_the_23_is_found_if_it_was_asked_for() -> None:
    swahili = "Unaweza kuoka mkate nyumbani ukiwa na unga, maji, chumvi na uvumilivu kidogo."
    assert language_for(swahili, "sw") == "sw"
    assert language_of(swahili, ("sw", "de", "en")).code == "sw"


def test_languages_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(DataError, match=r"Only \['de'\]"):
        language_of("Guten Tag", ("de",))
    with pytest.raises(ConfigError, match="Unknown language code 'xx'"):
        language_of("Guten Tag", ("de", "xx"))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_text_gets_an_answer_among_the_languages(text: str) -> None:
    found = language_of(text)
    assert found.code is None or found.code in AYA_23
    assert 0.0 <= found.confidence <= 1.0 + 1e-6
    assert language_of(text) == found


def _answer(number: int, language: str, text: str, model: str = "m") -> Completion:
    name = f"q{number}/{language}"
    return Completion(id=f"{model}/{name}", prompt_id=name, language=language, model=model, text=text)


def _planted() -> list[Completion]:
    """Twelve questions in two languages: of three answers to German ones, one is English and one is a number."""
    german = [SENTENCES["de"][0], SENTENCES["en"][0], "17"]
    rows = [_answer(number, "de", german[number % 3]) for number in range(12)]
    return [*rows, *(_answer(number, "hi", SENTENCES["hi"][number % 2]) for number in range(12))]


def test_planted_shares_are_found_by_language() -> None:
    rates = {
        (row.measure, row.language): row.interval for row in language_rates(_planted()) if row.group in ("all", "m")
    }
    assert [rates[measure, "de"].estimate for measure in MEASURES] == pytest.approx([1 / 3] * 3)
    assert [rates[measure, "hi"].estimate for measure in MEASURES] == [1.0, 0.0, 0.0]
    assert [rates[measure, "all"].estimate for measure in MEASURES] == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    wrong = rates["wrong_language", "de"]
    assert wrong.low < 1 / 3 < wrong.high
    assert rates["wrong_language", "hi"].high > 0.0  # twelve right answers are no proof


def test_a_translation_is_measured_by_the_language_asked_for() -> None:
    message = (Message(role="user", content="Auf Englisch, bitte"),)
    meta = {"answer_language": "en", "question_id": "q1"}
    asked = Prompt(id="q1/de", language="de", messages=message, meta=meta)
    (answer,) = [_answer(1, "de", SENTENCES["en"][0])]
    outcome = {row.measure: row.value for row in language_rows([answer], [asked])}
    assert outcome == {"right_language": 1.0, "wrong_language": 0.0, "undetermined_language": 0.0}
    assert {row.cluster for row in language_rows([answer], [asked])} == {"q1"}
    assert {row.measure: row.value for row in language_rows([answer])}["wrong_language"] == 1.0


def _verdict(number: int, order: str, spoken: dict[str, str | None] | None) -> Verdict:
    meta = {"question_id": f"q{number}", **({"answer_languages": spoken} if spoken else {})}
    return Verdict(
        prompt_id=f"q{number}", language="de", a="ours", b="base", judge="j", order=order, label="A=B", meta=meta
    )


def test_sides_of_judged_games_are_counted_once_a_prompt() -> None:
    spoken = [{"asked": "de", "a": "de", "b": ["en", None][number % 2]} for number in range(4)]
    verdicts = [_verdict(n, order, spoken[n]) for n in range(4) for order in ("ab", "ba")]
    rates = {(row.measure, row.group): row.interval for row in judged_language_rates(verdicts) if row.language == "de"}
    assert rates["right_language", "ours"].estimate == 1.0
    assert rates["wrong_language", "base"].estimate == rates["undetermined_language", "base"].estimate == 0.5
    assert rates["right_language", "ours"].n == 4
    with pytest.raises(DataError, match="None of the 1 verdicts says"):
        judged_language_rates([_verdict(1, "ab", None)])
