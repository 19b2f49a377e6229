"""Requests: a pure function of the config, parallel over languages, with held-out facts, and prompts that come back."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from paribus.errors import ConfigError, DataError
from paribus.records import Message, Prompt
from paribus.world.graded import RULES, SPLITS, GradedConfig, GradedWorld, Request
from paribus.world.graded.parts import TASKS
from paribus.world.graded.wording import wording
from paribus.world.phrases import phrases


@pytest.fixture(scope="module")
def world() -> GradedWorld:
    return GradedWorld(GradedConfig(languages=("en", "hi", "tr", "zh"), parts=3, per_cell=80))


def facts(world: GradedWorld, split: str) -> set[tuple[str, str]]:
    return {(part.task, part.fact) for request in world.requests(split) for part in request.parts}


_SCRIPT = """
import random, sys
from paribus.world.graded import *
world = GradedWorld(GradedConfig(languages=("de", "hi"), per_cell=20, seed=3))
rng = random.Random(5)
for request in world.requests("train"):
    print(repr(request.text), *(repr(answer.text) for answer in draw_pair(world, request, rng, cue="long")))
assert not {"torch", "transformers", "datasets", "numpy"} & set(sys.modules), "heavy import"
"""


def test_bytes_depend_on_the_config_alone_and_nothing_heavy_is_imported() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0].splitlines()) == 40


def test_another_seed_asks_other_requests(world: GradedWorld) -> None:
    other = GradedWorld(world.config.model_copy(update={"seed": 1}))
    assert {r.text for r in world.requests("train")} != {r.text for r in other.requests("train")}


def test_a_larger_cell_begins_with_the_smaller(world: GradedWorld) -> None:
    larger = GradedWorld(world.config.model_copy(update={"per_cell": 100}))
    small = world.requests("test")
    assert larger.requests("test")[: len(small)] == small


def test_languages_ask_the_same_facts_under_the_same_rule(world: GradedWorld) -> None:
    for split in SPLITS:
        requests = world.requests(split)
        assert len(requests) == 80 * 4 == len({request.id for request in requests})
        for start in range(0, len(requests), 4):
            group = requests[start : start + 4]
            assert [request.language for request in group] == ["en", "hi", "tr", "zh"]
            assert len({request.cluster for request in group}) == 1
            assert len({(request.rule, *((p.task, p.fact) for p in request.parts)) for request in group}) == 1


def test_requests_of_a_split_differ_and_parts_are_of_different_tasks(world: GradedWorld) -> None:
    english = [request for request in world.requests("train") if request.language == "en"]
    assert len({frozenset((p.task, p.fact) for p in request.parts) for request in english}) == 80
    assert all(len({part.task for part in request.parts}) == 3 for request in english)
    assert {request.rule for request in english} == set(RULES)


def test_the_same_facts_in_another_order_are_no_other_request() -> None:
    world = GradedWorld(GradedConfig(languages=("en",), tasks=("cu", "nw"), per_cell=60))
    asked = [frozenset((part.task, part.fact) for part in request.parts) for request in world.requests("test")]
    assert len(set(asked)) == 60


def test_held_out_facts_stay_held_out(world: GradedWorld) -> None:
    train, dev, test = (facts(world, split) for split in SPLITS)
    assert not train & dev and not train & test and not dev & test
    for task in TASKS:
        parts = [set(world.facts(task, split)) for split in SPLITS]
        assert all(parts) and sum(map(len, parts)) == len(set().union(*parts))


def test_the_text_holds_every_question_in_order_and_the_rule(world: GradedWorld) -> None:
    for request in world.requests("dev"):
        places = [request.text.index(part.question) for part in request.parts]
        assert places == sorted(places)
        rules = wording(request.language).rules[request.rule]
        asked = request.text.replace(
            "\n".join(f"({n}) {p.question}" for n, p in enumerate(request.parts, 1)), "{questions}"
        )
        assert asked in rules


def test_templates_held_out_by_the_world_are_never_used(world: GradedWorld) -> None:
    used: dict[tuple[str, str], set[int]] = {}
    for split in SPLITS:
        for request in world.requests(split):
            for part in request.parts:
                used.setdefault((part.task, part.language), set()).add(part.template)
    counts = {len(numbers) for numbers in used.values()}
    assert counts == {len(phrases("en").templates["nw"]) - 1}


def test_prompts_come_back_through_json(world: GradedWorld) -> None:
    for request in world.requests("test")[:40]:
        text = request.to_prompt().model_dump_json()
        assert Request.from_prompt(Prompt.model_validate(json.loads(text))) == request


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"parts": [["nw", "5", 0]], "rule": "list"},
        {"parts": [], "rule": "list", "question_id": "c"},
        {"parts": [["nw", "5"]], "rule": "list", "question_id": "c"},
        {"parts": [["so", "1.2.3", 0]], "rule": "list", "question_id": "c"},
        {"parts": [["nw", "five", 0]], "rule": "list", "question_id": "c"},
        {"parts": [["ad", "9+3", 0]], "rule": "list", "question_id": "c"},
        {"parts": [["ad", "900+300", 0]], "rule": "list", "question_id": "c"},
        {"parts": [["nw", "5", 0]], "rule": "table", "question_id": "c"},
        {"parts": 3, "rule": "list", "question_id": "c"},
    ],
)
def test_prompts_that_are_no_graded_request_are_refused(meta: dict) -> None:
    prompt = Prompt(id="p", language="en", messages=(Message(role="user", content="Hello"),), meta=meta)
    with pytest.raises(DataError, match="'p' is no graded request"):
        Request.from_prompt(prompt)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"languages": ("en", "sw")}, "no language 'sw'"),
        ({"languages": ("en", "en")}, "distinct languages"),
        ({"languages": ("en",), "tasks": ("nw", "so")}, "no task 'so'"),
        ({"languages": ("en",), "tasks": ("nw", "wn"), "parts": 3}, "3 parts need 3 tasks"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(settings: dict, match: str) -> None:
    with pytest.raises((ConfigError, ValidationError), match=match):
        GradedConfig(**settings)


def test_too_many_requests_and_unknown_splits_are_refused() -> None:
    world = GradedWorld(GradedConfig(languages=("en",), tasks=("nw", "cu"), per_cell=5000, held_out_facts=0.1))
    with pytest.raises(ConfigError, match=r"make only \d+ different requests, not per_cell=5000"):
        world.requests("test")
    with pytest.raises(ConfigError, match="no split 'recall'"):
        world.requests("recall")
