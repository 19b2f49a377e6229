"""The stage that turns what models learned in context into the charts and tables of a report."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from paribus.lab import Panel, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.formal import read_rows
from paribus.studies.stages.incontext import CURVES, DIRECT, HEADS
from paribus.studies.stages.panels import pooled, summaries, write_panels
from paribus.studies.stages.problems import Learner, PromptProblem
from paribus.studies.stages.sequences import SWEEP, TRAINING


class PanelArm(StageConfig):
    """An arm: what it is ("trained", "learner", "asked"), and its network for each class it was trained on."""

    name: str
    kind: str
    networks: dict[str, Learner]
    classes: tuple[str, ...]


class PromptPanelsConfig(StageConfig):
    """Arms in the study's order, classes by name, seeds, the taught class, classes asked about in text; ``near``:
    accuracy within which a run counts as near the best learner."""

    arms: tuple[PanelArm, ...]
    problems: dict[str, PromptProblem]
    seeds: tuple[int, ...]
    taught: str
    first: dict[str, int]
    asked: tuple[str, ...]
    near: float


Folders = Mapping[str, Path]
SHORT = {"nearest_neighbour": "1-NN", "three_neighbours": "3-NN", "trained_network": "network", "null": "one label"}
"""Names of learners on charts, where there is little room."""


def shown(arm: str) -> str:
    """An arm's name on charts."""
    return SHORT.get(arm, arm)


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
    drawer = _Drawer(config, examinations, trained, sweeps)
    panels = [
        drawer.curves(),
        drawer.matrix(),
        drawer.efficiency(),
        *drawer.teaching(),
        drawer.ambiguity(),
        drawer.robustness(),
        drawer.lengths(),
        _answers(config, asked),
        drawer.heads(),
        drawer.seeds(),
        drawer.courses(),
        drawer.beside_the_paper(),
    ]
    write_panels(out, [panel for panel in panels if panel.rows])


