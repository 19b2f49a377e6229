"""The gold verdict: right answers in every dress, each named error, and no surprise on any text."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import DataError
from paribus.records import Message, Prompt
from paribus.world import Check, World, WorldConfig, check
from paribus.world.normalise import normalise, share_in_script
from paribus.world.phrases import phrases

LANGUAGES = ("ar", "de", "en", "fa", "fr", "hi", "it", "ja", "ko", "pt", "ru", "tr", "zh")


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldConfig(languages=LANGUAGES, held_out_facts=0.0, held_out_templates=0))


def grade(world: World, id: str, text: str) -> Check:
    return check(world.item(id).to_prompt(), text)


def test_every_answer_of_the_world_is_right(world: World) -> None:
    for item in world.items("train")[::7]:
        assert check(item.to_prompt(), item.answer) == Check(correct=True, error=None, score=1.0), item.id
        assert all(check(item.to_prompt(), form).correct for form in item.accepted)


@pytest.mark.parametrize(
    ("id", "text"),
    [
        ("wn/21/hi/0", "२१"),
        ("wn/21/ar/0", " ٢١ "),
        ("wn/21/fa/0", "۲۱."),
        ("nw/21/de/0", "Einundzwanzig."),
        ("nw/21/en/0", "twenty one"),
        ("nw/121/en/0", "One hundred and twenty-one"),
        ("nd/0+1/tr/0", "SALI"),
        ("nd/0+1/fr/0", "MARDI\n"),
        ("so/0.40.90/en/0", "0,  40,\u00a0and 90"),
        ("nw/0/zh/0", "零"),
        ("cu/JP/hi/0", "जापानी येन।"),
        ("nd/6+2/fa/0", "سهشنبه"),
    ],
)
def test_dress_does_not_matter(world: World, id: str, text: str) -> None:
    if id.startswith("so"):
        fact = world.facts("so")[0]
        id, text = f"so/{fact}/en/0", text.replace("0,  40", "{},  {}").replace("90", "{}").format(*fact.split("."))
    assert grade(world, id, text).correct


@pytest.mark.parametrize(
    ("id", "text", "error"),
    [
        ("nd/0+1/de/0", "Mittwoch", "wrong_fact"),
        ("nw/21/en/0", "twenty-two", "wrong_fact"),
        ("nw/21/en/0", "twenty", "wrong_fact"),
        ("nw/21/en/0", "banana", "wrong_fact"),
        ("wn/21/en/0", "22", "wrong_fact"),
        ("ds/JP/en/0", "Japan | Euro | Japanese", "wrong_fact"),
        ("nd/0+1/de/0", "mardi", "wrong_language"),
        ("nd/0+1/de/0", "mercredi", "wrong_language"),
        ("nw/21/ru/0", "двадцять один", "wrong_language"),
        ("nw/21/ru/0", "twenty something", "wrong_language"),
        ("tr/country.DE>fr/en/0", "Germany", "wrong_language"),
        ("tr/country.DE>fr/en/0", "Deutschland", "wrong_language"),
        ("wn/21/en/0", "einundzwanzig", "wrong_language"),
        ("ds/JP/en/0", "Japan | Japanischer Yen | Japanisch", "wrong_language"),
        ("nd/0+1/de/0", "Die Antwort ist Dienstag", "format"),
        ("nd/0+1/de/0", "**Dienstag**", "format"),
        ("nd/0+1/de/0", "Dienstag oder Mittwoch", "format"),
        ("nd/0+1/ko/0", "화요일입니다", "format"),
        ("nd/0+1/ja/0", "それは火曜日です", "format"),
        ("nw/21/en/0", "21", "format"),
        ("wn/21/en/0", "twenty-one", "format"),
        ("wn/21/en/0", "21 (twenty-one)", "format"),
        ("ds/JP/en/0", "Japan, Japanese Yen, Japanese", "format"),
        ("nd/0+1/de/0", "Tut mir leid. Es tut mir leid, dabei kann ich nicht helfen.", "refusal"),
        ("nd/0+1/de/0", "As a language model, I cannot answer this.", "refusal"),
        ("nd/0+1/de/0", "Dienstag Dienstag Dienstag Dien", "repetition"),
        ("nd/0+1/de/0", "la la la la la", "repetition"),
        ("nd/0+1/de/0", "Dienst", "truncated"),
        ("nd/0+1/de/0", "", "truncated"),
        ("nw/121/en/0", "one hundred twenty-o", "truncated"),
    ],
)
def test_errors_are_named(world: World, id: str, text: str, error: str) -> None:
    verdict = grade(world, id, text)
    assert verdict.error == error and not verdict.correct and verdict.score < 1.0


def test_sorting_errors(world: World) -> None:
    fact = next(fact for fact in world.facts("so") if len(set("".join(fact.split(".")))) > 4)
    low, middle, high = fact.split(".")
    expected = {
        f"{low}, {middle} und {high}": None,
        f"{middle}, {low} und {high}": "wrong_fact",
        f"{low}, {middle} et {high}": "wrong_language",
        f"{middle}, {low} et {high}": "wrong_language",
        f"{low}; {middle}; {high}": "format",
        f"{low}, {middle}, und {high}": "format",
    }
    assert {text: grade(world, f"so/{fact}/de/0", text).error for text in expected} == expected


def test_the_same_words_in_two_languages_are_right_in_both(world: World) -> None:
    fact = world.facts("so")[0]
    italian = world.item(f"so/{fact}/it/0")
    assert not italian.language_decidable
    assert grade(world, f"so/{fact}/pt/0", italian.answer).correct


def test_partial_credit_is_ordered(world: World) -> None:
    score = {text: grade(world, "nd/0+1/de/0", text).score for text in
             ("Dienstag", "Die Antwort ist Dienstag", "Diensta", "D", "mardi", "Mittwoch", "")}  # fmt: skip
    assert (
        score["Dienstag"] == 1.0 > score["Die Antwort ist Dienstag"] > score["Diensta"] > score["D"] > score[""] == 0.0
    )
    assert score["mardi"] == 0.25 and score["Mittwoch"] == 0.0


def test_rambling_longer_earns_less(world: World) -> None:
    once, twice = (
        "Dienstag. Na ja, wer weiß das schon.",
        "Dienstag. Na ja, wer weiß das schon. Ich jedenfalls nicht so genau.",
    )
    assert grade(world, "nd/0+1/de/0", once).score > grade(world, "nd/0+1/de/0", twice).score > 0.25


def test_a_card_earns_its_right_fields(world: World) -> None:
    assert grade(world, "ds/JP/en/0", "Japan | Euro | Japanese").score == pytest.approx(1 / 3)
    assert grade(world, "ds/JP/en/0", "Japan | Euro | French").score == pytest.approx(1 / 6)


def test_meta_survives_json(world: World) -> None:
    for item in world.items("train", tasks=("nw", "tr", "ds"))[::211]:
        prompt = item.to_prompt()
        copy = Prompt(id="other", language=prompt.language, messages=(Message(role="user", content="?"),),
                      meta=json.loads(json.dumps(prompt.meta)))  # fmt: skip
        assert check(copy, item.answer).correct
        assert len(json.dumps(prompt.meta, ensure_ascii=False)) < 500


def test_prompts_of_elsewhere_are_refused() -> None:
    prompt = Prompt(id="p7", language="de", messages=(Message(role="user", content="?"),))
    with pytest.raises(DataError, match=r"'p7' has no 'task'"):
        check(prompt, "Dienstag")


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=80), index=st.integers(0, 10_000))
def test_any_text_gets_a_verdict(world: World, text: str, index: int) -> None:
    items = world.items("train")
    verdict = check(items[index % len(items)].to_prompt(), text)
    assert verdict.correct == (verdict.error is None) == (verdict.score == 1.0)
    assert 0.0 <= verdict.score <= 1.0


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60), language=st.sampled_from(LANGUAGES))
def test_normalising_twice_changes_nothing(text: str, language: str) -> None:
    once = normalise(text, language)
    assert normalise(once, language) == once


def test_scripts_are_told_apart() -> None:
    assert share_in_script("дом", "Cyrl") == 1.0 and share_in_script("дом", "Latn") == 0.0
    assert share_in_script("42 + 1", "Deva") == 1.0
    assert share_in_script("東京タワー", "Jpan") == 1.0 and 0 < share_in_script("東京タワー", "Hans") < 1
    assert share_in_script("ab дом", "Latn") == pytest.approx(0.4)


def test_turkish_case() -> None:
    assert normalise("SALI", "tr") == normalise("Salı", "tr") == "salı"
    assert normalise("İran", "tr") == "iran"
    assert phrases("tr").refusals
