"""What reward models with and without critiques left behind, as the charts of their study ask for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.graded import TESTS, TestsForm, read_pairs
from paribus.studies.stages.panels import pooled, summaries
from paribus.studies.stages.readers import SCORES
from paribus.studies.stages.rows import read_rows

if TYPE_CHECKING:
    from paribus.evaluation.reward_models import Outcomes

ACCURACY = "pair_accuracy"
UNKNOWN = "–"


class CritiquePanelsConfig(StageConfig):
    """Names of arms: all of them, and by what they are: by number of pairs, critic, base, control."""

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    sizes: tuple[int, ...]
    size: int
    critics: tuple[str, ...]
    critic: str
    plain: dict[str, str]
    reading: dict[str, str]
    by_critic: dict[str, str]
    bases: dict[str, str]
    crossed: dict[str, str]
    controls: tuple[str, ...]
    judges: tuple[str, ...]
    tests_form: TestsForm = "pairs"

    @property
    def critic_arms(self) -> dict[str, str]:
        """Arms by critic, in the study's order: a stored mapping is sorted."""
        return {name: self.by_critic[name] for name in self.critics}

    @property
    def crossed_critics(self) -> list[str]:
        """Critics that are crossed with bases, in the study's order."""
        crossed = {key.partition("/")[2] for key in self.crossed}
        return [name for name in self.critics if name in crossed]

    @property
    def bare(self) -> str:
        """The arm without critiques at the study's number of pairs."""
        return self.plain[str(self.size)]

    @property
    def main(self) -> str:
        """The arm with the study's critic at that number."""
        return self.reading[str(self.size)]


class CritiqueOutcomes:
    """Examinations keyed ``arm@seed``, critiques by critic, and the data they are about."""

    def __init__(
        self, config: CritiquePanelsConfig, examinations: Mapping[str, Path], critiques: Mapping[str, Path], data: Path
    ) -> None:
        self.config, self.examinations, self.critiques, self.data = config, examinations, critiques, data
        self.tests = read_pairs(data, TESTS)

    def found(self, arm: str, measure: str = ACCURACY) -> Any:
        rows = pooled(self.config.seeds, self.examinations, arm, [measure])
        return summaries(rows, by="nothing")[0].interval if rows else None

    def row(self, arm: str, measure: str = ACCURACY) -> dict[str, Any]:
        found = self.found(arm, measure)
        return {"value": found.estimate, "low": found.low, "high": found.high}

    def outcomes(self, arm: str) -> "list[Outcomes]":
        import numpy as np

        from paribus.evaluation.reward_models import Outcomes

        found = []
        for seed in self.config.seeds:
            by_pair = {row["pair"]: row for row in read_rows(self.examinations[f"{arm}@{seed}"] / SCORES)}
            right = [by_pair[pair.id]["chosen"] > by_pair[pair.id]["rejected"] for pair in self.tests]
            found.append(Outcomes(arm, tuple(self.tests), np.array(right, dtype=np.float64)))
        return found


def shown(found: Any, digits: int = 3) -> str:
    """An interval as text."""
    if found is None:
        return UNKNOWN
    return f"{found.estimate:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