class _Drawer:
    """Charts of what was examined on prompts of vectors."""

    def __init__(self, config: PromptPanelsConfig, examinations: Folders, trained: Folders, sweeps: Folders) -> None:
        self.config, self.examinations, self.trained, self.sweeps = config, examinations, trained, sweeps

    def pairs(self, *kinds: str) -> Iterator[tuple[PanelArm, str]]:
        """Every arm of some kinds with every class that it was examined on."""
        for arm in self.config.arms:
            if arm.kind in kinds:
                yield from ((arm, name) for name in arm.classes)

    def curve(self, arm: PanelArm, name: str, kind: str) -> list[list[dict[str, Any]]]:
        """The curve of each seed: rows by number of examples; empty where there is no such curve."""
        found = []
        for seed in self.config.seeds:
            rows = read_rows(self.examinations[f"{name}/{arm.name}@{seed}"] / CURVES)
            found.append([row for row in rows if row["kind"] == kind])
        return found

    def mean_curve(self, arm: PanelArm, name: str, kind: str) -> list[dict[str, float]]:
        """Mean over seeds; the band spans the bands of the seeds."""
        rows = []
        for same in zip(*self.curve(arm, name, kind), strict=True):
            rows.append(
                {
                    "x": same[0]["examples"],
                    "y": fmean(row["mean"] for row in same),
                    "low": min(row["low"] for row in same),
                    "high": max(row["high"] for row in same),
                }
            )
        return rows

    # ---- By number of examples ---------------------------------------------------------------------------------------

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
        rows = []
        for arm, name in self.pairs("trained", "learner"):
            value = self.interval(arm, name, "late_accuracy")
            rows.append({"x": name, "y": arm.name, "value": value.estimate, "low": value.low, "high": value.high})
        return Panel(
            id="late",
            kind="heatmap",
            title="Accuracy over the last quarter of the examples",
            caption="Means over test prompts and seeds; intervals resample prompts.",
            rows=tuple(rows),
            x_title="class",
            y_title="arm",
            better="more",
        )

    def interval(self, arm: PanelArm, name: str, measure: str) -> Any:
        """Mean over seeds and prompts, with its interval."""
        names = [f"{arm.name}@{seed}" for seed in self.config.seeds]
        folders = {key: self.examinations[f"{name}/{key}"] for key in names}
        return summaries(pooled(self.config.seeds, folders, arm.name, [f"{name}_{measure}"]), by="nothing")[0].interval

    def efficiency(self) -> Panel:
        """Area under the curve, and examples to given accuracies."""
        rows = []
        for arm, name in self.pairs("trained", "learner"):
            curve = self.mean_curve(arm, name, "plain")
            row: dict[str, Any] = {
                "class": name,
                "arm": arm.name,
                "mean accuracy": self.interval(arm, name, "mean_accuracy").estimate,
            }
            for accuracy in REACHED:
                row[f"examples to {accuracy:.0%}"] = _examples_to(curve, accuracy)
            rows.append(row)
        return Panel(
            id="efficiency",
            kind="table",
            title="Examples that an accuracy takes",
            caption="The first number of examples from which the mean curve stays there for three.",
            rows=tuple(sorted(rows, key=lambda row: list(self.config.problems).index(row["class"]))),
        )

    # ---- Teaching ----------------------------------------------------------------------------------------------------

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

    # ---- What lies behind --------------------------------------------------------------------------------------------

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

    def heads(self) -> Panel:
        """The highest scores of attention heads."""
        rows = []
        for arm, name in self.pairs("trained"):
            found = []
            for seed in self.config.seeds:
                file = self.examinations[f"{name}/{arm.name}@{seed}"] / HEADS
                found.append(json.loads(file.read_text()))
            if all(found):
                best = {kind: [max(map(max, scores[kind])) for scores in found] for kind in found[0]}
                rows.append(
                    {"class": name, "arm": arm.name}
                    | {f"{kind}, best head": fmean(values) for kind, values in best.items()}
                    | {"seeds with a head above 0.5": sum(value >= 0.5 for value in best["nearest neighbour"])}
                )
        return Panel(
            id="heads",
            kind="table",
            title="What attention heads do",
            caption=(
                "Share of its attention that the best head spends on the label of the nearest earlier point, and, in "
                "repeated prompts, on the labels of earlier copies. Means over seeds."
            ),
            rows=tuple(rows),
        )

    # ---- Runs --------------------------------------------------------------------------------------------------------

    def seeds(self) -> Panel:
        """Every run's outcome and learning rate."""
        rows = []
        for arm, name in self.pairs("trained"):
            late = [self.late_of(arm, name, seed) for seed in self.config.seeds]
            sweep = json.loads((self.sweeps[f"{name}/{arm.name}"] / SWEEP).read_text())
            network, problem = arm.networks[name], self.config.problems[name]
            rows.append(
                {
                    "class": name,
                    "arm": arm.name,
                    "near the best learner": self.near_best(name, late),
                    "accuracy, worst seed": min(late),
                    "accuracy, best seed": max(late),
                    "learning rate": f"{sweep['chosen']:g}",
                    "at the edge": "yes" if sweep["edge"] else "",
                    "rates tried": len(sweep["rates"]),
                    "parameters": network.parameters(problem),
                }
            )
        return Panel(
            id="seeds",
            kind="table",
            title="Every seed",
            caption=(
                "Accuracy over the last quarter of the examples. Near the best learner: seeds within "
                f"{self.config.near:.0%} of it on the same prompts. A rate at the edge "
                "says that a wider sweep may do better; what was not learned was not learned within this budget."
            ),
            rows=tuple(sorted(rows, key=lambda row: list(self.config.problems).index(str(row["class"])))),
        )

    def near_best(self, name: str, late: list[float]) -> str:
        """How many seeds come near the best learner, where there is one."""
        best = next((arm for arm, of in self.pairs("learner") if of == name and arm.name == "optimal"), None)
        if best is None:
            return ""
        bar = self.late_of(best, name, self.config.seeds[0]) - self.config.near
        return f"{sum(value >= bar for value in late)} of {len(late)}"

    def late_of(self, arm: PanelArm, name: str, seed: int) -> float:
        """One seed's accuracy over the last quarter."""
        from paribus.evaluation.items import read_item_rows

        rows = read_item_rows(self.examinations[f"{name}/{arm.name}@{seed}"] / "items.jsonl")
        return fmean(row.value for row in rows if row.measure == f"{name}_late_accuracy" and row.value is not None)

    def courses(self) -> Panel:
        """Accuracy along training."""
        rows: list[dict[str, Any]] = []
        for arm, name in self.pairs("trained"):
            curves = {
                seed: json.loads((self.trained[f"{name}/{arm.name}@{seed}"] / TRAINING).read_text())["curve"]
                for seed in self.config.seeds
            }
            for points in zip(*curves.values(), strict=True):
                point = {"x": points[0]["step"], "facet": name}
                rows.append({**point, "y": fmean(p["accuracy"] for p in points), "series": shown(arm.name)})
                rows += [
                    {**point, "y": p["accuracy"], "series": f"seed {seed}", "role": "run", "of": shown(arm.name)}
                    for seed, p in zip(curves, points, strict=True)
                ]
        return Panel(
            id="courses",
            kind="lines",
            title="Accuracy along training, over all positions of fresh prompts",
            caption="Faint: single seeds.",
            rows=tuple(rows),
            x_title="step",
            y_title="accuracy",
        )

    def beside_the_paper(self) -> Panel:
        """Accuracy at the last position beside the paper's figures, where these are known to us."""
        rows = []
        for arm, name in self.pairs("trained", "learner"):
            published = PUBLISHED.get((name, arm.name))
            if published is None:
                continue
            value, examples, read = published
            problem = self.config.problems[name]
            ours = self.mean_curve(arm, name, "plain")[-1]
            rows.append(
                {
                    "class": name,
                    "arm": arm.name,
                    "here": ours["y"],
                    "here, examples": ours["x"],
                    "here, dimensions": problem.dimensions,
                    "paper": value,
                    "paper, examples": examples,
                    "how we know": read,
                }
            )
        return Panel(
            id="paper",
            kind="table",
            title="Beside the paper",
            caption=(
                "The paper's prompts are longer and have more dimensions, its models are larger: read the order, not "
                "the numbers. Values were read off figures of the authors' slides (about 0.01 off)."
            ),
            rows=tuple(rows),
        )


