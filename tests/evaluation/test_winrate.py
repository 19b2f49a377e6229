"""Win rates: hand counts, planted truth, definitions kept apart, row against question intervals."""

import numpy as np
import pytest
from simulated_games import game, simulate, turned

from paribus.errors import ConfigError, DataError
from paribus.evaluation.winrate import WinRateTable, outcome_rows, win_rate, win_rate_table

# Three prompts, two games each: win + win (one strong), win + tie, win + loss.
THREE = [
    game("A>>B", "ab", "p1"),
    game("A>B", "ba", "p1"),
    game("A>B", "ab", "p2"),
    game("A=B", "ba", "p2"),
    game("A>B", "ab", "p3"),
    game("B>A", "ba", "p3"),
]


@pytest.mark.parametrize(
    ("definition", "combine", "expected", "counts"),
    [
        ("ties_apart", "majority", 2 / 3, (2, 1, 0)),
        ("ties_apart", "agreement", 1 / 3, (1, 2, 0)),
        ("half_ties", "majority", 2.5 / 3, (2, 1, 0)),
        ("half_ties", "agreement", 2 / 3, (1, 2, 0)),
        # Games: 1 (three times), 1, 1, 0.5, 1, 0 over 8 rows.
        ("strong_x3", "majority", 6.5 / 8, (4, 1, 1)),
    ],
)
def test_definitions_by_hand(definition: str, combine: str, expected: float, counts: tuple[int, int, int]) -> None:
    result = win_rate(THREE, "ours", definition, combine=combine)
    assert result.rate.estimate == pytest.approx(expected)
    assert (result.wins, result.ties, result.losses) == counts
    assert (result.protocol, result.shown_first, result.rate.n) == ("double", 0.5, 3)


def test_never_winning_three_questions_is_not_certainty() -> None:
    rows = [game("B>A", order, f"q{number}") for number in range(3) for order in ("ab", "ba")]
    lost, won = win_rate(rows, "ours").rate, win_rate(rows, "base").rate
    assert (lost.estimate, won.estimate) == (0.0, 1.0)
    assert lost.low == 0.0 and 0.3 < lost.high < 0.8 and won.low == pytest.approx(1 - lost.high)


@pytest.mark.parametrize("definition", ["half_ties", "strong_x3"])
def test_both_sides_add_up_to_one(definition: str) -> None:
    verdicts = simulate(np.random.default_rng(0), {"en": (0.5, 0.2, 0.3)}, captured=0.2, strong=0.3)
    ours, theirs = win_rate(verdicts, "ours", definition), win_rate(verdicts, "base", definition)
    assert ours.rate.estimate + theirs.rate.estimate == pytest.approx(1.0)
    assert (ours.wins, ours.ties, ours.losses) == (theirs.losses, theirs.ties, theirs.wins)


@pytest.mark.parametrize("definition", ["ties_apart", "half_ties", "strong_x3"])
def test_it_does_not_matter_which_side_a_model_is_recorded_on(definition: str) -> None:
    verdicts = simulate(np.random.default_rng(1), {"en": (0.5, 0.2, 0.3)}, captured=0.2, strong=0.3)
    mixed = [turned(v) if i % 3 == 0 else v for i, v in enumerate(verdicts)]
    assert win_rate(mixed, "ours", definition) == win_rate(verdicts, "ours", definition)


def test_planted_shares_are_recovered_per_language() -> None:
    shares = {"en": (0.7, 0.1, 0.2), "hi": (0.3, 0.2, 0.5), "tr": (0.5, 0.0, 0.5)}
    verdicts = simulate(np.random.default_rng(2), shares, questions=600, sticky=0.5)
    for definition, truth in (("ties_apart", lambda s: s[0]), ("half_ties", lambda s: s[0] + s[1] / 2)):
        table = win_rate_table(verdicts, ["ours"], definition, resamples=500)
        assert [row.language for row in table.rows] == ["all", "en", "hi", "tr"]
        for language, planted in shares.items():
            assert table.of("ours", language).rate.estimate == pytest.approx(truth(planted), abs=0.06)
        assert table.of("ours").rate.estimate == pytest.approx(np.mean([truth(s) for s in shares.values()]), abs=0.05)


def test_double_games_cancel_position_bias_and_single_games_only_blur_it() -> None:
    shares = {"en": (0.6, 0.0, 0.4)}
    double = simulate(np.random.default_rng(3), shares, questions=1_500, captured=0.4)
    # Half ties: a captured game wins half of the time over both orders: 0.6 * 0.6 + 0.4 / 2.
    result = win_rate(double, "ours", "strong_x3", resamples=200)
    assert result.rate.estimate == pytest.approx(0.56, abs=0.035)
    always_first = [v for v in double if v.order == "ab"]
    biased = win_rate(always_first, "ours", "half_ties", resamples=200)
    assert biased.rate.estimate == pytest.approx(0.4 + 0.6 * 0.6, abs=0.035)
    assert (biased.protocol, biased.shown_first) == ("single", 1.0)


def test_question_intervals_cover_the_truth_and_row_intervals_do_not() -> None:
    shares = dict.fromkeys(("ar", "de", "en", "hi", "ja", "tr"), (0.5, 0.1, 0.4))
    rng = np.random.default_rng(4)
    covered = {"question": 0, "row": 0}
    trials = 120
    for _ in range(trials):
        verdicts = simulate(rng, shares, questions=40, sticky=0.9, strong=0.4)
        for resample in covered:
            rate = win_rate(verdicts, "ours", "strong_x3", resample=resample, resamples=300, rng=rng).rate
            covered[resample] += rate.contains(0.55)
    assert covered["question"] / trials == pytest.approx(0.95, abs=0.06)
    assert covered["row"] / trials < 0.70


