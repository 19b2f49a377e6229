"""What each kind of panel must hold. A panel that cannot be drawn is refused by name, never drawn half.

Columns beyond the named ones are welcome: they appear in the data table under the chart.
"""

import math
from collections.abc import Mapping
from typing import Any

from paribus.errors import DataError
from paribus.lab.results import Panel
from paribus.report.line_rows import check_line_rows

REQUIRED: dict[str, tuple[str, ...]] = {
    "ladder": ("step", "arm", "value", "low", "high"),
    "heatmap": ("x", "y", "value"),
    "maps": ("facet", "x", "y", "value"),
    "shares": ("group", "part", "share"),
    "intervals": ("label", "value", "low", "high"),
    "lines": ("x", "y", "series"),
    "scatter": ("x", "y", "label"),
    "samples": ("language", "prompt", "arm", "text", "correct", "note"),
    "table": (),
    "text": ("text",),
}

# Columns drawn as positions must be numbers; those in the second set may also be null (no interval, a gap).
NUMERIC: dict[str, tuple[str, ...]] = {
    "ladder": ("value",),
    "maps": ("value",),
    "shares": ("share",),
    "intervals": ("value",),
    "lines": ("x",),
    "scatter": ("x", "y"),
}
NUMERIC_OR_NULL: dict[str, tuple[str, ...]] = {
    "ladder": ("low", "high"),
    "heatmap": ("value", "low", "high"),
    "intervals": ("low", "high", "reference"),
    "lines": ("y", "low", "high"),
    "scatter": ("low", "high"),
}

# Columns that are parts of one, kinds whose rows may carry an interval, and kinds that have a better side.
SHARES: dict[str, str] = {"shares": "share", "maps": "value"}
WITH_INTERVAL = ("ladder", "heatmap", "intervals", "lines", "scatter")
RANKED = ("heatmap", "scatter")


def check_panel(panel: Panel) -> None:
    """Refuse a panel whose rows lack a column its kind needs, or hold something that is no number where one is drawn.

    Raises DataError naming the panel, its kind, the row, the column and the value.
    """
    if panel.kind not in REQUIRED:
        raise DataError(f"panel {panel.id!r} is of unknown kind {panel.kind!r}; use one of {', '.join(REQUIRED)}")
    if panel.better and panel.kind not in RANKED:
        raise DataError(
            f"panel {panel.id!r} ({panel.kind}) has better {panel.better!r}; only {' and '.join(RANKED)} panels rank "
            "their values, leave it out"
        )
    if panel.x_scale != "linear" and panel.kind != "lines":
        raise DataError(
            f"panel {panel.id!r} ({panel.kind}) has x_scale {panel.x_scale!r}; only lines panels choose theirs, "
            "leave it out"
        )
    columns = REQUIRED[panel.kind] + (panel.columns if panel.kind == "table" else ())
    for number, row in enumerate(panel.rows, start=1):
        _check_columns(panel, number, row, columns)
        for column in NUMERIC.get(panel.kind, ()):
            _check_number(panel, number, row, column, null=False)
        for column in NUMERIC_OR_NULL.get(panel.kind, ()):
            _check_number(panel, number, row, column, null=True)
        _check_range(panel, number, row)
    if panel.kind == "lines":
        check_line_rows(panel)
    if panel.kind == "shares":
        _check_totals(panel)
    if panel.kind == "maps":
        _check_places(panel)


def _check_columns(panel: Panel, number: int, row: Mapping[str, Any], columns: tuple[str, ...]) -> None:
    missing = [column for column in columns if column not in row]
    if missing:
        raise DataError(
            f"panel {panel.id!r} ({panel.kind}) row {number} has no column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(repr, row)) or 'none'}; a {panel.kind} panel needs {', '.join(columns)}"
        )


def _check_number(panel: Panel, number: int, row: Mapping[str, Any], column: str, *, null: bool) -> None:
    value = row.get(column)
    if value is None and null:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        expected = "a finite number or null" if null else "a finite number"
        raise DataError(
            f"panel {panel.id!r} ({panel.kind}) row {number} column {column!r} is {value!r}; expected {expected}"
        )


def _check_range(panel: Panel, number: int, row: Mapping[str, Any]) -> None:
    low, high = row.get("low"), row.get("high")
    place = f"panel {panel.id!r} ({panel.kind}) row {number}"
    if panel.kind in WITH_INTERVAL and (low is None) != (high is None):
        raise DataError(f"{place} has low {low!r} and high {high!r}; give both or neither")
    if panel.kind in WITH_INTERVAL and low is not None and high is not None and low > high:
        raise DataError(f"{place} has low {low!r} above high {high!r}; swap them")
    if panel.kind == "maps" and not isinstance(row.get("mark"), str | None):
        raise DataError(f"{place} column 'mark' is {row['mark']!r}; expected the name of an alarm, '' or null")
    share = SHARES.get(panel.kind)
    if share is not None and not 0 <= row[share] <= 1:
        raise DataError(f"{place} column {share!r} is {row[share]!r}; expected 0 to 1")


def _check_totals(panel: Panel) -> None:
    totals: dict[str, float] = {}
    for row in panel.rows:
        totals[str(row["group"])] = totals.get(str(row["group"]), 0.0) + row["share"]
    for group, total in totals.items():
        if total > 1.001:
            raise DataError(
                f"panel {panel.id!r} (shares) group {group!r} adds up to {total:.3f}; shares may not pass 1"
            )


def _check_places(panel: Panel) -> None:
    seen: set[tuple[str, str, str]] = set()
    for number, row in enumerate(panel.rows, start=1):
        place = (str(row["facet"]), str(row["x"]), str(row["y"]))
        if place in seen:
            raise DataError(
                f"panel {panel.id!r} (maps) row {number} fills facet {place[0]!r}, x {place[1]!r}, y {place[2]!r} a "
                "second time; keep one row of each place"
            )
        seen.add(place)
