"""Line charts: series over x with bands, single runs, references and bounds, as small multiples.

The drawing is an SVG stretched to the box it is in, with strokes that keep their width; axis texts are HTML beside it.
One drawing therefore serves every screen width, and its text is page text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from paribus.lab.results import Panel
from paribus.report.axes import Axis, axis_over, fitted_log_axis, trim
from paribus.report.forest import panel_text
from paribus.report.formatting import Unit, show, unit_of
from paribus.report.grids import SERIES_COLOURS
from paribus.report.line_rows import BOUND, REFERENCE, RUN, SERIES, role_of
from paribus.report.margins import End, Flag, margin_for, narrowest, place_ends, place_flags

# A line is thinned to this many points (two per bucket: its lowest and highest), about one per two pixels. Up to
# MOST_DOTS of them are dots as well, but not on references: a theory is no set of measurements.
MOST_POINTS = 300
MOST_DOTS = 24
DASHES = 5

# Drawn first lies lowest.
LAYERS = (RUN, REFERENCE, SERIES)

PointLike = TypeVar("PointLike", bound=Sequence[float | None])


class Place(NamedTuple):
    """A point of a curve, with its interval."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None


class Curve(NamedTuple):
    """What the points of one line have in common; ``of`` is the series of a run."""

    role: str
    of: str
    name: str


@dataclass(frozen=True)
class Line:
    """One line: SVG path data in a 100 x 100 box. ``style`` holds its CSS classes, ``dots`` is a path of round points.

    ``band`` is a path around its intervals; dots and band may be empty.
    """

    name: str
    style: str
    path: str
    dots: str
    band: str
    last: str


