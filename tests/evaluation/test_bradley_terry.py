"""Bradley-Terry ratings: scikit-learn as oracle, the single-baseline identity, planted ratings."""

import numpy as np
import pytest
from scipy.optimize import minimize
from simulated_games import game, simulate, turned
from sklearn.linear_model import LogisticRegression

from paribus.errors import ConfigError, DataError
from paribus.evaluation.bradley_terry import (
    POINTS_PER_NAT,
    PairTotals,
    bradley_terry,
    fit_ratings,
    pair_totals,
    win_chance,
)
from paribus.evaluation.winrate import win_rate
from paribus.records import Verdict
from paribus.statistics import cluster_weights

TRUTH = {"base": 1000.0, "a": 1150.0, "b": 900.0, "c": 1060.0}


def _tournament(rng: np.random.Generator, questions: int = 150, strong: float = 0.3) -> list[Verdict]:
    """Round robin with planted ratings."""
    verdicts = []
    names = list(TRUTH)
    for question in range(questions):
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                for order in ("ab", "ba"):
                    won = rng.random() < win_chance(TRUTH[first] - TRUTH[second])
                    label = "A>B" if won else "B>A"
                    if rng.random() < strong:
                        label = label.replace(">", ">>")
                    verdicts.append(game(label, order, f"q{question}", a=first, b=second))
    return verdicts


def _scikit_chances(verdicts: list[Verdict], models: list[str], baseline: str, *, strong: float) -> dict[str, float]:
    """The published way: doubled battles, a tie as one win and one loss, no intercept, no penalty."""
    rows, labels, weights = [], [], []
    for v in verdicts:
        row = np.zeros(len(models))
        row[models.index(v.a)], row[models.index(v.b)] = np.log(10), -np.log(10)
        weight = strong if ">>" in v.label else 1.0
        for copy in range(2):
            rows.append(row)
            labels.append(copy if v.label == "A=B" else int(v.label.startswith("A")))
            weights.append(weight)
    fit = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-10, max_iter=5_000)
    fit.fit(np.array(rows), np.array(labels), sample_weight=weights)
    points = 400 * fit.coef_[0]
    return {m: 1 / (1 + 10 ** ((points[models.index(baseline)] - points[i]) / 400)) for i, m in enumerate(models)}


@pytest.mark.parametrize(("weighting", "strong"), [("strong_x3", 3.0), ("half_ties", 1.0)])
def test_scikit_learn_finds_the_same_ratings(weighting: str, strong: float) -> None:
    rng = np.random.default_rng(0)
    verdicts = _tournament(rng, questions=25)
    verdicts = [v.model_copy(update={"label": "A=B"}) if rng.random() < 0.2 else v for v in verdicts]
    ours = bradley_terry(verdicts, "base", weighting=weighting, resamples=20)
    theirs = _scikit_chances(verdicts, list(ours.models), "base", strong=strong)
    assert {m: p.estimate for m, p in ours.win_probability.items()} == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("weighting", ["strong_x3", "half_ties"])
def test_one_baseline_gives_the_weighted_mean_score(weighting: str) -> None:
    rng = np.random.default_rng(1)
    verdicts = []
    for name, shares in {"m1": (0.6, 0.1, 0.3), "m2": (0.2, 0.3, 0.5), "m3": (0.9, 0.0, 0.1)}.items():
        verdicts += simulate(rng, {"en": shares, "fr": shares}, questions=40, model=name, strong=0.4, captured=0.1)
    ratings = bradley_terry(verdicts, "base", weighting=weighting, resamples=300)
    for name in ("m1", "m2", "m3"):
        own = [v for v in verdicts if v.a == name]
        scores = np.array([0.5 if v.label == "A=B" else float(v.label[0] == "A") for v in own])
        weights = np.array([3.0 if ">>" in v.label and weighting == "strong_x3" else 1.0 for v in own])
        assert ratings.win_probability[name].estimate == pytest.approx(np.average(scores, weights=weights), abs=1e-9)
        points = ratings.ratings[name].estimate - 1000.0
        assert win_chance(points) == pytest.approx(ratings.win_probability[name].estimate)
    if weighting == "strong_x3":
        same = win_rate(verdicts, "m1", "strong_x3", resamples=4_000).rate
        assert (ratings.win_probability["m1"].low, ratings.win_probability["m1"].high) == pytest.approx(
            (same.low, same.high), abs=0.03
        )


