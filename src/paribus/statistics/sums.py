"""Intervals of any statistic that is a function of sums over rows: ratios, correlations, regressions, agreement.

Resampling clusters changes such a statistic only through the sums, so a resample costs one row of a matrix product
instead of a pass over the data; the statistic itself is then computed on all resamples at once.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import DataError
from paribus.statistics.arrays import Rng, generator, positive_count, same_length
from paribus.statistics.bootstrap import Clusters
from paribus.statistics.clusters import cluster_codes, cluster_weights
from paribus.statistics.interval import Interval, Method, check_level, percentile_interval

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]


def cluster_sums(terms: Floats, clusters: Clusters | None = None) -> Floats:
    """Sum the rows of ``terms``, shape ``(n, m)``, within clusters: shape ``(k, m)``, in order of first appearance."""
    if clusters is None:
        return terms
    same_length(terms, clusters, ("terms", "clusters"))
    codes, k = cluster_codes(clusters)
    return np.stack([np.bincount(codes, column, minlength=k) for column in terms.T], axis=1).astype(np.float64)


def bootstrap_of_sums(
    terms: ArrayLike,
    statistic: Statistic,
    clusters: Clusters | None = None,
    *,
    resamples: int = 1_000,
    level: float = 0.95,
    rng: Rng = 0,
    covers: tuple[str, ...] = ("items",),
    method: Method = "expanded",
) -> list[Interval]:
    """Intervals of statistics of the column sums of ``terms``, resampling whole clusters with replacement.

    Args:
        terms: shape ``(n, m)``, finite; what has to be added up over rows (for a mean: the values and ones).
        statistic: takes sums of shape ``(..., m)`` and gives ``(..., s)``, for all leading axes at once. It must not
            care how many rows were added (a weighted statistic), and may give NaN where it does not exist.
        clusters: n ids; ``None`` makes every row its own cluster.
        resamples, level, rng, covers, method: as in ``clustered_bootstrap``.

    Returns:
        One ``Interval`` for each of the s statistics; resamples in which one does not exist are left out of its ends.

    Raises:
        DataError: empty, non-finite or mismatched input.
    """
    check_level(level)
    table = _terms(terms)
    sums = cluster_sums(table, clusters)
    draws = resampled_statistic(sums, statistic, resamples=resamples, rng=rng)
    estimates = statistic(sums.sum(axis=0))
    return intervals_from(draws, estimates, n=len(sums), level=level, covers=covers, method=method)


def resampled_statistic(sums: Floats, statistic: Statistic, *, resamples: int, rng: Rng) -> Floats:
    """The statistic on resampled clusters, shape ``(resamples, s)``, from per-cluster sums of shape ``(k, m)``."""
    positive_count(resamples, "resamples")
    chunks = [statistic(weights @ sums) for weights in cluster_weights(len(sums), resamples, generator(rng))]
    return np.concatenate(chunks)


def intervals_from(
    draws: Floats,
    estimates: Floats,
    *,
    n: int,
    level: float = 0.95,
    covers: tuple[str, ...] = ("items",),
    method: Method = "expanded",
) -> list[Interval]:
    """One ``Interval`` a column of ``draws``, shape ``(resamples, s)``, around ``estimates``, shape ``(s,)``."""
    return [
        percentile_interval(column, estimate, n=n, level=level, covers=covers, method=method)
        for column, estimate in zip(draws.T, estimates, strict=True)
    ]


def _terms(terms: ArrayLike) -> Floats:
    table = np.asarray(terms, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise DataError(f"terms has shape {table.shape}; give a table of (rows, terms) with at least one of both.")
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"terms row {row}, column {column} is {table[row, column]}; leave rows without a value out beforehand."
        )
    return table
