"""Position bias: hand counts and a planted share of games decided by place."""

import numpy as np
import pytest
from simulated_games import game, simulate, turned

from paribus.evaluation.position import position_report


def test_by_hand() -> None:
    verdicts = [
        game("A>B", "ab", "p1"),  # first wins
        game("A>B", "ba", "p1"),  # second wins; consistent win
        game("A>B", "ab", "p2"),  # first wins
        game("B>>A", "ba", "p2"),  # first wins; reversal
        game("A=B", "ab", "p3"),
        game("B>A", "ba", "p3"),  # first wins; flip without reversal
        game("B>A", "ab", "p4"),  # second wins
        game("B>A", "ba", "p4"),  # first wins; consistent loss
        game("A=B", "ab", "p5"),
        game("A=B", "ba", "p5"),  # consistent tie
    ]
    report = position_report(verdicts, "ours")
    assert report.first_wins.estimate == pytest.approx(5 / 7)
    assert report.first_win_gap.estimate == pytest.approx((5 - 2) / 10)
    assert report.flip_rate.estimate == pytest.approx(2 / 5)
    assert report.reversal_rate.estimate == pytest.approx(1 / 5)
    assert report.consistent_wins.estimate == pytest.approx(1 / 2)
    assert (report.consistent_prompts, report.prompts) == (2, 5)


@pytest.mark.parametrize("captured", [0.0, 0.3])
def test_planted_bias_is_recovered(captured: float) -> None:
    win, tie, loss = 0.5, 0.2, 0.3
    verdicts = simulate(np.random.default_rng(1), {"en": (win, tie, loss)}, questions=2_500, captured=captured)
    report = position_report(verdicts, "ours", resamples=500)
    decided = captured + (1 - captured) * (1 - tie)
    assert report.first_wins.contains((captured + (1 - captured) * (1 - tie) / 2) / decided)
    assert report.first_win_gap.contains(captured)
    # Both games of a prompt agree when neither is captured, or when those captured happen to say what is true.
    free = 1 - captured
    same = tie * free**2 + (1 - tie) * free * (free + captured)
    assert report.flip_rate.estimate == pytest.approx(1 - same, abs=0.03)
    reversal = captured**2 + (1 - tie) * free * captured
    assert report.reversal_rate.estimate == pytest.approx(reversal, abs=0.03)
    # Capture favours nobody in swapped games: what stays consistent is the true ratio.
    assert report.consistent_wins.estimate == pytest.approx(win / (win + loss), abs=0.04)


def test_an_unbiased_judge_is_not_accused() -> None:
    rng = np.random.default_rng(2)
    accused = 0
    for _ in range(200):
        verdicts = simulate(rng, {"en": (0.4, 0.1, 0.5)}, questions=60, double=False)
        accused += not position_report(verdicts, "ours", resamples=300, rng=rng).first_win_gap.contains(0.0)
    assert accused / 200 == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 200))


def test_either_side_gives_the_same_bias() -> None:
    verdicts = simulate(np.random.default_rng(3), {"en": (0.5, 0.1, 0.4)}, questions=80, captured=0.3)
    ours = position_report(verdicts, "ours")
    for same_games in (verdicts, [turned(v) for v in verdicts]):
        theirs = position_report(same_games, "base")
        assert (ours.first_wins, ours.flip_rate) == (theirs.first_wins, theirs.flip_rate)
        assert ours.reversal_rate == theirs.reversal_rate
        assert ours.consistent_wins.estimate == pytest.approx(1 - theirs.consistent_wins.estimate)


def test_single_games_have_no_pairs_to_compare() -> None:
    report = position_report(simulate(np.random.default_rng(4), {"en": (0.5, 0.1, 0.4)}, double=False), "ours")
    assert (report.flip_rate, report.reversal_rate, report.consistent_wins) == (None, None, None)


def test_ties_alone_have_no_first_winner_and_unparsed_games_are_counted() -> None:
    verdicts = [game("A=B", "ab", "p1"), game("A=B", "ba", "p1"), game(None, "ab", "p2"), game("A>B", "ba", "p2")]
    report = position_report(verdicts, "ours")
    assert report.first_wins is None
    assert report.consistent_wins is None
    assert (report.flip_rate.estimate, report.unparsed, report.dropped, report.prompts) == (0.0, 1, 1, 1)


def test_one_lost_game_leaves_the_other_out_of_the_pairs() -> None:
    verdicts = [game("A>B", "ab", "p1"), game("B>A", "ba", "p1"), game(None, "ab", "p2"), game("A>B", "ba", "p2")]
    report = position_report(verdicts, "ours", unparsed="drop-game")
    assert (report.flip_rate.estimate, report.prompts) == (1.0, 2)


def test_a_judge_that_always_takes_the_first_is_not_thought_certain() -> None:
    verdicts = [game("A>B" if order == "ab" else "B>A", order, f"p{n}") for n in range(7) for order in ("ab", "ba")]
    report = position_report(verdicts, "ours")
    for share in (report.first_wins, report.flip_rate, report.reversal_rate):
        assert share.estimate == share.high == 1.0 and share.low == pytest.approx(1 / (1 + 1.96**2 / 7), abs=1e-3)
    assert report.first_win_gap.estimate == 1.0
