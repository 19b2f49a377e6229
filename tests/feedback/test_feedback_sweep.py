"""Arbiters of planted accuracy: where reward routing stops beating fixed routing."""

import numpy as np
import pytest
from feedback_toy import answer, gold, prompt, prompts_in, skilled_pool

from paribus.errors import ConfigError, DataError
from paribus.feedback.arbiter_sweep import SweepRow, break_even, sweep_arbiter_accuracy
from paribus.feedback.routing import Experts, routing_report
from paribus.feedback.routing import route as choose
from paribus.statistics import Interval

SKILLS = {
    "a": {"en": 0.9, "hi": 0.3},
    "b": {"en": 0.5, "hi": 0.7},
    "c": {"en": 0.4, "hi": 0.5},
    "d": {"en": 0.5, "hi": 0.5},
}
EXPERTS = Experts({"en": "a", "hi": "b"})
ASKED = prompts_in(["en", "hi"], 300)


@pytest.fixture(scope="module")
def pool() -> dict:
    return skilled_pool(ASKED, SKILLS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def rows(pool: dict) -> list[SweepRow]:
    return sweep_arbiter_accuracy(ASKED, pool, EXPERTS, gold, accuracies=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0), repeats=4)


def _of(rows: list[SweepRow], language: str) -> list[SweepRow]:
    return [row for row in rows if row.language == language]


def test_measured_accuracy_is_the_planted_one(rows: list[SweepRow]) -> None:
    assert {row.language for row in rows} == {"all", "en", "hi"}
    for row in rows:
        assert row.measured == pytest.approx(row.accuracy, abs=0.03)
        assert row.prompts == (600 if row.language == "all" else 300)


def test_the_ends_are_known(rows: list[SweepRow], pool: dict) -> None:
    """At full accuracy the router is right wherever a teacher is; at chance it is the random router."""
    for language in ("en", "hi"):
        own = [p for p in ASKED if p.language == language]
        anyone = np.mean([max(gold(p, row.text) for row in pool[p.id].values()) for p in own])
        everyone = np.mean([np.mean([gold(p, row.text) for row in pool[p.id].values()]) for p in own])
        chance, *_, perfect = _of(rows, language)
        assert perfect.reward == anyone
        # Four standard errors of the mean over 300 prompts and 4 draws.
        assert chance.reward == pytest.approx(everyone, abs=4 * np.sqrt(0.25 / 1200))


def test_quality_rises_with_accuracy_and_fixed_routing_does_not_care(rows: list[SweepRow], pool: dict) -> None:
    fixed = choose("fixed", ASKED, pool, experts=EXPERTS)
    known = routing_report("fixed", ASKED, pool, fixed, gold).gold
    for language in ("all", "en", "hi"):
        own = _of(rows, language)
        assert [row.accuracy for row in own] == [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
        assert (np.diff([row.reward for row in own]) > 0).all()
        assert {row.fixed for row in own} == {known[language]}
        for row in own:
            assert row.difference.estimate == pytest.approx(row.reward - row.fixed)
            assert row.difference.n == 300  # questions, whatever the languages
    assert {row.as_dict()["accuracy"] for row in rows} == {0.5, 0.6, 0.7, 0.8, 0.9, 1.0}


def test_the_break_even_is_found_where_it_was_planted(rows: list[SweepRow]) -> None:
    """A strong expert (English, 0.9) is hard to beat; a weak one (Hindi, 0.7 of four) is not."""
    english, hindi = break_even(rows, "en"), break_even(rows, "hi")
    assert english == 1.0
    assert hindi in (0.7, 0.8)
    assert _of(rows, "all")[0].difference.high < 0


def test_break_even_by_hand() -> None:
    def row(accuracy: float, low: float) -> SweepRow:
        return SweepRow("all", accuracy, accuracy, 0.5, 0.5, Interval(0.0, low, low + 0.1, 0.95, 9, ("items",)), 9)

    assert break_even([row(0.6, 0.1), row(0.8, -0.1), row(0.9, 0.2), row(1.0, 0.3)]) == 0.9
    assert break_even([row(0.6, 0.1), row(1.0, 0.0)]) is None
    with pytest.raises(DataError, match="no rows of the language 'fr'"):
        break_even([row(0.6, 0.1)], "fr")


def test_scores_in_the_pool_are_not_read(rows: list[SweepRow], pool: dict) -> None:
    bare = {k: {t: row.model_copy(update={"score": None}) for t, row in v.items()} for k, v in pool.items()}
    again = sweep_arbiter_accuracy(ASKED, bare, EXPERTS, gold, accuracies=(0.7,), repeats=4)
    assert again == [row for row in rows if row.accuracy == 0.7]


def test_nothing_is_found_where_teachers_do_not_differ() -> None:
    """All answers equally good: no accuracy can help, and there is no pair to measure the arbiter on."""
    asked = prompts_in(["en"], 40)
    pool = {p.id: {t: answer(p, t, f"1 {t}") for t in "ab"} for p in asked}
    found = sweep_arbiter_accuracy(asked, pool, Experts({"en": "a"}), gold)
    assert {(row.difference.estimate, row.measured) for row in found} == {(0.0, None)}
    assert break_even(found) is None


def test_what_a_sweep_needs() -> None:
    asked = [prompt(0)]
    pool = {asked[0].id: {"a": answer(asked[0], "a", "1")}}
    with pytest.raises(ConfigError, match="repeats=0"):
        sweep_arbiter_accuracy(asked, pool, EXPERTS, gold, repeats=0)
    with pytest.raises(ConfigError, match=r"accuracy of 0\.3"):
        sweep_arbiter_accuracy(asked, pool, EXPERTS, gold, accuracies=(0.3,))
    with pytest.raises(DataError, match="needs prompts"):
        sweep_arbiter_accuracy([], pool, EXPERTS, gold)
    with pytest.raises(ConfigError, match="'hi'"):
        hindi = prompt(0, "hi")
        sweep_arbiter_accuracy([hindi], {hindi.id: {"a": answer(hindi, "a", "1")}}, Experts({"en": "a"}), gold)
