"""Names around a chart of lines: beside the ends of its reference lines, and on its bounds as flags above it.

Lengths are in rem and taken on the narrowest drawing area that the page gives a chart, so that what is apart there is
apart everywhere. Text is broken here, not by the browser, because its height must be known before it is placed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

from paribus.report.front import LETTER, LINE, columns_of

# What a chart has at least (a small multiple, one with names beside it, a single one on a phone), and its y ticks.
SMALL, NAMED, Y_TICKS = 16.5, 20.0, 3.1
LOWEST_PLOT = 11.0
GAP, GROUND = 0.5, 0.25
END_LETTERS, FEWEST_LETTERS = 15, 8

Side = Literal["east", "west"]
Stretch = tuple[float, float]  # from left to right, in rem


@dataclass(frozen=True)
class End:
    """A line's name beside its end: the end's place (x, y) and the height ``at`` of the name's middle, in percent."""

    name: tuple[str, ...]
    x: float
    y: float
    at: float


@dataclass(frozen=True)
class Flag:
    """A bound's vertical line at ``x`` percent and its name, ``level`` rem above the chart, to the side of the line.

    The line reaches ``top`` rem above the chart.
    """

    name: tuple[str, ...]
    x: float
    side: Side
    level: float
    top: float


def broken(name: str, letters: int) -> tuple[str, ...]:
    """The name in lines of about ``letters`` letters; a wide letter (Chinese, say) counts as two."""
    widest = letters * len(name) // max(1, columns_of(name))
    return tuple(wrap(name, max(2, widest))) or ("",)


def margin_for(names: Sequence[str]) -> float:
    """The room in rem to the right of a chart that the names of its reference lines need; 0 without any."""
    parts = [part for name in names for part in broken(name, END_LETTERS)]
    return round(GAP + 0.3 + LETTER * max(map(columns_of, parts)), 2) if parts else 0.0


def narrowest(*, named: float, single: bool) -> float:
    """The width in rem of the narrowest drawing area: ``named`` is the room for names beside it, if any."""
    return (NAMED if named or single else SMALL) - Y_TICKS - (named or 0.9)


def place_ends(ends: Sequence[tuple[str, float, float]]) -> tuple[End, ...]:
    """Names of (name, x, y) beside their ends, moved up or down as little as keeps them apart.

    The heights minimise the sum of squared moves (pooling neighbours that would overlap), within the chart's height.
    More names than that height holds come closer together.
    """
    ordered = sorted(ends, key=lambda end: end[2])
    names = [broken(name, END_LETTERS) for name, *_ in ordered]
    heights = [LINE * len(name) for name in names]
    scale = 100 / max(LOWEST_PLOT, sum(heights))
    middles = _spread([y for *_, y in ordered], [scale * height for height in heights])
    return tuple(End(name, x, y, round(at, 2)) for name, (_, x, y), at in zip(names, ordered, middles, strict=True))


def _spread(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Middles of boxes of these heights, in order, apart, in 0 to 100, nearest to the wanted ones (which ascend)."""
    offsets = [sum(heights[:index]) + height / 2 for index, height in enumerate(heights)]
    free = max(0.0, 100.0 - sum(heights))
    pools: list[list[float]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        pools.append([want - offset])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    starts = [min(free, max(0.0, _mean(pool))) for pool in pools for _ in pool]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def place_flags(bounds: Sequence[tuple[str, float]], width: float) -> tuple[Flag, ...]:
    """Flags of (name, x in percent) on a drawing area ``width`` rem wide; each on the lowest level where it is free.

    A flag flies to the side with more room. Flags are placed from the middle outwards, so that the line of one passes
    beside those below it.
    """
    placed: list[tuple[Flag, Stretch]] = []
    for name, x in sorted(bounds, key=lambda bound: abs(bound[1] - 50.0)):
        side = _side(x)
        lines, stretch = _flown(name, x, side, width)
        level, height = GROUND, LINE * len(lines)
        while (above := _next_level(stretch, level, height, placed)) > level:
            level = above
        placed.append((Flag(lines, x, side, round(level, 2), round(level + height, 2)), stretch))
    return tuple(flag for flag, _ in placed)


def _side(x: float) -> Side:
    return "east" if x <= 50 else "west"


def _flown(name: str, x: float, side: Side, width: float) -> tuple[tuple[str, ...], Stretch]:
    """The lines of a flag's name, and the stretch that they cover."""
    room = width * max(x, 100.0 - x) / 100
    lines = broken(name, max(FEWEST_LETTERS, int(room / LETTER)))
    long, here = GAP + LETTER * max(map(columns_of, lines)), width * x / 100
    return lines, (here, here + long) if side == "east" else (here - long, here)


def _next_level(stretch: Stretch, level: float, height: float, placed: Sequence[tuple[Flag, Stretch]]) -> float:
    """The top of the flags that are in the way at ``level``, or ``level`` itself where none is."""
    met = [
        other.top
        for other, (left, right) in placed
        if left < stretch[1] and stretch[0] < right and other.level < level + height and level < other.top
    ]
    return max(met, default=level)
