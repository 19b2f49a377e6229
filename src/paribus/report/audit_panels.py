"""The charts of an audit page, as panels made from the stored audit: agreement, weights, gaps, style, models."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from paribus.lab.results import Panel
from paribus.report.formatting import Unit, show_estimate

if TYPE_CHECKING:
    from paribus.feedback.annotation.audit import Analysis, Audit
    from paribus.feedback.annotation.confounders import Gaps
    from paribus.feedback.annotation.groups import GroupMeans
    from paribus.feedback.annotation.regression import ErrorRegression
    from paribus.statistics import Interval

EVERYTHING, ANSWERED = "all outputs", "without refusals"
SCORES = ("quality", "overall", "assertiveness", "complexity")
REFUSAL = "refusal"


def words(name: str) -> str:
    """A name as prose: underscores become spaces."""
    return name.replace("_", " ")


def agreement_panels(analysis: "Analysis") -> list[Panel]:
    """AC1 and alpha of every question."""
    rows = [
        {"label": words(each.question), "group": title, **_ends(interval), "reference": 0.0, "items": each.items}
        for title, name in (("Gwet's AC1", "ac1"), ("Krippendorff's alpha", "alpha"))
        for each in analysis.agreement
        if isfinite((interval := getattr(each, name)).estimate)
    ]
    if not rows:
        return []
    repeated = analysis.agreement[0].unit == "form"
    what = "outputs of forms that were shown again" if repeated else "outputs rated twice or more"
    caption = (
        f"On {what}, beyond chance: 1 is full agreement, 0 is guessing. Where an error is rare, alpha is near 0 even "
        "if raters agree on nearly all outputs; AC1 is not. AC1 takes the five points of a score for unordered "
        "categories, alpha weighs how far they are apart."
    )
    return [_panel("agreement", "intervals", "How far raters agree", caption, rows, x_title="coefficient")]


def halo_panels(audit: "Audit") -> list[Panel]:
    """What an answer to another prompt does to the rate of every error."""
    rows = [
        {
            "label": words(row.question),
            **_ends(row.difference),
            "reference": 0.0,
            "on distractors": row.distractor,
            "on others": row.genuine,
        }
        for row in audit.halo
        if row.question not in SCORES
    ]
    caption = (
        "Rates on distractors minus rates on genuine outputs, over single ratings. A distractor is off topic; that it "
        "is also said to be false, contradictory or a refusal shows that raters do not tell errors apart."
    )
    return [_panel("halo", "intervals", "Rates of errors on distractors, difference", caption, rows)] if rows else []


def weight_panels(fit: "ErrorRegression") -> list[Panel]:
    """Weights of one score on errors, their path over penalties, and with each error left out."""
    of, target = fit.target, words(fit.target)
    weights = [
        {"label": words(row.error), "group": group, **_ends(interval), "reference": 0.0}
        for group, name in (("Lasso", "lasso"), ("Least squares", "ols"))
        for row in fit.weights
        if isfinite((interval := getattr(row, name)).estimate)
    ]
    path = [
        {"x": point.alpha, "y": weight, "series": words(error)}
        for point in fit.path
        for error, weight in zip(fit.errors, point.weights, strict=True)
    ]
    path += [{"x": fit.alpha, "y": None, "series": "used here", "role": "bound"}] if path else []
    without = [
        {"x": words(row.dropped), "y": words(error), "value": None if weight != weight else weight}
        for row in fit.without
        for error, weight in zip(fit.errors, row.weights, strict=True)
    ]
    shown = [
        _panel(
            f"weights-{of}",
            "intervals",
            f"What an error costs {target}",
            f"Points of five that {target} loses with the error, others held fixed: {fit.outputs:,} outputs, intervals "
            f"over {fit.inputs:,} inputs. The Lasso (penalty {fit.alpha:g}) explains {100 * fit.r2.estimate:.1f}% of "
            f"the variance around an intercept of {fit.intercept:.2f}, least squares {100 * fit.ols_r2:.1f}%. The "
            "Lasso sets small weights to zero; that a weight is zero does not mean that the error costs nothing.",
            weights,
            x_title="points",
        ),
        _panel(f"table-{of}", "table", f"Errors and {target} in figures", _TABLE, _weight_rows(fit)),
    ]
    return shown + [
        panel
        for panel in (
            _panel(f"path-{of}", "lines", f"Weights on {target} by penalty", _PATH, path, x_title="penalty alpha",
                   y_title="points", x_scale="log"),
            _panel(f"without-{of}", "heatmap", f"Weights on {target} with one error left out", _WITHOUT, without,
                   x_title="the error left out", y_title="Error"),
        )
        if panel.rows
    ]  # fmt: skip


_TABLE = (
    "Kept: share of resamples in which the Lasso's weight is not zero. Inflation: how much the variance of the weight "
    "grows because other errors come with this one; 1 is none, above 10 the weight is shared."
)
_PATH = "A ranking that changes with the penalty is a property of the penalty, not of the raters."
_WITHOUT = "Where leaving out one error moves another's weight, the two come together and share what they cost."


def _weight_rows(fit: "ErrorRegression") -> list[dict[str, Any]]:
    return [
        {
            "error": words(row.error),
            "seen rate": row.rate,
            "Lasso": shown(row.lasso, "number"),
            "kept share": row.kept,
            "least squares": shown(row.ols, "number"),
            "r with the score": shown(row.correlation, "number"),
            "inflation": row.inflation,
        }
        for row in fit.weights
    ]


def gap_panels(analysis: "Analysis") -> list[Panel]:
    """Crowd minus experts by group: the paper's way, its contrasts, the other two ways, and what the crowd finds."""
    found = []
    if analysis.gaps is not None:
        found += [
            _gap_map("gaps", "Crowd minus experts, rates of errors", analysis.gaps, _GAPS),
            _contrasts(analysis.gaps),
        ]
    if analysis.gaps_labelled is not None:
        title = "Crowd minus experts, rates on the same outputs"
        found.append(_gap_map("gaps-labelled", title, analysis.gaps_labelled, _LABELLED))
    if analysis.gaps_with_refusals is not None:
        title = "Crowd minus experts, rates with refusals"
        found.append(_gap_map("gaps-refusals", title, analysis.gaps_with_refusals, _REFUSALS))
    rows = [
        {
            "error": words(row.error),
            "experts see": row.expert,
            "crowd sees": row.crowd,
            "both see": row.found,
            "precision": shown(row.precision, "share"),
            "recall": shown(row.recall, "share"),
        }
        for row in analysis.detection
    ]
    caption = "On outputs that both labelled; the crowd sees an error if more than half of its raters' modes do."
    found += [_panel("detection", "table", "How many errors the crowd finds", caption, rows)] if rows else []
    return [panel for panel in found if panel.rows]


