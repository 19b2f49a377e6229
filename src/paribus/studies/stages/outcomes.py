"""What trained and examined arms left behind, as the charts of the test-bed studies ask for it."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from paribus.studies.stages.panels import course_rows, pooled, summaries
from paribus.studies.stages.sequences import SWEEP, TRAINING

Folders = Mapping[str, Path]


class Seeded(Protocol):
    """A panels' config."""

    @property
    def seeds(self) -> tuple[int, ...]: ...


class Named(Protocol):
    """An arm of it."""

    @property
    def name(self) -> str: ...


_Config = TypeVar("_Config", bound=Seeded)


class Outcomes(Generic[_Config]):
    """Artifacts by problem, arm and seed. Examinations and models are keyed ``problem/arm@seed``, sweeps
    ``problem/arm``."""

    def __init__(self, config: _Config, examinations: Folders, trained: Folders, sweeps: Folders) -> None:
        self.config, self.examinations, self.trained, self.sweeps = config, examinations, trained, sweeps
        self._texts: dict[Path, str] = {}

    def examined(self, arm: Named, problem: str, file: str) -> list[str]:
        """A file of an arm's examinations on a problem, seed by seed. Charts ask for the same ones again and again, so
        each is read once."""
        return [self._read(self.examinations[f"{problem}/{arm.name}@{seed}"] / file) for seed in self.config.seeds]

    def sweep(self, arm: Named, problem: str) -> dict[str, Any]:
        """How an arm's learning rate was chosen."""
        found: dict[str, Any] = json.loads(self._read(self.sweeps[f"{problem}/{arm.name}"] / SWEEP))
        return found

    def training(self, arm: Named, problem: str) -> dict[int, dict[str, Any]]:
        """How an arm was trained on a problem, by seed."""
        folders = {seed: self.trained[f"{problem}/{arm.name}@{seed}"] for seed in self.config.seeds}
        return {seed: json.loads(self._read(folder / TRAINING)) for seed, folder in folders.items()}

    def interval(self, arm: Named, problem: str, measure: str) -> Any:
        """Mean of a measure over seeds and test items, with its interval."""
        names = [f"{arm.name}@{seed}" for seed in self.config.seeds]
        folders = {name: self.examinations[f"{problem}/{name}"] for name in names}
        rows = pooled(self.config.seeds, folders, arm.name, [f"{problem}_{measure}"])
        return summaries(rows, by="nothing")[0].interval

    def matrix_rows(self, pairs: Iterable[tuple[Named, str]], measure: str) -> list[dict[str, Any]]:
        """Arms by problems as cells of a heat map, each with its interval."""
        cells = ((arm, problem, self.interval(arm, problem, measure)) for arm, problem in pairs)
        return [
            {"x": problem, "y": arm.name, "value": cell.estimate, "low": cell.low, "high": cell.high}
            for arm, problem, cell in cells
        ]

    def course_rows(
        self, pairs: Iterable[tuple[Named, str]], measure: str, shown: Callable[[str], str] = str
    ) -> list[dict[str, Any]]:
        """A measure along training, a facet a problem; ``shown``: an arm's name on the chart."""
        rows: list[dict[str, Any]] = []
        for arm, problem in pairs:
            curves = {seed: told["curve"] for seed, told in self.training(arm, problem).items()}
            rows += course_rows(curves, measure, series=shown(arm.name), facet=problem)
        return rows

    def _read(self, path: Path) -> str:
        if path not in self._texts:
            self._texts[path] = path.read_text()
        return self._texts[path]
