"""Scatter charts: what an arm costs against what it gives, with the Pareto front and labels that stay apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.lab.results import Panel
from paribus.report.axes import Axis, axis_over, log_axis_over, trim
from paribus.report.forest import panel_text
from paribus.report.formatting import Unit, decimals_of, show, show_interval, unit_of
from paribus.report.front import NARROW, WIDE, Box, Spot, pareto_front, place_labels, staircase
from paribus.report.heat import Better


@dataclass(frozen=True)
class Point:
    """A numbered point with its vertical interval, and the texts of its line in the key.

    ``beaten``: another point costs no more and is at least as good (never where the panel ranks nothing).
    """

    number: int
    label: str
    x: float
    y: float
    low: float | None
    high: float | None
    x_text: str
    y_text: str
    interval: str
    beaten: bool


@dataclass(frozen=True)
class Scatter:
    """Numbered points and their key; ``front`` is SVG path data of the Pareto front, empty where nothing is ranked.

    ``labels`` holds the points' labels for "narrow" and for "wide" screens.
    """

    points: tuple[Point, ...]
    labels: tuple[tuple[str, list[Spot]], ...]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    log: bool
    x_title: str
    y_title: str
    front: str
    better: Better


def scatter(panel: Panel) -> Scatter:
    """Numbered points with a key below; x turns logarithmic when it spans more than a factor of 30.

    With ``better`` x is what is spent: logarithmic from a factor of 2 on, and the Pareto front is drawn over the rows.
    """
    xs = [row["x"] for row in panel.rows]
    log = bool(xs) and min(xs) > 0 and max(xs) / min(xs) > (2 if panel.better else 30)
    ends = [row.get(end) for row in panel.rows for end in ("y", "low", "high")]
    units = unit_of(panel.x_title, xs), unit_of(panel.y_title or panel_text(panel), ends)
    x_axis = log_axis_over(xs) if log else axis_over(xs, unit=units[0])
    y_axis = axis_over(ends, unit=units[1])
    places = [(x_axis.at(row["x"]), y_axis.at(row["y"])) for row in panel.rows]
    best = _front(panel)
    by_cost = sorted(zip(xs, places, best, strict=True))
    steps = staircase(place for _, place, on in by_cost if on) if panel.better else []
    decimals = decimals_of((row.get("low"), row.get("high")) for row in panel.rows)
    points = tuple(
        _point(number, row, (x_axis, y_axis), units, decimals, not on)
        for number, (row, on) in enumerate(zip(panel.rows, best, strict=True), start=1)
    )
    labels = _labels(points, bool(panel.better), steps)
    ticks = x_axis.labels(units[0]), y_axis.labels(units[1])
    return Scatter(points, labels, *ticks, log, panel.x_title, panel.y_title, _path(steps), panel.better)


def _labels(points: Sequence[Point], ranked: bool, steps: Sequence[Box]) -> tuple[tuple[str, list[Spot]], ...]:
    """Numbers for narrow screens; on wide ones the points of the front carry their names."""
    places = [(point.x, point.y) for point in points]
    stems = [(p.x, p.x, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    nameless = [""] * len(points)
    names = [point.label if ranked and not point.beaten else "" for point in points]
    return (
        ("narrow", place_labels(places, nameless, [*steps, *stems], NARROW)),
        ("wide", place_labels(places, names, [*steps, *stems], WIDE)),
    )


def _front(panel: Panel) -> tuple[bool, ...]:
    if not panel.better:
        return (True,) * len(panel.rows)
    return pareto_front([(row["x"], row["y"]) for row in panel.rows], panel.better)


def _path(lines: Sequence[Box]) -> str:
    """SVG path data of lines in percent (y down in the drawing)."""
    return "".join(f"M{trim(x)} {trim(100 - y)}L{trim(x2)} {trim(100 - y2)}" for x, x2, y, y2 in lines)


def _point(
    number: int,
    row: Mapping[str, Any],
    axes: tuple[Axis, Axis],
    units: tuple[Unit, Unit],
    decimals: int | None,
    beaten: bool,
) -> Point:
    low, high = row.get("low"), row.get("high")
    return Point(
        number,
        str(row["label"]),
        axes[0].at(row["x"]),
        axes[1].at(row["y"]),
        None if low is None else axes[1].at(low),
        None if high is None else axes[1].at(high),
        show(row["x"], units[0]),
        show(row["y"], units[1], decimals),
        "" if low is None else show_interval(low, high, units[1], decimals),
        beaten,
    )
