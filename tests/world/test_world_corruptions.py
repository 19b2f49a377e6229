"""Planted bad answers: every kind, in every language and task, carries exactly the error it is named after."""

import random

import numpy as np
import pytest

from paribus.errors import ConfigError, DataError
from paribus.languages import AYA_23, get
from paribus.world import ALL_TASKS, CORRUPTIONS, Item, World, WorldConfig, check, cldr, corrupt
from paribus.world.normalise import normalise, share_in_script
from paribus.world.phrases import phrases
from paribus.world.translationese import translationese


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldConfig(languages=AYA_23, max_items_per_cell=60))


def cell(world: World, language: str, task: str) -> list[Item]:
    return world.items("train", languages=(language,), tasks=(task,))


@pytest.mark.parametrize("language", AYA_23)
def test_the_checker_files_every_corruption_under_its_name(world: World, language: str) -> None:
    rng = random.Random(language)
    for task in ALL_TASKS:
        for item in rng.sample(cell(world, language, task), 6):
            prompt = item.to_prompt()
            for kind in CORRUPTIONS:
                verdict = check(prompt, corrupt(world, item, kind, rng))
                assert verdict.error == ("format" if kind == "translationese" else kind), (item.id, kind)
                assert verdict.score <= 0.5


@pytest.mark.parametrize("language", AYA_23)
def test_corruptions_look_like_what_they_are(world: World, language: str) -> None:
    rng = random.Random(0)
    for task in ALL_TASKS:
        item = rng.choice(cell(world, language, task))
        assert item.answer in corrupt(world, item, "format", rng)
        assert corrupt(world, item, "refusal", rng) in phrases(language).refusals
        assert corrupt(world, item, "repetition", rng).count(item.answer) >= 3
        assert item.answer.startswith(corrupt(world, item, "truncated", rng))


def test_wrong_facts_stay_in_the_language(world: World) -> None:
    rng = random.Random(1)
    for language in ("ar", "el", "hi", "ja", "ko", "ru", "zh"):
        for task in ("nw", "ad", "nd", "ca", "cu"):
            text = corrupt(world, rng.choice(cell(world, language, task)), "wrong_fact", rng)
            assert share_in_script(text, get(language).script) > 0.5


def test_wrong_language_says_the_right_fact(world: World) -> None:
    item = world.item("nd/0+1/de/0") if world.part_of("nd", "0+1") == "train" else cell(world, "de", "nd")[0]
    rng = random.Random(2)
    said = {corrupt(world, item, "wrong_language", rng) for _ in range(60)}
    day = sum(map(int, item.fact.split("+"))) % 7
    names = {cldr.name(f"weekday.{day}", code) for code in AYA_23 if code != "de"}
    assert said <= names and len(said) > 5


@pytest.mark.parametrize("make", [lambda: random.Random(5), lambda: np.random.default_rng(5)])
def test_the_same_random_state_gives_the_same_text(world: World, make) -> None:
    items = world.items("train")[::1500]
    first, second = make(), make()
    one = [corrupt(world, item, kind, first) for item in items for kind in CORRUPTIONS]
    two = [corrupt(world, item, kind, second) for item in items for kind in CORRUPTIONS]
    assert one == two


def test_unknown_kinds_and_impossible_ones_are_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="wrong_fact, wrong_language"):
        corrupt(world, world.items("train")[0], "rude", random.Random(0))
    alone = World(WorldConfig(languages=("de",), tasks=("nw",), numbers=30))
    with pytest.raises(DataError, match="has no 'wrong_language'"):
        corrupt(alone, alone.items("train")[0], "wrong_language", random.Random(0))


def test_answers_no_other_language_differs_from_have_no_wrong_language() -> None:
    pair = World(WorldConfig(languages=("it", "pt"), tasks=("so",)))
    item = pair.items("train")[0]
    assert not item.language_decidable
    with pytest.raises(DataError, match="wrong_language"):
        corrupt(pair, item, "wrong_language", random.Random(0))


@pytest.mark.parametrize(
    ("task", "fact", "language", "answer", "expected"),
    [
        ("nw", "21", "de", "einundzwanzig", "zwanzig-eins"),
        ("nw", "135", "de", "einhundertfünfunddreißig", "eins einhundert dreißig-fünf"),
        ("nw", "12", "de", "zwölf", "Die Antwort ist zwölf"),
        ("nw", "0", "de", "null", "Die Antwort ist null"),
        ("so", "3.17.80", "de", "3, 17 und 80", "3, 17, und 80"),
        ("so", "3.17.80", "zh", "3、17和80", "3, 17, 和 80"),
        ("so", "3.17.80", "hi", "3, 17, और 80", "उत्तर है 3, 17, और 80"),
        ("cu", "JP", "fr", "yen japonais", "japonais yen"),
        ("cu", "JP", "de", "Japanischer Yen", "Die Antwort ist Japanischer Yen"),
        ("ds", "JP", "de", "Japan | Japanischer Yen | Japanisch", "Japan, Japanischer Yen, Japanisch"),
        ("nd", "0+1", "en", "Tuesday", "The answer is Tuesday"),
    ],
)
def test_translationese_has_english_shape(task: str, fact: str, language: str, answer: str, expected: str) -> None:
    assert translationese(task, fact, language, answer) == expected


def test_translationese_is_never_right(world: World) -> None:
    for item in world.items("train")[::41]:
        text = translationese(item.task, item.fact, item.answer_language, item.answer)
        assert normalise(text, item.answer_language) != normalise(item.answer, item.answer_language)
        assert not check(item.to_prompt(), text).correct