_GAPS = (
    "Percentage points; below zero the crowd overlooks errors. Outputs that count as refusals are left out on each "
    "side. The crowd's rate is over all its outputs of the group, the experts' over those they labelled."
)
_LABELLED = "The same difference where the crowd's rate is over the outputs that experts labelled as well."
_REFUSALS = "The same difference as in the first table with refusals counted."


def _gap_map(name: str, title: str, gaps: "Gaps", caption: str) -> Panel:
    rows = [
        {"x": words(row.group), "y": words(row.error), **_ends(row.difference)}
        for row in gaps.rows
        if isfinite(row.difference.low) or row.difference.estimate != 0
    ]
    missing = f" {gaps.missing} outputs of the experts have no label of the crowd." if gaps.missing else ""
    return _panel(name, "heatmap", title, caption + missing, rows, y_title="Error")


def _contrasts(gaps: "Gaps") -> Panel:
    rows = [
        {
            "label": words(row.error),
            "group": f"{words(row.group)} minus {words(row.baseline)}",
            **_ends(row.difference),
            "reference": 0.0,
        }
        for row in gaps.contrasts
        if isfinite(row.difference.low)
    ]
    caption = (
        "The gap under one preamble minus the gap under its opposite. Below zero: the first manner hides more errors "
        "from the crowd than the second. Intervals are not widened for the number of errors looked at."
    )
    return _panel("contrasts", "intervals", "Does the manner hide errors? Gaps between rates", caption, rows)


