"""The page of an audit of feedback: what the ratings are, reflect and miss, from the stored audit alone."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.report import audit_panels
from paribus.report.audit_panels import shown, words
from paribus.report.page import render_page, write_page
from paribus.report.study import Entry, PanelView, panel_view

if TYPE_CHECKING:
    from paribus.feedback.annotation.audit import Analysis, Audit
    from paribus.feedback.annotation.notices import Notice
    from paribus.lab.results import Panel


def write_audit(audit: "Audit", path: Path, *, sources: Sequence[str] = (), command: str = "") -> Path:
    """Render the audit and write it to ``path``, whole or not at all; returns the path."""
    return write_page(render_audit(audit, sources=sources, command=command), Path(path))


def render_audit(audit: "Audit", *, sources: Sequence[str] = (), command: str = "") -> str:
    """One self-contained HTML page. The same audit gives the same text.

    Args:
        audit: what was found.
        sources: names of the files it was made from. command: the command line that makes it again.
    """
    whole = audit.of()
    sections = [section for section in _sections(audit, whole) if section["panels"]]
    return render_page(
        "audit.html.jinja",
        outputs=f"{whole.outputs:,}",
        inputs=f"{whole.inputs:,}",
        level=f"{100 * audit.settings.level:g}%",
        findings=_findings(audit, whole),
        pools=_pools(audit),
        experts=audit.experts,
        distractors=_distractors(audit),
        distrusted=audit.distrusted,
        sections=sections,
        notices=_notices(audit),
        settings=asdict(audit.settings),
        sources=list(sources),
        command=command,
        contents=_contents(sections),
    )


def _sections(audit: "Audit", whole: "Analysis") -> list[dict[str, Any]]:
    weights = [panel for fit in whole.regressions for panel in audit_panels.weight_panels(fit)]
    agreement = [*audit_panels.agreement_panels(whole), *audit_panels.halo_panels(audit)]
    made: list[tuple[str, str, list[Panel]]] = [
        ("agreement", "Do raters agree, and tell errors apart?", agreement),
        ("scores", "What do the scores reflect?", weights),
        ("experts", "Which errors does the crowd miss?", audit_panels.gap_panels(whole)),
        ("style", "Do assertiveness and complexity sway raters?", audit_panels.style_panels(whole)),
        ("models", "Does a model score well because it sounds sure?", audit_panels.model_panels(whole)),
        ("languages", "By language", audit_panels.language_panels(audit)),
    ]
    return [
        {"anchor": name, "title": title, "panels": [panel_view(panel) for panel in panels]}
        for name, title, panels in made
    ]


def _contents(sections: Sequence[dict[str, Any]]) -> list[Entry]:
    shown = [Entry(each["anchor"], each["title"], tuple(_entries(each["panels"]))) for each in sections]
    ends = [Entry("beware", "What to beware of"), Entry("provenance", "Provenance")]
    return [Entry("findings", "In short"), Entry("ratings", "The ratings"), *shown, *ends]


def _entries(panels: Sequence[PanelView]) -> list[Entry]:
    return [Entry(panel.anchor, panel.title) for panel in panels]


def _findings(audit: "Audit", whole: "Analysis") -> list[tuple[str, str]]:
    """(question, answer in one sentence) for what a reader asks first; those without numbers are left out."""
    answers = [
        ("What do scores reflect?", _weights_sentence(whole)),
        ("Which errors are missed?", _missed_sentence(whole)),
        ("Does an assertive manner hide errors?", _manner_sentence(whole)),
        ("Do raters like assertiveness?", _style_sentence(whole)),
        ("Is any model favoured for its manner?", _model_sentence(whole)),
        ("Did raters read what they rated?", _distractor_sentence(audit)),
    ]
    return [(question, answer) for question, answer in answers if answer]


def _weights_sentence(whole: "Analysis") -> str:
    if not whole.regressions:
        return ""
    fit = whole.regressions[0]
    rows = sorted(fit.weights, key=lambda row: -row.lasso.estimate)
    costly = [f"{words(row.error)} {shown(row.lasso, 'number')}" for row in rows if row.lasso.low > 0]
    doubtful = [words(row.error) for row in rows if not row.lasso.low > 0]
    said = f"Points of {words(fit.target)} that errors cost: {', '.join(costly) or 'none for certain'}."
    return said + (f" Not told apart from no cost: {', '.join(doubtful)}." if doubtful else "")


def _missed_sentence(whole: "Analysis") -> str:
    seen = [row for row in whole.detection if row.expert]
    if not seen:
        return ""
    missed = max(seen, key=lambda row: row.expert - row.found)
    best = max(seen, key=lambda row: row.recall.estimate)
    said = (
        f"Of {missed.expert} outputs in which experts see {words(missed.error)} errors the crowd sees {missed.found} "
        f"({shown(missed.recall, 'share')})."
    )
    return f"{said} It finds {words(best.error)} best: {best.found} of {best.expert}." if best is not missed else said


def _manner_sentence(whole: "Analysis") -> str:
    if whole.gaps is None:
        return ""
    rows = [row for row in whole.gaps.contrasts if row.group == "assertive_high" and isfinite(row.difference.low)]
    told = [row for row in rows if not row.difference.low <= 0 <= row.difference.high]
    if not rows:
        return ""
    if not told:
        return "For no error is the gap between crowd and experts told apart between assertive and cautious preambles."
    parts = {
        sign: [
            f"{words(row.error)} {shown(row.difference, 'points')}" for row in told if (row.difference.low > 0) == sign
        ]
        for sign in (False, True)
    }
    worse = f"misses more under assertive preambles than under cautious ones: {', '.join(parts[False])}"
    better = f"misses less, or sees more that is not there: {', '.join(parts[True])}"
    said = "; it ".join(text for text, those in ((worse, parts[False]), (better, parts[True])) if those)
    return f"Measured against experts the crowd {said}."


def _style_sentence(whole: "Analysis") -> str:
    if not whole.style:
        return ""
    style = whole.style[0]
    of = (style.assertiveness, style.assertiveness_given_complexity, style.complexity)
    plain, fixed, complexity = (shown(interval, "number") for interval in of)
    complexity_fixed = shown(style.complexity_given_assertiveness, "number")
    return (
        f"Assertiveness and {words(style.target)} correlate at {plain}, with complexity fixed at {fixed}; complexity "
        f"at {complexity}, with assertiveness fixed at {complexity_fixed}."
    )


def _model_sentence(whole: "Analysis") -> str:
    rows = [row for row in whole.equal_quality if isfinite(row.more_assertive.low)]
    told = [row for row in rows if not row.more_assertive.low <= 0 <= row.more_assertive.high]
    if not rows:
        return ""
    if not told:
        return f"At equal quality no model is told apart from {rows[0].reference} by its assertiveness."
    row = max(told, key=lambda each: abs(each.more_assertive.estimate))
    return (
        f"At equal quality {row.model} is {'more' if row.more_assertive.estimate > 0 else 'less'} assertive than "
        f"{row.reference}: {shown(row.more_assertive, 'change')} points."
    )


def _distractor_sentence(audit: "Audit") -> str:
    parts = [f"{words(row.pass_)} {shown(row.not_above, 'share')}" for row in audit.distractors]
    return f"Distractors not put above the genuine answer: {'; '.join(parts)}." if parts else ""


def _pools(audit: "Audit") -> dict[str, Any]:
    reasons = list(dict.fromkeys(reason for pool in audit.pools for reason in pool.dropped))
    rows = []
    for pool in audit.pools:
        counts = [pool.given, *(pool.dropped.get(reason, 0) for reason in reasons), pool.distractors, pool.counted]
        cells = [f"{count:,}" for count in (*counts, pool.outputs, pool.inputs)]
        raters = f"{pool.raters:,}" if pool.raters else "not named"
        rows.append((pool.pass_, [*cells, f"{pool.ratings_an_output:.1f}", raters]))
    out = {"rater": "careless rater", "attention": "failed attention", "duplicate": "duplicate"}
    columns = ["given", *(out.get(reason, reason) for reason in reasons), "distractors"]
    return {"columns": [*columns, "counted", "outputs", "inputs", "ratings an output", "raters"], "rows": rows}


def _distractors(audit: "Audit") -> list[tuple[str, list[str]]]:
    return [
        (row.pass_, [f"{row.pairs:,}", shown(row.not_above, "share"), shown(row.below, "share"), f"{row.unpaired:,}"])
        for row in audit.distractors
    ]


def _notices(audit: "Audit") -> list["Notice"]:
    """Those of the audit, of all languages together, and of each language that are not there already."""
    found = [*audit.notices]
    for analysis in audit.analyses:
        place = "" if analysis is audit.analyses[0] else f" ({analysis.language})"
        found += [notice._replace(part=f"{notice.part}{place}") for notice in analysis.notices]
    return list(dict.fromkeys(found))
