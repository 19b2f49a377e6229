"""Charts that are tables or bars already: heat maps (coloured table cells) and shares (stacked bars)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.lab.results import ContrastResult, Panel
from paribus.report.forest import panel_text
from paribus.report.formatting import MISSING, Unit, show, show_bare, show_interval, unit_of
from paribus.report.writing import is_language, writing_of

SERIES_COLOURS = 8


@dataclass(frozen=True)
class Cell:
    """A heat map cell: its text, its strength 0..100 on the colour scale, that scale's side, and its tooltip."""

    text: str
    strength: int
    side: str
    hint: str


@dataclass(frozen=True)
class Heading:
    """A row or column title; ``name`` is the long form where the title is a language code."""

    text: str
    name: str


@dataclass(frozen=True)
class Heatmap:
    """Coloured cells; ``scale`` holds the texts at the ends (and the middle, if diverging) of the colour scale."""

    columns: tuple[Heading, ...]
    rows: tuple[tuple[Heading, tuple[Cell, ...]], ...]
    scale: tuple[str, ...]
    diverging: bool
    x_title: str
    y_title: str
    note: str


@dataclass(frozen=True)
class Part:
    """One piece of a stacked bar: width in percent and the colour's number."""

    name: str
    width: float
    text: str
    colour: int


@dataclass(frozen=True)
class Shares:
    """Stacked bars, one per group."""

    bars: tuple[tuple[Heading, tuple[Part, ...]], ...]
    legend: tuple[tuple[str, int], ...]


def heading(text: object) -> Heading:
    """A title, with the language's name beside its code."""
    return Heading(str(text), writing_of(str(text)).name if is_language(text) else "")


def heatmap(panel: Panel) -> Heatmap:
    """One coloured cell per (x, y), in the order of first appearance. Values on both sides of zero get two hues.

    Raises DataError (from the panel check) for malformed rows; a pair given twice keeps its last value.
    """
    cells = {(str(row["x"]), str(row["y"])): row for row in panel.rows}
    values = [row["value"] for row in panel.rows]
    unit = unit_of(panel_text(panel), values)
    columns = list(dict.fromkeys(x for x, _ in cells))
    rows = list(dict.fromkeys(y for _, y in cells))
    return heatmap_of(
        [[cells.get((x, y), {}).get("value") for x in columns] for y in rows],
        [[cells.get((x, y), {}).get("label") for x in columns] for y in rows],
        (columns, rows),
        unit,
        ("" if all(map(is_language, columns)) else panel.x_title, panel.y_title),
    )


def heatmap_of(
    values: Sequence[Sequence[float | None]],
    labels: Sequence[Sequence[str | None]],
    names: tuple[Sequence[str], Sequence[str]],
    unit: Unit,
    titles: tuple[str, str] = ("", ""),
) -> Heatmap:
    """A heat map from a matrix ``values[row][column]`` with (column names, row names); null cells stay blank."""
    known = [value for line in values for value in line if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    diverging = low < 0 < high or unit in ("points", "change")
    top = max(abs(low), abs(high)) or 1.0
    colour = _two_sided(top) if diverging else _one_sided(low, high)
    body = tuple(
        (
            heading(row),
            tuple(
                _cell(value, label, colour, (row, column), unit)
                for value, label, column in zip(*line, names[0], strict=True)
            ),
        )
        for row, *line in zip(names[1], values, labels, strict=True)
    )
    ends = (-top, 0.0, top) if diverging else (low, high)
    note = {"share": "values in %", "points": "values in percentage points"}.get(unit, "")
    columns = tuple(heading(name) for name in names[0])
    return Heatmap(columns, body, tuple(show(end, unit) for end in ends), diverging, *titles, note)


def language_differences(contrasts: Sequence[ContrastResult], unit: Unit) -> Heatmap:
    """Paired differences by language (rows) and contrast (columns), each with its interval as the cell's hint."""
    languages = list(dict.fromkeys(code for contrast in contrasts for code in contrast.by_language))
    estimates = [[contrast.by_language.get(code) for contrast in contrasts] for code in languages]
    return heatmap_of(
        [[None if e is None else e.value for e in line] for line in estimates],
        [
            [None if e is None else f"{show_bare(e.value, unit)} {show_interval(e.low, e.high, unit)}" for e in line]
            for line in estimates
        ],
        ([contrast.name for contrast in contrasts], languages),
        unit,
    )


def shares(panel: Panel) -> Shares:
    """Stacked bars; parts keep one colour through all groups, and a part under 0.1% is drawn without text."""
    parts = list(dict.fromkeys(str(row["part"]) for row in panel.rows))
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in panel.rows:
        groups.setdefault(str(row["group"]), []).append(row)
    bars = tuple(
        (heading(group), tuple(_part(row, parts.index(str(row["part"]))) for row in members))
        for group, members in groups.items()
    )
    return Shares(bars, tuple((part, index % SERIES_COLOURS + 1) for index, part in enumerate(parts)))


def _part(row: Mapping[str, Any], index: int) -> Part:
    share = row["share"]
    text = f"{100 * share:.0f}" if share >= 0.045 else ""
    return Part(str(row["part"]), round(100 * share, 3), text, index % SERIES_COLOURS + 1)


def _cell(value: float | None, label: str | None, colour: Any, place: tuple[str, str], unit: Unit) -> Cell:
    if value is None:
        return Cell(MISSING, 0, "none", "")
    side, strength = colour(value)
    text = show_bare(value, unit) if label is None else str(label)
    return Cell(text, strength, side, f"{place[0]}, {place[1]}: {show(value, unit)}")


def _one_sided(low: float, high: float) -> Any:
    span = (high - low) or 1.0
    return lambda value: ("up", round(100 * (value - low) / span))


def _two_sided(top: float) -> Any:
    return lambda value: ("up" if value >= 0 else "down", round(100 * abs(value) / top))
