"""Intervals for shares of independent yes/no rows."""

import numpy as np

from paribus.errors import DataError
from paribus.statistics.arrays import positive_count
from paribus.statistics.interval import Interval, check_level


def wilson(successes: int, n: int, *, level: float = 0.95, covers: tuple[str, ...] = ("items",)) -> Interval:
    """Wilson's score interval for ``successes`` out of ``n`` independent rows (Wilson 1927).

    Stays inside [0, 1] and keeps its level near 0 and 1, where the bootstrap of 0 out of n has no width at all. Rows
    that share a question are not independent: use ``clustered_bootstrap`` there.
    """
    from scipy.special import ndtri

    positive_count(n, "n")
    if not 0 <= successes <= n:
        raise DataError(f"There are {successes} successes in {n} rows; give a count between 0 and {n}.")
    z = float(ndtri(0.5 + check_level(level) / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    # At 0 and n the ends are exactly 0 and 1; rounding must not leave the share outside its own interval.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), level, n, covers)
