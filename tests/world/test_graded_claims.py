"""Claims: true of the answer they are about, sayable in every language, and read back as they were said."""

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError
from paribus.world.graded import (
    Claim,
    GradedConfig,
    GradedWorld,
    Plan,
    claims_about,
    draw_plan,
    grade,
    languages,
    read,
    say,
    say_all,
    write_answer,
)
from paribus.world.graded.wording import wording

CLAIMS = [
    Claim(aspect, target, holds)
    for aspect, targets in (
        ("correctness", ("1", "2", "3")),
        ("instruction", ("format", "topic", "answer")),
        ("style", ("repetition", "length")),
    )
    for target in targets
    for holds in (True, False)
]


@pytest.fixture(scope="module")
def world() -> GradedWorld:
    return GradedWorld(GradedConfig(languages=languages(), per_cell=10))


@pytest.mark.parametrize("language", languages())
def test_every_way_to_say_a_claim_is_read_back(language: str) -> None:
    rng = random.Random(language)
    for claim in CLAIMS:
        ways = {say(claim, language, rng) for _ in range(60)}
        assert len(ways) >= 3
        assert all(read(way, language) == (claim,) for way in ways)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(languages()), st.lists(st.sampled_from(CLAIMS), max_size=10), st.integers(0, 99), st.booleans())
def test_any_list_of_claims_is_read_back_in_order(language: str, claims: list[Claim], seed: int, split: bool) -> None:
    rng = random.Random(seed)
    text = "\n".join(say(claim, language, rng) for claim in claims) if split else say_all(claims, language, rng)
    assert read(text, language) == tuple(claims)


def test_other_sentences_are_passed_over(world: GradedWorld) -> None:
    rng = random.Random(0)
    for request in world.requests("train"):
        answer = write_answer(world, request, draw_plan(rng), rng)
        assert read(request.text + "\n" + answer.text, request.language) == ()
        said = say(CLAIMS[0], request.language, rng)
        assert read(f"{answer.text}\n{said} {answer.text}", request.language) == (CLAIMS[0],)


def test_a_claim_is_read_in_its_own_language_only() -> None:
    rng = random.Random(1)
    for language, other in product(languages(), languages()):
        if language != other:
            assert read(say_all(CLAIMS, language, rng), other) == ()


def test_claims_are_true(world: GradedWorld) -> None:
    """Each claim is checked against the checker's reading of the text, which has never seen the plan."""
    rng = random.Random(2)
    for request in world.requests("train") + world.requests("test"):
        answer = write_answer(world, request, draw_plan(rng), rng)
        found = grade(request, answer.text)
        truth = {str(number): right for number, right in enumerate(found.parts_right, start=1)}
        truth |= {"format": not found.errors & {"formatting", "refusal"}}
        truth |= {"topic": not found.errors & {"relevance", "refusal"}}
        truth |= {"answer": "refusal" not in found.errors, "repetition": "repetition" not in found.errors}
        truth |= {"length": found.wordiness == 0}
        claims = claims_about(request, answer)
        assert all(claim.holds == truth[claim.target] for claim in claims)
        assert [claim.target for claim in claims] == list(truth)


def test_claims_about_a_text_are_those_about_the_answer(world: GradedWorld) -> None:
    rng = random.Random(3)
    for request in world.requests("dev"):
        answer = write_answer(world, request, draw_plan(rng), rng)
        assert claims_about(request.to_prompt(), answer.text) == claims_about(request, answer)


def test_claims_never_speak_of_assertiveness_or_complexity(world: GradedWorld) -> None:
    request = world.requests("train")[0]
    plans = [Plan(frozenset({"relevance"}), a, c, 1) for a in range(-2, 3) for c in range(-1, 2)]
    answers = [write_answer(world, request, plan, random.Random(4)) for plan in plans]
    assert len({claims_about(request, answer) for answer in answers}) == 1


def test_flipping_twice_changes_nothing() -> None:
    assert all(claim.flipped() != claim and claim.flipped().flipped() == claim for claim in CLAIMS)


def test_both_ways_of_a_claim_are_worded_differently() -> None:
    for language in languages():
        for said in wording(language).claims.values():
            assert not set(said.yes) & set(said.no)


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(ConfigError, match="about 'grammar'"):
        say(Claim("style", "grammar", True), "en", random.Random(0))
    with pytest.raises(ConfigError, match="not written in 'sw'"):
        say(CLAIMS[0], "sw", random.Random(0))
    with pytest.raises(ConfigError, match=r"random\.Random or a numpy Generator, got int"):
        say(CLAIMS[0], "en", 3)
