"""Two one-sided tests: evidence that a difference is small, which a test that finds nothing does not give."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from paribus.errors import ConfigError
from paribus.statistics.arrays import Rng, finite_vector
from paribus.statistics.bootstrap import Clusters, resampled_means
from paribus.statistics.clusters import cluster_totals
from paribus.statistics.errors_of_means import mean_error, t_interval, t_test
from paribus.statistics.interval import Interval, percentile_interval


@dataclass(frozen=True)
class Equivalence:
    """Outcome of two one-sided tests.

    Attributes:
        p_value: the larger of the two one-sided p-values; equivalence is shown where it is at most alpha.
        p_lower: p-value against "the mean is -margin or less"; p_upper: against "the mean is margin or more".
        interval: the (1 - 2 alpha) interval of the mean, inside (-margin, margin) exactly where both tests reject.
        equivalent: whether ``p_value <= alpha``.
    """

    p_value: float
    p_lower: float
    p_upper: float
    interval: Interval
    margin: float
    equivalent: bool


def tost(
    differences: ArrayLike,
    margin: float,
    clusters: Clusters | None = None,
    *,
    alpha: float = 0.05,
    method: Literal["t", "bootstrap"] = "t",
    resamples: int = 10_000,
    rng: Rng = 0,
) -> Equivalence:
    """Test that the mean of paired ``differences`` (shape ``(n,)``) lies within ``(-margin, margin)``.

    ``"t"`` uses the cluster-robust error of the mean (at least two clusters); ``"bootstrap"`` shifts the clustered
    bootstrap distribution to each margin and counts, with (b + 1) / (m + 1). Schuirmann 1987.

    Raises:
        ConfigError: a margin that is not positive, or alpha outside (0, 0.5).
        DataError: empty, non-finite or mismatched input.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise ConfigError(
            f"The equivalence margin is {margin}; give the largest difference that does not matter, above 0."
        )
    if not 0 < alpha < 0.5:
        raise ConfigError(f"alpha is {alpha}; give a share between 0 and 0.5.")
    vector = finite_vector(differences, "differences")
    if method == "t":
        return _by_t(vector, margin, clusters, alpha)
    if method != "bootstrap":
        raise ConfigError(f"The method is {method!r}; use 't' or 'bootstrap'.")
    return _by_bootstrap(vector, margin, clusters, alpha, resamples, rng)


def _by_t(vector: ArrayLike, margin: float, clusters: Clusters | None, alpha: float) -> Equivalence:
    error = mean_error(vector, clusters)
    lower = t_test(error, null=-margin, alternative="greater")
    upper = t_test(error, null=margin, alternative="less")
    return _result(lower, upper, t_interval(error, level=1 - 2 * alpha), margin, alpha)


def _by_bootstrap(
    vector: ArrayLike, margin: float, clusters: Clusters | None, alpha: float, resamples: int, rng: Rng
) -> Equivalence:
    totals = cluster_totals(vector, clusters)
    draws = resampled_means(totals.sums, totals.counts, resamples=resamples, rng=rng)
    lower = (int(np.count_nonzero(draws <= -margin)) + 1) / (resamples + 1)
    upper = (int(np.count_nonzero(draws >= margin)) + 1) / (resamples + 1)
    interval = percentile_interval(draws, totals.mean, n=len(totals), level=1 - 2 * alpha, method="percentile")
    return _result(lower, upper, interval, margin, alpha)


def _result(lower: float, upper: float, interval: Interval, margin: float, alpha: float) -> Equivalence:
    p = max(lower, upper)
    return Equivalence(p, lower, upper, interval, float(margin), p <= alpha)
