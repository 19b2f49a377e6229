"""Bootstrap intervals: scipy as oracle, closed forms, coverage with and without clusters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paribus.errors import ConfigError, DataError
from paribus.statistics import clustered_bootstrap, paired_bootstrap, resampled_means
from paribus.statistics.bootstrap import paired_differences
from paribus.statistics.interval import tail_share

rng_data = np.random.default_rng(11)
SKEWED = rng_data.exponential(size=60)


def test_percentile_interval_agrees_with_scipy() -> None:
    ours = clustered_bootstrap(SKEWED, resamples=20_000, method="percentile", rng=1)
    theirs = stats.bootstrap((SKEWED,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    # Two Monte Carlo quantiles at 20,000 resamples: well within 2% of the interval's width.
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * ours.width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * ours.width)
    assert ours.estimate == SKEWED.mean()


def test_paired_interval_agrees_with_scipy_paired() -> None:
    first, second = SKEWED, SKEWED * 0.8 + rng_data.normal(0, 0.2, 60)
    ours = paired_bootstrap(first, second, resamples=20_000, method="percentile", rng=1)
    theirs = stats.bootstrap(
        (first, second),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=2,
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * ours.width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * ours.width)


def test_clusters_equal_scipy_on_the_cluster_means() -> None:
    values = rng_data.normal(size=(40, 5))
    ours = clustered_bootstrap(values.ravel(), np.repeat(np.arange(40), 5), method="percentile", resamples=20_000)
    theirs = stats.bootstrap((values.mean(1),), np.mean, n_resamples=20_000, method="percentile", rng=5)
    assert ours.n == 40
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * ours.width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * ours.width)


def test_expanded_interval_is_as_wide_as_the_t_interval() -> None:
    values = np.random.default_rng(3).normal(size=12)
    ours = clustered_bootstrap(values, resamples=100_000)
    half = stats.t.ppf(0.975, 11) * stats.sem(values)
    plain = clustered_bootstrap(values, resamples=100_000, method="percentile")
    assert ours.width == pytest.approx(2 * half, rel=0.05)
    assert plain.width < 0.9 * ours.width


@pytest.mark.parametrize("n", [2, 10, 500])
def test_tails_of_the_expanded_interval(n: int) -> None:
    """Normal tail below sqrt(n/(n-1)) times Student's quantile."""
    assert tail_share(0.95, n, "expanded") == pytest.approx(
        stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf(0.025, n - 1))
    )
    assert tail_share(0.95, n, "percentile") == pytest.approx(0.025)


def test_unequal_clusters_resample_the_mean_over_rows() -> None:
    """Against a plain loop that draws whole clusters and averages their rows."""
    values = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    clusters = ["a", "a", "a", "b", "b", "c"]
    groups = [values[:3], values[3:5], values[5:]]
    rng = np.random.default_rng(0)
    loop = [np.concatenate([groups[i] for i in rng.integers(0, 3, 3)]).mean() for _ in range(20_000)]
    ours = clustered_bootstrap(values, clusters, resamples=20_000, method="percentile", level=0.5)
    assert ours.estimate == pytest.approx(4 / 6)
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(loop, [0.25, 0.75])), abs=0.02)


def test_columns_share_their_resamples_and_absent_columns_are_nan() -> None:
    sums = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    counts = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    draws = resampled_means(sums, counts, resamples=2_000)
    assert draws.shape == (2_000, 2)
    assert np.isfinite(draws[:, 0]).all()
    # All three draws hit the cluster without rows in column 1 with probability 1/27.
    assert np.isnan(draws[:, 1]).mean() == pytest.approx(1 / 27, abs=0.015)
    alone = resampled_means(sums[:, 0], counts[:, 0], resamples=2_000)
    assert (draws[:, 0] == alone).all()


def test_same_seed_same_numbers_and_the_generator_moves_on() -> None:
    assert clustered_bootstrap(SKEWED, rng=4) == clustered_bootstrap(SKEWED, rng=4)
    generator = np.random.default_rng(4)
    assert clustered_bootstrap(SKEWED, rng=generator) != clustered_bootstrap(SKEWED, rng=generator)


def test_one_cluster_has_no_width() -> None:
    interval = clustered_bootstrap([0.0, 1.0], ["q", "q"])
    assert (interval.low, interval.estimate, interval.high, interval.n) == (0.5, 0.5, 0.5, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": 95.0}, "between 0 and 1"),
        ({"resamples": 0}, "resamples is 0"),
        ({"rng": -1}, "rng is -1"),
        ({"rng": None}, "rng is None"),
        ({"method": "bca"}, "'bca'"),
    ],
)
def test_bad_settings_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        clustered_bootstrap([0.0, 1.0], **options)


def test_mismatched_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="first has 2 entries and second has 3"):
        paired_bootstrap([1.0, 2.0], [1.0, 2.0, 3.0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), st.floats(-10, 10))
def test_intervals_move_with_the_data(values: list[float], shift: float) -> None:
    base = clustered_bootstrap(values, resamples=200)
    moved = clustered_bootstrap(np.asarray(values) + shift, resamples=200)
    assert base.low - 1e-9 <= base.estimate + 1e-6 * base.width
    assert (moved.low, moved.high) == pytest.approx((base.low + shift, base.high + shift), abs=1e-6)
    assert min(values) - 1e-9 <= base.low <= base.high <= max(values) + 1e-9


def _clustered_data(rng: np.random.Generator, k: int = 40, size: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Planted mean 0; a question's own difficulty carries half of the variance."""
    questions = rng.normal(size=(k, 1))
    return (questions + rng.normal(size=(k, size))).ravel(), np.repeat(np.arange(k), size)


def test_clusters_cover_where_rows_do_not() -> None:
    rng = np.random.default_rng(2024)
    trials, clustered, rows = 300, 0, 0
    for _ in range(trials):
        values, clusters = _clustered_data(rng)
        clustered += clustered_bootstrap(values, clusters, resamples=400, rng=rng).contains(0.0)
        rows += clustered_bootstrap(values, resamples=400, rng=rng).contains(0.0)
    # Three binomial standard errors around 95% at 300 trials: 3.8 points.
    assert clustered / trials == pytest.approx(0.95, abs=0.038)
    # Row resampling has standard error sqrt(2/400) where the truth is sqrt(1/40 + 1/400): about 0.43 of it, 60% cover.
    assert rows / trials < 0.75


def test_paired_effect_is_covered() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(300):
        difficulty = rng.normal(size=30)
        second = difficulty + rng.normal(0, 0.3, 30)
        first = difficulty + 0.2 + rng.normal(0, 0.3, 30)
        hits += paired_bootstrap(first, second, resamples=400, rng=rng).contains(0.2)
    assert hits / 300 == pytest.approx(0.95, abs=0.038)


def test_differences_are_first_minus_second() -> None:
    assert paired_differences([3.0, 1.0], [1.0, 1.0]).tolist() == [2.0, 0.0]
