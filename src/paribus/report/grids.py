"""Charts that are tables or bars already: heat maps (coloured table cells) and shares (stacked bars)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.lab.results import ContrastResult, Panel
from paribus.report.forest import panel_text
from paribus.report.formatting import MISSING, Unit, decimals_of, show, show_bare, show_interval, unit_of
from paribus.report.heat import (
    Better,
    Colour,
    Entry,
    Standing,
    column_colour,
    one_sided,
    standings,
    two_sided,
    values_of,
)
from paribus.report.writing import is_language, writing_of

SERIES_COLOURS = 8

# An alarm names this many places; the cells show the others.
MOST_NAMED = 8


@dataclass(frozen=True)
class Cell:
    """A heat map cell: its text with its interval, its strength 0..100 on the colour scale, that scale's side, and its
    tooltip. ``standing`` is "best" or "tied" within its column, ``mark`` the name of an alarm; both may be empty.
    """

    text: str
    interval: str
    strength: int
    side: str
    hint: str
    standing: Standing = ""
    mark: str = ""


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
class Maps:
    """Small heat maps on one colour scale, and a sentence on the cells that are marked (or that none is)."""

    facets: tuple[tuple[Heading, Heatmap], ...]
    alarm: str
    alarmed: bool


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
    columns = list(dict.fromkeys(x for x, _ in cells))
    rows = list(dict.fromkeys(y for _, y in cells))
    return heatmap_of(
        [[_entry(cells.get((x, y), {})) for x in columns] for y in rows],
        (columns, rows),
        unit_of(panel_text(panel), [row["value"] for row in panel.rows]),
        ("" if all(map(is_language, columns)) else panel.x_title, panel.y_title),
        better=panel.better,
    )


def heatmap_of(
    entries: Sequence[Sequence[Entry]],
    names: tuple[Sequence[str], Sequence[str]],
    unit: Unit,
    titles: tuple[str, str] = ("", ""),
    *,
    better: Better = "",
    ends: tuple[float, float] | None = None,
) -> Heatmap:
    """A heat map from a matrix ``entries[row][column]`` with (column names, row names); null values stay blank.

    ``ends`` fixes the colour scale, which else runs over the values. With ``better`` every column has its own scale
    (columns are then compared downwards, and may be of different size), unless values lie on both sides of zero.
    """
    known = values_of(entry for line in entries for entry in line)
    low, high = ends or ((min(known), max(known)) if known else (0.0, 1.0))
    diverging = ends is None and (low < 0 < high or unit in ("points", "change"))
    columns = list(zip(*entries, strict=True))
    colours, scale = _colours(columns, low, high, unit, better, diverging)
    made = [_column(*each, names[1], unit, better) for each in zip(names[0], columns, colours, strict=True)]
    body = tuple((heading(row), cells) for row, cells in zip(names[1], zip(*made, strict=True), strict=True))
    headings = tuple(heading(name) for name in names[0])
    return Heatmap(headings, body, scale, diverging, *titles, _note(body, unit, better))


def language_differences(contrasts: Sequence[ContrastResult], unit: Unit) -> Heatmap:
    """Paired differences by language (rows) and contrast (columns), each with its interval."""
    languages = list(dict.fromkeys(code for contrast in contrasts for code in contrast.by_language))
    estimates = [[contrast.by_language.get(code) for contrast in contrasts] for code in languages]
    return heatmap_of(
        [[Entry() if e is None else Entry(e.value, e.low, e.high) for e in line] for line in estimates],
        ([contrast.name for contrast in contrasts], languages),
        unit,
    )


def maps(panel: Panel) -> Maps:
    """One small heat map per facet; shares of one, all on the scale from 0 to 1 so that maps can be compared."""
    facets: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    for row in panel.rows:
        facets.setdefault(str(row["facet"]), {})[str(row["x"]), str(row["y"])] = row
    columns, rows = (list(dict.fromkeys(str(row[axis]) for row in panel.rows)) for axis in ("x", "y"))
    made = tuple(
        (heading(facet), _map(cells, (columns, rows), (panel.x_title, panel.y_title)))
        for facet, cells in facets.items()
    )
    alarm, alarmed = _alarm(panel.rows)
    return Maps(made, alarm, alarmed)


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


def _entry(row: Mapping[str, Any]) -> Entry:
    label = row.get("label")
    return Entry(row.get("value"), row.get("low"), row.get("high"), None if label is None else str(label))


def _colours(
    columns: Sequence[Sequence[Entry]], low: float, high: float, unit: Unit, better: Better, diverging: bool
) -> tuple[list[Colour], tuple[str, ...]]:
    """Each column's colour, and the texts along the scale."""
    if diverging:
        top = max(abs(low), abs(high)) or 1.0
        ends = (top, 0.0, -top) if better == "less" else (-top, 0.0, top)
        return [two_sided(top, better)] * len(columns), tuple(show(end, unit) for end in ends)
    if better:
        return [column_colour(values_of(column), better) for column in columns], ("worst of its column", "best")
    return [one_sided(low, high)] * len(columns), (show(low, unit), show(high, unit))


