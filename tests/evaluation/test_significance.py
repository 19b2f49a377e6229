"""Letters of a ranking: two models share one exactly where the data do not tell them apart."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_games import game

from paribus.errors import ConfigError, DataError
from paribus.evaluation.bradley_terry import bradley_terry
from paribus.evaluation.significance import draw_groups, letter_groups, rating_groups
from paribus.records import Verdict

NAMES = ("v", "w", "x", "y", "z", "q")


def test_a_textbook_display() -> None:
    # v differs from y and z, w from z: v w x | w x y | x y z.
    assert letter_groups(("v", "w", "x", "y", "z"), [("v", "y"), ("v", "z"), ("w", "z")]) == (
        ("v", "w", "x"),
        ("w", "x", "y"),
        ("x", "y", "z"),
    )
    assert letter_groups(("v", "w"), []) == (("v", "w"),)
    assert letter_groups(("v", "w"), [("v", "w")]) == (("v",), ("w",))


@given(st.sets(st.sampled_from(list(combinations(NAMES, 2)))))
def test_names_share_a_group_exactly_where_they_are_not_separated(separated: set[tuple[str, str]]) -> None:
    groups = letter_groups(NAMES, sorted(separated))
    for pair in combinations(NAMES, 2):
        assert any(set(pair) <= set(group) for group in groups) == (pair not in separated)
    for first, second in combinations(groups, 2):
        assert not set(first) <= set(second) and not set(second) <= set(first)
    assert set().union(*groups) == set(NAMES)


def _tournament(rng: np.random.Generator, truth: dict[str, float], questions: int) -> list[Verdict]:
    verdicts = []
    for number in range(questions):
        for first, second in combinations(truth, 2):
            won = rng.random() < 1 / (1 + 10 ** ((truth[second] - truth[first]) / 400))
            verdicts.append(game("A>B" if won else "B>A", "ab", f"q{number}", a=first, b=second))
    return verdicts


def test_planted_differences_are_found_in_order() -> None:
    truth = {"strong": 1300.0, "twin": 1295.0, "base": 1000.0, "weak": 700.0}
    verdicts = _tournament(np.random.default_rng(0), truth, 150)
    groups = rating_groups(bradley_terry(verdicts, "base", resamples=400))
    assert groups.groups[1:] == (("base",), ("weak",)) and set(groups.groups[0]) == {"strong", "twin"}
    assert groups.letters == {"strong": "a", "twin": "a", "base": "b", "weak": "c"}
    assert groups.separated("weak", "strong") and not groups.separated("twin", "strong")
    assert groups.separability == pytest.approx(5 / 6)
    assert groups.n == 150


def test_equal_models_are_separated_no_more_often_than_promised() -> None:
    rng, false, trials = np.random.default_rng(1), 0, 120
    for _ in range(trials):
        verdicts = _tournament(rng, dict.fromkeys(("a", "b", "c", "d"), 1000.0), 30)
        groups = rating_groups(bradley_terry(verdicts, "a", resamples=150, rng=rng), alpha=0.1)
        false += groups.groups != (groups.models,) and len(groups.groups) > 1
    # At a rate of 0.1 twelve are expected in 120, and twenty or more come up once in a hundred times.
    assert false <= 20


def test_shared_questions_cancel() -> None:
    """Two models that differ a little on every question are told apart although their intervals overlap widely."""
    rng = np.random.default_rng(2)
    common = rng.normal(0.5, 0.2, size=(400, 1))
    draws = common + np.array([0.0, -0.05]) + rng.normal(0, 0.005, size=(400, 2))
    groups = draw_groups({"ahead": 0.5, "behind": 0.45}, draws, n=100)
    assert groups.groups == (("ahead",), ("behind",))


def test_a_few_wins_are_no_certainty() -> None:
    for questions, separated in ((4, False), (20, True)):
        verdicts = [game("A>B", order, f"q{i}", a="best") for i in range(questions) for order in ("ab", "ba")]
        groups = rating_groups(bradley_terry(verdicts, "base", resamples=50))
        assert groups.separated("best", "base") == separated


def test_holm_counts_all_pairs_of_the_table() -> None:
    draws = np.random.default_rng(3).normal(0, 1, size=(4_000, 3))
    two = draw_groups({"a": 2.9, "b": 0.0}, draws[:, :2], n=1_000)
    three = draw_groups({"a": 2.9, "b": 0.0, "c": 0.01}, draws, n=1_000)
    # One of two: p about 0.04; of three pairs, the same p is multiplied by three.
    assert two.p_values["a", "b"] == pytest.approx(0.04, abs=0.005)
    assert three.p_values["a", "b"] == pytest.approx(3 * two.p_values["a", "b"], abs=0.01)
    assert two.separated("a", "b") and not three.separated("a", "b")


def test_more_groups_than_letters_are_numbered() -> None:
    scores = {f"m{i}": float(-i) for i in range(60)}
    draws = np.array(list(scores.values())) + np.random.default_rng(4).normal(0, 1e-3, size=(50, 60))
    letters = draw_groups(scores, draws, n=500).letters
    assert (letters["m0"], letters["m59"]) == ("1", "60")


def test_what_cannot_be_grouped_is_refused() -> None:
    draws = np.zeros((10, 2))
    with pytest.raises(DataError, match=r"draws has shape \(10, 2\) and there are 1 models"):
        draw_groups({"a": 1.0}, draws, n=5)
    with pytest.raises(ConfigError, match=r"alpha is 1\.0"):
        draw_groups({"a": 1.0, "b": 0.0}, draws, n=5, alpha=1.0)
    with pytest.raises(DataError, match="share no resample"):
        draw_groups({"a": 1.0, "b": 0.0}, draws * np.array([1.0, np.nan]), n=5)
    with pytest.raises(DataError, match="no pair of 'a' and 'c'"):
        draw_groups({"a": 1.0, "b": 0.0}, draws, n=5).separated("a", "c")
