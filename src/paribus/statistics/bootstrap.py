"""The bootstrap of a mean over clusters, and of a paired difference. Seeds and items together: ``hierarchical.py``."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import DataError
from paribus.statistics.arrays import Rng, finite_vector, generator, positive_count, same_length
from paribus.statistics.clusters import cluster_totals, cluster_weights
from paribus.statistics.interval import Interval, Method, check_level, percentile_interval

Clusters = Sequence[Hashable] | NDArray[np.generic]


def resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], *, resamples: int = 10_000, rng: Rng = 0
) -> NDArray[np.float64]:
    """Means recomputed on resampled clusters, for one or many columns that share the same resamples.

    Args:
        sums: per-cluster sums, shape ``(k,)`` or ``(k, m)`` (m columns, e.g. one per language).
        counts: per-cluster row counts, same shape as ``sums``.
        resamples: number of resamples b.
        rng: numpy ``Generator`` or integer seed.

    Returns:
        Array of shape ``(b,)`` or ``(b, m)``. A column that drew no row in a resample is NaN there.
    """
    if sums.shape != counts.shape or sums.size == 0:
        raise DataError(f"sums has shape {sums.shape} and counts {counts.shape}; both must be alike and not empty.")
    positive_count(resamples, "resamples")
    with np.errstate(divide="ignore", invalid="ignore"):
        chunks = [(w @ sums) / (w @ counts) for w in cluster_weights(len(sums), resamples, generator(rng))]
    return np.concatenate(chunks)


def clustered_bootstrap(
    values: ArrayLike,
    clusters: Clusters | None = None,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    rng: Rng = 0,
    covers: tuple[str, ...] = ("items",),
    method: Method = "expanded",
) -> Interval:
    """Interval of the mean of ``values``, resampling whole clusters with replacement.

    Rows of one cluster (a question in 23 languages, two games on one prompt) are not independent; resampling rows would
    give intervals up to sqrt(cluster size) too narrow. Clusters may differ in size: the mean stays a mean over rows.

    Args:
        values: shape ``(n,)``, finite.
        clusters: n ids; ``None`` makes every row its own cluster (the ordinary bootstrap).
        resamples, level, rng: as their names say; ``rng`` is a ``Generator`` or an integer seed.
        covers: names of the noise the interval speaks for, stored in the result.
        method: ``"expanded"`` (percentile, corrected for few clusters) or ``"percentile"``.

    Returns:
        ``Interval`` whose ``n`` is the number of clusters. With one cluster the interval has zero width: nothing is
        known about the noise between clusters.

    Raises:
        DataError: empty, non-finite or mismatched input.
        ConfigError: a level, count or method that cannot be used.
    """
    check_level(level)
    totals = cluster_totals(values, clusters)
    draws = resampled_means(totals.sums, totals.counts, resamples=resamples, rng=rng)
    return percentile_interval(draws, totals.mean, n=len(totals), level=level, covers=covers, method=method)


def paired_differences(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """``first - second`` row by row, both of shape ``(n,)``; ``DataError`` when they cannot be paired."""
    a, b = finite_vector(first, "first"), finite_vector(second, "second")
    same_length(a, b, ("first", "second"))
    return a - b


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    clusters: Clusters | None = None,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    rng: Rng = 0,
    covers: tuple[str, ...] = ("items",),
    method: Method = "expanded",
) -> Interval:
    """Interval of ``mean(first - second)``, where row i of both is the same item (shape ``(n,)`` each).

    Pairing removes the difficulty of the items from the noise. Arguments and errors as in ``clustered_bootstrap``.
    """
    difference = paired_differences(first, second)
    return clustered_bootstrap(
        difference, clusters, resamples=resamples, level=level, rng=rng, covers=covers, method=method
    )
