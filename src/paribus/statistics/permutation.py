"""The sign-flip permutation test for paired differences, at the level of clusters."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import ConfigError
from paribus.statistics.arrays import Rng, generator, positive_count
from paribus.statistics.bootstrap import Clusters
from paribus.statistics.clusters import CHUNK_CELLS, cluster_totals
from paribus.statistics.errors_of_means import Alternative


@dataclass(frozen=True)
class TestResult:
    """A test's outcome. ``n``: clusters; ``method``: how the null distribution was made; ``resamples``: its size."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    statistic: float
    p_value: float
    n: int
    method: Literal["exact", "monte-carlo"]
    resamples: int


def sign_flip_test(
    differences: ArrayLike,
    clusters: Clusters | None = None,
    *,
    alternative: Alternative = "two-sided",
    resamples: int = 10_000,
    exact_limit: int = 14,
    rng: Rng = 0,
) -> TestResult:
    """Test that paired differences (shape ``(n,)``) are symmetric around zero; the statistic is their mean.

    If neither arm is better, the sign of a cluster's total is a coin toss. Up to ``exact_limit`` clusters with a
    non-zero total, all 2^k sign patterns are counted; beyond, ``resamples`` random ones, with p = (b + 1) / (m + 1),
    which never is zero and keeps the level exactly (Phipson and Smyth 2010). The whole of a cluster flips together.

    Raises:
        DataError: empty, non-finite or mismatched input.
        ConfigError: unknown alternative.
    """
    if alternative not in ("two-sided", "greater", "less"):
        raise ConfigError(f"The alternative is {alternative!r}; use 'two-sided', 'greater' or 'less'.")
    totals = cluster_totals(differences, clusters)
    moving = totals.sums[totals.sums != 0.0]
    observed = float(totals.sums.sum())
    if len(moving) <= exact_limit:
        hits, size = _count(_all_signs(len(moving)) @ moving, observed, moving, alternative), 2 ** len(moving)
        return TestResult(totals.mean, hits / size, len(totals), "exact", size)
    positive_count(resamples, "resamples")
    hits = _random_hits(moving, observed, alternative, resamples, generator(rng))
    return TestResult(totals.mean, (hits + 1) / (resamples + 1), len(totals), "monte-carlo", resamples)


def _all_signs(k: int) -> NDArray[np.float64]:
    bits = (np.arange(2**k)[:, None] >> np.arange(k)) & 1
    return 1.0 - 2.0 * bits.astype(np.float64)


def _random_hits(
    moving: NDArray[np.float64], observed: float, alternative: Alternative, resamples: int, rng: np.random.Generator
) -> int:
    rows = max(1, CHUNK_CELLS // len(moving))
    hits = 0
    for start in range(0, resamples, rows):
        size = (min(rows, resamples - start), len(moving))
        signs = rng.integers(0, 2, size=size, dtype=np.int8)
        hits += _count(2.0 * (signs @ moving) - moving.sum(), observed, moving, alternative)
    return hits


def _count(flipped: NDArray[np.float64], observed: float, moving: NDArray[np.float64], alternative: Alternative) -> int:
    # Equal totals summed in another order differ in the last bits; they must still count as equal.
    slack = 1e-12 * float(np.abs(moving).sum())
    if alternative == "greater":
        return int(np.count_nonzero(flipped >= observed - slack))
    if alternative == "less":
        return int(np.count_nonzero(flipped <= observed + slack))
    return int(np.count_nonzero(np.abs(flipped) >= abs(observed) - slack))