@dataclass(frozen=True)
class Facet:
    """One small chart, the names beside the ends of its references, and its bounds."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    ends: tuple[End, ...]
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class Key:
    """An entry of the legend: its name, CSS classes and the SVG path data (20 x 8) of its sign."""

    name: str
    style: str
    path: str


@dataclass(frozen=True)
class Lines:
    """Small multiples with one legend; ``own_axes`` tells the reader that the vertical axes differ.

    ``margin`` and ``strip`` are the room in rem beside and above every chart for the names of references and bounds.
    """

    facets: tuple[Facet, ...]
    legend: tuple[Key, ...]
    own_axes: bool
    thinned: bool
    log: bool
    x_title: str
    y_title: str
    margin: float
    strip: float


@dataclass(frozen=True)
class Frame:
    """The axes of one chart; ``unit`` is that of y."""

    x: Axis
    y: Axis
    unit: Unit

    def at(self, x: float, y: float) -> str:
        """A position as SVG path data, y down."""
        return f"{trim(self.x.at(x))} {trim(100 - self.y.at(y))}"


Curves = Mapping[Curve, Sequence[Place]]


def lines(panel: Panel) -> Lines:
    """Series over x, one small chart per facet. Charts share the vertical axis unless their ranges differ fivefold.

    Facets of one share (the panel's y title names it: accuracy) always share it, so that a flat line stays flat.
    """
    facets, styles = _facets(panel), _styles(panel)
    margin = margin_for([curve.name for curve in styles if curve.role == REFERENCE])
    width = narrowest(named=margin, single=len(facets) == 1)
    frames, own_axes = _frames(panel, facets, _x_axis(panel, width))
    bounds = _bounds(panel)
    made = tuple(
        _facet(title, curves, styles, frames[title], [b[1:] for b in bounds if b[0] in ("", title)], width)
        for title, curves in facets.items()
    )
    return Lines(
        made,
        _legend(panel, styles),
        own_axes=own_axes and len(facets) > 1,
        thinned=any(len(places) > MOST_POINTS for curves in facets.values() for places in curves.values()),
        log=panel.x_scale == "log",
        x_title=panel.x_title,
        y_title=panel.y_title,
        margin=margin,
        strip=max((flag.top for facet in made for flag in facet.flags), default=0.0),
    )


def thin(points: Sequence[PointLike], most: int = MOST_POINTS) -> list[PointLike]:
    """At most ``most`` points (x, y, ...) that keep every bucket's lowest and highest y, so no spike is lost."""
    if len(points) <= most:
        return list(points)
    size = -(-len(points) * 2 // most)
    kept: list[PointLike] = []
    for start in range(0, len(points), size):
        bucket = [point for point in points[start : start + size] if point[1] is not None]
        lowest, highest = (end(bucket or points[start : start + 1], key=_height) for end in (min, max))
        kept.extend([lowest] if lowest is highest else sorted((lowest, highest), key=lambda point: point[0] or 0.0))
    return kept


def _height(point: Sequence[float | None]) -> float:
    return point[1] or 0.0


def _curve(row: Mapping[str, Any]) -> Curve:
    role = role_of(row)
    return Curve(role, str(row["of"]) if role == RUN else "", str(row["series"]))


def _facets(panel: Panel) -> dict[str, dict[Curve, list[Place]]]:
    """Curves by facet, in order of first appearance; a bound makes no facet of its own unless it names one."""
    facets: dict[str, dict[Curve, list[Place]]] = {}
    for row in panel.rows:
        curve, title = _curve(row), str(row.get("facet") or "")
        if curve.role != BOUND:
            place = Place(row["x"], row["y"], row.get("low"), row.get("high"))
            facets.setdefault(title, {}).setdefault(curve, []).append(place)
        elif title:
            facets.setdefault(title, {})
    return facets or {"": {}}


def _styles(panel: Panel) -> dict[Curve, str]:
    """CSS classes of every curve, in the order of drawing: a colour for each series, which its runs share."""
    curves = dict.fromkeys(curve for curve in map(_curve, panel.rows) if curve.role != BOUND)
    colours = {c.name: _colour(i) for i, c in enumerate(c for c in curves if c.role == SERIES)}
    dashes = {c: f"compared dash{i % DASHES + 1}" for i, c in enumerate(c for c in curves if c.role == REFERENCE)}
    runs = {c: f"{colours[c.of]} run" for c in curves if c.role == RUN}
    styles = {**{c: colours[c.name] for c in curves if c.role == SERIES}, **dashes, **runs}
    return {c: styles[c] for c in sorted(curves, key=lambda curve: LAYERS.index(curve.role))}


def _colour(index: int) -> str:
    return f"k{index % SERIES_COLOURS + 1}{' dashed' if index >= SERIES_COLOURS else ''}"


def _x_axis(panel: Panel, width: float) -> Axis:
    xs = [row["x"] for row in panel.rows]
    if panel.x_scale == "linear":
        return axis_over(xs, pad=0.02, count=4)
    return fitted_log_axis(xs, width, marks={row["x"] for row in panel.rows if role_of(row) != BOUND})


def _frames(panel: Panel, facets: Mapping[str, Curves], x_axis: Axis) -> tuple[dict[str, Frame], bool]:
    """The axes of every facet, and whether each has a vertical axis of its own."""
    ends = {title: _ends(curves.values()) for title, curves in facets.items()}
    units = {title: _unit(panel, title, ends[title]) for title in facets}
    common = [end for group in ends.values() for end in group]
    one_measure = bool(panel.y_title) and unit_of(panel.y_title, common) == "share"
    own = len(set(units.values())) > 1 or (not one_measure and _spans_differ(list(ends.values())))
    frames = {
        title: Frame(x_axis, axis_over(ends[title] if own else common, unit=unit, count=4, pad=0.06), unit)
        for title, unit in units.items()
    }
    return frames, own


def _ends(curves: Iterable[Sequence[Place]]) -> list[float | None]:
    return [end for curve in curves for place in curve for end in (place.y, place.low, place.high)]


def _unit(panel: Panel, title: str, values: Sequence[float | None]) -> Unit:
    """The unit that the facet's title speaks of or, where it names none, that of the panel."""
    unit = unit_of(title or panel_text(panel), values)
    return unit_of(panel.y_title or panel_text(panel), values) if unit == "number" else unit


def _bounds(panel: Panel) -> list[tuple[str, str, float]]:
    """(facet or "" for all, name, x) of every bound."""
    return [(str(row.get("facet") or ""), str(row["series"]), row["x"]) for row in panel.rows if role_of(row) == BOUND]


def _legend(panel: Panel, styles: Mapping[Curve, str]) -> tuple[Key, ...]:
    """Series by colour, and what faint lines and bands are. References and bounds are named where they are."""
    keys = [Key(curve.name, style, "M0 4H20") for curve, style in styles.items() if curve.role == SERIES]
    if any(curve.role == RUN for curve in styles):
        keys.append(Key("single runs", "run", "M0 4H20"))
    if any(row.get("low") is not None for row in panel.rows):
        keys.append(Key("interval", "spread", "M0 0H20V8H0z"))
    return tuple(keys)


def _facet(
    title: str,
    curves: Curves,
    styles: Mapping[Curve, str],
    frame: Frame,
    bounds: Sequence[tuple[str, float]],
    width: float,
) -> Facet:
    kept = {c: thin(sorted(curves[c], key=lambda place: place.x)) for c in styles if c in curves}
    return Facet(
        title,
        tuple(_line(curve, styles[curve], places, frame) for curve, places in kept.items()),
        frame.x.labels(frame.x.log_unit if frame.x.log else "number"),
        frame.y.labels(frame.unit),
        place_ends([end for c, places in kept.items() if c.role == REFERENCE for end in _end(c.name, places, frame)]),
        place_flags([(name, frame.x.at(x)) for name, x in bounds], width),
    )


def _end(name: str, places: Sequence[Place], frame: Frame) -> list[tuple[str, float, float]]:
    """The (name, x, y) in percent where a line ends; none for a line without any y."""
    return [(name, frame.x.at(x), frame.y.at(y)) for x, y, *_ in places if y is not None][-1:]


def _line(curve: Curve, style: str, places: Sequence[Place], frame: Frame) -> Line:
    path, dots, pen, last = [], [], "M", None
    for x, y, *_ in places:
        if y is None:
            pen = "M"
            continue
        path.append(pen + frame.at(x, y))
        dots.append(f"M{frame.at(x, y)}h0")
        pen, last = "L", y
    shown = "".join(dots) if len(places) <= (1 if curve.role == REFERENCE else MOST_DOTS) else ""
    return Line(curve.name, style, "".join(path), shown, _band(places, frame), show(last, frame.unit))


def _band(places: Sequence[Place], frame: Frame) -> str:
    """One closed shape per stretch of points with an interval: along the high ends and back along the low ones."""
    stretches: list[list[tuple[str, str]]] = [[]]
    for x, _, low, high in places:
        if low is None or high is None:
            stretches.append([])
        else:
            stretches[-1].append((frame.at(x, high), frame.at(x, low)))
    shapes = ([high for high, _ in stretch] + [low for _, low in reversed(stretch)] for stretch in stretches if stretch)
    return "".join(f"M{'L'.join(corners)}z" for corners in shapes)


def _spans_differ(groups: Sequence[Sequence[float | None]]) -> bool:
    """Whether one group's values would be flat on the axis of all: the common range is five times its own."""
    known = [[value for value in group if value is not None] for group in groups]
    known = [group for group in known if group]
    if len(known) < 2:
        return False
    everything = max(map(max, known)) - min(map(min, known))
    return any(everything > 5 * ((max(group) - min(group)) or everything) for group in known)
