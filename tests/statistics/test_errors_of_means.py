"""Standard errors and t tests against scipy and hand formulas."""

import numpy as np
import pytest
from scipy import stats

from paribus.errors import ConfigError, DataError
from paribus.statistics import mean_error, t_interval, t_test

DIFFERENCES = np.random.default_rng(1).normal(0.2, 1.0, 25)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_rows_are_scipy_one_sample_t(alternative: str) -> None:
    ours = t_test(mean_error(DIFFERENCES), alternative=alternative, null=0.1)
    assert ours == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0.1, alternative=alternative).pvalue)


def test_equal_clusters_are_the_t_test_of_cluster_means() -> None:
    table = np.random.default_rng(2).normal(size=(12, 4))
    error = mean_error(table.ravel(), np.repeat(np.arange(12), 4))
    assert error.standard_error == pytest.approx(stats.sem(table.mean(1)))
    assert (error.df, error.n) == (11.0, 12)
    assert t_test(error) == pytest.approx(stats.ttest_1samp(table.mean(1), 0.0).pvalue)


def test_unequal_clusters_by_hand() -> None:
    # Totals (3, 3 rows), (0, 1 row): mean 0.75, residuals 0.75 and -0.75; sqrt(2/1 * 2 * 0.5625) / 4.
    error = mean_error([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])
    assert error.mean == 0.75
    assert error.standard_error == pytest.approx(np.sqrt(2 * 2 * 0.5625) / 4)


def test_interval_is_scipys() -> None:
    ours = t_interval(mean_error(DIFFERENCES), level=0.9)
    theirs = stats.ttest_1samp(DIFFERENCES, 0.0).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert (ours.level, ours.n) == (0.9, 25)


def test_no_noise_gives_zero_or_one() -> None:
    same, different = mean_error([0.0, 0.0]), mean_error([1.0, 1.0])
    assert t_test(same) == 1.0
    assert t_test(different) == 0.0
    assert t_test(different, alternative="less") == 1.0


def test_one_cluster_and_unknown_alternative_are_refused() -> None:
    with pytest.raises(DataError, match="at least two clusters"):
        mean_error([1.0, 2.0], ["q", "q"])
    with pytest.raises(ConfigError, match="'bigger'"):
        t_test(mean_error([1.0, 2.0]), alternative="bigger")
