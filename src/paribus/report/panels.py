"""What each kind of panel must hold. A panel that cannot be drawn is refused by name, never drawn half.

Columns beyond the named ones are welcome: they appear in the data table under the chart.
"""

import math
from collections.abc import Mapping
from typing import Any

from paribus.errors import DataError
from paribus.lab.results import Panel

REQUIRED: dict[str, tuple[str, ...]] = {
    "ladder": ("step", "arm", "value", "low", "high"),
    "heatmap": ("x", "y", "value"),
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
    "shares": ("share",),
    "intervals": ("value",),
    "lines": ("x",),
    "scatter": ("x", "y"),
}
NUMERIC_OR_NULL: dict[str, tuple[str, ...]] = {
    "ladder": ("low", "high"),
    "heatmap": ("value",),
    "intervals": ("low", "high", "reference"),
    "lines": ("y",),
    "scatter": ("low", "high"),
}


def check_panel(panel: Panel) -> None:
    """Refuse a panel whose rows lack a column its kind needs, or hold something that is no number where one is drawn.

    Raises DataError naming the panel, its kind, the row, the column and the value.
    """
    if panel.kind not in REQUIRED:
        raise DataError(f"panel {panel.id!r} is of unknown kind {panel.kind!r}; use one of {', '.join(REQUIRED)}")
    columns = REQUIRED[panel.kind] + (panel.columns if panel.kind == "table" else ())
    for number, row in enumerate(panel.rows, start=1):
        _check_columns(panel, number, row, columns)
        for column in NUMERIC.get(panel.kind, ()):
            _check_number(panel, number, row, column, null=False)
        for column in NUMERIC_OR_NULL.get(panel.kind, ()):
            _check_number(panel, number, row, column, null=True)
        _check_range(panel, number, row)
    if panel.kind == "shares":
        _check_totals(panel)


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
    if panel.kind in ("ladder", "intervals", "scatter") and (low is None) != (high is None):
        raise DataError(
            f"panel {panel.id!r} ({panel.kind}) row {number} has low {low!r} and high {high!r}; give both or neither"
        )
    if panel.kind in ("ladder", "intervals", "scatter") and low is not None and high is not None and low > high:
        raise DataError(
            f"panel {panel.id!r} ({panel.kind}) row {number} has low {low!r} above high {high!r}; swap them"
        )
    if panel.kind == "shares" and not 0 <= row["share"] <= 1:
        raise DataError(f"panel {panel.id!r} (shares) row {number} column 'share' is {row['share']!r}; expected 0 to 1")


def _check_totals(panel: Panel) -> None:
    totals: dict[str, float] = {}
    for row in panel.rows:
        totals[str(row["group"])] = totals.get(str(row["group"]), 0.0) + row["share"]
    for group, total in totals.items():
        if total > 1.001:
            raise DataError(
                f"panel {panel.id!r} (shares) group {group!r} adds up to {total:.3f}; shares may not pass 1"
            )
