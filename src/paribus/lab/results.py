"""What a finished study stores: the one schema that the analysis writes and the report reads.

Everything here is plain data (JSON in, JSON out), so a report can be made again years later from the store alone.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["supported", "contradicted", "unresolved"]

PanelKind = Literal["ladder", "heatmap", "maps", "shares", "intervals", "lines", "scatter", "samples", "table", "text"]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Stored):
    """A number with its interval; ``covers`` names the noise it speaks for (prompts, post-training, pre-training)."""

    value: float
    low: float
    high: float
    level: float = 0.95
    n: int
    covers: tuple[str, ...]


class ArmSummary(_Stored):
    """One arm: declared factors, measures by language (key ``all`` = every language), cost by currency."""

    name: str
    description: str
    factors: dict[str, Any] = {}
    seeds: tuple[int, ...]
    measures: dict[str, dict[str, Estimate]]
    cost: dict[str, float]
    addresses: dict[str, str] = {}


class ContrastResult(_Stored):
    """Arm minus baseline on one measure, paired by item, with its verdict against the declared direction and margin."""

    name: str
    arm: str
    baseline: str
    measure: str
    direction: str
    margin: float
    difference: Estimate
    by_language: dict[str, Estimate]
    p_value: float
    p_holm: float
    minimal_detectable: float
    verdict: Verdict
    matched: str
    cost_ratio: dict[str, float]
    family: str = ""


class ClaimResult(_Stored):
    """A sentence of the paper and what this run says of it."""

    id: str
    sentence: str
    source: str
    verdict: Verdict
    contrasts: tuple[str, ...]
    note: str = ""


class Panel(_Stored):
    """A chart or table as data: rows of plain values, and which columns mean what. The report draws it by ``kind``.

    ladder     rows: step, arm, value, low, high[, language]
    heatmap    rows: x, y, value[, label, low, high]
    maps       rows: facet, x, y, value[, mark]    (shares of 1 on one scale: routing; ``mark`` names an alarm: "dead")
    shares     rows: group, part, share            (stacked bars: routing shares per language)
    intervals  rows: label, value, low, high[, group, reference]
    lines      rows: x, y, series[, facet, low, high, role, of]
    scatter    rows: x, y, label[, low, high]
    samples    rows: language, prompt, arm, text, correct, note
    table      rows: any columns, in ``columns`` order
    text       rows: text

    ``better`` says which values win, "more" or "less". A heat map then marks the best of each column, a scatter (x is
    what is spent) draws the Pareto front.

    Rows of ``lines`` with ``low`` and ``high`` draw a band around their series. ``role`` says what a row belongs to:

    "" or null    a series that was measured, in a colour of its own
    "reference"   a learner or a theory to compare with: dashed, in a neutral colour, named at its end
    "run"         one run (seed) of the series named in ``of``: thin and faint in that series' colour
    "bound"       a vertical line at ``x`` named by ``series``, with y null; without a facet it crosses every chart

    ``x_scale`` "log" gives ``lines`` a logarithmic x axis, for widths or bits; every x must then be above zero.
    """

    id: str
    kind: PanelKind
    title: str
    caption: str = ""
    rows: tuple[dict[str, Any], ...]
    columns: tuple[str, ...] = ()
    x_title: str = ""
    y_title: str = ""
    better: Literal["", "more", "less"] = ""
    x_scale: Literal["linear", "log"] = "linear"


class StudyResult(_Stored):
    """A whole study as the report shows it. ``ladder`` names contrasts that are steps, each over the one before."""

    study: str
    title: str
    question: str
    paper: str
    scale: str
    settings: dict[str, Any]
    covers_note: str
    arms: tuple[ArmSummary, ...]
    contrasts: tuple[ContrastResult, ...]
    claims: tuple[ClaimResult, ...]
    panels: tuple[Panel, ...]
    ladder: tuple[str, ...] = ()
    provenance: dict[str, Any] = {}
