"""Clusters: rows that belong together (the 23 translations of one question) and must be resampled together."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import DataError
from paribus.statistics.arrays import finite_vector, same_length

# A chunk of resampling weights takes at most about this many float64 cells (32 MiB), whatever the number of resamples.
CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class ClusterTotals:
    """Per-cluster sums and counts: all that resampling a mean needs. Both arrays have shape ``(clusters,)``."""

    sums: NDArray[np.float64]
    counts: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The mean over rows."""
        return float(self.sums.sum() / self.counts.sum())

    def __len__(self) -> int:
        return len(self.sums)


def cluster_codes(clusters: Sequence[Hashable] | NDArray[np.generic]) -> tuple[NDArray[np.int64], int]:
    """Number the cluster ids 0..k-1 in order of first appearance. Returns codes of shape ``(n,)`` and ``k``.

    Order of appearance (not sorted order) lets ids of any hashable type mix. ``None`` and NaN ids raise ``DataError``.
    """
    ids = clusters.tolist() if isinstance(clusters, np.ndarray) else clusters
    seen: dict[Hashable, int] = {}
    codes = np.empty(len(ids), dtype=np.int64)
    for row, cluster in enumerate(ids):
        if cluster is None or cluster != cluster:
            raise DataError(f"The cluster id at position {row} is {cluster!r}; every row needs the id of its question.")
        codes[row] = seen.setdefault(cluster, len(seen))
    return codes, len(seen)


def cluster_totals(
    values: ArrayLike, clusters: Sequence[Hashable] | NDArray[np.generic] | None = None
) -> ClusterTotals:
    """Sum ``values`` (shape ``(n,)``) within clusters; without ``clusters`` every row is its own cluster."""
    vector = finite_vector(values)
    if clusters is None:
        return ClusterTotals(vector, np.ones_like(vector))
    same_length(vector, clusters, ("values", "clusters"))
    codes, k = cluster_codes(clusters)
    sums = np.bincount(codes, vector, minlength=k).astype(np.float64)
    return ClusterTotals(sums, np.bincount(codes, minlength=k).astype(np.float64))


def cluster_weights(k: int, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """How often each of ``k`` clusters is drawn in each resample, in chunks of shape ``(rows, k)``.

    Every row is one draw of ``k`` clusters with replacement (multinomial counts, row sum ``k``). A statistic that is a
    function of weighted sums then costs one matrix product per chunk. Counting uniform draws is about seven times
    faster than numpy's ``multinomial`` here (measured at k = 500).
    """
    rows = max(1, CHUNK_CELLS // k)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        draws = rng.integers(0, k, size=(size, k))
        draws += np.arange(size)[:, None] * k
        yield np.bincount(draws.ravel(), minlength=size * k).reshape(size, k).astype(np.float64)
