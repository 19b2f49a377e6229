"""The separations study as a graph of stages: sweep a learning rate, train the seeds, examine. Nothing runs here."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from paribus.lab import Handle
from paribus.studies.separations_settings import LAYERS, MIXERS, Architecture, Separations, Trained
from paribus.studies.stages.formal import (
    ConstructionConfig,
    ExamineConfig,
    OverlapConfig,
    VerifyConfig,
    examine_construction,
    examine_formal,
    search_overlap,
    verify,
)
from paribus.studies.stages.problems import FormalProblem, Network, with_parameters
from paribus.studies.stages.sequences import SequenceConfig, sweep_of, trained


class Steps:
    """Every method and property returns handles, or configs of them."""

    def __init__(self, settings: Separations) -> None:
        self.s = settings

    def choice(self, name: str) -> Trained[Any]:
        """A problem's settings."""
        found: Trained[Any] = getattr(self.s.problems, name)
        return found

    def problem(self, name: str) -> FormalProblem:
        """A problem as stages take it."""
        choice = self.choice(name)
        return FormalProblem(task=choice.task, longest=choice.longest)

    def network(self, architecture: Architecture, name: str, width: int | None = None, *, raw: bool = False) -> Network:
        """An architecture's network for a problem, matched to the one-layer Transformer of the same width; ``raw``: as
        it comes."""
        problem, width = self.problem(name), width or self.s.width
        reference = self._network("tf1", width)
        network = self._network(architecture, width)
        if raw or self.s.match == "width":
            return network
        return with_parameters(network, problem, reference.shape(problem).parameters)

    def _network(self, architecture: Architecture, width: int) -> Network:
        return Network(
            mixer=MIXERS.get(architecture, architecture),
            layers=LAYERS.get(architecture, 1),
            width=width,
            heads=self.s.heads,
            ffn_size=4 * width,
            state_size=self.s.state_size,
            initializer_range=self.s.initializer_range or width**-0.5,
        )

    # ---- Training ----------------------------------------------------------------------------------------------------

    def run(
        self, architecture: Architecture, name: str, width: int | None = None, *, raw: bool = False
    ) -> SequenceConfig:
        """What is trained on what, and how."""
        network = self.network(architecture, name, width, raw=raw)
        return SequenceConfig(problem=self.problem(name), network=network, recipe=self.choice(name).recipe)

    def sweep(self, run: SequenceConfig, name: str) -> Handle:
        """The choice of a learning rate."""
        return sweep_of(run, name)

    def model(self, run: SequenceConfig, name: str, seed: int) -> Handle:
        """A trained network."""
        together = self.s.seeds if self.s.together else ()
        return trained(run, name, seed, sweep=self.sweep(run, name), together=together)

    # ---- Measures ----------------------------------------------------------------------------------------------------

    def examined(
        self, architecture: Architecture, names: Sequence[str], width: int | None = None, *, raw: bool = False
    ) -> dict[int, Mapping[str, Handle]]:
        """For each seed, the architecture's examination on each problem."""
        runs = {name: self.run(architecture, name, width, raw=raw) for name in names}
        return {
            seed: {f"evaluation-{name}": self._examine(name, self.model(run, name, seed)) for name, run in runs.items()}
            for seed in self.s.seeds
        }

    def _examine(self, name: str, model: Handle) -> Handle:
        return examine_formal(ExamineConfig(**self._examination(name)), model=model, label=f"{name}-examine")

    def _examination(self, name: str) -> dict[str, Any]:
        sizes = self.choice(name).sizes
        return {"name": name, "problem": self.problem(name), "sizes": sizes, "sequences": self.s.sequences}

    def constructed(self, names: Sequence[str], *, first_layer: bool = True) -> dict[int, Mapping[str, Handle]]:
        """Examinations of hand-written weights; they have no seed, so every seed has the same ones."""
        made = {}
        for name in names:
            config = ConstructionConfig(**self._examination(name), first_layer=first_layer)
            made[f"evaluation-{name}"] = examine_construction(config, label=f"{name}-construct")
        return dict.fromkeys(self.s.seeds, made)

    def overlap(self, name: str) -> Handle:
        """Test sequences that the training streams contain."""
        recipe = self.choice(name).recipe
        config = OverlapConfig(
            problem=self.problem(name),
            seeds=self.s.seeds,
            steps=recipe.steps,
            rows=recipe.rows,
            sequences=self.s.sequences,
        )
        return search_overlap(config, label=f"{name}-overlap")

    @cached_property
    def verified(self) -> Handle:
        """Constructions checked on all of their inputs."""
        tasks = tuple(self.choice(name).task for name in PROBLEMS)
        lookup = self.choice("lookup").task
        return verify(VerifyConfig(tasks=tasks, lookup=lookup, **self.s.theory.model_dump()), label="verify")


PROBLEMS = ("lookup", "lookup_long", "dyck", "recall", "equality", "disjointness")
