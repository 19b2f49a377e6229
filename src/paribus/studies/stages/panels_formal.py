"""The stage that turns what networks did on formal tasks into the charts and tables of a report."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from paribus.lab import Panel, stage
from paribus.studies.stages.formal import DEPTHS, VERIFIED, has_depths
from paribus.studies.stages.outcomes_formal import FormalOutcomes, FormalPanelsConfig, PanelArm
from paribus.studies.stages.panels import write_panels
from paribus.studies.stages.panels_formal_sizes import (
    SizeCharts,
    bounds,
    overlap_table,
    precision_table,
    verified_table,
)
from paribus.studies.stages.rows import read_rows

CONTROL = "without_first_layer"


@stage(version="1")
def formal_panels(
    config: FormalPanelsConfig,
    examinations: dict[str, Path],
    trained: dict[str, Path],
    sweeps: dict[str, Path],
    overlaps: dict[str, Path],
    verified: Path,
    *,
    out: Path,
) -> None:
    """Write ``panels.jsonl``. Examinations and models are keyed ``problem/arm@seed``, sweeps ``problem/arm``."""
    charts = Charts(config, examinations, trained, sweeps)
    sizes = SizeCharts(config, examinations, trained, sweeps)
    panels = [
        charts.matrix(),
        charts.seeds(),
        *sizes.widths(read_rows(verified / VERIFIED)),
        *charts.lengths(),
        charts.courses(),
        *charts.depths(),
        charts.by_length(),
        sizes.sizes(),
        sizes.equal_states(),
        *bounds(config),
        verified_table(verified),
        precision_table(verified),
        overlap_table(overlaps),
    ]
    write_panels(out, [panel for panel in panels if panel.rows])


class Charts(FormalOutcomes):
    """Accuracy by task, seed, length, depth, and along training."""

    def matrix(self) -> Panel:
        """Arms by problems."""
        return Panel(
            id="accuracy",
            kind="heatmap",
            title="Accuracy on test sequences: all of a sequence right",
            caption="Means over test sequences and seeds; intervals resample sequences. Constructions are not trained.",
            rows=tuple(self.matrix_rows(self.pairs(), "accuracy")),
            x_title="task",
            y_title="arm",
            better="more",
        )

    def seeds(self) -> Panel:
        """Every run's outcome: how many seeds solved it, the worst and the best, and the learning rate."""
        return Panel(
            id="seeds",
            kind="table",
            title="How many seeds solved the task",
            caption=(
                f"Solved: at least {self.config.solved:.0%} of test sequences right throughout, with the interval of "
                "the share of seeds (Wilson). A rate at the edge says that a wider sweep may do better. What "
                "was not solved was not learned within this budget."
            ),
            rows=tuple(self._seed_row(arm, problem) for arm, problem in self.by_problem()),
        )

    def _seed_row(self, arm: PanelArm, problem: str) -> dict[str, Any]:
        from paribus.statistics import wilson

        found = self.by_seed(arm, problem)
        share = wilson(sum(value >= self.config.solved for value in found), len(found))
        sweep, told = self.sweep(arm, problem), self.training(arm, problem)[self.config.seeds[0]]
        return {
            "task": problem,
            "arm": arm.name,
            "solved": f"{sum(value >= self.config.solved for value in found)} of {len(found)}",
            "share from": share.low,
            "share to": share.high,
            "accuracy, worst": min(found),
            "accuracy, best": max(found),
            "token accuracy": fmean(self.by_seed(arm, problem, measure="token_accuracy")),
            "learning rate": f"{sweep['chosen']:g}",
            "at the edge": "yes" if sweep["edge"] else "",
            "rates tried": len(sweep["rates"]),
            "steps": told["steps"],
        }

    def by_length(self) -> Panel:
        """Accuracy of every arm at every size that was tested."""
        rows = [
            {"x": f"{problem} {size}", "y": arm.name, "value": fmean(self.by_seed(arm, problem, size))}
            for problem in self.config.order
            for arm, name in self.pairs()
            if name == problem and arm.name == arm.of
            for size in self.tested(arm, problem)
        ]
        order = {problem: place for place, problem in enumerate(self.config.order)}
        rows.sort(key=lambda row: (order[str(row["x"]).split()[0]], int(str(row["x"]).split()[1])))
        return Panel(
            id="by-length",
            kind="heatmap",
            title="Accuracy by task and length, every architecture",
            caption="Means over seeds. The first length of a task is not always that of training: see the charts.",
            rows=tuple(rows),
            x_title="task and length",
            y_title="arm",
            better="more",
        )

    def lengths(self) -> list[Panel]:
        """Accuracy at sizes beyond those of training, a chart a problem: their lengths have different scales."""
        return [self._length_panel(problem) for problem in self.config.order]

    def _length_panel(self, problem: str) -> Panel:
        rows: list[dict[str, Any]] = []
        for arm, name in self.pairs():
            if name != problem or arm.name != arm.of or arm.name == CONTROL:
                continue
            sizes = self.tested(arm, problem)
            if len(sizes) < 2:
                continue
            for size in sizes:
                rows.append({"x": size, "y": fmean(self.by_seed(arm, problem, size)), "series": arm.name})
                rows += self._single_runs(arm, problem, size)
        if rows:
            trained = self.config.problems[problem].task.size
            rows.append({"x": trained, "y": None, "series": "trained at", "role": "bound"})
        return Panel(
            id=f"lengths-{problem}",
            kind="lines",
            title=f"Other lengths than those of training: {problem}",
            caption="All of a sequence right. Faint: seeds. Attention and Hyena have no trained positions beyond.",
            rows=tuple(rows),
            x_title="length",
            y_title="accuracy",
        )

    def _single_runs(self, arm: PanelArm, problem: str, size: int) -> list[dict[str, Any]]:
        if problem not in arm.networks:
            return []
        return [
            {"x": size, "y": value, "series": f"seed {seed}", "role": "run", "of": arm.name}
            for seed, value in zip(self.config.seeds, self.by_seed(arm, problem, size), strict=True)
        ]

    def courses(self) -> Panel:
        """Accuracy on fresh sequences along training."""
        widest = ((arm, problem) for arm, problem in self.learned() if arm.name == arm.of)
        return Panel(
            id="courses",
            kind="lines",
            title="Accuracy along training",
            caption="Batches are fresh, so this is accuracy on unseen sequences. Faint: single seeds.",
            rows=tuple(self.course_rows(widest, "sequence_accuracy")),
            x_title="step",
            y_title="accuracy",
        )

    def depths(self) -> list[Panel]:
        """Bounded Dyck by depth."""
        rows: list[dict[str, Any]] = []
        for arm, problem in self.pairs():
            if arm.name != arm.of or not has_depths(self.config.problems[problem].task):
                continue
            found = [json.loads(text)["accuracy"] for text in self.examined(arm, problem, DEPTHS)]
            rows += [
                {"x": str(depth), "y": arm.name, "value": fmean(values)}
                for depth, values in enumerate(zip(*found, strict=True))
                if None not in values
            ]
        return [
            Panel(
                id="depths",
                kind="heatmap",
                title="Bounded Dyck: accuracy of next characters by depth",
                caption="Share of positions at which every next character is told rightly, by depth after the token.",
                rows=tuple(rows),
                x_title="depth",
                y_title="arm",
                better="more",
            )
        ]
