"""Controls keep what they should keep and destroy what they should destroy; edits change one claim."""

from collections import Counter

import pytest
from critiques_toy import VOICE, asked, claims, pair, said, two_each
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import DataError
from paribus.feedback.critiques import (
    GRADED_VOICE,
    CritiquedPair,
    RuleCritic,
    Stated,
    claims_of,
    controlled,
    critique_pairs,
    edit_claim,
    edits,
    filler,
    graded_critic,
    join,
    oracle,
    shuffled,
    swapped,
)

CRITIC = RuleCritic(claims, VOICE, 0.8)


def joined(count: int = 12, critic: RuleCritic = CRITIC) -> list[CritiquedPair]:
    pairs = two_each(count)
    return list(join(pairs, critique_pairs(critic, pairs)).rows)


def texts(rows: list[CritiquedPair]) -> list[tuple[str, str]]:
    return [(row.critiques[0].text, row.critiques[1].text) for row in rows]


@given(st.integers(0, 50))
def test_shuffled_critiques_are_all_from_other_prompts_of_the_language(seed: int) -> None:
    rows = joined()
    after = shuffled(rows, seed=seed)
    assert [row.pair for row in after] == [row.pair for row in rows]
    for code in ("en", "de"):
        own = [place for place, row in enumerate(rows) if row.pair.language == code]
        before = {frozenset(texts(rows)[place]): place for place in own}
        donors = [before[frozenset(texts(after)[place])] for place in own]
        assert sorted(donors) == own and all(donor != place for donor, place in zip(donors, own, strict=True))


def test_shuffling_draws_the_side_and_follows_the_seed() -> None:
    rows = joined(150, RuleCritic(claims, VOICE))
    after = shuffled(rows)
    first = {chosen for chosen, _ in texts(rows)}
    share = sum(chosen in first for chosen, _ in texts(after)) / len(rows)
    assert share == pytest.approx(0.5, abs=0.1)
    assert texts(after) == texts(shuffled(rows)) != texts(shuffled(rows, seed=1))


def test_shuffling_needs_a_second_prompt() -> None:
    row = pair(0, "1", "0", "fr")
    rows = [*joined(3), *join([row], critique_pairs(CRITIC, [row])).rows]
    with pytest.raises(DataError, match="All pairs in 'fr' are on the prompt 'q0/fr'"):
        shuffled(rows)


def test_filler_is_as_long_and_the_same_whatever_was_said() -> None:
    rows = joined()
    after = texts(filler(rows))
    pieces = list(zip([t for pair_ in texts(rows) for t in pair_], [t for pair_ in after for t in pair_], strict=True))
    longest = max((new for _, new in pieces), key=len)
    for old, new in pieces:
        assert 0 <= len(new) - len(old) < 12 and longest.startswith(new)
    counted = texts(filler(rows, length=lambda text: len(text.split())))
    assert all(
        len(b.split()) == len(a.split())
        for old, new in zip(texts(rows), counted, strict=True)
        for a, b in zip(old, new, strict=True)
    )


def test_swapped_twice_is_what_it_was_and_oracles_state_the_label() -> None:
    rows = joined()
    assert texts(swapped(rows)) == [(b, a) for a, b in texts(rows)]
    assert texts(swapped(swapped(rows))) == texts(rows)
    assert Counter(texts(oracle(rows))) == {("This answer is the better one.", "This answer is the worse one."): 24}


@pytest.mark.parametrize("control", ["shuffled", "filler", "swapped", "oracle"])
def test_controls_name_themselves_and_keep_no_claim(control: str) -> None:
    rows = joined(4)
    for row, after in zip(rows, controlled(rows, control), strict=True):
        assert {side.critic for side in after.critiques} == {f"{control} of {CRITIC.identity}"}
        assert all(not claims_of(side) and side.meta["template"] == f"{control}/1" for side in after.critiques)
        assert [s.completion_id for s in after.critiques] == [s.completion_id for s in row.critiques]
    with pytest.raises(DataError, match="has no critiques"):
        controlled([CritiquedPair(pair(0, "1", "0")), *rows], "swapped")


def one(text: str = "1 0 1 0", accuracy: float = 0.7):
    prompt = asked(0)
    return RuleCritic(claims, VOICE, accuracy).critique([prompt], [said(prompt, text)])[0]


@given(st.lists(st.sampled_from("01"), min_size=1, max_size=6), st.integers(0, 9))
def test_an_edit_turns_one_claim_and_nothing_else(words: list[str], seed: int) -> None:
    critique = one(" ".join(words))
    before = critique.text.split("; ")
    found = edits(critique, VOICE, seed=seed)
    assert len(found) == len(words) + 1
    for place, edit in enumerate(found):
        after = edit.critique.text.split("; ")
        assert [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [place]
        told = claims_of(edit.critique)
        assert told[place] == edit.claim and told[place] != claims_of(critique)[place]
        assert edit.direction == (1 if edit.claim.holds else -1)
        rows = [row for side in edit.critique.aspects.values() for row in side]
        assert all(edit.critique.text[row["at"] :].startswith(row["said"]) for row in rows)
        undone = edit_claim(edit.critique, claims_of(critique)[place], VOICE)
        assert claims_of(undone) == claims_of(critique)


def test_edits_leave_the_critic_s_own_critique_alone() -> None:
    critique = one()
    copy = critique.model_dump_json()
    edits(critique, VOICE)
    assert critique.model_dump_json() == copy
    assert edit_claim(critique, claims_of(critique)[0], VOICE) == critique


def test_edits_that_cannot_be_made_are_refused() -> None:
    critique = one()
    with pytest.raises(DataError, match=r"says nothing about correctness '9'"):
        edit_claim(critique, Stated("correctness", "9", True), VOICE)
    turned = Stated("correctness", "1", not claims_of(critique)[0].holds)
    with pytest.raises(DataError, match="its text was changed"):
        edit_claim(critique.model_copy(update={"text": "x" + critique.text}), turned, VOICE)
    assert edits(critique.model_copy(update={"aspects": {"style": "free text"}}), VOICE) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_graded_edits_are_read_back(language: str) -> None:
    import random

    from paribus.world.graded import GradedConfig, GradedWorld, draw_plan, read, write_answer

    world, dice = GradedWorld(GradedConfig(languages=(language,), per_cell=5)), random.Random(0)
    for request in world.requests("train"):
        answer = write_answer(world, request, draw_plan(dice), dice).to_completion("a")
        (critique,) = graded_critic(0.8).critique([request.to_prompt()], [answer])
        for edit in edits(critique, GRADED_VOICE):
            said_ = {(claim.target, claim.holds) for claim in read(edit.critique.text, language)}
            was = {(claim.target, claim.holds) for claim in read(critique.text, language)}
            assert said_ - was == {(edit.claim.target, edit.claim.holds)}
            assert was - said_ == {(edit.claim.target, not edit.claim.holds)}
