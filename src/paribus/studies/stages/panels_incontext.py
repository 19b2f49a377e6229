"""The stage that turns what models learned in context into the charts and tables of a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from paribus.lab import Panel, stage
from paribus.studies.stages.incontext import DIRECT
from paribus.studies.stages.outcomes import Folders
from paribus.studies.stages.outcomes_incontext import PanelArm, PromptOutcomes, PromptPanelsConfig, shown
from paribus.studies.stages.panels import write_panels
from paribus.studies.stages.panels_incontext_runs import RunCharts
from paribus.studies.stages.rows import read_rows

if TYPE_CHECKING:
    from paribus.testbeds.incontext.curves import Curve

REACHED = (0.9, 0.95, 0.99)


@stage(version="1")
def prompt_panels(
    config: PromptPanelsConfig,
    examinations: dict[str, Path],
    trained: dict[str, Path],
    sweeps: dict[str, Path],
    asked: dict[str, Path],
    *,
    out: Path,
) -> None:
    """Write ``panels.jsonl``. Examinations and models are keyed ``class/arm@seed``, the others ``class/arm``."""
    charts = Charts(config, examinations, trained, sweeps)
    runs = RunCharts(config, examinations, trained, sweeps)
    panels = [
        charts.curves(),
        charts.matrix(),
        charts.efficiency(),
        *charts.teaching(),
        charts.ambiguity(),
        charts.robustness(),
        charts.lengths(),
        _answers(config, asked),
        runs.heads(),
        runs.seeds(),
        runs.beyond_best(),
        runs.courses(),
        runs.beside_the_paper(),
    ]
    write_panels(out, [panel for panel in panels if panel.rows])


class Charts(PromptOutcomes):
    """Accuracy by number of examples, by class, on taught and on unusual prompts."""

    def curves(self) -> Panel:
        """Accuracy against number of examples, models with bands, learners dashed."""
        rows: list[dict[str, Any]] = []
        for arm, name in self.pairs("trained", "learner"):
            if arm.kind == "learner":
                rows += [
                    {"x": row["x"], "y": row["y"], "series": shown(arm.name), "facet": name, "role": "reference"}
                    for row in self.mean_curve(arm, name, "plain")
                ]
                continue
            rows += [{**row, "series": shown(arm.name), "facet": name} for row in self.mean_curve(arm, name, "plain")]
        return Panel(
            id="curves",
            kind="lines",
            title="Accuracy against examples in the context",
            caption=(
                "Lines: means over seeds; bands reach over the seeds' own 5-95% bands of the mean over prompts. "
                "Dashed: learners that see the same examples. Nearest neighbours start where labels begin to follow "
                "the rule."
            ),
            rows=tuple(rows),
            x_title="examples",
            y_title="accuracy",
        )

    def matrix(self) -> Panel:
        """Arms by classes over the last quarter of the prompt."""
        return Panel(
            id="late",
            kind="heatmap",
            title="Accuracy over the last quarter of the examples",
            caption="Means over test prompts and seeds; intervals resample prompts.",
            rows=tuple(self.matrix_rows(self.pairs("trained", "learner"), "late_accuracy")),
            x_title="class",
            y_title="arm",
            better="more",
        )

    def efficiency(self) -> Panel:
        """Area under the curve, and examples to given accuracies."""
        rows = []
        for arm, name in self.pairs("trained", "learner"):
            reached = as_curve(self.mean_curve(arm, name, "plain"))
            row: dict[str, Any] = {
                "class": name,
                "arm": arm.name,
                "mean accuracy": self.interval(arm, name, "mean_accuracy").estimate,
            }
            for accuracy in REACHED:
                row[f"examples to {accuracy:.0%}"] = reached.examples_to(accuracy)
            rows.append(row)
        return Panel(
            id="efficiency",
            kind="table",
            title="Examples that an accuracy takes",
            caption="The first number of examples from which the mean curve stays there for three.",
            rows=tuple(sorted(rows, key=lambda row: list(self.config.problems).index(row["class"]))),
        )

    def teaching(self) -> list[Panel]:
        """The taught class: every arm on plain and taught prompts, and how spoilt lessons are taken."""
        name = self.config.taught
        arms = [
            arm for arm, of in self.pairs("trained", "learner") if of == name and any(self.curve(arm, of, "taught"))
        ]
        rows: list[dict[str, Any]] = []
        table: list[dict[str, Any]] = []
        for arm in arms:
            for kind in ("plain", "taught"):
                role = "reference" if arm.kind == "learner" else ""
                curve = self.mean_curve(arm, name, kind)
                rows += [
                    {"x": row["x"], "y": row["y"], "series": shown(arm.name), "facet": f"{kind} prompts", "role": role}
                    for row in curve
                ]
            table.append({"arm": arm.name} | self._spoilt(arm, name))
        return [
            Panel(
                id="teaching",
                kind="lines",
                title=f"Teaching sequences: {name}",
                caption=(
                    "Taught prompts begin with examples that single the function out. teach saw only such prompts in "
                    "training, mix saw both kinds, the others only plain ones."
                ),
                rows=tuple(rows),
                x_title="examples",
                y_title="accuracy",
            ),
            Panel(
                id="spoilt",
                kind="table",
                title="Lessons as built, and spoilt",
                caption="Mean accuracy over all positions of the prompt, means over seeds.",
                rows=tuple(table),
            ),
        ]

    def _spoilt(self, arm: PanelArm, name: str) -> dict[str, float]:
        kinds = ("plain", "taught", "taught, shuffled", "taught, truncated", "taught, corrupted")
        return {kind: fmean(row["y"] for row in self.mean_curve(arm, name, kind)) for kind in kinds}

    def ambiguity(self) -> Panel:
        """The nearest-neighbour class apart by whether nearest points agree."""
        rows = []
        for arm, name in self.pairs("trained", "learner"):
            if name == "nearest_neighbour":
                parts = {
                    kind: fmean(row["y"] for row in self.mean_curve(arm, name, kind))
                    for kind in ("unambiguous", "ambiguous")
                }
                rows.append({"arm": arm.name, **parts})
        return Panel(
            id="ambiguity",
            kind="table",
            title="Nearest neighbours: queries whose nearest points agree, and others",
            caption=(
                "Where nearest points disagree the rule takes the earliest; a model can find the neighbours and not "
                "know that."
            ),
            rows=tuple(rows),
        )

    def robustness(self) -> Panel:
        """Other points and noisy labels at test time."""
        rows = []
        for arm, name in self.pairs("trained", "learner"):
            kinds = {kind: self.mean_curve(arm, name, kind) for kind in ("plain", "shifted points", "noisy labels")}
            values = {kind: fmean(row["y"] for row in curve) for kind, curve in kinds.items() if curve}
            rows.append({"class": name, "arm": arm.name, **values})
        return Panel(
            id="robustness",
            kind="table",
            title="Prompts unlike those of training",
            caption="Mean accuracy, all positions. Shifted: other probability of +1. Noisy: a tenth of labels flipped.",
            rows=tuple(rows),
        )

    def lengths(self) -> Panel:
        """Accuracy with more examples than any prompt of training had."""
        rows: list[dict[str, Any]] = []
        for arm, name in self.pairs("trained", "learner"):
            role = "reference" if arm.kind == "learner" else ""
            curve = self.mean_curve(arm, name, "longer prompts")
            rows += [
                {"x": row["x"], "y": row["y"], "series": shown(arm.name), "facet": name, "role": role} for row in curve
            ]
        for name in dict.fromkeys(str(row["facet"]) for row in rows):
            points = self.config.problems[name].points
            rows.append({"x": points, "y": None, "series": "trained to", "facet": name, "role": "bound"})
        return Panel(
            id="lengths",
            kind="lines",
            title="More examples than in training",
            caption="Means over seeds. A Transformer's positions beyond the line were never trained.",
            rows=tuple(rows),
            x_title="examples",
            y_title="accuracy",
        )


def as_curve(rows: Sequence[Mapping[str, float]]) -> "Curve":
    """Mean rows as a curve of the test-bed, which knows how many examples an accuracy takes."""
    from paribus.testbeds.incontext.curves import Curve

    columns = {name: tuple(row[name] for row in rows) for name in ("y", "low", "high")}
    return Curve(
        examples=tuple(int(row["x"]) for row in rows),
        mean=columns["y"],
        std=(),
        low=columns["low"],
        high=columns["high"],
        prompts=(),
    )


def _answers(config: PromptPanelsConfig, asked: Folders) -> Panel:
    """A language model asked in text, and learners on the same questions."""
    kinds = {arm.name: arm.kind for arm in config.arms}
    rows: list[dict[str, Any]] = []
    for key, folder in asked.items():
        name, _, arm = key.partition("/")
        learner = kinds[arm] == "learner"
        for row in read_rows(folder / DIRECT):
            band = {} if learner else {"low": row["low"], "high": row["high"]}
            role = "reference" if learner else ""
            rows.append(
                {"x": row["shown"], "y": row["accuracy"], "series": shown(arm), "facet": name, "role": role, **band}
            )
    return Panel(
        id="asked",
        kind="lines",
        title="Asked in text",
        caption=(
            "A language model reads examples as text and answers by the likelier label; band: Wilson's 95% interval "
            "over functions. Dashed: learners on the same questions. Functions are new, so no text can hold them."
        ),
        rows=tuple(rows),
        x_title="examples",
        y_title="accuracy",
    )
