"""The page of one study, from its stored result and nothing else.

Charts are HTML boxes and inline SVG made here, not a chart runtime. The Vega runtime alone weighs 0.9 MB inlined and
needs script; its static SVGs fix text size, width and colours. A whole page of 25 arms and 13 panels made this way is
0.3 MB, takes 0.2 s, runs no script, keeps text at reading size on a phone, and follows the light or dark theme.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paribus.errors import DataError
from paribus.lab.results import Panel, StudyResult
from paribus.report import sections
from paribus.report.curves import lines
from paribus.report.forest import intervals, ladder
from paribus.report.formatting import Unit, show, show_plain, unit_of
from paribus.report.grids import Heatmap, heatmap, maps, shares
from paribus.report.ladder import ladder_table
from paribus.report.page import anchor, render_page, write_page
from paribus.report.panels import check_panel
from paribus.report.plane import scatter
from paribus.report.writing import Writing, writing_of

# Panels are shown in this order of kinds, and within a kind in the study's own order.
ORDER = ("text", "ladder", "heatmap", "scatter", "shares", "maps", "intervals", "lines", "table", "samples")
MOST_DATA_ROWS = 400

_DRAW: Mapping[str, Any] = {
    "ladder": ladder,
    "heatmap": heatmap,
    "maps": maps,
    "shares": shares,
    "intervals": intervals,
    "lines": lines,
    "scatter": scatter,
}


@dataclass(frozen=True)
class TableCell:
    text: str
    number: bool


@dataclass(frozen=True)
class DataTable:
    """Rows as text; ``total`` counts the stored rows, of which one in ``stride`` is shown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    total: int
    stride: int = 1


@dataclass(frozen=True)
class Answer:
    arm: str
    text: str
    correct: bool | None
    note: str


@dataclass(frozen=True)
class Sample:
    """One prompt with the answers of several arms side by side."""

    writing: Writing
    prompt: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class PanelView:
    """A panel ready for its template: ``view`` depends on ``kind``; ``tables`` are heat maps that belong to it."""

    anchor: str
    kind: str
    title: str
    caption: str
    view: Any
    empty: bool = False
    data: DataTable | None = None
    tables: list[tuple[str, Heatmap]] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """A line of the table of contents."""

    anchor: str
    title: str
    children: tuple["Entry", ...] = ()


def render_study(result: StudyResult, *, rerun_command: str) -> str:
    """One self-contained HTML page. The same result gives the same text.

    Args:
        result: what the analysis stored.
        rerun_command: the exact command line(s) that reproduce it, shown at the end.

    Raises:
        DataError: a panel lacks a column its kind needs or holds no number where one is drawn; a name is used twice,
            or a claim rests on a contrast that is not stored.
    """
    _check_names(result)
    units = sections.measure_units(result)
    panels = _panels(result, units)
    contrasts = sections.contrasts_section(result, units)
    return render_page(
        "study.html.jinja",
        result=result,
        rerun=rerun_command,
        contents=_contents(panels, bool(result.ladder), contrasts["families"]),
        panels=panels,
        steps=ladder_table(result, units),
        answers=sections.answers(result, units),
        arms=sections.arms_table(result),
        budget=sections.budget_table(result),
        measures=sections.measures_table(result, units),
        contrasts=contrasts,
        addresses=[(arm.name, output, address) for arm in result.arms for output, address in arm.addresses.items()],
    )


def write_study(result: StudyResult, path: Path, *, rerun_command: str) -> Path:
    """Render the study and write it to ``path``, whole or not at all; returns the path."""
    return write_page(render_study(result, rerun_command=rerun_command), Path(path))


def panel_view(panel: Panel) -> PanelView:
    """Check a panel and lay it out. Raises DataError naming the panel, row and column that cannot be drawn."""
    check_panel(panel)
    view: Any = None
    if panel.rows and panel.kind in _DRAW:
        view = _DRAW[panel.kind](panel)
    elif panel.kind == "samples":
        view = _samples(panel)
    elif panel.kind == "table":
        view = _figures_table(panel)
    elif panel.kind == "text":
        view = [str(row["text"]) for row in panel.rows]
    data = data_table(panel) if panel.rows and _has_data(panel) else None
    return PanelView(anchor("panel", panel.id), panel.kind, panel.title, panel.caption, view, not panel.rows, data)


def _has_data(panel: Panel) -> bool:
    """Whether rows are listed under the chart: not those of a heat map, itself a table, unless they hold intervals."""
    return panel.kind in _DRAW and (panel.kind != "heatmap" or any("low" in row for row in panel.rows))


