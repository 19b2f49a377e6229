"""Axes: a range with round ticks, and where on it (in percent) a value sits."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from paribus.report.formatting import TIMES, Unit, show_bare


@dataclass(frozen=True)
class Axis:
    """A linear or base-10 logarithmic range [low, high] in the values' own unit."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """The position of ``value`` along the axis in percent, rounded to 0.01 (finer than a pixel)."""
        low, high, here = (
            (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return round(min(100.0, max(0.0, 100 * (here - low) / (high - low))), 2)

    def labels(self, unit: Unit = "number") -> list[tuple[float, str]]:
        """(position in percent, text) of every tick; shares lose needless decimals."""
        return [(self.at(tick), _tick_text(tick, self.ticks, unit)) for tick in self.ticks]


def axis_over(values: Iterable[float | None], *, unit: Unit = "number", count: int = 5, pad: float = 0.04) -> Axis:
    """A linear axis with about ``count`` round ticks over all ``values``; shares never leave [0, 1]."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low < 1e-12 * max(1.0, abs(high)):
        margin = abs(high) * 0.1 or 0.5
        low, high = low - margin, high + margin
    room = pad * (high - low)
    low, high = low - room, high + room
    if unit == "share":
        low, high = max(0.0, low), min(1.0, high)
    return Axis(low, high, _round_ticks(low, high, count))


def log_axis_over(values: Iterable[float]) -> Axis:
    """A base-10 logarithmic axis over positive ``values`` with ticks at powers of ten (1-2-5 over short ranges).

    Where fewer than three of those fall on the axis its ticks are the round ones of a linear axis.
    """
    known = list(values)
    low, high = min(known) / 1.2, max(known) * 1.2
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1.0,) if math.log10(high / low) > 3 else (1.0, 2.0, 5.0) if math.log10(high / low) < 2 else (1.0, 3.0)
    ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
    return Axis(low, high, tuple(ticks) if len(ticks) > 2 else _round_ticks(low, high, 4), log=True)


def _round_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / count))
    step = min((scale * power for scale in (1, 2, 5, 10)), key=lambda size: abs(span / size - count))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(index * step, 12) for index in range(first, last + 1))


def _tick_text(tick: float, ticks: tuple[float, ...], unit: Unit) -> str:
    """A tick with the decimals that tell the ticks apart, and none that it does not need."""
    gap = min((high - low for low, high in pairwise(ticks)), default=1.0)
    if unit in ("share", "points"):
        text = show_bare(100 * tick, "number" if unit == "share" else "change", _decimals(100 * gap))
        return text + ("%" if unit == "share" else "")
    if unit in ("flops", "count", "seconds") or (abs(tick) >= 10_000 and gap > max(map(abs, ticks)) / 100):
        text = show_bare(tick, "count" if unit == "number" else unit)
        return text.removesuffix("FLOP").strip()
    decimals = _decimals(gap)
    text = show_bare(tick, unit, decimals if decimals < 7 else None)
    return text.rstrip("0").rstrip(".") if "." in text and TIMES not in text else text


def _decimals(gap: float) -> int:
    """How many decimals a round step has: 2 for 0.05."""
    return max(0, math.ceil(-math.log10(gap) - 1e-9))
