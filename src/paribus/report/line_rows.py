"""What the rows of a lines panel may say: their roles, their bands, and the places where they lie."""

from collections.abc import Mapping
from typing import Any

from paribus.errors import DataError
from paribus.lab.results import Panel

Row = Mapping[str, Any]

SERIES, REFERENCE, RUN, BOUND = ROLES = ("", "reference", "run", "bound")


def role_of(row: Row) -> str:
    """The role of a row; null and no role at all are that of a measured series."""
    return str(row.get("role") or SERIES)


def check_line_rows(panel: Panel) -> None:
    """Refuse rows of a lines panel whose role, band or place cannot be drawn; numbers are checked before.

    Raises DataError naming the panel, the row, the value and what to do.
    """
    roles = {str(row["series"]): role_of(row) for row in panel.rows if role_of(row) in (SERIES, REFERENCE)}
    measured = [name for name, role in roles.items() if role == SERIES]
    seen: set[tuple[str, str, str, float]] = set()
    for number, row in enumerate(panel.rows, start=1):
        place = f"panel {panel.id!r} (lines) row {number}"
        if row.get("role") not in (*ROLES, None):
            raise DataError(f"{place} column 'role' is {row['role']!r}; expected '', reference, run, bound or null")
        if panel.x_scale == "log" and row["x"] <= 0:
            raise DataError(f"{place} column 'x' is {row['x']!r}; a logarithmic axis needs values above zero")
        if role_of(row) == RUN:
            _check_run(place, row, measured)
            _check_once(place, row, seen)
        elif role_of(row) == BOUND:
            _check_bound(place, row)
        else:
            _check_series(place, row, roles)


def _check_series(place: str, row: Row, roles: Mapping[str, str]) -> None:
    name, role = str(row["series"]), role_of(row)
    if roles[name] != role:
        raise DataError(f"{place} has role {role!r}, a later row of series {name!r} has {roles[name]!r}; keep one")
    if row.get("of"):
        raise DataError(f"{place} column 'of' is {row['of']!r}; only runs are of a series, give it the role 'run'")
    if row["y"] is None and row.get("low") is not None:
        raise DataError(f"{place} has an interval around no y; give y, or leave low and high null")


def _check_run(place: str, row: Row, measured: list[str]) -> None:
    if row.get("of") not in measured:
        raise DataError(
            f"{place} is a run of series {row.get('of')!r}, which has no rows of its own; "
            f"name in 'of' one of {', '.join(map(repr, measured)) or 'none (add the series first)'}"
        )
    _check_no_band(place, row)


def _check_bound(place: str, row: Row) -> None:
    if row["y"] is not None:
        raise DataError(f"{place} is a bound with y {row['y']!r}; a bound is a vertical line at x, set y to null")
    _check_no_band(place, row)


def _check_no_band(place: str, row: Row) -> None:
    if row.get("low") is not None:
        raise DataError(f"{place} is a {role_of(row)} with an interval; only series and references have bands")


def _check_once(place: str, row: Row, seen: set[tuple[str, str, str, float]]) -> None:
    """Two runs under one name would be joined to one zigzag."""
    key = (str(row.get("facet") or ""), str(row["of"]), str(row["series"]), row["x"])
    if key in seen:
        raise DataError(f"{place} gives run {key[2]!r} of {key[1]!r} a second y at x {key[3]}; name each run apart")
    seen.add(key)
