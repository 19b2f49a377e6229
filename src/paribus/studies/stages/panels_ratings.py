"""The stage that audits files of real ratings and shows what it found in a study's report."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from paribus.lab import Panel, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import given_file
from paribus.studies.stages.panels import write_panels

if TYPE_CHECKING:
    from paribus.feedback.annotation.audit import Audit


class GivenRatingsConfig(StageConfig):
    """How given ratings are audited: the Lasso's penalty, and resamples of every interval."""

    alpha: float = Field(default=0.01, ge=0)
    resamples: int = Field(default=1000, gt=0)


@stage(version="1")
def audit_given(config: GivenRatingsConfig, ratings: list[Path], experts: Path | None = None, *, out: Path) -> None:
    """Audit files of ratings, together, against a file of experts' labels; writes ``panels.jsonl``."""
    from paribus.feedback.annotation.analysis import AuditSettings
    from paribus.feedback.annotation.audit import audit
    from paribus.feedback.annotation.schema import EXPERT
    from paribus.feedback.annotation.tables import read_ratings

    rows = [row for folder in ratings for row in read_ratings(given_file(folder))]
    truth = read_ratings(given_file(experts), rater=EXPERT) if experts is not None else []
    settings = AuditSettings(alpha=config.alpha, resamples=config.resamples)
    write_panels(out, given_panels(audit(rows, truth, settings)))


def given_panels(found: "Audit") -> Iterator[Panel]:
    """The panels of an audit page, named and titled as of given ratings; then the audit's own notices."""
    from paribus.report.audit_panels import agreement_panels, gap_panels, model_panels, style_panels, weight_panels

    whole = found.of()
    panels = [*agreement_panels(whole), *gap_panels(whole), *style_panels(whole), *model_panels(whole)]
    panels += [panel for fit in whole.regressions for panel in weight_panels(fit)]
    for panel in panels:
        columns = panel.columns or (tuple(panel.rows[0]) if panel.kind == "table" else ())
        named = {"id": f"given-{panel.id}", "title": f"Given ratings: {panel.title}", "columns": columns}
        yield panel.model_copy(update=named)
    rows = [{"part": note.part, "notice": note.text} for note in (*found.notices, *whole.notices)]
    if rows:
        title = "Given ratings: what could not be said, or should be read with care"
        yield Panel(id="given-notices", kind="table", title=title, rows=tuple(rows), columns=("part", "notice"))
