"""An estimate with its interval, and how an interval is read off a set of resampled estimates."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError

Method = Literal["expanded", "percentile"]


@dataclass(frozen=True)
class Interval:
    """A number and the range that resampling (or theory) allows for it.

    Attributes:
        estimate: the statistic on the data as they are, in the unit of the values.
        low, high: the ends of the interval, same unit.
        level: nominal coverage, 0.95 for a 95% interval.
        n: independent units behind it: clusters where there are clusters, otherwise rows.
        covers: the sources of noise the interval speaks for, e.g. ``("items",)`` or ``("seeds", "items")``.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    covers: tuple[str, ...]

    def contains(self, value: float) -> bool:
        """Whether ``value`` lies inside the interval (ends included)."""
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """``high - low``."""
        return self.high - self.low


def check_level(level: float) -> float:
    """Return ``level`` if it is a coverage in (0, 1); raise ``ConfigError`` otherwise."""
    if not 0.0 < level < 1.0:
        raise ConfigError(f"The interval level is {level}; give a share between 0 and 1, such as 0.95.")
    return float(level)


def check_method(method: Method) -> Method:
    """Return ``method`` if it is known; raise ``ConfigError`` otherwise."""
    if method not in ("expanded", "percentile"):
        raise ConfigError(f"The interval method is {method!r}; use 'expanded' or 'percentile'.")
    return method


def tail_share(level: float, n: int, method: Method) -> float:
    """Probability mass cut from each tail of a resampling distribution of a mean over ``n`` independent units.

    ``"percentile"`` cuts ``(1 - level) / 2``. ``"expanded"`` cuts less, by the factor that makes the percentile
    interval of normal data as wide as Student's t interval: the bootstrap spread is too small by sqrt((n-1)/n) and its
    quantiles are normal ones (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.3). At
    n = 500 it is 0.3% wider; at n = 10 the plain one covers about 90% instead of 95%.
    """
    from scipy.special import ndtr, stdtrit

    check_level(level)
    tail = (1.0 - level) / 2.0
    if check_method(method) == "percentile":
        return tail
    if n < 2:
        return 0.0
    return float(ndtr(np.sqrt(n / (n - 1.0)) * stdtrit(n - 1, tail)))


def percentile_interval(
    draws: NDArray[np.float64],
    estimate: float,
    *,
    n: int,
    level: float = 0.95,
    covers: tuple[str, ...] = ("items",),
    method: Method = "expanded",
) -> Interval:
    """Read an ``Interval`` off ``draws`` (shape ``(resamples,)``), the statistic recomputed on each resample.

    NaN draws (a resample in which the statistic does not exist, such as a language that drew no row) are left out.
    """
    tail = tail_share(level, n, method)
    kept = draws[np.isfinite(draws)]
    if kept.size == 0:
        return Interval(float(estimate), float("nan"), float("nan"), level, n, covers)
    low, high = np.quantile(kept, [tail, 1.0 - tail])
    return Interval(float(estimate), float(low), float(high), float(level), int(n), tuple(covers))
