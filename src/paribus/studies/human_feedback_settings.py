"""Settings of the human-feedback study: systems, forms, raters, reward models, rounds, files of ratings."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from paribus.lab import Settings
from paribus.studies.human_feedback_scales import DESK, FULL, SMOKE
from paribus.studies.settings import Part
from paribus.studies.stages.annotation import CrowdConfig, FormsConfig, InputsConfig, MachineConfig, SystemConfig
from paribus.studies.stages.models import Recipe, Shape

_RATES = {
    "factuality": 0.2,
    "inconsistent": 0.15,
    "contradiction": 0.1,
    "relevance": 0.12,
    "formatting": 0.12,
    "repetition": 0.12,
    "refusal": 0.03,
}

PLAIN, TWIN, ASSERTIVE = "plain", "twin", "assertive"
"""The systems that are compared: one, another just like it, and one that differs from it in assertiveness alone."""

SYSTEMS = (
    SystemConfig(name=PLAIN, error_rates=_RATES),
    SystemConfig(name=TWIN, error_rates=_RATES),
    SystemConfig(name=ASSERTIVE, error_rates=_RATES, assertiveness=0.8),
)


class Base(Part):
    """What reward models and policies start from: a small model trained on right answers in every style, or
    ``model``, a directory or hub id (``parameters`` price it)."""

    shape: Shape = Shape(hidden_size=64, layers=2, heads=4, key_value_heads=4, intermediate_size=160, context=512)
    recipe: Recipe = Recipe(steps=1000, rows=16, length=192, learning_rate=3e-3, optimizer="muon", checkpoint_every=200)
    vocabulary: int = 1536
    model: str = ""
    parameters: int = 0


class Optimisation(Part):
    """Best of n against reward models: ``pairs`` of which each is trained (ties make none: about six an input are
    left); ``sizes`` = n."""

    pairs: int = Field(default=2000, gt=0)
    recipe: Recipe = Recipe(steps=300, rows=16, length=160, learning_rate=3e-3, checkpoint_every=100)
    most_tokens: int = Field(default=256, gt=0)
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)


class Rounds(Part):
    """Rounds in which a policy, at first the base, is trained on the best of its own answers as the reward models of
    ``by`` choose; ``count`` 0 leaves them out."""

    count: int = Field(default=2, ge=0)
    by: tuple[str, ...] = ("crowd", "fair", "truth")
    prompts: int = Field(default=120, gt=0)
    samples: int = Field(default=8, gt=1)
    max_tokens: int = Field(default=96, gt=0)
    recipe: Recipe = Recipe(steps=60, rows=8, length=192, learning_rate=1e-3)


class HumanFeedback(Settings):
    """Settings of the study.

    ``seeds`` cover the raters, and the order of pairs and the head of reward models; inputs, outputs, forms and the
    base are made once, from ``base_seed``. ``crowd``: raters with planted biases; the control of every claim is the
    same crowd without them. ``machine``: a model that fills in the same forms. ``alpha``: the Lasso's penalty.
    Systems with an ``endpoint`` are served models; then only the machine rates, since planted raters go by planted
    style. ``ratings`` and ``experts``: files of real ratings, audited into the report as they are.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"smoke": SMOKE, "pocket": {}, "desk": DESK, "full": FULL}

    seeds: tuple[int, ...] = (0, 1, 2)
    base_seed: int = 0
    inputs: InputsConfig = InputsConfig()
    systems: tuple[SystemConfig, ...] = SYSTEMS
    output_tokens: int = Field(default=256, gt=0)
    forms: FormsConfig = FormsConfig()
    crowd: CrowdConfig = CrowdConfig()
    machine: MachineConfig = MachineConfig()
    alpha: float = Field(default=0.01, ge=0)
    base: Base = Base()
    optimisation: Optimisation = Optimisation()
    rounds: Rounds = Rounds()
    ratings: tuple[str, ...] = ()
    experts: str = ""

    @property
    def served(self) -> bool:
        """Whether served models answer the inputs."""
        return any(system.endpoint for system in self.systems)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Who rates."""
        return ("machine",) if self.served else ("crowd", "fair", "machine")
