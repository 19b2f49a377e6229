"""Equivalence ratios: exact curves, planted shifts, bounds beyond the curve, and coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from paribus.errors import DataError
from paribus.evaluation.data_efficiency import (
    Bounded,
    Curve,
    _resampled_accuracies,
    data_ratios,
    gains,
    isotonic,
    learning_curve,
    size_for,
)

SIZES = (16, 32, 64, 128, 256, 512)


def exact(accuracies: list[float], sizes=SIZES, seeds: int = 1, items: int = 1000) -> Curve:
    """A curve that has just these accuracies with every seed."""
    right = [[np.arange(items) < round(a * items)] * seeds for a in accuracies]
    return Curve.of(sizes, np.array(right, dtype=float))


def planted(random: np.random.Generator, worth: float, *, seeds: int = 3, items: int = 300, seed_noise: float = 0.01):
    """Two curves of one law of log n, the second as if every pair were ``worth`` many; items differ in difficulty."""
    hardness = random.normal(0.0, 0.15, items)

    def curve(factor: float) -> Curve:
        level = 0.5 + 0.09 * np.log2(np.array(SIZES) * factor / 16)[:, None, None] / 1.0
        chance = level + hardness + random.normal(0.0, seed_noise, (len(SIZES), seeds, 1))
        return Curve.of(SIZES, random.random((len(SIZES), seeds, items)) < np.clip(chance, 0.0, 1.0))

    return curve(1.0), curve(worth)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_isotonic_is_scikit_learns(values: list[float]) -> None:
    expected = IsotonicRegression().fit_transform(np.arange(len(values)), values)
    np.testing.assert_allclose(isotonic(values), expected, atol=1e-9)


def test_isotonic_of_many_rows() -> None:
    rows = np.random.default_rng(0).random((50, 7))
    np.testing.assert_allclose(isotonic(rows), np.stack([isotonic(row) for row in rows]))


@settings(max_examples=60)
@given(st.lists(st.floats(0.1, 0.9), min_size=2, max_size=6, unique=True), st.floats(0.1, 0.9))
def test_the_inverse_gives_the_accuracy_back(values: list[float], wanted: float) -> None:
    fit = np.sort(values)[None]
    sizes = SIZES[: len(values)]
    log = size_for([wanted], sizes, fit)[0]
    if wanted > fit.max() + 1e-9:
        assert log == np.inf
    elif wanted < fit.min() - 1e-9:
        assert log == -np.inf
    else:
        assert np.interp(log, np.log(sizes), fit[0]) == pytest.approx(wanted, abs=1e-6)


def test_flat_parts_give_their_middle() -> None:
    fit = np.array([[0.5, 0.6, 0.6, 0.6, 0.7, 0.7]])
    assert np.exp(size_for([0.6], SIZES, fit))[0] == pytest.approx(64.0)
    assert np.exp(size_for([0.7], SIZES, fit))[0] == pytest.approx(np.sqrt(256 * 512))
    assert np.exp(size_for([0.5], SIZES, fit))[0] == pytest.approx(16.0)
    assert size_for([0.8], SIZES, fit)[0] == np.inf and size_for([0.4], SIZES, fit)[0] == -np.inf


def test_a_known_shift_without_noise() -> None:
    plain = exact([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    enriched = exact([0.7, 0.8, 0.9, 0.95, 0.97, 0.98])
    found = data_ratios(plain, enriched, resamples=200)
    assert [row.ratio.value for row in found[:4]] == pytest.approx([4.0, 4.0, 4.0, 4.0])
    assert found[4].ratio == Bounded(">", 2.0) and found[5].ratio == Bounded(">", 1.0)
    assert found[0].covers == ("items",) and found[0].clusters == 1000 and found[0].accuracy == pytest.approx(0.7)


def test_worse_than_the_first_point_is_below() -> None:
    found = data_ratios(exact([0.6, 0.7, 0.8, 0.85, 0.9, 0.95]), exact([0.5, 0.55, 0.6, 0.7, 0.8, 0.9]), resamples=200)
    assert str(found[0].ratio) == "<1" and str(found[1].ratio) == "<0.5" and found[0].below > 0.9
    assert found[2].ratio.value == pytest.approx(0.25) and found[5].ratio.value == pytest.approx(0.5)


def test_equal_curves_are_worth_one() -> None:
    curve = exact([0.5, 0.62, 0.58, 0.7, 0.8, 0.9])
    ratios = [row.ratio.value for row in data_ratios(curve, curve, resamples=100)]
    # The dip makes a plateau from 32 to 64, whose middle stands for both of its ends.
    assert ratios == pytest.approx([1.0, np.sqrt(2), np.sqrt(0.5), 1.0, 1.0, 1.0])


def test_other_sizes_than_the_plain_ones() -> None:
    plain = exact([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    found = data_ratios(plain, exact([0.85, 0.75], sizes=(40, 20)), resamples=100)
    assert [row.size for row in found] == [20, 40]
    assert found[0].ratio.value == pytest.approx(np.sqrt(64 * 128) / 20)


def inside(row, truth: float) -> bool:
    low = 0.0 if row.low.relation == "<" else row.low.value
    high = np.inf if row.high.relation == ">" else row.high.value
    return low <= truth <= high


@pytest.mark.parametrize(("worth", "seeds"), [(1.0, 3), (4.0, 3), (4.0, 1)])
def test_planted_ratios_are_covered(worth: float, seeds: int) -> None:
    random = np.random.default_rng(7)
    hits, logs = [], []
    for trial in range(50):
        plain, enriched = planted(random, worth, seeds=seeds, seed_noise=0.01 if seeds > 1 else 0.0)
        found = data_ratios(plain, enriched, resamples=300, rng=trial)
        hits += [inside(row, worth) for row in found[1:4]]
        logs += [np.log(row.ratio.value) for row in found[1:4] if row.ratio.relation == "="]
    assert np.mean(hits) >= 0.9
    assert np.exp(np.median(logs)) == pytest.approx(worth, rel=0.2)


def test_a_clear_advantage_is_seen_as_one() -> None:
    plain, enriched = planted(np.random.default_rng(3), 8.0, items=1000)
    found = data_ratios(plain, enriched, resamples=400)[1]
    assert found.low.relation == "=" and found.low.value > 2.0 and found.covers == ("seeds", "items")


def test_clusters_widen_the_interval() -> None:
    plain, enriched = planted(np.random.default_rng(5), 2.0, items=150, seeds=1, seed_noise=0.0)
    copies = [Curve(curve.sizes, np.repeat(curve.right, 4, axis=2)) for curve in (plain, enriched)]
    ids = [f"q{n // 4}" for n in range(600)]
    alone, naive, clustered = (
        data_ratios(*curves, groups, resamples=800)[2]
        for curves, groups in (((plain, enriched), None), (copies, None), (copies, ids))
    )
    width = [np.log(row.high.value / row.low.value) for row in (alone, naive, clustered)]
    assert width[2] == pytest.approx(width[0], rel=0.05) and width[1] < 0.7 * width[0]
    assert clustered.clusters == 150


def test_seeds_that_disagree_widen_the_interval() -> None:
    calm, wild = (
        data_ratios(*planted(np.random.default_rng(2), 4.0, seed_noise=noise), resamples=400)[2]
        for noise in (0.0, 0.08)
    )
    assert np.log(wild.high.value / wild.low.value) > 1.2 * np.log(calm.high.value / calm.low.value)


def test_resamples_spread_as_fresh_seeds_and_items_would() -> None:
    """Against the textbook error of a mean: seeds alone, items alone, and both together."""
    random = np.random.default_rng(0)
    seed_part, item_part = random.normal(size=(1, 4, 1)), random.normal(size=(1, 1, 50))
    errors = [seed_part.std(ddof=1) / np.sqrt(4), item_part.std() / np.sqrt(50)]
    for parts, error in (
        (seed_part + 0 * item_part, errors[0]),
        (0 * seed_part + item_part, errors[1]),
        (seed_part + item_part, np.hypot(*errors)),
    ):
        draws = _resampled_accuracies(parts, None, 20_000, 0)[:, 0]
        assert draws.mean() == pytest.approx(parts.mean(), abs=0.02)
        assert draws.std() == pytest.approx(error, rel=0.03)


def test_equal_calls_give_equal_numbers() -> None:
    curves = planted(np.random.default_rng(1), 2.0)
    assert data_ratios(*curves, resamples=100, rng=4) == data_ratios(*curves, resamples=100, rng=4)


def test_learning_curves_have_their_accuracies() -> None:
    plain, _ = planted(np.random.default_rng(1), 1.0)
    found = learning_curve(plain, resamples=200)
    assert [row.estimate for row in found] == pytest.approx(plain.accuracy.tolist())
    assert all(row.low < row.estimate < row.high for row in found)


def test_gains_at_shared_sizes() -> None:
    plain, enriched = exact([0.5, 0.6], sizes=(16, 32), seeds=2), exact([0.8, 0.9], sizes=(32, 64), seeds=2)
    found = gains(plain, enriched, resamples=200)
    assert list(found) == [32] and found[32].estimate == pytest.approx(0.2)
    assert found[32].low > 0.15 and gains(plain, plain, resamples=200)[16].width == 0.0
    with pytest.raises(DataError, match="both arms"):
        gains(plain, exact([0.8, 0.9], sizes=(32, 64), seeds=3))


def test_curves_that_do_not_fit_are_refused() -> None:
    curve = exact([0.5] * 6)
    with pytest.raises(DataError, match="same seeds"):
        data_ratios(curve, exact([0.5] * 6, seeds=2))
    with pytest.raises(DataError, match="999 cluster ids for 1000 items"):
        data_ratios(curve, curve, list(range(999)))
    with pytest.raises(DataError, match="distinct positive"):
        Curve.of([4, 4], np.ones((2, 1, 3)))
    with pytest.raises(DataError, match="2 sizes has outcomes of shape"):
        Curve.of([4, 8], np.ones((3, 1, 3)))
    with pytest.raises(DataError, match="not finite"):
        Curve.of([4], np.full((1, 1, 2), np.nan))