def test_row_intervals_treat_a_strong_verdict_as_three_rows() -> None:
    """The multinomial shortcut equals drawing the expanded rows one by one."""
    verdicts = simulate(np.random.default_rng(5), {"en": (0.4, 0.2, 0.4)}, questions=50, strong=0.5)
    rows = []
    for v in verdicts:
        score = {"A": 1.0, "B": 0.0}[v.label[0]] if v.label != "A=B" else 0.5
        rows += [score] * (3 if ">>" in v.label else 1)
    rng = np.random.default_rng(0)
    loop = [rng.choice(rows, len(rows)).mean() for _ in range(4_000)]
    rate = win_rate(verdicts, "ours", "strong_x3", resample="row", resamples=20_000).rate
    assert rate.n == len(rows)
    assert (rate.low, rate.high) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])), abs=0.008)


def test_a_table_carries_one_definition() -> None:
    a, b = win_rate(THREE, "ours", "ties_apart"), win_rate(THREE, "ours", "half_ties")
    with pytest.raises(ConfigError, match="one definition"):
        WinRateTable((a, b))
    with pytest.raises(ConfigError, match="one definition"):
        win_rate_table(THREE, ["ours"], ("ties_apart", "half_ties"))
    with pytest.raises(ConfigError, match="one combine"):
        WinRateTable((a, win_rate(THREE, "ours", "ties_apart", combine="agreement")))
    with pytest.raises(ConfigError, match="'elo'"):
        win_rate(THREE, "ours", "elo")


def test_unparsed_games_are_counted_and_never_vanish() -> None:
    verdicts = [*THREE, game(None, "ab", "p4"), game("A>B", "ba", "p4"), game(None, "ab", "p5"), game(None, "ba", "p5")]
    by_prompt = win_rate(verdicts, "ours", "half_ties")
    assert (by_prompt.unparsed, by_prompt.dropped, by_prompt.wins + by_prompt.ties + by_prompt.losses) == (3, 1, 3)
    by_game = win_rate(verdicts, "ours", "half_ties", unparsed="drop-game")
    assert (by_game.unparsed, by_game.dropped, by_game.wins) == (3, 0, 3)
    with pytest.raises(DataError, match="3 of 10 games have no label"):
        win_rate(verdicts, "ours", unparsed="fail")
    with pytest.raises(DataError, match="2 replies"):
        win_rate(verdicts[-2:], "ours")


def test_protocols_must_be_what_was_played() -> None:
    with pytest.raises(DataError, match="'double', not 'single'"):
        win_rate(THREE, "ours", protocol="single")
    with pytest.raises(DataError, match=r"'p2' \(en\) has 1 game"):
        win_rate(THREE[:3], "ours")
    with pytest.raises(DataError, match="in 1 order"):
        win_rate([*THREE[:2], game("A>B", "ab", "p2"), game("A>B", "ab", "p2")], "ours")


def test_opponents_and_judges_must_be_plain() -> None:
    other = [v.model_copy(update={"b": "third"}) for v in THREE]
    with pytest.raises(ConfigError, match="2 opponents"):
        win_rate([*THREE, *other], "ours")
    assert win_rate([*THREE, *other], "ours", baseline="third").baseline == "third"
    with pytest.raises(ConfigError, match="never met 'fourth'"):
        win_rate(THREE, "ours", baseline="fourth")
    with pytest.raises(DataError, match="judged by j, k"):
        win_rate([*THREE, *(v.model_copy(update={"judge": "k"}) for v in THREE)], "ours")
    with pytest.raises(DataError, match="'theirs'"):
        win_rate(THREE, "theirs")
    with pytest.raises(DataError, match="no row for 'ours' in 'fr'"):
        win_rate_table(THREE, ["ours"]).of("ours", "fr")


@pytest.mark.parametrize("definition", ["ties_apart", "half_ties"])
def test_item_rows_average_to_the_win_rate(definition: str) -> None:
    verdicts = simulate(
        np.random.default_rng(6), {"en": (0.5, 0.2, 0.3), "ja": (0.2, 0.2, 0.6)}, questions=30, captured=0.3
    )
    rows = outcome_rows(verdicts, "ours", definition)
    assert np.mean([row.value for row in rows]) == pytest.approx(win_rate(verdicts, "ours", definition).rate.estimate)
    assert len({row.item for row in rows}) == len(rows) == 60
    assert len({row.cluster for row in rows}) == 30
    assert {row.measure for row in rows} == {f"win_rate:{definition}:base"}
    with pytest.raises(ConfigError, match="no value per prompt"):
        outcome_rows(verdicts, "ours", "strong_x3")


def test_clusters_can_be_named_in_the_verdicts() -> None:
    verdicts = [
        game("A>B", prompt=f"{q}-{code}", language=code).model_copy(update={"meta": {"question_id": q}})
        for q in ("q1", "q2", "q3")
        for code in ("en", "de")
    ]
    assert win_rate(verdicts, "ours").rate.n == 3
    assert win_rate(verdicts, "ours", question=lambda v: v.prompt_id).rate.n == 6
