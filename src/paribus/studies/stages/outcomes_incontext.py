"""What was examined on prompts, as charts ask for it: curves and accuracies by arm, class and seed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.formal import read_rows
from paribus.studies.stages.incontext import CURVES
from paribus.studies.stages.panels import pooled, summaries
from paribus.studies.stages.problems import Learner, PromptProblem


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


class Outcomes:
    """Examinations and models are keyed ``class/arm@seed``, sweeps ``class/arm``."""

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

    def interval(self, arm: PanelArm, name: str, measure: str) -> Any:
        """Mean over seeds and prompts, with its interval."""
        names = [f"{arm.name}@{seed}" for seed in self.config.seeds]
        folders = {key: self.examinations[f"{name}/{key}"] for key in names}
        return summaries(pooled(self.config.seeds, folders, arm.name, [f"{name}_{measure}"]), by="nothing")[0].interval

    def late_of(self, arm: PanelArm, name: str, seed: int) -> float:
        """One seed's accuracy over the last quarter."""
        from paribus.evaluation.items import read_item_rows

        rows = read_item_rows(self.examinations[f"{name}/{arm.name}@{seed}"] / "items.jsonl")
        return fmean(row.value for row in rows if row.measure == f"{name}_late_accuracy" and row.value is not None)
