"""Row charts: a label, a track with a dot and its interval, and the figures. Ladders, interval panels and contrasts.

They are HTML boxes placed in percent, so the text keeps its size and can be selected at every width, from a phone to
paper, and the colours follow the page.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.lab.results import ContrastResult, Panel
from paribus.report.axes import axis_over
from paribus.report.formatting import MINUS, Unit, decimals_of, difference_unit, show, show_estimate, unit_of
from paribus.report.writing import writing_of


@dataclass(frozen=True)
class ForestRow:
    """One row: positions in percent of the track, and the texts beside it."""

    label: str
    detail: str
    at: float
    low: float | None
    high: float | None
    value: str
    interval: str
    start: float | None = None
    change: str = ""
    rises: bool = True
    tone: str = ""
    shift: int = 0
    code: str = ""
    band: tuple[float, float] | None = None


@dataclass(frozen=True)
class Forest:
    """A whole row chart. ``references`` are vertical lines at percents of the track, with their texts."""

    groups: tuple[tuple[str, tuple[ForestRow, ...]], ...]
    ticks: list[tuple[float, str]]
    references: tuple[tuple[float, str], ...] = ()
    axis_title: str = ""
    note: str = ""


def ladder(panel: Panel) -> Forest:
    """Rungs from top to bottom; the bar of each rung runs from the rung it stands on to its own value.

    A rung stands on the same arm's row in the step before or, if that step has no such arm, on that step's first row.
    Rows of single languages are left out here (they are in the tables below the chart).
    """
    rows = [row for row in panel.rows if row.get("language") in (None, "", "all")] or list(panel.rows)
    unit = unit_of(panel_text(panel), _ends(rows))
    axis = axis_over(_ends(rows), unit=unit)
    decimals = decimals_of((row["low"], row["high"]) for row in rows)
    steps = _by_key(rows, "step")
    before: dict[str, float] = {}
    made = []
    for step, members in steps.items():
        main = next(iter(before.values()), None)
        for index, row in enumerate(members):
            made.append(_rung(row, str(step), index, before.get(str(row["arm"]), main), axis.at, unit, decimals))
        before = {str(row["arm"]): row["value"] for row in members}
    return Forest((("", tuple(made)),), axis.labels(unit), axis_title=panel.y_title or panel.x_title)


def intervals(panel: Panel) -> Forest:
    """Dots with intervals, grouped by ``group``, and the reference value (an even win rate, say) as a vertical line."""
    rows = list(panel.rows)
    references = sorted({row["reference"] for row in rows if row.get("reference") is not None})
    unit = unit_of(panel_text(panel), [*_ends(rows), *references])
    axis = axis_over([*_ends(rows), *references], unit=unit)
    decimals = decimals_of((row["low"], row["high"]) for row in rows)
    groups = tuple(
        (str(group), tuple(_dot(row, axis.at, unit, decimals) for row in members))
        for group, members in _by_key(rows, "group").items()
    )
    lines = tuple((axis.at(value), show(value, unit)) for value in references)
    note = "Hollow points: the interval holds the line." if lines else ""
    return Forest(groups, axis.labels(unit), references=lines, axis_title=panel.x_title or panel.y_title, note=note)


def contrast_forests(
    contrasts: Sequence[ContrastResult], units: Mapping[str, Unit], *, among: Sequence[ContrastResult] | None = None
) -> list[tuple[str, Forest]]:
    """One forest of differences per measure, around zero, each row with its declared margin as a band.

    The axis spans all contrasts of the measure in ``among`` (default: those shown), so separate forests can share one.
    """
    by_measure: dict[str, list[ContrastResult]] = {}
    for contrast in contrasts:
        by_measure.setdefault(contrast.measure, []).append(contrast)
    spanned = contrasts if among is None else [*contrasts, *among]
    return [
        (measure, _differences(members, [c for c in spanned if c.measure == measure], difference_unit(units[measure])))
        for measure, members in by_measure.items()
    ]


def panel_text(panel: Panel) -> str:
    """The words from which a panel's unit is inferred."""
    return " ".join((panel.title, panel.x_title, panel.y_title))


def _differences(contrasts: Sequence[ContrastResult], spanned: Sequence[ContrastResult], unit: Unit) -> Forest:
    ends = [end for c in spanned for end in (c.difference.low, c.difference.high, -c.margin, c.margin)]
    axis = axis_over([*ends, *(c.difference.value for c in spanned), 0.0], unit=unit)
    decimals = decimals_of((c.difference.low, c.difference.high) for c in spanned)
    rows = tuple(_difference(contrast, axis.at, unit, decimals) for contrast in contrasts)
    title = "difference, percentage points" if unit == "points" else "difference"
    return Forest((("", rows),), axis.labels(unit), references=((axis.at(0.0), "0"),), axis_title=title)


def _difference(contrast: ContrastResult, at: Any, unit: Unit, decimals: int | None) -> ForestRow:
    difference = contrast.difference
    value, interval = show_estimate(difference.value, difference.low, difference.high, unit, decimals)
    return ForestRow(
        label=contrast.name,
        detail=f"{contrast.arm} {MINUS} {contrast.baseline}",
        at=at(difference.value),
        low=at(difference.low),
        high=at(difference.high),
        value=value,
        interval=interval,
        tone=contrast.verdict,
        band=_band(contrast, at),
    )


def _band(contrast: ContrastResult, at: Any) -> tuple[float, float] | None:
    """What the margin makes too little: either side of zero, or one side where a direction was declared."""
    if not contrast.margin:
        return None
    low = 0.0 if contrast.direction == "greater" else -contrast.margin
    high = 0.0 if contrast.direction == "less" else contrast.margin
    return at(low), at(high)


def _rung(
    row: Mapping[str, Any], step: str, index: int, start: float | None, at: Any, unit: Unit, decimals: int | None
) -> ForestRow:
    change = None if start is None else row["value"] - start
    same = str(row["arm"]) == step
    value, interval = show_estimate(row["value"], row["low"], row["high"], unit, decimals)
    return ForestRow(
        label=step if index == 0 else "",
        detail="" if same else str(row["arm"]),
        at=at(row["value"]),
        low=_maybe(at, row["low"]),
        high=_maybe(at, row["high"]),
        value=value,
        interval=interval,
        start=_maybe(at, start),
        change="" if change is None else show(change, difference_unit(unit), decimals),
        rises=change is None or change >= 0,
        shift=index,
    )


def _dot(row: Mapping[str, Any], at: Any, unit: Unit, decimals: int | None) -> ForestRow:
    label = str(row["label"])
    name = writing_of(label).name
    value, interval = show_estimate(row["value"], row["low"], row["high"], unit, decimals)
    return ForestRow(
        label=name,
        detail="",
        code="" if name == label else label,
        at=at(row["value"]),
        low=_maybe(at, row["low"]),
        high=_maybe(at, row["high"]),
        value=value,
        interval=interval,
        tone=_side(row),
    )


def _side(row: Mapping[str, Any]) -> str:
    """Which side of the reference the whole interval lies on; neither is "open", as is a row without interval."""
    reference, low, high = row.get("reference"), row["low"], row["high"]
    if reference is None:
        return ""
    if low is None or low <= reference <= high:
        return "open"
    return "above" if low > reference else "below"


def _maybe(at: Any, value: float | None) -> float | None:
    return None if value is None else float(at(value))


def _ends(rows: Iterable[Mapping[str, Any]]) -> list[float | None]:
    return [row[end] for row in rows for end in ("value", "low", "high")]


def _by_key(rows: Iterable[Mapping[str, Any]], key: str) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row.get(key) or ""), []).append(row)
    return groups
