"""The same facts as the pages, for a terminal: claims, ladders and the scoreboard, through rich."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paribus.lab.results import Panel, StudyResult, Verdict
from paribus.report import sections
from paribus.report.forest import ladder
from paribus.report.formatting import difference_unit, show_estimate
from paribus.report.page import clean
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
    console.print(_text(f"{result.title} ({result.study}, {result.scale} scale)", "bold"))
    console.print(_text(result.question))
    console.print(_claims_table(result))
    for panel in result.panels:
        if panel.kind == "ladder":
            check_panel(panel)
            console.print(_ladder_table(panel))
    if result.covers_note:
        console.print(_text(result.covers_note, "dim"))


def print_scoreboard(rows: Sequence[ScoreboardRow], console: "Console") -> None:
    """One line per claim with its contrasts and cost, then the tally."""
    table = _table(
        "Scoreboard of claims", "Study", "Verdict", "Claim", "Difference", "Scale", "Cost of the dearest arm"
    )
    for row in rows:
        cost = _text("\n".join(text for _, text in cost_facts(row.cost)))
        scale = _text(f"{row.scale}\n{row.seeds} seeds")
        claim = _said(row.sentence, row.source)
        table.add_row(_text(row.study), _verdict(row.verdict), claim, _differences(row), scale, cost)
    console.print(table)
    tally = (f"{sum(row.verdict == verdict for row in rows)} {verdict}" for verdict in VERDICTS)
    console.print(_text(", ".join(tally)))


def _claims_table(result: StudyResult) -> "Table":
    units = sections.measure_units(result)
    table = _table("Claims", "Verdict", "Claim", "What was found")
    for answer in sections.answers(result, units):
        claim = answer["claim"]
        found = "\n".join([answer["finding"], *answer["details"]])
        table.add_row(_verdict(claim.verdict), _said(claim.sentence, claim.source), _text(found))
    return table


def _ladder_table(panel: Panel) -> "Table":
    table = _table(panel.title, "Step", "Arm", "Value", "Interval", "Step's gain")
    for row in (row for _, rows in ladder(panel).groups for row in rows):
        table.add_row(*(_text(cell) for cell in (row.label, row.detail, row.value, row.interval, row.change)))
    return table


def _differences(row: ScoreboardRow) -> "Text":
    lines = []
    for contrast in row.contrasts:
        unit = difference_unit(row.units.get(contrast.measure, "number"))
        difference = contrast.difference
        value, interval = show_estimate(difference.value, difference.low, difference.high, unit)
        lines.append(f"{contrast.name}: {value} {interval}")
    return _text("\n".join(lines))


def _said(sentence: str, source: str) -> "Text":
    return _text(sentence).append_text(_text("\n" + source, "dim"))


def _verdict(verdict: Verdict) -> "Text":
    mark, colour = _MARKS[verdict]
    return _text(f"{mark} {verdict}", colour)


def _text(text: str, style: str = "") -> "Text":
    """Text without escape sequences or rich markup, so that nothing stored can steer the terminal."""
    from rich.text import Text

    return Text(clean(text), style=style)


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=_text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column in ("Verdict", "Value", "Interval"), vertical="top")
    return table
