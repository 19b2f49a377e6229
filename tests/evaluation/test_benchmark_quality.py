"""Separability, agreement with confidence, Brier score and rank correlation."""

import numpy as np
import pytest
from scipy import stats

from paribus.errors import ConfigError, DataError
from paribus.evaluation.benchmark_quality import (
    agreement_with_confidence,
    pair_rank_brier,
    rank_correlation,
    separability,
)
from paribus.statistics import Interval


def _interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 0.95, 10, ("items",))


BENCH = {"a": _interval(0, 1), "b": _interval(0.5, 2), "c": _interval(3, 4), "d": _interval(2, 2.5)}


def test_separability_by_hand() -> None:
    # Overlapping: a-b, and b-d touching at 2. Apart: a-c, a-d, b-c, c-d.
    assert separability(BENCH) == pytest.approx(4 / 6)
    with pytest.raises(DataError, match="1 model"):
        separability({"a": _interval(0, 1)})


def test_agreement_by_hand() -> None:
    human = {
        "a": _interval(0, 1),
        "b": _interval(2, 5),
        "c": _interval(5.5, 6),
        "d": _interval(7, 8),
        "x": _interval(9, 9),
    }
    # Pairs the reference separates: ab ac ad bc bd cd; bench: 0.5, 1, 1, 1, 0.5 (touching), 0.
    assert agreement_with_confidence(BENCH, human) == pytest.approx((0.5 + 1 + 1 + 1 + 0.5 + 0) / 6)
    assert agreement_with_confidence(BENCH, human, scale="signed") == pytest.approx((0 + 1 + 1 + 1 + 0 - 1) / 6)


def test_agreement_with_itself_is_full_and_with_its_mirror_none() -> None:
    apart = {name: _interval(i, i + 0.5) for i, name in enumerate("abcd")}
    mirror = {name: _interval(-i, -i + 0.5) for i, name in enumerate("abcd")}
    assert agreement_with_confidence(apart, apart) == 1.0
    assert agreement_with_confidence(apart, mirror) == 0.0
    assert agreement_with_confidence(apart, mirror, scale="signed") == -1.0


def test_agreement_needs_a_reference_that_separates() -> None:
    with pytest.raises(DataError, match="separates no pair"):
        agreement_with_confidence(BENCH, dict.fromkeys(BENCH, _interval(0, 1)))
    with pytest.raises(ConfigError, match="'thirds'"):
        agreement_with_confidence(BENCH, BENCH, scale="thirds")


def test_brier_by_hand() -> None:
    rng = np.random.default_rng(0)
    draws = np.stack([rng.normal(0, 1, 200_000), rng.normal(1, 1, 200_000)], axis=1)
    forecast = stats.norm.cdf(1 / np.sqrt(2))
    assert pair_rank_brier(draws, ["a", "b"], {"a": 0, "b": 5}) == pytest.approx((forecast - 1) ** 2, abs=2e-3)
    assert pair_rank_brier(draws, ["a", "b"], {"a": 5, "b": 0}) == pytest.approx(forecast**2, abs=2e-3)


def test_brier_knows_that_scores_move_together() -> None:
    shared = np.random.default_rng(1).normal(0, 10, 1_000)
    draws = np.stack([shared, shared + 1], axis=1)
    assert pair_rank_brier(draws, ["a", "b"], {"a": 0, "b": 1}) == pytest.approx(0.0, abs=1e-12)


def test_brier_ends() -> None:
    certain = np.tile([0.0, 1.0, 2.0], (50, 1))
    assert pair_rank_brier(certain, list("abc"), {"a": 0, "b": 1, "c": 2}) == 0.0
    assert pair_rank_brier(certain, list("abc"), {"a": 2, "b": 1, "c": 0}) == 1.0
    assert pair_rank_brier(np.zeros((50, 2)), list("ab"), {"a": 0, "b": 1}) == 0.25
    with pytest.raises(DataError, match="No pair"):
        pair_rank_brier(certain, list("abc"), dict.fromkeys("abc", 1.0))
    with pytest.raises(DataError, match=r"shape \(50, 3\)"):
        pair_rank_brier(certain, list("ab"), {"a": 0, "b": 1})


def test_spearman_is_scipys_with_ties() -> None:
    rng = np.random.default_rng(2)
    ours = {str(i): float(v) for i, v in enumerate(rng.integers(0, 6, 20))}
    theirs = {name: value + float(rng.normal()) for name, value in ours.items()}
    expected = stats.spearmanr(list(ours.values()), list(theirs.values())).statistic
    assert rank_correlation(ours, {**theirs, "extra": 1.0}) == pytest.approx(expected)
    with pytest.raises(DataError, match="1 shared"):
        rank_correlation(ours, {"3": 1.0})