def style_panels(analysis: "Analysis") -> list[Panel]:
    """Correlations of scores with style, means by preamble, error rates and scores by perceived style and length."""
    related = [
        {"label": label, "group": f"with {words(style.target)}", **_ends(interval), "reference": 0.0}
        for style in analysis.style
        for label, interval in (
            ("assertiveness", style.assertiveness),
            ("assertiveness, complexity fixed", style.assertiveness_given_complexity),
            ("complexity", style.complexity),
            ("complexity, assertiveness fixed", style.complexity_given_assertiveness),
        )
        if isfinite(interval.estimate)
    ]
    found = [
        _panel("style", "intervals", "Scores and style over outputs", _STYLE, related, x_title="Pearson's r"),
        _group_map("by-preamble-errors", "Rates of errors by preamble", analysis.by_preamble, errors=True),
        _group_map("by-preamble", "Mean scores by preamble", analysis.by_preamble, errors=False),
    ]
    for name in ("assertiveness", "complexity"):
        everything, answered = getattr(analysis, f"by_{name}"), getattr(analysis, f"answered_by_{name}")
        rows = [*_rates_over(everything, EVERYTHING), *_rates_over(answered, ANSWERED)]
        found.append(
            _panel(f"errors-by-{name}", "lines", f"Rates of errors by perceived {name}", _BINS, rows,
                   x_title=f"perceived {name}, 1 to 5", y_title="error rate")
        )  # fmt: skip
    lengths = [
        row | {"facet": "", "series": row["column"]}
        for row in _means_over(analysis.by_length)
        if row["column"] in ("quality", "overall")
    ]
    found.append(
        _panel("length", "lines", "Scores by length", _LENGTH, lengths, x_title="words", y_title="points of five")
    )
    return [panel for panel in found if panel.rows]


_STYLE = "Fixed: the part of the correlation that the other style does not account for."
_BINS = (
    "Means over the outputs of a bin, with intervals over inputs. Refusals are judged by other measures and sound "
    "unlike other answers, so the second line leaves them out."
)
_LENGTH = "To the nearest 50 words; the last point holds all longer outputs. Small bins have wide intervals."


def model_panels(analysis: "Analysis") -> list[Panel]:
    """Models by assertiveness and quality, their lines, and differences at equal quality."""
    spots = [
        {"x": line.assertiveness.estimate, "y": line.quality.estimate, "label": line.model, **_range(line.quality)}
        for line in analysis.lines
    ]
    lines = [
        {
            "model": line.model,
            "outputs": line.outputs,
            "assertiveness": shown(line.assertiveness, "number"),
            "quality": shown(line.quality, "number"),
            "slope": shown(line.slope, "number"),
            "intercept": line.intercept,
            "r": shown(line.r, "number"),
        }
        for line in analysis.lines
    ]
    compared = [
        {"label": row.model, "group": group, **_ends(interval), "reference": 0.0}
        for group, name in (
            ("More assertive at equal quality", "more_assertive"),
            ("Better at equal assertiveness", "better"),
        )
        for row in analysis.equal_quality
        if isfinite((interval := getattr(row, name)).estimate)
    ]
    against = analysis.equal_quality[0].reference if analysis.equal_quality else ""
    found = [
        _panel("models", "scatter", "Models by assertiveness and quality", "Means over their outputs.", spots,
               x_title="assertiveness, 1 to 5", y_title="quality, 1 to 5"),
        _panel("equal-quality", "intervals", f"Models against {against}", _EQUAL, compared,
               x_title="difference in points"),
        _panel("lines", "table", "Quality on assertiveness, a line for each model", "", lines),
    ]  # fmt: skip
    return [panel for panel in found if panel.rows]


