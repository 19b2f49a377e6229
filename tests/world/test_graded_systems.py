"""Simulated systems: their rates and style come out, and preambles shift what they say they shift."""

import math
import random

import pytest

from paribus.errors import ConfigError
from paribus.world.graded import PREAMBLES, GradedAnswer, GradedConfig, GradedWorld, System, grade, system_answers

DRAWS = 1500
SYSTEM = System("sim", {"factuality": 0.3, "formatting": 0.1, "refusal": 0.05}, assertiveness=0.2)


@pytest.fixture(scope="module")
def world() -> GradedWorld:
    return GradedWorld(GradedConfig(languages=("en",), per_cell=30))


@pytest.fixture(scope="module")
def answers(world: GradedWorld) -> dict[str, list[GradedAnswer]]:
    rng = random.Random(0)
    requests = world.requests("train")
    return {
        preamble: [
            answer
            for request in requests
            for answer in system_answers(world, request, SYSTEM, preamble, rng, count=DRAWS // len(requests))
        ]
        for preamble in PREAMBLES
    }


def near(share: float, wanted: float, draws: int) -> bool:
    return abs(share - wanted) <= 4 * math.sqrt(wanted * (1 - wanted) / draws)


def mean(answers: list[GradedAnswer], knob: str) -> float:
    return sum(getattr(answer.plan, knob) for answer in answers) / len(answers)


def test_errors_come_at_their_rates_under_every_preamble(answers: dict[str, list[GradedAnswer]]) -> None:
    for preamble, given in answers.items():
        refused = [answer for answer in given if "refusal" in answer.plan.errors]
        assert near(len(refused) / DRAWS, 0.05 + PREAMBLES[preamble].refusal, DRAWS)
        rest = [answer.plan.errors for answer in given if "refusal" not in answer.plan.errors]
        for error, rate in (("factuality", 0.3), ("formatting", 0.1)):
            assert near(sum(error in errors for errors in rest) / len(rest), rate, len(rest)), preamble
        assert not any("relevance" in errors for errors in rest)


def test_preambles_shift_style_in_their_order(answers: dict[str, list[GradedAnswer]]) -> None:
    low, normal, high = (mean(answers[name], "assertiveness") for name in ("assertive_low", "normal", "assertive_high"))
    assert low < normal - 1 and normal + 0.7 < high
    low, normal, high = (mean(answers[name], "complexity") for name in ("complex_low", "normal", "complex_high"))
    assert low < normal - 0.5 and normal + 0.5 < high


def test_only_the_unsure_preamble_raises_refusals() -> None:
    assert [name for name, shift in PREAMBLES.items() if shift.refusal] == ["assertive_low"]
    assert list(PREAMBLES) == ["normal", "assertive_high", "assertive_low", "complex_high", "complex_low"]


def test_the_checker_agrees(world: GradedWorld, answers: dict[str, list[GradedAnswer]]) -> None:
    requests = {request.id: request for request in world.requests("train")}
    for given in answers.values():
        for answer in given[::10]:
            assert grade(requests[answer.request_id], answer.text).errors == answer.plan.errors


def test_an_error_free_system_is_always_right(world: GradedWorld) -> None:
    perfect = System("perfect")
    for request in world.requests("test"):
        (answer,) = system_answers(world, request, perfect, "normal", random.Random(1))
        assert all(answer.parts_right) and not answer.plan.errors


def test_unknown_names_and_rates_off_range_are_refused(world: GradedWorld) -> None:
    with pytest.raises(ConfigError, match="unknown error 'scope'"):
        System("s", {"scope": 0.1})
    with pytest.raises(ConfigError, match="the rate of 'refusal' is 2"):
        System("s", {"refusal": 2})
    with pytest.raises(ConfigError, match="Unknown preamble 'shy'"):
        system_answers(world, world.requests("test")[0], SYSTEM, "shy", random.Random(2))
