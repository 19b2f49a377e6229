"""Charts on two continuous axes: lines (monitors over steps) and scatter (cost against quality).

The drawing is an SVG stretched to the box it is in, with strokes that keep their width; axis texts are HTML beside it.
One drawing therefore serves every screen width, and its text is page text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.lab.results import Panel
from paribus.report.axes import Axis, axis_over, log_axis_over
from paribus.report.forest import panel_text
from paribus.report.formatting import Unit, decimals_of, show, show_interval, unit_of
from paribus.report.front import NARROW, WIDE, Box, Spot, pareto_front, place_labels, staircase
from paribus.report.grids import SERIES_COLOURS
from paribus.report.heat import Better

# A line is thinned to this many points (two per bucket: its lowest and highest), about one per two pixels.
MOST_POINTS = 300


@dataclass(frozen=True)
class Line:
    """One series: SVG path data in a 100 x 100 box, and the colour's number. ``dots`` is a path of round points."""

    name: str
    colour: int
    dashed: bool
    path: str
    dots: str
    last: str


@dataclass(frozen=True)
class Facet:
    """One small chart."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class Lines:
    """Small multiples with one legend; ``own_axes`` tells the reader that the vertical axes differ."""

    facets: tuple[Facet, ...]
    legend: tuple[tuple[str, int, bool], ...]
    own_axes: bool
    thinned: bool
    x_title: str
    y_title: str


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


def lines(panel: Panel) -> Lines:
    """Series over x, one small chart per facet. Charts share the vertical axis unless their ranges differ fivefold."""
    facets: dict[str, dict[str, list[tuple[float, float | None]]]] = {}
    for row in panel.rows:
        facets.setdefault(str(row.get("facet") or ""), {}).setdefault(str(row["series"]), []).append(
            (row["x"], row["y"])
        )
    names = list(dict.fromkeys(str(row["series"]) for row in panel.rows))
    x_axis = axis_over([row["x"] for row in panel.rows], pad=0.02, count=4)
    own_axes = _spans_differ([[y for line in series.values() for _, y in line] for series in facets.values()])
    units = {title: _facet_unit(panel, title, series) for title, series in facets.items()}
    common = [row["y"] for row in panel.rows]
    own_axes = own_axes or len(set(units.values())) > 1
    made = tuple(
        _facet(title, series, names, x_axis, None if own_axes else common, units[title])
        for title, series in facets.items()
    )
    thinned = any(len(line) > MOST_POINTS for series in facets.values() for line in series.values())
    legend = tuple((name, index % SERIES_COLOURS + 1, index >= SERIES_COLOURS) for index, name in enumerate(names))
    return Lines(made, legend, own_axes and len(facets) > 1, thinned, panel.x_title, panel.y_title)


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


def thin(points: Sequence[tuple[float, float | None]], most: int = MOST_POINTS) -> list[tuple[float, float | None]]:
    """At most ``most`` points that keep every bucket's lowest and highest y, so no spike is lost."""
    if len(points) <= most:
        return list(points)
    size = -(-len(points) * 2 // most)
    kept: list[tuple[float, float | None]] = []
    for start in range(0, len(points), size):
        bucket = [point for point in points[start : start + size] if point[1] is not None]
        ends = (
            {min(bucket, key=lambda p: p[1] or 0.0), max(bucket, key=lambda p: p[1] or 0.0)}
            if bucket
            else {points[start]}
        )
        kept.extend(sorted(ends, key=lambda p: p[0]))
    return kept


def _facet_unit(panel: Panel, title: str, series: Mapping[str, Sequence[tuple[float, float | None]]]) -> Unit:
    return unit_of(title or panel_text(panel), [y for line in series.values() for _, y in line])


def _facet(
    title: str,
    series: Mapping[str, list[tuple[float, float | None]]],
    names: Sequence[str],
    x_axis: Axis,
    common: Sequence[float | None] | None,
    unit: Unit,
) -> Facet:
    values = common if common is not None else [y for line in series.values() for _, y in line]
    y_axis = axis_over(values, unit=unit, count=4, pad=0.06)
    made = tuple(_line(name, names.index(name), series[name], x_axis, y_axis, unit) for name in names if name in series)
    return Facet(title, made, x_axis.labels(), y_axis.labels(unit))


def _line(
    name: str, index: int, points: list[tuple[float, float | None]], x_axis: Axis, y_axis: Axis, unit: Unit
) -> Line:
    kept = thin(sorted(points, key=lambda point: point[0]))
    path, dots, pen = [], [], "M"
    for x, y in kept:
        if y is None:
            pen = "M"
            continue
        place = f"{_trim(x_axis.at(x))} {_trim(100 - y_axis.at(y))}"
        path.append(pen + place)
        dots.append(f"M{place}h0")
        pen = "L"
    last = next((y for _, y in reversed(kept) if y is not None), None)
    few = len(kept) <= 24
    return Line(
        name,
        index % SERIES_COLOURS + 1,
        index >= SERIES_COLOURS,
        "".join(path),
        "".join(dots) if few else "",
        show(last, unit),
    )


def _front(panel: Panel) -> tuple[bool, ...]:
    if not panel.better:
        return (True,) * len(panel.rows)
    return pareto_front([(row["x"], row["y"]) for row in panel.rows], panel.better)


def _path(lines: Sequence[Box]) -> str:
    """SVG path data of lines in percent (y down in the drawing)."""
    return "".join(f"M{_trim(x)} {_trim(100 - y)}L{_trim(x2)} {_trim(100 - y2)}" for x, x2, y, y2 in lines)


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


def _spans_differ(groups: Sequence[Sequence[float | None]]) -> bool:
    """Whether one group's values would be flat on the axis of all: the common range is five times its own."""
    known = [[value for value in group if value is not None] for group in groups]
    known = [group for group in known if group]
    if len(known) < 2:
        return False
    everything = max(map(max, known)) - min(map(min, known))
    return any(everything > 5 * ((max(group) - min(group)) or everything) for group in known)


def _trim(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
