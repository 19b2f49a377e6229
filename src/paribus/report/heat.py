"""How heat map cells compare: which colour a value gets, and which cells of a column are its best."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Literal

Better = Literal["", "more", "less"]
Standing = Literal["", "best", "tied"]
Colour = Callable[[float], tuple[str, int]]


@dataclass(frozen=True)
class Entry:
    """What a heat map cell is made from. ``label`` replaces the value's text; ``mark`` names what is wrong with it."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    label: str | None = None
    mark: str = ""


def values_of(entries: Iterable[Entry]) -> list[float]:
    """The values that are there."""
    return [entry.value for entry in entries if entry.value is not None]


def one_sided(pale: float, strong: float) -> Colour:
    """One hue from ``pale`` (0) to ``strong`` (100), whichever of them is larger; beyond the ends it stays theirs."""
    span = (strong - pale) or 1.0
    return lambda value: ("up", round(100 * min(1.0, max(0.0, (value - pale) / span))))


def two_sided(top: float, better: Better) -> Colour:
    """Two hues around zero, both full at ``top``; where less is better the negative side takes the first."""
    first = "down" if better == "less" else "up"
    second = "up" if better == "less" else "down"
    return lambda value: (first if value >= 0 else second, round(100 * abs(value) / top))


def column_colour(values: Sequence[float], better: Better) -> Colour:
    """The strongest colour to the best value of a column, the palest to its worst within Tukey's fence.

    The fence (quartile plus 1.5 interquartile ranges) keeps one hopeless arm from washing out all others.
    """
    signed = [value if better == "more" else -value for value in values]
    if not signed:
        return one_sided(0.0, 1.0)
    best, worst = max(signed), min(signed)
    if len(signed) >= 4:
        lower, _, upper = quantiles(signed, n=4, method="inclusive")
        inside = min((value for value in signed if value >= lower - 1.5 * (upper - lower)), default=best)
        worst = inside if inside < best else worst
    sign = 1 if better == "more" else -1
    return one_sided(sign * worst, sign * best)


def standings(column: Sequence[Entry], better: Better) -> list[Standing]:
    """Per cell: "best" (all equal best ones), "tied" where its interval overlaps that of a best one, or nothing."""
    values = values_of(column)
    if not better or not values:
        return [""] * len(column)
    best = max(values) if better == "more" else min(values)
    winners = [entry for entry in column if entry.value == best]
    return [
        "best" if entry.value == best else "tied" if any(_overlap(entry, other) for other in winners) else ""
        for entry in column
    ]


def _overlap(one: Entry, other: Entry) -> bool:
    if one.value is None or one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high
