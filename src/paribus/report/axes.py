"""Axes: a range with round ticks, and where on it (in percent) a value sits."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from paribus.report.formatting import TIMES, Unit, show_bare
from paribus.report.front import LETTER, columns_of

# Powers of two up to here are written out as ticks; beyond, powers of ten are shorter.
MOST_WRITTEN_OUT = 2**17


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

    @property
    def log_unit(self) -> Unit:
        """How ticks of a logarithmic axis of plain numbers are written: as counts (1 M) where some are large."""
        return "count" if max(self.ticks) > MOST_WRITTEN_OUT else "number"

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


def fitted_log_axis(values: Iterable[float], width: float, *, marks: Iterable[float]) -> Axis:
    """A logarithmic axis with as many ticks as have texts that keep apart on ``width`` rem.

    Ticks are powers of two where all ``marks`` (the values of x that the series have: widths, say) are, else of ten.
    """
    axis, swept = log_axis_over(values), list(marks)
    in_twos = all(mark in _powers_of_two(1, MOST_WRITTEN_OUT) for mark in swept)
    wanted = _thinner(_powers_of_two(axis.low, axis.high)) if in_twos else _decades(axis.low, axis.high)
    axes = (Axis(axis.low, axis.high, ticks, log=True) for ticks in (*wanted, *_thinner(axis.ticks)) if len(ticks) > 1)
    lone = Axis(axis.low, axis.high, axis.ticks[:1], log=True)
    return next((made for made in axes if _keep_apart(made.labels(made.log_unit), width)), lone)


def _powers_of_two(low: float, high: float) -> tuple[float, ...]:
    return tuple(2.0**power for power in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1))


def _decades(low: float, high: float) -> Iterator[tuple[float, ...]]:
    """Ticks from low to high, ever fewer: 1-2-5, 1-3, powers of ten, every second power and so on."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for steps in ((1, 2, 5), (1, 3)):
        yield tuple(tick for power in powers for step in steps if low <= (tick := step * power) <= high)
    yield from _thinner(tuple(power for power in powers if low <= power <= high))


def _thinner(ticks: tuple[float, ...]) -> Iterator[tuple[float, ...]]:
    """All of the ticks, every second one, every third one and so on."""
    yield from (ticks[::stride] for stride in range(1, len(ticks) + 1))


def _keep_apart(labels: list[tuple[float, str]], width: float) -> bool:
    """Whether the texts of neighbouring ticks have a letter between them on an axis ``width`` rem long."""
    return all(
        (there - here) * width / 100 >= LETTER * (1 + (columns_of(text) + columns_of(other)) / 2)
        for (here, text), (there, other) in pairwise(labels)
    )


def trim(value: float) -> str:
    """A position for SVG path data: two decimals, and none that it does not need."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


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