def _column(
    name: str, column: Sequence[Entry], colour: Colour, rows: Sequence[str], unit: Unit, better: Better
) -> list[Cell]:
    """The cells of one column; decimals and standings are its own."""
    decimals = decimals_of((entry.low, entry.high) for entry in column)
    ranked = zip(rows, column, standings(column, better), strict=True)
    return [_cell(entry, (name, row), colour, standing, unit, decimals) for row, entry, standing in ranked]


def _cell(
    entry: Entry, place: tuple[str, str], colour: Colour, standing: Standing, unit: Unit, decimals: int | None
) -> Cell:
    if entry.value is None:
        return Cell(MISSING, "", 0, "none", "")
    side, strength = colour(entry.value)
    text = show_bare(entry.value, unit, decimals) if entry.label is None else entry.label
    interval = "" if entry.low is None else show_interval(entry.low, entry.high, unit, decimals)
    said = {"best": ", best of its column", "tied": ", interval overlaps the best one's", "": ""}[standing]
    hint = f"{place[0]}, {place[1]}: {show(entry.value, unit, decimals)} {interval}".rstrip() + said
    return Cell(text, interval, strength, side, hint + (f", {entry.mark}" if entry.mark else ""), standing, entry.mark)


def _note(rows: Sequence[tuple[Heading, Sequence[Cell]]], unit: Unit, better: Better) -> str:
    said = [{"share": "values in %", "points": "values in percentage points"}.get(unit, "")]
    if better:
        said.append(f"{better} is better; bold: best of its column")
    if any(cell.standing == "tied" for _, cells in rows for cell in cells):
        said.append("dotted line: its interval overlaps that of the best (only a paired contrast tells them apart)")
    return "; ".join(part for part in said if part)


def _map(
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    names: tuple[Sequence[str], Sequence[str]],
    titles: tuple[str, str],
) -> Heatmap:
    entries = [[_share_entry(cells.get((x, y))) for x in names[0]] for y in names[1]]
    return heatmap_of(entries, names, "share", titles, ends=(0.0, 1.0))


def _share_entry(row: Mapping[str, Any] | None) -> Entry:
    if row is None:
        return Entry()
    label = "<1" if 0 < row["value"] < 0.01 else f"{100 * row['value']:.0f}"
    return Entry(row["value"], label=label, mark=str(row.get("mark") or ""))


def _alarm(rows: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """``2 of 72 cells dead: law in layer 2 (code), ...`` for each mark; or that none is marked, if rows have marks."""
    if not any("mark" in row for row in rows):
        return "", False
    marked: dict[str, list[str]] = {}
    for row in rows:
        if row.get("mark"):
            marked.setdefault(str(row["mark"]), []).append(f"{row['x']} in {row['y']} ({row['facet']})")
    said = [f"{len(places)} of {len(rows)} cells {mark}: {_listed(places)}" for mark, places in marked.items()]
    return ("; ".join(said) + ".", True) if said else (f"None of {len(rows)} cells raises an alarm.", False)


def _listed(places: Sequence[str]) -> str:
    more = len(places) - MOST_NAMED
    return ", ".join(places[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
