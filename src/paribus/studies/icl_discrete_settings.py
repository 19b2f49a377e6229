"""Settings of the study of in-context learning of discrete functions."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from paribus.lab import Settings
from paribus.studies.icl_discrete_scales import DESK, FULL, SMOKE
from paribus.studies.settings import Part
from paribus.studies.stages.incontext import LearnerName
from paribus.studies.stages.models import Recipe, Shape
from paribus.studies.stages.sequences import SequenceRecipe

ClassName = Literal[
    "conjunction",
    "disjunction",
    "sparse_disjunction",
    "dnf",
    "cnf",
    "majority",
    "threshold",
    "halfspace",
    "parity",
    "sparse_parity",
    "nearest_neighbour",
]
TaughtName = Literal["conjunction", "disjunction", "sparse_disjunction", "parity", "sparse_parity"]
Architecture = Literal["transformer", "lstm", "gru", "dss", "retention", "mamba2", "hyena", "rwkv"]

PAPER_SIZES: Mapping[ClassName, tuple[int, int]] = {
    "conjunction": (28, 70),
    "disjunction": (28, 70),
    "sparse_disjunction": (50, 70),
    "dnf": (28, 80),
    "cnf": (28, 80),
    "majority": (28, 100),
    "threshold": (28, 70),
    "halfspace": (20, 70),
    "parity": (20, 140),
    "sparse_parity": (10, 140),
    "nearest_neighbour": (10, 100),
}
"""Dimensions and points of the paper's prompts, as the class defaults of ``testbeds.incontext`` have them."""

STEPS: dict[ClassName, int] = {"nearest_neighbour": 1500, "sparse_parity": 400}
"""Finding neighbours takes long to be learned at all; parity does not show in any budget of minutes."""


class Teaching(Part):
    """Teaching sequences: the class, the share of taught prompts in mixed training, and probes at test time.

    ``kept``: share of the sequence that a truncated one shows; ``corruption``: flipped labels in a corrupted one.
    """

    name: TaughtName = "conjunction"
    share: float = Field(default=0.5, gt=0.0, lt=1.0)
    kept: float = Field(default=0.5, gt=0.0, le=1.0)
    corruption: float = Field(default=0.25, ge=0.0, lt=0.5)


class Body(Part):
    """A language model's body between vector heads, frozen: pre-trained against drawn anew.

    ``model``: a directory or hub id; empty = a decoder pre-trained here on the embedded world (``shape``, ``recipe``).
    ``parameters`` prices a model that exists. ``classes``: what its heads are trained on; empty = leave it out.
    """

    model: str = ""
    parameters: int = 0
    shape: Shape = Shape(hidden_size=64, layers=2, heads=4, key_value_heads=2, intermediate_size=176, context=1024)
    recipe: Recipe = Recipe(steps=300, rows=2, length=512, learning_rate=3e-3, weight_decay=0.1, checkpoint_every=150)
    languages: tuple[str, ...] = ("en", "es")
    documents: int = Field(default=800, gt=0)
    vocabulary: int = Field(default=384, gt=0)
    freeze: Literal["all", "all_but_norms"] = "all"
    head_width: int = Field(default=128, gt=0)
    classes: tuple[ClassName, ...] = ("conjunction",)


class Direct(Part):
    """A language model asked in text about new functions; ``classes`` empty = leave it out.

    ``model``: a directory or hub id; empty = the model that is pre-trained here (to be given where ``body.model`` is).
    """

    model: str = ""
    classes: tuple[ClassName, ...] = ("majority",)
    dimensions: int = Field(default=5, gt=0)
    examples: int = Field(default=20, gt=0)
    every: int = Field(default=5, gt=0)
    functions: int = Field(default=60, gt=1)


class IclDiscrete(Settings):
    """Settings of the study. ``seeds`` cover weights and training streams; test prompts are the same for all.

    ``dimensions`` and ``points``: of a prompt, for all classes (0 = the paper's for each). ``known``: share of the
    nearest-neighbour class's points that are given random labels before the rule begins. ``parity_size``: variables of
    a sparse parity. ``width``, ``layers``, ``heads``: of the Transformer; the other architectures have as many layers,
    and as many parameters by their feed-forward width. ``steps``: of classes that take more or fewer than ``recipe``
    says. ``learners``: arms that are rules; ``trained_network`` takes minutes. ``label_noise``, ``pool``: of training
    prompts (0 = none; a fresh function per prompt). ``bit_probability``: of +1 in the shifted test prompts;
    ``longest``: points of the longer ones, as a multiple of those of training. ``equivalence``: accuracy within which
    two arms count as equal. ``together``: train the seeds of an arm as one batched model where that is faster (on a
    GPU).
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"smoke": SMOKE, "pocket": {}, "desk": DESK, "full": FULL}

    seeds: tuple[int, ...] = (0, 1, 2)
    classes: tuple[ClassName, ...] = ("conjunction", "sparse_parity", "nearest_neighbour")
    architectures: tuple[Architecture, ...] = ("transformer", "lstm", "dss")
    learners: tuple[LearnerName, ...] = ("null", "averaging", "nearest_neighbour", "optimal")
    dimensions: int = Field(default=8, ge=0)
    points: int = Field(default=30, ge=0)
    known: float = Field(default=0.3, gt=0.0, lt=1.0)
    parity_size: int = Field(default=2, ge=1)
    recipe: SequenceRecipe = SequenceRecipe(
        steps=800, rows=32, rates=(3e-4, 1e-3, 3e-3, 1e-2), sweep_share=0.4, choice=256
    )
    steps: dict[ClassName, PositiveInt] = Field(default=STEPS)
    width: int = Field(default=64, gt=0)
    layers: int = Field(default=2, gt=0)
    heads: int = Field(default=4, gt=0)
    state_size: int = Field(default=16, gt=0)
    initializer_range: float = Field(default=0.0, ge=0.0)
    label_noise: float = Field(default=0.0, ge=0.0, lt=0.5)
    pool: int = Field(default=0, ge=0)
    bit_probability: float = Field(default=0.7, ge=0.0, le=1.0)
    longest: float = Field(default=1.5, ge=1.0)
    teaching: Teaching = Teaching()
    body: Body = Body()
    direct: Direct = Direct()
    together: bool = False
    prompts: int = Field(default=640, gt=1)
    equivalence: float = Field(default=0.03, gt=0.0)

    def sizes(self, name: ClassName) -> tuple[int, int]:
        """Dimensions and points of a class's prompts."""
        dimensions, points = PAPER_SIZES[name]
        return self.dimensions or dimensions, self.points or points

    @property
    def longest_lesson(self) -> int:
        """Points of the longest teaching sequence that a function of the taught class can need."""
        name, (dimensions, _) = self.teaching.name, self.sizes(self.teaching.name)
        return {"sparse_disjunction": 1, "sparse_parity": self.parity_size, "parity": dimensions}.get(
            name, dimensions + 1
        )
