"""Answers with planted errors: what is planted is found again, in every language, and style never changes it."""

import random
from itertools import combinations, product

import numpy as np
import pytest

from paribus.errors import ConfigError
from paribus.languages import get
from paribus.world.families import FAMILIES
from paribus.world.graded import (
    ASPECTS,
    ERRORS,
    SPLITS,
    GradedConfig,
    GradedWorld,
    Plan,
    better,
    grade,
    languages,
    quality,
    write_answer,
)
from paribus.world.graded.parts import TASKS, quote
from paribus.world.graded.plans import planned_quality, quality_of
from paribus.world.graded.reading import read_answer
from paribus.world.graded.wording import wording
from paribus.world.normalise import share_in_script

_COMBINED = [error for error in ERRORS if error != "refusal"]
ALL_SETS = [frozenset(some) for size in range(7) for some in combinations(_COMBINED, size)] + [frozenset({"refusal"})]
STYLES = list(product(range(-2, 3), range(-1, 2), range(3)))


@pytest.fixture(scope="module", params=[2, 3])
def world(request: pytest.FixtureRequest) -> GradedWorld:
    config = GradedConfig(languages=languages(), parts=request.param, tasks=TASKS, per_cell=4, seed=request.param)
    return GradedWorld(config)


def test_there_are_65_combinations() -> None:
    assert len(set(ALL_SETS)) == 2**6 + 1


@pytest.mark.parametrize("language", languages())
def test_every_combination_is_found_again_whatever_the_style(world: GradedWorld, language: str) -> None:
    rng = random.Random(language)
    requests = [r for split in SPLITS for r in world.requests(split) if r.language == language]
    for number, (request, errors) in enumerate(product(requests, ALL_SETS)):
        plan = Plan(errors, *STYLES[number % len(STYLES)])
        answer = write_answer(world, request, plan, rng)
        found = grade(request, answer.text)
        assert (found.errors, found.parts_right) == (errors, answer.parts_right), (request.id, answer.text)
        assert found.score == quality(answer) == planned_quality(plan, len(request.parts))
        assert (found.assertiveness, found.complexity, found.wordiness) == (
            plan.assertiveness,
            plan.complexity,
            plan.wordiness,
        )


def test_a_prompt_is_graded_as_its_request(world: GradedWorld) -> None:
    rng = random.Random(1)
    for request in world.requests("dev"):
        answer = write_answer(world, request, Plan(rng.choice(ALL_SETS)), rng)
        assert grade(request.to_prompt(), answer.text) == grade(request, answer.text)


def test_style_moves_neither_errors_nor_parts_nor_the_order(world: GradedWorld) -> None:
    request = world.requests("test")[0]
    rng = random.Random(2)
    for errors in ALL_SETS:
        seen = set()
        for assertiveness, complexity in product(range(-2, 3), range(-1, 2)):
            answer = write_answer(world, request, Plan(errors, assertiveness, complexity), rng)
            found = grade(request, answer.text)
            seen.add((found.errors, sum(found.parts_right), found.score))
        assert len(seen) == 1


def test_each_style_step_adds_a_sentence_of_its_kind(world: GradedWorld) -> None:
    for request in world.requests("dev"):
        words = wording(request.language)
        for assertive, filler in product(range(-2, 3), range(3)):
            text = write_answer(world, request, Plan(frozenset(), assertive, 0, filler), random.Random(3)).text
            assert sum(sentence in text for sentence in words.hedges) == max(0, -assertive)
            assert sum(sentence in text for sentence in words.boosters) == max(0, assertive)
            assert sum(sentence in text for sentence in (*words.greetings, *words.closings)) == filler


@pytest.mark.parametrize("language", ["ar", "el", "hi", "ja", "ko", "ru", "zh"])
def test_answers_stay_in_the_language_s_script(world: GradedWorld, language: str) -> None:
    rng = random.Random(language)
    for request in (r for r in world.requests("train") if r.language == language):
        for errors in ALL_SETS:
            text = write_answer(world, request, Plan(errors), rng).text
            assert share_in_script(text, get(language).script) > 0.9


def test_errors_strike_different_parts_while_there_are_enough(world: GradedWorld) -> None:
    rng = random.Random(4)
    for request in world.requests("train"):
        for size in range(4):
            errors = frozenset(ASPECTS["correctness"][:size])
            answer = write_answer(world, request, Plan(errors), rng)
            assert answer.parts_right.count(False) == min(size, len(request.parts))


