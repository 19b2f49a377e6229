"""What was examined on formal tasks, as charts ask for it: accuracies by arm, problem, seed and size."""

import json
from collections.abc import Iterator

from pydantic import Field

from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.formal import LENGTHS
from paribus.studies.stages.outcomes import Outcomes
from paribus.studies.stages.problems import FormalProblem, Network


class PanelArm(StageConfig):
    """An arm, what it was trained on, and its network for each problem. ``of``: the architecture, for arms that are
    another width of one."""

    name: str
    of: str
    width: int
    networks: dict[str, Network] = Field(default_factory=dict)
    problems: tuple[str, ...]


class FormalPanelsConfig(StageConfig):
    """Arms and problems in the study's order, seeds; ``solved``: accuracy from which a run solved its problem."""

    arms: tuple[PanelArm, ...]
    order: tuple[str, ...]
    problems: dict[str, FormalProblem]
    seeds: tuple[int, ...]
    solved: float
    heads: int


class FormalOutcomes(Outcomes[FormalPanelsConfig]):
    """Accuracies of the arms of a study of formal tasks."""

    def pairs(self) -> Iterator[tuple[PanelArm, str]]:
        """Every arm with every problem that it was examined on."""
        for arm in self.config.arms:
            for problem in arm.problems:
                yield arm, problem

    def learned(self) -> Iterator[tuple[PanelArm, str]]:
        """Of those, the ones that were trained."""
        return ((arm, problem) for arm, problem in self.pairs() if problem in arm.networks)

    def by_problem(self) -> list[tuple[PanelArm, str]]:
        """The same, problem by problem."""
        return sorted(self.learned(), key=lambda pair: self.config.order.index(pair[1]))

    def by_seed(self, arm: PanelArm, problem: str, size: int | None = None, measure: str = "accuracy") -> list[float]:
        """Accuracy of each seed at a size of the problem (None: the one of training)."""
        wanted = self.config.problems[problem].task.size if size is None else size
        tables = [json.loads(text) for text in self.examined(arm, problem, LENGTHS)]
        return [row[measure] for rows in tables for row in rows if row["size"] == wanted]

    def tested(self, arm: PanelArm, problem: str) -> list[int]:
        """The sizes of the problem that an arm was tested at."""
        return [row["size"] for row in json.loads(self.examined(arm, problem, LENGTHS)[0])]
