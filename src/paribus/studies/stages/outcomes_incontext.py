"""What was examined on prompts, as charts ask for it: curves and accuracies by arm, class and seed."""

from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING, Any

from paribus.lab.items import FILE
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.incontext import CURVES
from paribus.studies.stages.outcomes import Outcomes
from paribus.studies.stages.problems import Learner, PromptProblem
from paribus.studies.stages.rows import parse_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PanelArm(StageConfig):
    """An arm: what it is ("trained", "learner", "asked"), and its network for each class it was trained on."""

    name: str
    kind: str
    networks: dict[str, Learner]
    classes: tuple[str, ...]


class PromptPanelsConfig(StageConfig):
    """Arms in the study's order, classes by name, seeds, the taught class; ``near``: accuracy within which a run counts
    as near the best learner."""

    arms: tuple[PanelArm, ...]
    problems: dict[str, PromptProblem]
    seeds: tuple[int, ...]
    taught: str
    near: float


SHORT = {"nearest_neighbour": "1-NN", "three_neighbours": "3-NN", "trained_network": "network", "null": "one label"}
"""Names of learners on charts, where there is little room."""


def shown(arm: str) -> str:
    """An arm's name on charts."""
    return SHORT.get(arm, arm)


class PromptOutcomes(Outcomes[PromptPanelsConfig]):
    """Curves and accuracies of the arms of a study of learning in context; its problems are classes of functions."""

    def pairs(self, *kinds: str) -> Iterator[tuple[PanelArm, str]]:
        """Every arm of some kinds with every class that it was examined on."""
        for arm in self.config.arms:
            if arm.kind in kinds:
                yield from ((arm, name) for name in arm.classes)

    def curve(self, arm: PanelArm, name: str, kind: str) -> list[list[dict[str, Any]]]:
        """The curve of each seed: rows by number of examples; empty where there is no such curve."""
        tables = [parse_rows(text) for text in self.examined(arm, name, CURVES)]
        return [[row for row in rows if row["kind"] == kind] for rows in tables]

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

    def values(self, arm: PanelArm, name: str, measure: str) -> "NDArray[np.float64]":
        """A measure of every prompt that has it, (seeds, prompts), in the order of the prompts' names."""
        import numpy as np

        tables = [
            {row["item"]: row["value"] for row in parse_rows(text) if row["measure"] == f"{name}_{measure}"}
            for text in self.examined(arm, name, FILE)
        ]
        return np.array([[table[item] for item in sorted(table)] for table in tables], dtype=float)
