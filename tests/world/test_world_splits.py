"""The world as a pure function: bytes, splits, leakage, caps, ids."""

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from paribus.errors import ConfigError, DataError
from paribus.languages import get
from paribus.world import ALL_TASKS, POCKET_LANGUAGES, SPLITS, World, WorldConfig, preset
from paribus.world.families import FAMILIES
from paribus.world.phrases import phrases

SMALL = WorldConfig(languages=("de", "en", "hi", "zh"), numbers=60, max_items_per_cell=None)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SMALL)


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_same_config_same_bytes_in_another_process(world: World, hash_seed: str) -> None:
    code = (
        "from paribus.world import World, WorldConfig\n"
        "print(World(WorldConfig(languages=('zh', 'hi', 'en', 'de'), numbers=60)).fingerprint())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    assert done.stdout.strip() == world.fingerprint()


def test_another_seed_is_another_world(world: World) -> None:
    assert World(SMALL.model_copy(update={"seed": 1})).fingerprint() != world.fingerprint()


def test_a_language_more_changes_no_old_item(world: World) -> None:
    more = World(WorldConfig(languages=("de", "en", "fr", "hi", "zh"), numbers=60))
    old = {item.id: (item.prompt, item.answer, item.split) for split in SPLITS for item in world.items(split)}
    new = {item.id: (item.prompt, item.answer, item.split) for split in SPLITS for item in more.items(split)}
    assert old.items() <= new.items()


def test_a_held_out_fact_is_held_out_in_every_language(world: World) -> None:
    trained = {(item.task, item.fact) for item in world.items("train")}
    for split in ("dev", "test"):
        held = {(item.task, item.fact) for item in world.items(split)}
        assert held and not held & trained


def test_tasks_that_reveal_one_another_are_held_out_together(world: World) -> None:
    for pair in (("nw", "wn"), ("cu", "ds")):
        first, second = ({item.fact for item in world.items("test", tasks=(task,))} for task in pair)
        known = set(world.facts(pair[0])) & set(world.facts(pair[1]))
        assert first & known == second & known != set()


def test_no_prompt_of_dev_or_test_is_in_train(world: World) -> None:
    trained = {item.prompt for item in world.items("train")}
    for split in ("dev", "test", "template"):
        assert not trained & {item.prompt for item in world.items(split)}


def test_dev_and_test_use_templates_that_were_trained(world: World) -> None:
    trained = {(item.task, item.language, item.template) for item in world.items("train")}
    for split in ("dev", "test"):
        assert {(item.task, item.language, item.template) for item in world.items(split)} <= trained


def test_template_split_pairs_a_trained_fact_with_an_unseen_template(world: World) -> None:
    items = world.items("template")
    pairs = {(item.task, item.language, item.template) for item in items}
    facts = {(item.task, item.fact) for item in items}
    assert not pairs & {(item.task, item.language, item.template) for item in world.items("train")}
    assert facts <= {(item.task, item.fact) for item in world.items("train")}
    assert len(pairs) == len(ALL_TASKS) * 4


def test_held_out_templates_differ_between_languages() -> None:
    world = World(preset("desk"))
    assert len({world.held_out_templates("nw", language) for language in world.languages}) == 3


def test_recall_is_one_trained_item_per_fact_and_language(world: World) -> None:
    recall = world.items("recall")
    trained = {item.id for item in world.items("train")}
    assert {item.id for item in recall} <= trained
    cells = [(item.task, item.fact, item.language) for item in recall]
    assert len(set(cells)) == len(cells) == len({(i.task, i.fact, i.language) for i in world.items("train")})


def test_shares_of_the_splits(world: World) -> None:
    facts = {part: sum(len(world.facts(task, part)) for task in ALL_TASKS) for part in ("train", "dev", "test")}
    total = sum(facts.values())
    assert total == sum(len(world.facts(task)) for task in ALL_TASKS)
    assert 0.10 < (facts["dev"] + facts["test"]) / total < 0.20
    assert min(facts["dev"], facts["test"]) > 0.04 * total
    assert not World(SMALL.model_copy(update={"held_out_facts": 0.0})).items("test")


def test_the_cap_keeps_the_same_facts_in_every_language() -> None:
    world = World(WorldConfig(languages=("de", "en", "hi"), tasks=("nw", "so"), max_items_per_cell=40))
    for task in ("nw", "so"):
        facts = [
            {item.fact for item in world.items("train", languages=(code,), tasks=(task,))} for code in world.languages
        ]
        assert facts[0] == facts[1] == facts[2]
        assert all(len(world.items("train", languages=(code,), tasks=(task,))) == 40 for code in world.languages)


def test_capping_takes_items_away_and_changes_none(world: World) -> None:
    capped = World(SMALL.model_copy(update={"max_items_per_cell": 10}))
    for split in SPLITS:
        assert {item.id: item for item in capped.items(split)}.items() <= {i.id: i for i in world.items(split)}.items()


def test_ids_are_unique_sorted_and_lead_back(world: World) -> None:
    for split in ("train", "dev", "test", "template"):
        items = world.items(split)
        ids = [item.id for item in items]
        assert ids == sorted(set(ids))
        assert all(world.item(item.id) == item for item in items[::97])


@pytest.mark.parametrize(
    "bad", ["nw/7/fr/0", "nw/61/de/0", "xx/7/de/0", "nw/7/de/9", "nw/7/de", "tr/country.JP>de/de/0"]
)
def test_ids_of_no_item_are_refused(world: World, bad: str) -> None:
    with pytest.raises(DataError, match="take an id from"):
        world.item(bad)


def test_a_held_out_fact_through_a_held_out_template_is_in_no_split(world: World) -> None:
    fact = world.facts("nw", "test")[0]
    with pytest.raises(DataError, match="no split"):
        world.item(f"nw/{fact}/de/{world.held_out_templates('nw', 'de')[0]}")


def test_filters_and_their_errors(world: World) -> None:
    some = world.items("dev", languages=("hi",), tasks=("nw", "ca"))
    assert {item.language for item in some} == {"hi"} and {item.task for item in some} == {"ca", "nw"}
    for bad in ({"split": "valid"}, {"split": "dev", "languages": ("fr",)}, {"split": "dev", "tasks": ("xx",)}):
        with pytest.raises(ConfigError, match="has no"):
            world.items(**bad)


@pytest.mark.parametrize(
    "fields",
    [{"languages": ()}, {"languages": ("de", "de")}, {"languages": ("sw",)}, {"languages": ("de",), "tasks": ("xx",)},
     {"languages": ("de",), "numbers": 5000}, {"languages": ("de",), "held_out_facts": 1.0}],
)  # fmt: skip
def test_configs_that_make_no_world_are_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        WorldConfig(**fields)


def test_groups_cut_facts_into_disjoint_parts_the_same_in_both_directions(world: World) -> None:
    groups = [world.group_of("nw", fact, 5) for fact in world.facts("nw")]
    assert set(groups) == set(range(5))
    assert groups == [world.group_of("wn", fact, 5) for fact in world.facts("nw")]


def test_records_carry_question_answer_and_meta(world: World) -> None:
    item = world.items("train", languages=("de",), tasks=("tr",))[0]
    prompt, example = item.to_prompt(), item.to_example()
    assert prompt.id == item.id and prompt.text == item.prompt and prompt.task == "tr"
    assert [message.role for message in example.messages] == ["user", "assistant"]
    assert example.messages[-1].content == item.answer
    assert prompt.meta["answer_language"] == item.answer_language == item.fact.split(">")[1]
    assert {"task", "fact", "template", "answer", "split", "language_decidable"} <= set(prompt.meta)


def test_language_decidable_means_no_other_language_says_it_so(world: World) -> None:
    assert not any(item.language_decidable for item in world.items("train", tasks=("wn",)))
    euro = [item for item in world.items("train", tasks=("cu",)) if item.answer == "Euro"]
    assert {item.language for item in euro} == {"de", "en"}
    assert not any(item.language_decidable for item in euro)
    assert all(item.language_decidable for item in world.items("train", tasks=("cu",), languages=("hi",)))


def test_one_prompt_has_one_answer() -> None:
    world = World(
        WorldConfig(languages=preset("desk").languages, tasks=("ad", "ca", "cu", "nw", "wn", "tr"), numbers=60)
    )
    answers: dict[str, str] = {}
    for item in (item for split in ("train", "dev", "template") for item in world.items(split)):
        assert answers.setdefault(item.prompt, item.answer) == item.answer, item.id


def test_presets() -> None:
    pocket = preset("pocket", seed=3)
    assert pocket.seed == 3 and pocket.languages == POCKET_LANGUAGES and {"en", "es", "fr"} <= set(pocket.languages)
    assert len({get(code).cluster for code in POCKET_LANGUAGES}) == 5
    assert {"Arab", "Deva", "Hans", "Cyrl", "Latn"} <= {get(code).script for code in POCKET_LANGUAGES}
    assert len(preset("desk").languages) == 23 and set(preset("desk").tasks) == set(FAMILIES)
    assert len(World(preset("smoke")).items("train")) < 1500
    with pytest.raises(ConfigError, match="smoke, pocket or desk"):
        preset("full")


def test_prompts_hold_the_template_filled(world: World) -> None:
    for item in world.items("train")[::61]:
        slots = FAMILIES[item.task].slots(item.fact, item.language)
        assert slots is not None
        assert item.prompt == phrases(item.language).templates[item.task][item.template].format(**slots)
        assert "{" not in item.prompt and all(value in item.prompt for value in slots.values())


def test_things_are_translated_into_every_language_and_held_out_by_target() -> None:
    world = World(preset("pocket"))
    parts = {split: {item.fact for item in world.items(split, tasks=("tr",))} for split in ("train", "dev", "test")}
    things = {split: {fact.split(">")[0] for fact in facts} for split, facts in parts.items()}
    assert len(things["train"]) == world.config.things == 40
    assert things["dev"] | things["test"] <= things["train"]
    assert len(parts["train"]) > 6 * 40


def test_a_cap_keeps_the_translations_of_a_thing_together() -> None:
    world = World(WorldConfig(languages=POCKET_LANGUAGES, tasks=("tr",), things=100, max_items_per_cell=100))
    facts = {item.fact for item in world.items("train", languages=("en",))}
    assert len({fact.split(">")[0] for fact in facts}) < len(facts) / 5
