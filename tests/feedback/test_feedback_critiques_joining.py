"""Which critique belongs to which answer: by name, by words, never by chance."""

import pytest
from critiques_toy import VOICE, asked, claims, pair, said, two_each

from paribus.errors import DataError
from paribus.evaluation.reward_models import completion_id
from paribus.feedback.critiques import (
    CritiquedPair,
    CritiqueIndex,
    EngineCritic,
    RuleCritic,
    answers_of,
    critique_pairs,
    join,
    side_ids,
)
from paribus.inference.scripted import ScriptedEngine
from paribus.records import Critique

ECHO = EngineCritic(ScriptedEngine(lambda request: request.messages[-1].content))


def test_sides_are_named_by_meta_or_by_their_words() -> None:
    assert side_ids(pair(0, "1", "0", chosen_id="x", rejected_id=7)) == ("x", "7")
    bare = pair(0, "1", "0")
    assert side_ids(bare) == (completion_id(bare.prompt_id, "1"), completion_id(bare.prompt_id, "0"))


def test_every_pair_gets_its_own_critiques() -> None:
    pairs = two_each(5)
    found = join(pairs, reversed(critique_pairs(ECHO, pairs)))
    assert (found.missing, found.missing_by_language, found.critic) == (0, {}, "scripted")
    for row in found.rows:
        for side, text in zip(row.critiques, (row.pair.chosen, row.pair.rejected), strict=True):
            assert f"\n{text}\n" in side.text
        assert all(row.pair.prompt[0].content in side.text for side in row.critiques)


def test_critiques_of_other_names_are_found_by_words() -> None:
    rows = [pair(0, "1 1", "0 1")]
    prompt = asked(0)
    written = RuleCritic(claims, VOICE).critique([prompt] * 2, [said(prompt, "0 1", "x"), said(prompt, "1 1", "y")])
    (row,) = join(rows, written).rows
    assert [side.completion_id for side in row.critiques] == [f"{prompt.id}#y", f"{prompt.id}#x"]


def test_a_critique_of_other_words_under_the_same_name_is_refused() -> None:
    prompt = asked(0)
    written = ECHO.critique([prompt], [said(prompt, "1 1", "a")])
    changed = pair(0, "1 1 changed", "0", chosen_id=f"{prompt.id}#a", rejected_id="b")
    with pytest.raises(DataError, match="was written about another text than '1 1 changed'"):
        join([changed], written)


def test_foreign_critiques_join_by_name_alone() -> None:
    row = pair(0, "1", "0", chosen_id="a", rejected_id="b")
    foreign = [Critique(prompt_id=row.prompt_id, completion_id=name, critic="me", text=name) for name in "ab"]
    assert [side.text for side in join([row], foreign).rows[0].critiques] == ["a", "b"]


def test_missing_ones_are_refused_or_counted() -> None:
    pairs = two_each(4)
    written = [row for row in critique_pairs(ECHO, pairs) if row.prompt_id not in ("q1/de", "q2/de", "q3/en")]
    with pytest.raises(DataError, match=r"3 of 8 pairs have no critique .* the first is 'p1/de'"):
        join(pairs, written)
    found = join(pairs, written, on_missing="skip")
    assert (found.missing, found.missing_by_language) == (3, {"de": 2, "en": 1})
    assert [row.pair.id for row in found.rows] == ["p0/en", "p0/de", "p1/en", "p2/en", "p3/de"]
    with pytest.raises(DataError, match="8 of 8 pairs"):
        join(pairs, [], on_missing="skip")


def test_failed_critiques_are_missing() -> None:
    row = pair(0, "1", "0")
    broken = critique_pairs(ECHO, [row])
    broken[0] = broken[0].model_copy(update={"text": "", "meta": {**broken[0].meta, "error": "HTTP 503"}})
    index = CritiqueIndex(broken)
    assert (index.failed, len(index)) == (1, 1)
    with pytest.raises(DataError, match="1 critiques are of failed requests"):
        join([row], index)


def test_two_critics_or_two_critiques_of_one_answer_are_refused() -> None:
    row = pair(0, "1", "0")
    written = critique_pairs(ECHO, [row])
    with pytest.raises(DataError, match="2 critics"):
        CritiqueIndex([*written, written[0].model_copy(update={"critic": "other"})])
    assert len(CritiqueIndex([*written, *written])) == 2
    with pytest.raises(DataError, match="two different critiques of the answer"):
        CritiqueIndex([*written, written[0].model_copy(update={"text": "no"})])


def test_answers_come_once_and_prompts_may_be_given_whole() -> None:
    pairs = [pair(0, "1", "0"), pair(0, "1", "2")]
    prompts, completions = answers_of(pairs, {"q0/en": asked(0, rule="r", label="a")})
    assert sorted(row.text for row in completions) == ["0", "1", "2"]
    assert {str(prompt.meta) for prompt in prompts} == {"{'rule': 'r'}"}


def test_a_pair_without_critiques_says_so() -> None:
    with pytest.raises(DataError, match="'p0/en' has no critiques"):
        _ = CritiquedPair(pair(0, "1", "0")).critiques
