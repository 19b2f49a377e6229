"""The stage that turns audits of ratings, and what was picked by them, into the charts and tables of a report."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.lab import Panel, stage
from paribus.studies.stages.annotation import PREAMBLES, SEVEN, read_feedback, read_outputs, read_prompts
from paribus.studies.stages.annotation_measures import aggregated, with_truth
from paribus.studies.stages.panels import write_panels
from paribus.studies.stages.panels_optimisation import PicksPanelsConfig, known_ends, optimisation_panels, table

if TYPE_CHECKING:
    from paribus.feedback.annotation.audit import Audit
    from paribus.feedback.annotation.regression import ErrorRegression
    from paribus.statistics import Interval

RESAMPLES = 500
SHOWN = 2
"""Sample inputs a language."""


class AnnotationPanelsConfig(PicksPanelsConfig):
    """Who rates, what errors cost them as planted (empty where it is not known), the Lasso's penalty, and the system
    that others are compared with."""

    conditions: tuple[str, ...]
    planted: dict[str, dict[str, float]]
    alpha: float
    reference: str


@stage(version="1")
def annotation_panels(
    config: AnnotationPanelsConfig,
    ratings: dict[str, Path],
    experts: Path,
    outputs: Path,
    pairs: dict[str, Path],
    examinations: dict[str, Path],
    policies: dict[str, Path],
    *,
    out: Path,
) -> None:
    """Write ``panels.jsonl``. Ratings are the first seed's, by condition; pairs are keyed ``feedback@seed``,
    examinations ``arm@seed``, examinations of policies ``feedback-round@seed``."""
    charts = Charts(config, ratings, experts, outputs)
    panels = [
        charts.weights(),
        charts.path(),
        *charts.gaps(),
        charts.by_assertiveness(),
        charts.by_system(),
        charts.systems(),
        *optimisation_panels(config, outputs, pairs, {**examinations, **policies}),
        charts.found(),
        charts.agreement(),
        charts.checks(),
        charts.samples(),
    ]
    write_panels(out, [panel for panel in panels if panel.rows])


class Charts:
    """Audits of the first seed's ratings, by condition."""

    def __init__(
        self, config: AnnotationPanelsConfig, ratings: Mapping[str, Path], experts: Path, outputs: Path
    ) -> None:
        self.config, self.ratings, self.experts, self.outputs = config, ratings, experts, outputs

    @cached_property
    def audits(self) -> "dict[str, Audit]":
        """The audit of every condition, of all languages together."""
        from paribus.feedback.annotation.analysis import AuditSettings
        from paribus.feedback.annotation.audit import audit

        settings = AuditSettings(
            alpha=self.config.alpha,
            reference=self.config.reference,
            resamples=RESAMPLES,
            language_inputs=10**9,
        )
        truth = read_feedback(self.experts)
        return {name: audit(read_feedback(folder), truth, settings) for name, folder in self.ratings.items()}

    @cached_property
    def true_fits(self) -> "dict[str, ErrorRegression]":
        """Quality by each condition's raters, regressed on experts' labels."""
        from paribus.feedback.annotation.regression import regress

        truth = aggregated(self.experts)
        return {
            name: regress(
                with_truth(aggregated(folder), truth), errors=SEVEN, alpha=self.config.alpha, resamples=RESAMPLES
            )
            for name, folder in self.ratings.items()
        }

    # ---- What scores reflect ----------------------------------------------------------------------------------------

    def weights(self) -> Panel:
        """Weights found, on true labels and on the raters' own, beside those that were planted."""
        rows = []
        for condition, fit in self.true_fits.items():
            planted = self.config.planted[condition]
            (own,) = (row for row in self.audits[condition].of().regressions if row.target == "quality")
            for words, found in (("true errors", fit), ("errors they label", own)):
                rows += [
                    {
                        "label": row.error,
                        "group": f"{condition}, {words}",
                        **_interval(row.lasso),
                        "reference": planted.get(row.error, 0.0),
                    }
                    for row in sorted(found.weights, key=lambda row: SEVEN.index(row.error))
                ]
        return Panel(
            id="weights",
            kind="intervals",
            title="What an error costs the score: found, and planted",
            caption=(
                "Lasso of quality (rated apart from errors) on errors, points of five. The line is the planted weight "
                "(0 where none is known); "
                "the Lasso draws all weights towards zero. On their own labels raters' blindness adds to it: an error "
                "that is seldom noticed seems to cost little, or to cost what comes with it."
            ),
            rows=tuple(rows),
            x_title="points of five",
        )

    def path(self) -> Panel:
        """Weights over penalties."""
        fit = next(iter(self.true_fits.values()))
        rows: list[dict[str, Any]] = [
            {"x": point.alpha, "y": weight, "series": error}
            for point in fit.path
            for error, weight in zip(fit.errors, point.weights, strict=True)
        ]
        rows.append({"x": fit.alpha, "y": None, "series": "used here", "role": "bound"})
        return Panel(
            id="path",
            kind="lines",
            title="Weights by penalty",
            caption=f"Scores of {next(iter(self.true_fits))} on true errors.",
            rows=tuple(rows),
            x_title="penalty alpha",
            y_title="points of five",
            x_scale="log",
        )

    # ---- What assertive text hides ----------------------------------------------------------------------------------

    def gaps(self) -> list[Panel]:
        """Raters minus experts by preamble, a table each condition."""
        return [
            Panel(
                id=f"gaps-{name}",
                kind="heatmap",
                title=f"Error rates, {name} minus experts, by preamble",
                caption=(
                    "Below zero: errors that are there and not reported. Outputs that count as refusals are left out "
                    "on each side. First seed's raters."
                ),
                rows=tuple(
                    {"x": row.group, "y": row.error, **_interval(row.difference)}
                    for gaps in [found.of().gaps]
                    if gaps is not None
                    for row in gaps.rows
                ),
                x_title="preamble",
                y_title="error",
            )
            for name, found in self.audits.items()
        ]

    def by_assertiveness(self) -> Panel:
        """Reported rates by perceived assertiveness, refusals left out."""
        rows = [
            {"x": int(group.group), "y": mean.estimate, **known_ends(mean), "series": name, "facet": error}
            for name, found in self.audits.items()
            for group in found.of().answered_by_assertiveness
            for error, mean in group.means.items()
            if error in SEVEN and error != "refusal" and mean.estimate == mean.estimate
        ]
        return Panel(
            id="rates",
            kind="lines",
            title="Errors reported, by perceived assertiveness",
            caption="True rates do not depend on style. Refusals are left out; first seed's raters.",
            rows=tuple(rows),
            x_title="perceived assertiveness, 1 to 5",
            y_title="share of outputs",
        )

    # ---- Whom scores favour -----------------------------------------------------------------------------------------

    def by_system(self) -> Panel:
        """Quality over perceived assertiveness, a line each system."""
        from paribus.feedback.annotation.groups import group_means, rating_bins

        rows = []
        for name, folder in self.ratings.items():
            outputs = aggregated(folder)
            models = outputs.labels("model")
            for model in dict.fromkeys(models.tolist()):
                own = outputs.where(models == model)
                bins = rating_bins(own.column("assertiveness"))
                for group in group_means(own, bins, ["quality"], resamples=RESAMPLES):
                    mean = group.means["quality"]
                    rows.append(
                        {"x": int(group.group), "y": mean.estimate, **known_ends(mean)}
                        | {"series": model, "facet": name}
                    )
        return Panel(
            id="quality",
            kind="lines",
            title="Perceived quality over perceived assertiveness",
            caption="Means of bins with intervals over inputs; a line for each system. Systems err alike.",
            rows=tuple(rows),
            x_title="perceived assertiveness, 1 to 5",
            y_title="perceived quality, 1 to 5",
        )

    def systems(self) -> Panel:
        """Systems by condition: means, slope, correlation, and differences at equal quality."""
        rows = []
        for name, found in self.audits.items():
            analysis = found.of()
            beside = {row.model: row for row in analysis.equal_quality}
            for line in analysis.lines:
                other = beside.get(line.model)
                rows.append(
                    {
                        "raters": name,
                        "system": line.model,
                        "assertiveness": _shown(line.assertiveness),
                        "quality": _shown(line.quality),
                        "slope": _shown(line.slope),
                        "r": _shown(line.r),
                        f"more assertive than {self.config.reference} at equal quality": _shown(
                            other.more_assertive if other else None
                        ),
                    }
                )
        return table("systems", "Systems as raters see them", "First seed's raters; intervals over inputs.", rows)

    # ---- The raters themselves --------------------------------------------------------------------------------------

    def found(self) -> Panel:
        """Precision and recall of every error."""
        rows = [
            {
                "raters": name,
                "error": row.error,
                "experts see": row.expert,
                "raters see": row.crowd,
                "precision": _shown(row.precision),
                "recall": _shown(row.recall),
            }
            for name, found in self.audits.items()
            for row in found.of().detection
        ]
        caption = "Raters see an error if more than half of their modes do. First seed's raters."
        return table("found", "How many errors raters find", caption, rows)

    def agreement(self) -> Panel:
        """AC1 and alpha on forms that were shown again."""
        rows = [
            {
                "raters": name,
                "question": row.question,
                "outputs": row.items,
                "ratings": row.ratings,
                "AC1": _shown(row.ac1),
                "alpha": _shown(row.alpha),
            }
            for name, found in self.audits.items()
            for row in found.of().agreement
        ]
        caption = (
            "Gwet's AC1 and Krippendorff's alpha on repeated forms. Where an error is rare alpha is low even if raters "
            "agree on nearly all outputs. A model rates every output once, so it has none."
        )
        return table("agreement", "How far raters agree", caption, rows)

    def checks(self) -> Panel:
        """What was taken out, and how distractors fared."""
        rows = []
        for name, found in self.audits.items():
            rates = {row.pass_: row for row in found.distractors}
            distrusted = [row.pass_ for row in found.distrusted]
            for pool in found.pools:
                rate = rates.get(pool.pass_)
                rows.append(
                    {
                        "raters": name,
                        "pass": pool.pass_,
                        "ratings": pool.given,
                        **{f"dropped: {reason}": count for reason, count in pool.dropped.items() if reason != "rater"},
                        "distractors": pool.distractors,
                        "counted": pool.counted,
                        "distractor not above": _shown(rate.not_above if rate else None),
                        "distrusted raters": distrusted.count(pool.pass_),
                    }
                )
        caption = (
            "Failed attention checks, second ratings and unreadable replies do not count. Distrusted raters fail "
            "distractors or give one score to everything; they are named, and stay."
        )
        return table("checks", "What was dropped, and who put a distractor above the genuine answer", caption, rows)

    def samples(self) -> Panel:
        """The first inputs of each language with all their outputs."""
        by_prompt: dict[str, list[Any]] = {}
        for row in read_outputs(self.outputs):
            by_prompt.setdefault(row.prompt_id, []).append(row)
        rows, counts = [], dict[str, int]()
        for prompt in read_prompts(self.outputs):
            counts[prompt.language] = counts.get(prompt.language, 0) + 1
            if counts[prompt.language] > SHOWN:
                continue
            for answer in sorted(by_prompt[prompt.id], key=lambda row: PREAMBLES.index(row.meta["preamble"])):
                errors = ", ".join(answer.meta["errors"]) or "none"
                shown = {"language": prompt.language, "prompt": prompt.text, "text": answer.text}
                shown |= {"arm": f"{answer.model}, {answer.meta['preamble']}", "correct": not answer.meta["errors"]}
                rows.append(shown | {"note": f"errors: {errors}"})
        return Panel(
            id="samples",
            kind="samples",
            title="What is rated",
            caption="The first inputs of each language, not picked, with their outputs and what is wrong with them.",
            rows=tuple(rows),
        )


def _interval(found: "Interval") -> dict[str, float | None]:
    return {"value": found.estimate, **known_ends(found)}


def _shown(found: "Interval | None") -> str:
    if found is None or found.estimate != found.estimate:
        return "–"
    known = found.low == found.low
    return f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]" if known else f"{found.estimate:.3f}"
