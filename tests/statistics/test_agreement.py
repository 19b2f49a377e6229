"""Agreement of raters: published and hand-made tables, an oracle, invariants, and the coverage of intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score

from paribus.errors import ConfigError, DataError
from paribus.statistics import agreement_interval, cohen_kappa, gwet_ac1, krippendorff_alpha
from paribus.statistics.agreement import ac1_terms, alpha_terms

NO = np.nan

# Four raters on twelve items with gaps: the example that Krippendorff's own texts compute alpha on.
KNOWN = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NO, NO, NO],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NO, 3],
        [NO, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NO],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NO],
    ]
).T

tables = arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(2, 5)), elements=st.sampled_from([0.0, 1.0, 2.0]))


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level: str, alpha: float) -> None:
    assert krippendorff_alpha(KNOWN, level=level) == pytest.approx(alpha, abs=5e-4)


def test_ac1_by_hand() -> None:
    # Three items, two raters: yes-yes, yes-no, no-no. pa = 2/3, pi = (1/2, 1/2), pe = 1/2.
    assert gwet_ac1([[1, 1], [1, 0], [0, 0]]) == pytest.approx((2 / 3 - 1 / 2) / (1 - 1 / 2))


def test_ac1_takes_the_shares_of_items_with_one_rating_but_no_pairs_from_them() -> None:
    # pa from the first item only (1); pi = (2/3, 1/3): pe = 2 * 2/9 = 4/9.
    assert gwet_ac1([[1, 1], [1, NO], [0, NO]]) == pytest.approx(1.0)
    # One of three pairs agrees in the first item: pa = 1/3; pi_1 = (1/3 + 1 + 0) / 3 = 4/9; pe = 2 * 4/9 * 5/9.
    expected = 40 / 81
    value = gwet_ac1([[1, 0, 0], [1, NO, NO], [0, NO, NO]])
    assert value == pytest.approx((1 / 3 - expected) / (1 - expected))


def test_ac1_is_high_where_alpha_and_kappa_fall_to_zero_for_a_rare_answer() -> None:
    first, second = np.zeros(100), np.zeros(100)
    first[0], second[1] = 1, 1
    table = np.column_stack([first, second])
    assert gwet_ac1(table) == pytest.approx(0.9796, abs=1e-4)
    assert abs(krippendorff_alpha(table)) < 0.02 and abs(cohen_kappa(first, second)) < 0.02


def test_more_possible_answers_leave_less_to_chance() -> None:
    table = [[3, 3], [4, 4], [3, 4]]
    assert gwet_ac1(table, categories=range(1, 6)) > gwet_ac1(table)


@pytest.mark.parametrize("weighting", ["none", "linear", "quadratic"])
def test_kappa_is_that_of_scikit_learn(weighting: str) -> None:
    rng = np.random.default_rng(3)
    first = rng.integers(1, 6, 200)
    second = np.clip(first + rng.integers(-1, 2, 200), 1, 5)
    oracle = cohen_kappa_score(first, second, weights=None if weighting == "none" else weighting)
    assert cohen_kappa(first, second, weighting=weighting) == pytest.approx(oracle)


@given(tables, st.integers(0, 2**16))
@settings(max_examples=50, deadline=None)
def test_the_order_of_items_and_raters_does_not_matter(table: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mixed = np.stack([rng.permutation(row) for row in rng.permutation(table)])
    assert gwet_ac1(mixed, categories=[0, 1, 2]) == pytest.approx(gwet_ac1(table, categories=[0, 1, 2]))
    assert krippendorff_alpha(mixed, level="ordinal") == pytest.approx(
        krippendorff_alpha(table, level="ordinal"), nan_ok=True
    )


@given(tables)
@settings(max_examples=50, deadline=None)
def test_nobody_agrees_more_than_fully(table: np.ndarray) -> None:
    assert gwet_ac1(table, categories=[0, 1, 2]) <= 1 + 1e-12
    same = np.repeat(table[:, :1], 3, axis=1)
    assert gwet_ac1(same, categories=[0, 1, 2]) == pytest.approx(1.0)
    full = 1.0 if len(np.unique(same)) > 1 else np.nan
    for level in ("nominal", "ordinal", "interval"):
        assert krippendorff_alpha(same, level=level) == pytest.approx(full, nan_ok=True)


def test_two_answers_are_equally_far_apart_at_every_level() -> None:
    table = np.random.default_rng(0).integers(0, 2, (40, 3))
    values = [krippendorff_alpha(table, level=level) for level in ("nominal", "ordinal", "interval")]
    assert values == pytest.approx([values[0]] * 3)


def test_what_does_not_exist_is_nan() -> None:
    assert np.isnan(krippendorff_alpha([[1, 1], [1, 1]]))
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))
    assert np.isnan(gwet_ac1([[1, NO], [0, NO]]))


def test_an_interval_holds_the_estimate_and_resamples_whole_clusters() -> None:
    rng = np.random.default_rng(1)
    once = rng.integers(0, 2, (60, 4)).astype(float)
    table, inputs = np.repeat(once, 5, axis=0), np.repeat(np.arange(60), 5)
    clustered = agreement_interval(ac1_terms(table), inputs, resamples=500)
    rows = agreement_interval(ac1_terms(table), resamples=500)
    assert clustered.estimate == pytest.approx(gwet_ac1(table)) and clustered.contains(clustered.estimate)
    # Five copies of an item are one item: an interval over rows would be sqrt(5) too narrow.
    assert (clustered.n, rows.n) == (60, 300)
    assert clustered.width > 1.8 * rows.width


def test_intervals_of_guessing_raters_hold_zero_at_their_level() -> None:
    held = 0
    for seed in range(200):
        table = np.random.default_rng(seed).integers(0, 2, (80, 4))
        held += agreement_interval(alpha_terms(table), resamples=200, rng=seed).contains(0.0)
    assert 178 <= held <= 200  # 190 expected; less than 178 has a chance of about 2 in 10,000


def test_bad_input_is_refused_with_its_value() -> None:
    with pytest.raises(DataError, match="which is none of the categories"):
        gwet_ac1([[1, 7]], categories=range(1, 6))
    with pytest.raises(DataError, match="two categories"):
        gwet_ac1([[1, 1]])
    with pytest.raises(DataError, match="shape"):
        krippendorff_alpha([1, 0, 1])
    with pytest.raises(DataError, match="numbers"):
        gwet_ac1([["yes", "no"]])
    with pytest.raises(DataError, match="no rating"):
        gwet_ac1([[NO, NO]])
    with pytest.raises(DataError, match="two lists"):
        cohen_kappa([1, 2], [1])
    with pytest.raises(ConfigError, match="ratio"):
        krippendorff_alpha(KNOWN, level="ratio")
    with pytest.raises(ConfigError, match="cubic"):
        cohen_kappa([1], [1], weighting="cubic")
