"""The k-th largest magnitude of a stream too long to hold: exact, two passes, half a megabyte.

The bits of a non-negative float order like its value, so a histogram of the upper half of the bits finds the bin of the
k-th largest, and a histogram of the lower half inside that bin finds the value itself (radix select).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

_BINS = 1 << 16
Stream = Callable[[], Iterable[torch.Tensor]]


@dataclass(frozen=True)
class Threshold:
    """``value``: the k-th largest magnitude. ``at``: how many entries exactly there are among the k largest."""

    value: float
    at: int


class Histogram:
    """Counts of the upper 16 bits of |x|, later of the lower 16 bits inside one upper bin."""

    def __init__(self, k: int) -> None:
        self.k = k
        self._counts: NDArray[np.int64] = np.zeros(_BINS, dtype=np.int64)
        self._bin = -1
        self._above = 0

    def add(self, values: torch.Tensor) -> None:
        """Count a float32 stretch."""
        bits = values.abs().view(torch.int32)
        upper = bits >> 16
        if self._bin < 0:
            self._counts += torch.bincount(upper, minlength=_BINS).numpy()
        else:
            lower = bits[upper == self._bin] & 0xFFFF
            self._counts += torch.bincount(lower, minlength=_BINS).numpy()

    def narrow(self) -> None:
        """End of the first pass: fix the bin that the k-th largest lies in."""
        self._bin, self._above = self._locate(0)
        self._counts[:] = 0

    def threshold(self) -> Threshold:
        """End of the second pass."""
        lower, above = self._locate(self._above)
        bits = np.array([(self._bin << 16) | lower], dtype=np.int32)
        return Threshold(float(bits.view(np.float32)[0]), self.k - above)

    def _locate(self, above: int) -> tuple[int, int]:
        """The bin of the k-th largest, and how many entries lie above that bin."""
        from_top = np.cumsum(self._counts[::-1]) + above
        place = int(np.searchsorted(from_top, self.k))
        bin_ = _BINS - 1 - place
        return bin_, int(from_top[place] - self._counts[bin_])


def kth_largest(stream: Stream, k: int) -> Threshold:
    """The k-th largest magnitude (k >= 1, at most the number of entries) of what ``stream()`` yields, asked twice."""
    histogram = Histogram(k)
    for values in stream():
        histogram.add(values)
    histogram.narrow()
    for values in stream():
        histogram.add(values)
    return histogram.threshold()
