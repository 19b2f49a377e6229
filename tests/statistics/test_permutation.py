"""The sign-flip test: scipy as oracle, exactness, calibration, clusters."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paribus.errors import ConfigError, DataError
from paribus.statistics import sign_flip_test

ALTERNATIVES = ["two-sided", "greater", "less"]


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_exact_p_value_is_scipys(alternative: str) -> None:
    values = np.random.default_rng(4).normal(0.4, 1.0, 10)
    theirs = stats.permutation_test(
        (values, np.zeros(10)),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        alternative=alternative,
        n_resamples=np.inf,
    )
    ours = sign_flip_test(values, alternative=alternative)
    assert (ours.method, ours.resamples) == ("exact", 1024)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.statistic == pytest.approx(theirs.statistic)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.sampled_from(ALTERNATIVES))
def test_exact_equals_enumeration_in_whole_numbers(values: list[int], alternative: str) -> None:
    patterns = itertools.product((1, -1), repeat=len(values))
    totals = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in patterns]
    observed = sum(values)
    hits = {
        "two-sided": sum(abs(t) >= abs(observed) for t in totals),
        "greater": sum(t >= observed for t in totals),
        "less": sum(t <= observed for t in totals),
    }[alternative]
    assert sign_flip_test(values, alternative=alternative).p_value == pytest.approx(hits / len(totals))


def test_ties_survive_rounding() -> None:
    """0.1 + 0.2 and 0.3 are the same flip; the observed pattern itself must always count."""
    assert sign_flip_test([0.1, 0.2, -0.3]).p_value == 1.0


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_monte_carlo_approaches_the_exact_value(alternative: str) -> None:
    values = np.random.default_rng(8).normal(0.3, 1.0, 12)
    exact = sign_flip_test(values, alternative=alternative)
    random = sign_flip_test(values, alternative=alternative, exact_limit=0, resamples=40_000)
    assert (random.method, random.resamples) == ("monte-carlo", 40_000)
    assert random.p_value == pytest.approx(exact.p_value, abs=4 * np.sqrt(0.25 / 40_000))


def test_monte_carlo_never_gives_zero_and_survives_chunking(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.full(30, 1.0)
    assert sign_flip_test(values, resamples=99).p_value == 1 / 100
    monkeypatch.setattr("paribus.statistics.permutation.CHUNK_CELLS", 90)
    assert sign_flip_test(values, resamples=100, alternative="less").p_value == 1.0


def test_clusters_flip_together() -> None:
    # Two questions, one favouring each arm equally: rows alone would be 4 + 4 independent tosses.
    result = sign_flip_test([1.0] * 4 + [1.0] * 4, ["a"] * 4 + ["b"] * 4)
    assert (result.p_value, result.n, result.resamples) == (0.5, 2, 4)


def test_no_difference_at_all_is_p_one() -> None:
    assert sign_flip_test([0.0, 0.0, 0.0]).p_value == 1.0


@pytest.mark.parametrize("k", [10, 40])
def test_same_against_same_rejects_at_the_nominal_rate(k: int) -> None:
    """A/A at the level of clusters; rows would reject far too often."""
    rng = np.random.default_rng(k)
    trials = 600
    clustered = rows = 0
    for _ in range(trials):
        values = (rng.standard_t(4, size=(k, 1)) + rng.normal(size=(k, 6))).ravel()
        clusters = np.repeat(np.arange(k), 6)
        clustered += sign_flip_test(values, clusters, resamples=199, rng=rng).p_value <= 0.05
        rows += sign_flip_test(values, resamples=199, rng=rng).p_value <= 0.05
    assert clustered / trials == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / trials))
    assert rows / trials > 0.15


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        sign_flip_test([])
    with pytest.raises(ConfigError, match="'both'"):
        sign_flip_test([1.0], alternative="both")