@pytest.mark.parametrize("errors", [{"inconsistent"}, {"inconsistent", "factuality", "contradiction"}])
def test_who_answers_about_another_item_never_says_the_right_value(errors: set[str]) -> None:
    """Categories are few: many other words share the right one."""
    world = GradedWorld(GradedConfig(languages=("en",), tasks=("ca", "nw"), per_cell=30))
    rng = random.Random(10)
    for request in world.requests("train") * 5:
        reading = read_answer(request, write_answer(world, request, Plan(frozenset(errors)), rng).text)
        for entry in reading.entries:
            part = request.parts[entry.place]
            values = [entry.value, *(value for place, value in reading.retractions if place == entry.place)]
            assert entry.fact == part.fact or not any(map(part.accepts, values))


def test_any_part_can_be_struck(world: GradedWorld) -> None:
    request, rng = world.requests("train")[0], random.Random(5)
    plan = Plan(frozenset({"factuality"}))
    struck = [write_answer(world, request, plan, rng).parts_right.index(False) for _ in range(60)]
    assert set(struck) == set(range(len(request.parts)))


def test_training_answers_never_tell_a_held_out_fact(world: GradedWorld) -> None:
    """Items wrongly quoted, wrong values and asides come from training facts."""
    rng = random.Random(6)
    held = {
        f"{quote(task, fact, 'en')}{mark}{FAMILIES[task].answer(fact, 'en')}"
        for task in TASKS
        for split in ("dev", "test")
        for fact in world.facts(task, split)
        for mark in (": ", " – ")
    }
    requests = [request for request in world.requests("train") if request.language == "en"]
    for errors, request in product(ALL_SETS, requests * 3):
        for line in write_answer(world, request, Plan(errors), rng).text.split("\n"):
            told = [entry.split(". ")[-1] for entry in line.split(" / ")]
            told.append(line.removesuffix(".").removeprefix("Did you know? "))
            assert not held.intersection(told)


@pytest.mark.parametrize("make", [random.Random, np.random.default_rng])
def test_the_same_generator_state_gives_the_same_text(world: GradedWorld, make: type) -> None:
    request, plan = world.requests("train")[0], Plan(frozenset({"inconsistent", "relevance"}), 1, 1, 1)
    first, second = make(7), make(7)
    texts = [[write_answer(world, request, plan, rng).text for _ in range(5)] for rng in (first, second)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


def test_a_completion_carries_the_planted_truth(world: GradedWorld) -> None:
    request = world.requests("train")[0]
    answer = write_answer(world, request, Plan(frozenset({"refusal"}), -1, 1, 2), random.Random(8))
    record = answer.to_completion("c1", model="sim")
    assert (record.id, record.prompt_id, record.language, record.text) == (
        "c1",
        request.id,
        request.language,
        answer.text,
    )
    assert record.meta["errors"] == ["refusal"]
    assert record.meta["quality"] == quality(answer)


# --- plans and quality ------------------------------------------------------------------------------------------------


def test_aspects_hold_every_error_once() -> None:
    listed = [name for names in ASPECTS.values() for name in names]
    assert sorted(listed) == sorted([*ERRORS, "wordiness"])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"errors": frozenset({"scope"})}, "no 'scope'"),
        ({"errors": frozenset({"refusal", "repetition"})}, "A refusal excludes"),
        ({"assertiveness": 3}, "assertiveness is 3"),
        ({"complexity": -2}, "complexity is -2"),
        ({"wordiness": -1}, "wordiness is -1"),
    ],
)
def test_plans_that_cannot_be_written_are_refused(settings: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Plan(**settings)


@pytest.mark.parametrize("parts", [2, 3])
def test_quality_is_lexicographic(parts: int) -> None:
    """Compared as tuples (correctness, instruction, style), all plans stand in the order of their quality."""

    def ranks(plan: Plan) -> tuple[int, int, int]:
        refused = "refusal" in plan.errors
        right = 0 if refused else parts - min(parts, len(plan.errors & set(ASPECTS["correctness"])))
        kept = 0 if refused else 3 - len(plan.errors & {"relevance", "formatting"})
        return right, kept, -3 * ("repetition" in plan.errors) - plan.wordiness

    plans = [Plan(errors, 0, 0, filler) for errors in ALL_SETS for filler in range(3)]
    by_quality: dict[float, set[tuple[int, int, int]]] = {}
    for plan in plans:
        by_quality.setdefault(planned_quality(plan, parts), set()).add(ranks(plan))
    assert all(len(ranked) == 1 for ranked in by_quality.values())
    in_order = [ranked.pop() for _, ranked in sorted(by_quality.items())]
    assert in_order == sorted(in_order)
    assert max(by_quality) == 1.0 and min(by_quality) >= 0.0


def test_better_is_strict(world: GradedWorld) -> None:
    request, rng = world.requests("dev")[0], random.Random(9)
    right = write_answer(world, request, Plan(), rng)
    wrong = write_answer(world, request, Plan(frozenset({"factuality"})), rng)
    assert better(right, wrong) and not better(wrong, right) and not better(right, right)
    assert quality_of((), (True, True), 0) == 1.0
