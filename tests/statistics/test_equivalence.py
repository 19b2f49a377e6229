"""Two one-sided tests."""

import numpy as np
import pytest
from scipy import stats

from paribus.errors import ConfigError
from paribus.statistics import tost

NEAR_ZERO = np.random.default_rng(0).normal(0.02, 0.3, 80)


def test_t_version_is_two_scipy_t_tests() -> None:
    result = tost(NEAR_ZERO, 0.1)
    lower = stats.ttest_1samp(NEAR_ZERO, -0.1, alternative="greater").pvalue
    upper = stats.ttest_1samp(NEAR_ZERO, 0.1, alternative="less").pvalue
    assert (result.p_lower, result.p_upper) == pytest.approx((lower, upper))
    assert result.p_value == max(result.p_lower, result.p_upper)
    assert (result.interval.level, result.margin) == (pytest.approx(0.9), 0.1)


def test_bootstrap_version_agrees_with_t() -> None:
    by_t, by_bootstrap = tost(NEAR_ZERO, 0.05), tost(NEAR_ZERO, 0.05, method="bootstrap", resamples=40_000)
    assert by_bootstrap.p_value == pytest.approx(by_t.p_value, abs=0.02)
    assert by_bootstrap.interval.width == pytest.approx(by_t.interval.width, rel=0.05)


@pytest.mark.parametrize("method", ["t", "bootstrap"])
@pytest.mark.parametrize("margin", [0.02, 0.06, 0.08, 0.1, 0.3])
def test_equivalent_exactly_where_the_interval_is_inside(margin: float, method: str) -> None:
    result = tost(NEAR_ZERO, margin, method=method)
    inside = -margin < result.interval.low and result.interval.high < margin
    assert result.equivalent == inside


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_a_difference_at_the_margin_passes_at_most_at_alpha(method: str) -> None:
    """The worst true null sits on the margin itself; clusters of 5 carry shared noise."""
    rng = np.random.default_rng(3)
    passed = 0
    for _ in range(400):
        values = (0.2 + rng.normal(0, 0.3, (40, 1)) + rng.normal(0, 0.3, (40, 5))).ravel()
        passed += tost(values, 0.2, np.repeat(np.arange(40), 5), method=method, resamples=300, rng=rng).equivalent
    assert passed / 400 == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 400))


def test_no_difference_is_found_equivalent() -> None:
    rng = np.random.default_rng(9)
    assert np.mean([tost(rng.normal(0, 1, 200), 0.3).equivalent for _ in range(100)]) > 0.95


@pytest.mark.parametrize(("margin", "alpha"), [(0.0, 0.05), (-1.0, 0.05), (float("nan"), 0.05), (0.1, 0.5)])
def test_bad_settings_are_refused(margin: float, alpha: float) -> None:
    with pytest.raises(ConfigError):
        tost(NEAR_ZERO, margin, alpha=alpha)