_EQUAL = (
    "Indicators of a regression on the outputs of the two models. Models differ in more than one way, so this is a "
    "difference between them and no effect of any one thing they were trained with."
)


def language_panels(audit: "Audit") -> list[Panel]:
    """What can be split by language: weights, agreement, gaps; empty where there is one language."""
    spoken = audit.analyses[1:]
    weights = [
        {"x": words(row.error), "y": each.language, **_ends(row.ols)}
        for each in spoken
        for fit in each.regressions[:1]
        for row in fit.weights
        if isfinite(row.ols.estimate)
    ]
    agreed = [
        {"x": words(row.question), "y": each.language, **_ends(row.ac1)} for each in spoken for row in each.agreement
    ]
    recalls = [
        {"x": words(row.error), "y": each.language, **_ends(row.recall)}
        for each in spoken
        for row in each.detection
        if isfinite(row.recall.estimate)
    ]
    found = [
        _panel("language-weights", "heatmap", "What an error costs, by language", _LANGUAGE, weights),
        _panel("language-agreement", "heatmap", "Gwet's AC1 by language", "", agreed),
        _panel("language-recall", "heatmap", "Recall of experts' errors by language", "", recalls),
    ]
    return [panel for panel in found if panel.rows]


_LANGUAGE = "Least squares, points of five: weights of zero by the Lasso would depend on how many outputs there are."


def _group_map(name: str, title: str, groups: Sequence["GroupMeans"], *, errors: bool) -> Panel:
    rows = [
        {"x": words(row.group), "y": words(column), **_ends(mean)}
        for row in groups
        for column, mean in row.means.items()
        if (column not in SCORES) == errors and isfinite(mean.estimate)
    ]
    return _panel(name, "heatmap", title, "", rows)


def _rates_over(groups: Sequence["GroupMeans"], series: str) -> list[dict[str, Any]]:
    """Rates of errors as points; that there are no refusals without refusals is not drawn."""
    away = (*SCORES, REFUSAL) if series == ANSWERED else SCORES
    return [row | {"series": series} for row in _means_over(groups) if row["column"] not in away]


def _means_over(groups: Sequence["GroupMeans"]) -> list[dict[str, Any]]:
    """Means of numbered groups (bins of ratings, lengths) as points of lines."""
    return [
        {"x": int(row.group.rstrip("+")), "y": mean.estimate, **_range(mean), "facet": words(column), "column": column}
        for row in groups
        for column, mean in row.means.items()
        if isfinite(mean.estimate)
    ]


def _panel(
    name: str,
    kind: Any,
    title: str,
    caption: str,
    rows: Iterable[dict[str, Any]],
    *,
    x_title: str = "",
    y_title: str = "",
    x_scale: Any = "linear",
) -> Panel:
    return Panel(
        id=name,
        kind=kind,
        title=title,
        caption=caption,
        rows=tuple(rows),
        x_title=x_title,
        y_title=y_title,
        x_scale=x_scale,
    )


def _ends(interval: "Interval") -> dict[str, float | None]:
    return {"value": interval.estimate, **_range(interval)}


def _range(interval: "Interval") -> dict[str, float | None]:
    low, high = known_ends(interval)
    return {"low": low, "high": high}


def known_ends(interval: "Interval") -> tuple[float | None, float | None]:
    """The ends of an interval, or two Nones where it has none."""
    return (interval.low, interval.high) if isfinite(interval.low) and isfinite(interval.high) else (None, None)


def shown(interval: "Interval", unit: Unit) -> str:
    """A value and its interval as text: ``0.32 [0.02, 0.62]``, ``1.7% [0.0, 6.2]``; shares are numbers from 0 to 1."""
    value, ends = show_estimate(interval.estimate, *known_ends(interval), unit, 2)
    return value if known_ends(interval)[0] is None else f"{value} {ends}"