def test_planted_ratings_are_covered() -> None:
    rng = np.random.default_rng(2)
    hits = trials = 0
    for _ in range(12):
        result = bradley_terry(_tournament(rng, questions=60), "base", weighting="half_ties", resamples=200, rng=rng)
        assert (result.ratings["base"].low, result.ratings["base"].high) == (1000.0, 1000.0)
        for name in ("a", "b", "c"):
            hits += result.ratings[name].contains(TRUTH[name])
            trials += 1
    # 36 correlated looks at a 95% interval: three binomial errors and a little.
    assert hits / trials >= 0.83
    assert result.beats("a", "b") == pytest.approx(win_chance(250.0), abs=0.08)


def test_the_recorded_side_does_not_matter() -> None:
    verdicts = _tournament(np.random.default_rng(3), questions=10)
    mixed = [turned(v) if i % 2 else v for i, v in enumerate(verdicts)]
    plain, swapped = (bradley_terry(v, "base", resamples=50) for v in (verdicts, mixed))
    assert {m: r.estimate for m, r in plain.ratings.items()} == pytest.approx(
        {m: r.estimate for m, r in swapped.ratings.items()}
    )
    np.testing.assert_allclose(plain.draws, swapped.draws, atol=1e-6)


def test_moving_the_anchor_moves_everything_alike() -> None:
    verdicts = _tournament(np.random.default_rng(4), questions=10)
    at_1000, at_0 = (
        bradley_terry(verdicts, "base", resamples=30),
        bradley_terry(verdicts, "base", resamples=30, anchor=0.0),
    )
    np.testing.assert_allclose(at_1000.draws - 1000.0, at_0.draws, atol=1e-9)


def test_batched_fits_equal_single_fits() -> None:
    totals = pair_totals(_tournament(np.random.default_rng(5), questions=30))
    anchor = totals.models.index("base")
    won, played = totals.won.toarray(), totals.played.toarray()
    batch = fit_ratings(totals, won, played, anchor)
    single = [fit_ratings(totals, w[None], p[None], anchor)[0] for w, p in zip(won, played, strict=True)]
    np.testing.assert_allclose(batch, np.stack(single), atol=1e-8)


def test_winning_everything_is_reported_not_hidden() -> None:
    verdicts = [game("A>B", order, f"q{i}", a="best") for i in range(20) for order in ("ab", "ba")]
    result = bradley_terry(verdicts, "base", resamples=20)
    assert result.unbounded == ("best",)
    assert result.ratings["best"].estimate == pytest.approx(1000 + 15 * POINTS_PER_NAT)
    assert result.win_probability["best"].estimate == pytest.approx(1.0, abs=1e-6)


def test_a_model_without_games_in_a_resample_has_no_rating_there() -> None:
    verdicts = [game("A>B" if i % 3 else "B>A", "ab", f"q{i}", a="often") for i in range(6)]
    verdicts += [game("A=B", "ab", "q0", a="once")]
    result = bradley_terry(verdicts, "base", resamples=400)
    absent = np.isnan(result.draws[:, result.models.index("once")]).mean()
    assert absent == pytest.approx((5 / 6) ** 6, abs=0.08)


def test_unparsed_games_are_counted() -> None:
    verdicts = [game("A>B", "ab", "p"), game("B>A", "ba", "p"), game(None, "ab", "q"), game("A>B", "ba", "q")]
    result = bradley_terry(verdicts, "base", resamples=10)
    assert (result.unparsed, result.dropped) == (1, 1)
    assert result.win_probability["ours"].estimate == pytest.approx(0.5)


def test_what_cannot_be_rated_is_refused() -> None:
    island = [game("A>B", a="x", b="y", prompt="p2")]
    with pytest.raises(DataError, match="connects x, y to the baseline 'base'"):
        bradley_terry([game("A>B"), *island], "base")
    with pytest.raises(ConfigError, match="'nobody' played no game"):
        bradley_terry([game("A>B")], "nobody")
    with pytest.raises(ConfigError, match="ties apart has no rating model"):
        bradley_terry([game("A>B")], "base", weighting="ties_apart")
    with pytest.raises(DataError, match="no parsed game"):
        bradley_terry([game(None)], "base")