def data_table(panel: Panel) -> DataTable:
    """The rows under a chart as text, evenly thinned within each series where there are more than MOST_DATA_ROWS."""
    columns = tuple(dict.fromkeys(column for row in panel.rows for column in row))
    stride = -(-len(panel.rows) // MOST_DATA_ROWS)
    seen: Counter[tuple[str, ...]] = Counter()
    kept = []
    for row in panel.rows:
        series = tuple(str(row.get(column)) for column in ("facet", "series", "of"))
        if seen[series] % stride == 0:
            kept.append(tuple(_table_cell(row.get(column)) for column in columns))
        seen[series] += 1
    return DataTable(columns, tuple(kept), len(panel.rows), stride)


def _figures_table(panel: Panel) -> DataTable:
    """A table panel: columns in the declared order, every column of figures in the unit that its name speaks of."""
    columns = panel.columns or tuple(dict.fromkeys(column for row in panel.rows for column in row))
    units = {
        column: unit_of(column, [v for v in (row.get(column) for row in panel.rows) if _is_number(v)])
        for column in columns
    }
    rows = tuple(tuple(_table_cell(row.get(column), units[column]) for column in columns) for row in panel.rows)
    return DataTable(columns, rows, len(panel.rows))


def _panels(result: StudyResult, units: Mapping[str, Unit]) -> list[PanelView]:
    views = [panel_view(panel) for panel in sorted(result.panels, key=lambda panel: ORDER.index(panel.kind))]
    for view in views:
        if view.kind == "ladder":
            rows = next(panel.rows for panel in result.panels if anchor("panel", panel.id) == view.anchor)
            arms = list(dict.fromkeys(str(row["arm"]) for row in rows))
            view.tables.extend([*sections.ladder_differences(result, arms, units), *_language_rungs(rows, view.title)])
    if not any(panel.kind == "heatmap" for panel in result.panels):
        views = _with_heatmap(views, sections.language_heatmap(result, units))
    return views


def _with_heatmap(views: list[PanelView], found: tuple[str, Heatmap] | None) -> list[PanelView]:
    if found is None:
        return views
    title = f"{sections.measure_name(found[0]).capitalize()} by language"
    made = PanelView("by-language", "heatmap", title, "Every arm in every language.", found[1])
    after = sum(view.kind in ("text", "ladder") for view in views)
    return [*views[:after], made, *views[after:]]


def _language_rungs(rows: tuple[dict[str, Any], ...], title: str) -> list[tuple[str, Heatmap]]:
    """The ladder's own rows of single languages, as a table of language by rung."""
    spoken = [row for row in rows if row.get("language") not in (None, "", "all")]
    if not spoken or len(spoken) == len(rows):
        return []
    cells = tuple({"x": row["step"], "y": row["language"], "value": row["value"]} for row in spoken)
    return [("Values by language", heatmap(Panel(id="rungs", kind="heatmap", title=title, rows=cells)))]


def _samples(panel: Panel) -> list[Sample]:
    groups: dict[tuple[str, str], list[Answer]] = {}
    for number, row in enumerate(panel.rows, start=1):
        if row["correct"] not in (True, False, None):
            raise DataError(
                f"panel {panel.id!r} (samples) row {number} column 'correct' is {row['correct']!r}; "
                "expected true, false or null"
            )
        correct = None if row["correct"] is None else bool(row["correct"])
        answer = Answer(str(row["arm"]), str(row["text"]), correct, "" if row["note"] is None else str(row["note"]))
        groups.setdefault((str(row["language"]), str(row["prompt"])), []).append(answer)
    return [Sample(writing_of(language), prompt, tuple(answers)) for (language, prompt), answers in groups.items()]


def _contents(panels: list[PanelView], ladder: bool, families: list[dict[str, Any]]) -> list[Entry]:
    steps = [Entry("steps", "What each step adds, by language")] if ladder else []
    views = [Entry(view.anchor, view.title) for view in panels]
    asked = tuple(Entry(family["anchor"], family["name"]) for family in families)
    shown = (*steps, *views, Entry("measures", "Every arm, every measure"))
    return [
        Entry("answers", "Answers"),
        Entry("run", "What was run"),
        Entry("budget", "Budget"),
        Entry("results", "Results", shown),
        Entry("contrasts", "Contrasts", asked if len(asked) > 1 else ()),
        Entry("provenance", "Provenance"),
        Entry("rerun", "Run it again"),
    ]


def _check_names(result: StudyResult) -> None:
    """Names serve as anchors and link claims to contrasts, so they must be unique and known."""
    names = {
        "panel": [anchor("panel", panel.id) for panel in result.panels],
        "arm": [arm.name for arm in result.arms],
        "contrast": [contrast.name for contrast in result.contrasts],
        "claim": [claim.id for claim in result.claims],
    }
    for kind, found in names.items():
        double = next((name for name in found if found.count(name) > 1), None)
        if double is not None:
            raise DataError(f"study {result.study!r} has two {kind}s called {double!r}; give each its own name")
    for claim in result.claims:
        unknown = [name for name in claim.contrasts if name not in names["contrast"]]
        if unknown:
            raise DataError(
                f"study {result.study!r} claim {claim.id!r} rests on contrast {unknown[0]!r}, which is not stored; "
                f"stored are {', '.join(map(repr, names['contrast'])) or 'none'}"
            )


def _table_cell(value: object, unit: Unit | None = None) -> TableCell:
    if (
        unit is not None
        and isinstance(value, int | float)
        and _is_number(value)
        and (isinstance(value, float) or unit != "number")
    ):
        return TableCell(show(value, unit), True)
    return TableCell(show_plain(value), _is_number(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
