"""The rule judge does what it says: gold gap, tie band, strong verdicts, and each bias alone."""

import numpy as np
import pytest
from feedback_toy import answer, gold, prompt, prompts_in
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from paribus.feedback.games import Game, games
from paribus.feedback.judges import RuleJudge


def _label(judge: RuleJudge, a: str, b: str, order: str = "ab") -> str | None:
    asked = prompt(0)
    (row,) = judge.judge([Game(asked, answer(asked, "ours", a), answer(asked, "base", b), order)])
    return row.label


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("1", "0", "A>>B"),
        ("0.6", "0.3", "A>B"),
        ("0.5", "0.4", "A=B"),
        ("0.4", "0.5", "A=B"),
        ("0.3", "0.6", "B>A"),
        ("0", "1", "B>>A"),
    ],
)
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_labels_follow_the_gap(a: str, b: str, expected: str, order: str) -> None:
    assert _label(RuleJudge(gold, tie_band=0.15, strong=0.5), a, b, order) == expected


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_without_bias_and_noise_the_order_does_not_matter(a: float, b: float, band: float) -> None:
    judge = RuleJudge(gold, tie_band=band, strong=0.6)
    assert _label(judge, f"{a:.6f}", f"{b:.6f}", "ab") == _label(judge, f"{a:.6f}", f"{b:.6f}", "ba")


def test_position_bias_helps_whoever_is_shown_first() -> None:
    assert [_label(RuleJudge(gold, position_bias=0.3), "0.5", "0.6", order) for order in ("ab", "ba")] == ["A>B", "B>A"]
    assert [_label(RuleJudge(gold, position_bias=-0.3), "0.5", "0.6", order) for order in ("ab", "ba")] == [
        "B>A",
        "A>B",
    ]
    assert {_label(RuleJudge(gold, position_bias=0.05), "0.5", "0.6", order) for order in ("ab", "ba")} == {"B>A"}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_length_bias_is_the_log_ratio_of_lengths(order: str) -> None:
    short, long = "0.5", "0.5 " + "x" * 11  # 4 and 16 characters with the one added to each: a ratio of 4
    assert _label(RuleJudge(gold, length_bias=1.0), short, long, order) == "B>A"
    assert _label(RuleJudge(gold, length_bias=-1.0), short, long, order) == "A>B"
    better = "0.9"  # 0.4 better against length_bias * ln 4
    assert _label(RuleJudge(gold, length_bias=0.39 / np.log(4)), better, long, order) == "A>B"
    assert _label(RuleJudge(gold, length_bias=0.41 / np.log(4)), better, long, order) == "B>A"


def test_noise_is_standard_normal_and_fresh_in_every_game() -> None:
    asked = prompts_in(["en"], 2000)
    a = {p.id: answer(p, "ours", "0.50") for p in asked}
    b = {p.id: answer(p, "base", "0.30") for p in asked}
    labels = [row.label == "A>B" for row in RuleJudge(gold, noise=0.4).judge(games(asked, a, b))]
    wins = np.array(labels).reshape(-1, 2)
    # The shift of 0.2 at noise 0.4 wins with Phi(0.5); four standard errors over 4,000 games.
    assert wins.mean() == pytest.approx(ndtr(0.5), abs=4 * np.sqrt(0.2134 / 4000))
    assert abs(np.corrcoef(wins.T)[0, 1]) < 4 / np.sqrt(2000)
    again = [row.label == "A>B" for row in RuleJudge(gold, noise=0.4).judge(games(asked, a, b))]
    other = [row.label == "A>B" for row in RuleJudge(gold, noise=0.4, seed=1).judge(games(asked, a, b))]
    assert labels == again != other


def test_the_identity_tells_the_settings() -> None:
    judge = RuleJudge(gold, length_bias=0.5, position_bias=0.25, tie_band=0.1, noise=2.0)
    assert judge.identity == "rule judge (length 0.5, position 0.25, tie 0.1, noise 2)"
    assert RuleJudge(gold).identity != judge.identity