def _plain_fit(totals: PairTotals, won: np.ndarray, played: np.ndarray, anchor: int) -> np.ndarray:
    """The same maximum, by a general optimiser on one row: nothing shared with the fit under test."""

    def loss(free: np.ndarray) -> float:
        theta = np.insert(free, anchor, 0.0)
        gap = theta[totals.first] - theta[totals.second]
        return float(played @ np.logaddexp(0.0, gap) - won @ gap)

    start = np.zeros(len(totals.models) - 1)
    return np.insert(minimize(loss, start, method="BFGS", options={"gtol": 1e-9}).x, anchor, 0.0)


def test_a_general_optimiser_finds_the_same_resampled_ratings() -> None:
    verdicts = _tournament(np.random.default_rng(6), questions=40)
    totals = pair_totals(verdicts)
    anchor = totals.models.index("base")
    result = bradley_terry(verdicts, "base", resamples=25)
    weights = next(cluster_weights(40, 25, np.random.default_rng(0)))
    for drawn, points in zip(weights, result.draws, strict=True):
        theirs = _plain_fit(totals, drawn @ totals.won, drawn @ totals.played, anchor)
        np.testing.assert_allclose(points - 1000.0, theirs * POINTS_PER_NAT, atol=1e-2)


def test_where_newton_starts_does_not_matter() -> None:
    totals = pair_totals(_tournament(np.random.default_rng(7), questions=12))
    anchor = totals.models.index("base")
    won, played = totals.won.toarray(), totals.played.toarray()
    start = np.array([0.0 if i == anchor else 1.5 - i for i in range(len(totals.models))])
    # Six games of a question are few: many rows have a model that won or lost everything.
    cold, warm = fit_ratings(totals, won, played, anchor), fit_ratings(totals, won, played, anchor, start)
    assert (np.abs(cold) > 14.9).any()
    np.testing.assert_allclose(warm, cold, atol=1e-8)


def test_an_island_of_models_has_no_rating_in_that_resample() -> None:
    verdicts = [game(label, "ab", f"q{i}", a="near") for i, label in enumerate(["A>B", "B>A", "A>B", "A=B"])]
    verdicts += [game(label, "ab", f"r{i}", a="far", b="near") for i, label in enumerate(["A>B", "B>A"])]
    verdicts += [game("A=B", "ab", f"s{i}", a="farther", b="far") for i in range(4)]
    result = bradley_terry(verdicts, "base", resamples=500)
    far, farther = (np.isnan(result.draws[:, result.models.index(name)]) for name in ("far", "farther"))
    # Without a game of far against near, games of farther against far say nothing about the baseline.
    assert far.any() and (farther >= far).all()
    assert np.isfinite(result.draws[:, result.models.index("base")]).all()


def test_rows_resampled_without_their_questions_give_the_narrow_published_intervals() -> None:
    rng = np.random.default_rng(8)
    shares = dict.fromkeys(("en", "fr", "sw", "hi"), (0.5, 0.1, 0.4))
    verdicts = simulate(rng, shares, questions=60, model="m1", sticky=0.9, strong=0.4)
    by_question = bradley_terry(verdicts, "base", resamples=400)
    by_row = bradley_terry(verdicts, "base", resamples=400, resample="row")
    assert (by_question.resample, by_row.resample) == ("question", "row")
    assert by_row.ratings["m1"].estimate == by_question.ratings["m1"].estimate
    assert by_row.win_probability["m1"].width < 0.6 * by_question.win_probability["m1"].width
    same = win_rate(verdicts, "m1", "strong_x3", resample="row", resamples=4_000).rate
    assert by_row.win_probability["m1"].n == same.n
    assert by_row.win_probability["m1"].width == pytest.approx(same.width, rel=0.15)
    with pytest.raises(ConfigError, match="resample is 'prompt'"):
        bradley_terry(verdicts, "base", resample="prompt")