_FIGURE = "read off a figure of the authors' slides"
PUBLISHED: dict[tuple[str, str], tuple[float, int, str]] = {
    ("conjunction", "transformer"): (1.0, 40, _FIGURE),
    ("conjunction", "dss"): (0.97, 70, _FIGURE),
    ("conjunction", "averaging"): (0.65, 70, _FIGURE),
    ("conjunction", "null"): (0.70, 70, _FIGURE),
    ("halfspace", "transformer"): (0.845, 70, _FIGURE),
    ("halfspace", "averaging"): (0.82, 70, _FIGURE),
    ("halfspace", "three_neighbours"): (0.70, 70, _FIGURE),
    ("sparse_parity", "transformer"): (0.54, 150, _FIGURE),
    ("sparse_parity", "averaging"): (0.5, 150, _FIGURE),
    ("nearest_neighbour", "transformer"): (1.0, 100, _FIGURE),
    ("nearest_neighbour", "retention"): (0.91, 100, _FIGURE),
    ("nearest_neighbour", "hyena"): (0.85, 100, _FIGURE),
    ("nearest_neighbour", "dss"): (0.83, 100, _FIGURE),
    ("nearest_neighbour", "lstm"): (0.79, 100, _FIGURE),
}
"""Class and arm: accuracy, after how many examples, and how the value is known (icl-discrete, section on results)."""


def _examples_to(curve: list[dict[str, float]], accuracy: float, hold: int = 3) -> int | None:
    """The first number of examples from which the curve stays at an accuracy for ``hold`` positions."""
    for place in range(len(curve)):
        if all(row["y"] >= accuracy for row in curve[place : place + hold]):
            return int(curve[place]["x"])
    return None


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
