"""The same facts as the pages, for a terminal: claims, ladders and the scoreboard, through rich."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paribus.lab.results import Panel, StudyResult, Verdict
from paribus.report import sections
from paribus.report.forest import ladder
from paribus.report.formatting import difference_unit, show, show_interval
from paribus.report.panels import check_panel
from paribus.report.scoreboard import VERDICTS, ScoreboardRow, cost_facts

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_MARKS: dict[Verdict, tuple[str, str]] = {
    "supported": ("+", "green"),
    "contradicted": ("x", "red"),
    "unresolved": ("?", "yellow"),
}


def print_study(result: StudyResult, console: "Console") -> None:
    """Title, claims with verdicts, and each ladder as a table. Raises DataError for a malformed ladder panel."""
    from rich.text import Text

    console.print(Text(f"{result.title} ({result.study}, {result.scale} scale)", style="bold"))
    console.print(Text(result.question))
    console.print(_claims_table(result))
    for panel in result.panels:
        if panel.kind == "ladder":
            check_panel(panel)
            console.print(_ladder_table(panel))
    if result.covers_note:
        console.print(Text(result.covers_note, style="dim"))


def print_scoreboard(rows: Sequence[ScoreboardRow], console: "Console") -> None:
    """One line per claim with its contrasts and cost, then the tally."""
    from rich.text import Text

    table = _table(
        "Scoreboard of claims", "Study", "Verdict", "Claim", "Difference", "Scale", "Cost of the dearest arm"
    )
    for row in rows:
        cost = Text("\n".join(text for _, text in cost_facts(row.cost)))
        claim = Text.assemble(clean_cell(row.sentence), ("\n" + clean_cell(row.source), "dim"))
        table.add_row(
            Text(row.study),
            _verdict(row.verdict),
            claim,
            _differences(row),
            Text(f"{row.scale}\n{row.seeds} seeds"),
            cost,
        )
    console.print(table)
    tally = (f"{sum(row.verdict == verdict for row in rows)} {verdict}" for verdict in VERDICTS)
    console.print(Text(", ".join(tally)))


def clean_cell(text: str) -> str:
    """Text without escape sequences or other control characters, so stored text cannot steer the terminal."""
    from paribus.report.page import clean

    return clean(text)


def _claims_table(result: StudyResult) -> "Table":
    from rich.text import Text

    units = sections.measure_units(result)
    table = _table("Claims", "Verdict", "Claim", "What was found")
    for answer in sections.answers(result, units):
        claim = answer["claim"]
        found = "\n".join([answer["finding"], *answer["details"]])
        said = Text.assemble(clean_cell(claim.sentence), ("\n" + clean_cell(claim.source), "dim"))
        table.add_row(_verdict(claim.verdict), said, Text(clean_cell(found)))
    return table


def _ladder_table(panel: Panel) -> "Table":
    from rich.text import Text

    table = _table(panel.title, "Step", "Arm", "Value", "Interval", "Step's gain")
    for row in (row for _, rows in ladder(panel).groups for row in rows):
        table.add_row(
            *(Text(clean_cell(cell)) for cell in (row.label, row.detail, row.value, row.interval, row.change))
        )
    return table


def _differences(row: ScoreboardRow) -> "Text":
    from rich.text import Text

    lines = []
    for contrast in row.contrasts:
        unit = difference_unit(row.units.get(contrast.measure, "number"))
        d = contrast.difference
        lines.append(f"{contrast.name}: {show(d.value, unit)} {show_interval(d.low, d.high, unit)}")
    return Text(clean_cell("\n".join(lines)))


def _verdict(verdict: Verdict) -> "Text":
    from rich.text import Text

    mark, colour = _MARKS[verdict]
    return Text(f"{mark} {verdict}", style=colour, no_wrap=True)


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(clean_cell(title), style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        table.add_column(column, no_wrap=column in ("Value", "Interval"), vertical="top")
    return table
