"""Standard errors of means, with clusters and with seeds, and the t intervals and tests that follow from them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import ConfigError, DataError
from paribus.statistics.arrays import finite_table
from paribus.statistics.bootstrap import Clusters
from paribus.statistics.clusters import cluster_codes, cluster_totals
from paribus.statistics.interval import Interval, check_level

Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class MeanError:
    """A mean, its standard error (same unit), the degrees of freedom behind that error, and the independent units."""

    mean: float
    standard_error: float
    df: float
    n: int
    covers: tuple[str, ...] = ("items",)


def mean_error(
    values: ArrayLike, clusters: Clusters | None = None, *, covers: tuple[str, ...] = ("items",)
) -> MeanError:
    """Cluster-robust standard error of the mean of ``values`` (shape ``(n,)``).

    With clusters of equal size this is the standard error of the mean of the cluster means; with unequal sizes it is
    the linearised error of a ratio, sqrt(k/(k-1) * sum((s_i - mean * c_i)^2)) / n. Raises ``DataError`` below two
    clusters.
    """
    totals = cluster_totals(values, clusters)
    k = len(totals)
    if k < 2:
        raise DataError("A standard error needs at least two clusters and got one; add items or drop the cluster ids.")
    residuals = totals.sums - totals.mean * totals.counts
    variance = k / (k - 1) * float(residuals @ residuals) / float(totals.counts.sum()) ** 2
    return MeanError(totals.mean, float(np.sqrt(variance)), float(k - 1), k, covers)


def two_way_error(
    values: ArrayLike,
    clusters: Clusters | None = None,
    *,
    covers: tuple[str, str] = ("seeds", "items"),
) -> MeanError:
    """Standard error of a mean over seeds crossed with items (``values`` of shape ``(seeds, n)``).

    Every seed answers the same items, so the two sources of noise are crossed, not nested. The variance is the one
    between seed means over the number of seeds, plus the one between clusters over the number of clusters. Both hold
    the noise that belongs to neither; it is left in twice (two-way cluster-robust errors subtract it once, Cameron,
    Gelbach and Miller 2011), because with few seeds the subtraction costs coverage. Degrees of freedom by
    Satterthwaite: few seeds matter only as far as seeds differ.

    Measured coverage of nominal 95% t intervals over a range of noise ratios (3,000 draws each): 2 seeds 88-98%,
    3 seeds 93-98%, 4 or more 94-98%; the low end is where seed noise dominates.
    With one seed the result covers the items alone, and says so in ``covers``.
    """
    table = finite_table(values)
    if table.shape[0] == 1:
        return mean_error(table[0], clusters, covers=covers[1:])
    sums, counts = seed_cluster_sums(table, clusters)
    seeds, k = sums.shape
    if k < 2:
        raise DataError("A standard error over items needs at least two clusters and got one; add items.")
    residuals = sums - table.mean() * counts
    scale = float(table.size) ** 2
    by_seed = seeds / (seeds - 1) * float(np.square(residuals.sum(1)).sum()) / scale
    by_cluster = k / (k - 1) * float(np.square(residuals.sum(0)).sum()) / scale
    spread = by_seed**2 / (seeds - 1) + by_cluster**2 / (k - 1)
    df = (by_seed + by_cluster) ** 2 / spread if spread > 0 else float(k - 1)
    return MeanError(float(table.mean()), float(np.sqrt(by_seed + by_cluster)), float(df), k, covers)


def seed_cluster_sums(
    table: NDArray[np.float64], clusters: Clusters | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums per seed and cluster, shape ``(seeds, k)``, and rows per cluster, shape ``(k,)``."""
    if clusters is None:
        return table, np.ones(table.shape[1])
    if len(clusters) != table.shape[1]:
        raise DataError(
            f"values has {table.shape[1]} items per seed and clusters has {len(clusters)}; give one id per item."
        )
    codes, k = cluster_codes(clusters)
    sums = np.stack([np.bincount(codes, row, minlength=k) for row in table])
    return np.asarray(sums, dtype=np.float64), np.bincount(codes, minlength=k).astype(np.float64)


def t_quantile(error: MeanError, level: float) -> float:
    """Half-width of the t interval in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(error.df, 0.5 + level / 2))


def t_interval(error: MeanError, *, level: float = 0.95) -> Interval:
    """Student's t interval around ``error.mean``."""
    half = t_quantile(error, check_level(level)) * error.standard_error
    return Interval(error.mean, error.mean - half, error.mean + half, level, error.n, error.covers)


def t_test(error: MeanError, *, null: float = 0.0, alternative: Alternative = "two-sided") -> float:
    """p-value of the hypothesis that the mean is ``null``. A zero standard error gives 0 or 1."""
    from scipy.special import stdtr

    t = _t_value(error.mean - null, error.standard_error)
    if alternative == "greater":
        return float(stdtr(error.df, -t))
    if alternative == "less":
        return float(stdtr(error.df, t))
    if alternative != "two-sided":
        raise ConfigError(f"The alternative is {alternative!r}; use 'two-sided', 'greater' or 'less'.")
    return float(2 * stdtr(error.df, -abs(t)))


def _t_value(gap: float, standard_error: float) -> float:
    if standard_error > 0.0:
        return gap / standard_error
    return float(np.copysign(np.inf, gap)) if gap else 0.0
