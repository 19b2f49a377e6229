"""Every claim of every study on one page: what the paper said, what the runs found, and what that cost."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

from paribus.lab.results import ContrastResult, StudyResult, Verdict
from paribus.report import sections
from paribus.report.forest import contrast_forests
from paribus.report.formatting import Unit, currency_name, show_cost
from paribus.report.page import anchor, render_page, write_page
from paribus.report.study import Entry

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class ScoreboardRow(BaseModel):
    """One claim of one run.

    ``contrasts`` are the stored contrasts it rests on, ``units`` the unit of each of their measures. ``cost`` is, per
    currency, that of the dearest arm these contrasts compare (arms share steps, so a sum would count those twice).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    claim: str
    sentence: str
    source: str
    verdict: Verdict
    scale: str
    seeds: int
    contrasts: tuple[ContrastResult, ...] = ()
    units: dict[str, Unit] = {}
    cost: dict[str, float] = {}
    note: str = ""


def scoreboard_rows(results: Iterable[StudyResult]) -> list[ScoreboardRow]:
    """The claims of stored results, in the order given."""
    return [row for result in results for row in _rows_of(result)]


def render_scoreboard(rows: Sequence[ScoreboardRow]) -> str:
    """One self-contained HTML page: the tally, a table of studies, then each claim with its contrasts and cost."""
    by_study: dict[str, list[ScoreboardRow]] = {}
    for row in rows:
        by_study.setdefault(row.study, []).append(row)
    studies = [_study(name, members) for name, members in by_study.items()]
    tally = [(verdict, sum(row.verdict == verdict for row in rows)) for verdict in VERDICTS]
    contents = [Entry("summary", "Summary"), *(Entry(study["anchor"], study["name"]) for study in studies)]
    return render_page("scoreboard.html.jinja", studies=studies, tally=tally, contents=contents)


def write_scoreboard(rows: Sequence[ScoreboardRow], path: Path) -> Path:
    """Render the scoreboard and write it to ``path``, whole or not at all; returns the path."""
    return write_page(render_scoreboard(rows), Path(path))


def cost_facts(cost: dict[str, float]) -> list[tuple[str, str]]:
    """(name, amount) of the currencies a reader compares first: compute, tokens, time."""
    return [(currency_name(c), show_cost(c, cost[c])) for c in ("flops", "tokens", "seconds") if c in cost]


def _rows_of(result: StudyResult) -> list[ScoreboardRow]:
    units = sections.measure_units(result)
    by_name = {contrast.name: contrast for contrast in result.contrasts}
    rows = []
    for claim in result.claims:
        contrasts = tuple(by_name[name] for name in claim.contrasts if name in by_name)
        compared = {name for contrast in contrasts for name in (contrast.arm, contrast.baseline)}
        arms = [arm for arm in result.arms if arm.name in compared]
        currencies = dict.fromkeys(currency for arm in arms for currency in arm.cost)
        rows.append(
            ScoreboardRow(
                study=result.study,
                claim=claim.id,
                sentence=claim.sentence,
                source=claim.source,
                verdict=claim.verdict,
                scale=result.scale,
                seeds=min((len(arm.seeds) for arm in arms), default=0),
                contrasts=contrasts,
                units={contrast.measure: units[contrast.measure] for contrast in contrasts},
                cost={currency: max(arm.cost.get(currency, 0.0) for arm in arms) for currency in currencies},
                note=claim.note,
            )
        )
    return rows


def _study(name: str, rows: list[ScoreboardRow]) -> dict[str, Any]:
    among = [contrast for row in rows for contrast in row.contrasts]
    return {
        "name": name,
        "anchor": anchor("study", name),
        "scales": ", ".join(dict.fromkeys(row.scale for row in rows)),
        "counts": [sum(row.verdict == verdict for row in rows) for verdict in VERDICTS],
        "claims": [
            {
                "row": row,
                "charts": [
                    (sections.measure_name(measure), chart)
                    for measure, chart in contrast_forests(row.contrasts, row.units, among=among)
                ],
                "facts": [
                    ("scale", row.scale),
                    ("seeds", str(row.seeds)),
                    *((n.lower(), text) for n, text in cost_facts(row.cost)),
                ],
            }
            for row in rows
        ],
    }
