"""Wilson's interval."""

import numpy as np
import pytest
from scipy import stats

from paribus.errors import ConfigError, DataError
from paribus.statistics import wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (437, 500), (1, 1)])
def test_scipy_parity(successes: int, n: int) -> None:
    ours = wilson(successes, n, level=0.9)
    theirs = stats.binomtest(successes, n).proportion_ci(0.9, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert (ours.estimate, ours.n, ours.covers) == (successes / n, n, ("items",))


@pytest.mark.parametrize("n", [1, 7, 12, 30, 49, 100, 1000])
def test_never_and_always_lie_inside_their_intervals(n: int) -> None:
    assert (wilson(0, n).low, wilson(n, n).high) == (0.0, 1.0)
    assert wilson(0, n).contains(0.0) and wilson(n, n).contains(1.0)


def test_rare_events_are_covered() -> None:
    draws = np.random.default_rng(0).binomial(60, 0.03, 2_000)
    covered = np.mean([wilson(int(k), 60).contains(0.03) for k in draws])
    exact = sum(stats.binom.pmf(k, 60, 0.03) * wilson(k, 60).contains(0.03) for k in range(61))
    assert covered == pytest.approx(exact, abs=0.02)
    assert exact > 0.93


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(DataError, match="11 successes in 10"):
        wilson(11, 10)
    with pytest.raises(ConfigError, match="n is 0"):
        wilson(0, 0)
