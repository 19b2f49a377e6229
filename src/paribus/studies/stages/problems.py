"""Tasks of the test-beds as configs of stages: what is drawn, what a network needs to read it, how it is scored.

Planning reads sizes from here and imports no torch; the samplers do when they run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from paribus.models.sequence_shape import SequenceShape
from paribus.studies.stages.config import StageConfig
from paribus.testbeds.formal.tasks import AnyTask

if TYPE_CHECKING:
    import torch

    from paribus.testbeds.incontext.function_class import FunctionClass

    Sampler = Callable[[int, torch.Generator], Mapping[str, torch.Tensor]]


class _Problem(StageConfig):
    """What both kinds have in common."""

    @property
    def data_hash(self) -> str:
        """Names what is drawn: streams of equal problems and seeds are the same for every network."""
        return self.model_dump_json()


class FormalProblem(_Problem):
    """A formal task, and the largest sizes it will be tested at (tables of positions must reach them)."""

    kind: Literal["formal"] = "formal"
    task: AnyTask
    longest: int

    @property
    def tokens(self) -> int:
        """Tokens of a training sequence."""
        return self.task.tokens

    @property
    def reach(self) -> int:
        """Tokens of the longest sequence that is tested."""
        return max(self.tokens, self.task.at(self.longest).tokens)

    @property
    def ends(self) -> dict[str, int]:
        """A network's vocabulary, width of its inputs, and logits a position."""
        task = self.task
        return {"vocab_size": task.vocab_size, "input_size": task.input_size, "outputs": task.outputs}

    @property
    def loss(self) -> Literal["classes", "bits"]:
        """How labels are read."""
        return self.task.kind

    def sampler(self) -> "Sampler":
        """Batches for training."""
        return self.task.sample


class Draws(StageConfig):
    """How prompts are drawn, as ``FunctionClass.sample`` takes it; the defaults are plain prompts."""

    bit_probability: float = 0.5
    label_noise: float = 0.0
    pool: int = Field(default=0, ge=0)
    held_out: bool = False
    teaching: float = 0.0
    order: Literal["built", "reversed", "shuffled"] = "built"
    kept: float = 1.0
    corruption: float = 0.0


class PromptProblem(_Problem):
    """Functions of a class to be learned in context: the class with its settings, points of a training prompt, points
    of the longest prompt that is tested (tables of positions must reach them), and how training prompts are drawn."""

    kind: Literal["prompts"] = "prompts"
    name: str
    dimensions: int
    points: int
    longest: int = 0
    settings: dict[str, float] = Field(default_factory=dict)
    draws: Draws = Draws()

    @property
    def tokens(self) -> int:
        """Vectors of a prompt: a point and its label each take one."""
        return 2 * self.points

    @property
    def reach(self) -> int:
        """Vectors of the longest prompt that is tested."""
        return 2 * max(self.points, self.longest)

    @property
    def ends(self) -> dict[str, int]:
        """A network's vocabulary (none), width of its inputs, and logits a position."""
        return {"vocab_size": 0, "input_size": self.dimensions, "outputs": 1}

    @property
    def loss(self) -> Literal["classes", "bits"]:
        """How labels are read."""
        return "classes"

    def function_class(self) -> "FunctionClass":
        """The class of functions."""
        from paribus.testbeds.incontext.classes import parse_class

        whole = {name: int(value) if value == int(value) else value for name, value in self.settings.items()}
        return parse_class(self.name, dimensions=self.dimensions, points=self.points, **whole)

    def sampler(self) -> "Sampler":
        """Batches for training."""
        from paribus.testbeds.incontext.sampling import PromptSampler

        return PromptSampler(self.function_class(), **self.draws.model_dump())


AnyProblem = FormalProblem | PromptProblem
Problem = Annotated[AnyProblem, Field(discriminator="kind")]


class Network(StageConfig):
    """A small sequence model, but for the ends, which the problem decides.

    ``initializer_range``: standard deviation of fresh matrices.
    """

    kind: Literal["network"] = "network"
    mixer: str
    layers: int
    width: int
    heads: int
    ffn_size: int
    state_size: int
    initializer_range: float

    def sizes(self, problem: AnyProblem) -> dict[str, Any]:
        """The model's sizes with a problem's ends, as ``SequenceConfig`` and ``SequenceShape`` name them."""
        return {
            "mixer": self.mixer,
            "num_hidden_layers": self.layers,
            "hidden_size": self.width,
            "num_attention_heads": self.heads,
            "ffn_size": self.ffn_size,
            "state_size": self.state_size,
            "max_positions": problem.reach,
            **problem.ends,
        }

    def shape(self, problem: AnyProblem) -> SequenceShape:
        """What it costs and carries."""
        return SequenceShape(**self.sizes(problem))

    def parameters(self, problem: AnyProblem) -> int:
        """Parameters of the model."""
        return self.shape(problem).parameters

    def training_flops(self, problem: AnyProblem, tokens: int) -> float:
        """Operations of training on so many tokens: three forward passes, attention included."""
        return self.shape(problem).training_flops(problem.tokens, tokens)

    def build(self, problem: AnyProblem, seed: int, body: Path | None = None) -> Any:
        """The model, its weights drawn by the seed."""
        import torch

        from paribus.models.sequence import SequenceForPrediction
        from paribus.models.sequence_config import SequenceConfig

        torch.manual_seed(seed)
        return SequenceForPrediction(SequenceConfig(**self.sizes(problem), initializer_range=self.initializer_range))


class Heads(StageConfig):
    """A language model's body between a read-in and a read-out for vectors (three layers with ReLU each).

    ``pretrained``: as it was trained on text, else drawn anew. ``freeze``: what of the body does not learn.
    ``head_width``: of the read-in and the read-out. ``body_parameters`` prices the run.
    """

    kind: Literal["heads"] = "heads"
    pretrained: bool
    freeze: Literal["nothing", "all", "all_but_norms"] = "all"
    head_width: int = 256
    body_parameters: int

    def parameters(self, problem: AnyProblem) -> int:
        """The body's parameters; heads are small beside it."""
        return self.body_parameters

    def training_flops(self, problem: AnyProblem, tokens: int) -> float:
        """Six operations a parameter and token; a frozen body saves a third of them."""
        return (4.0 if self.freeze == "all" else 6.0) * self.body_parameters * tokens

    def build(self, problem: AnyProblem, seed: int, body: Path | None = None) -> Any:
        """The body of an artifact with fresh heads, drawn by the seed."""
        import torch

        from paribus.models.load import load_causal
        from paribus.studies.stages.models import resolve
        from paribus.testbeds.incontext.bodies import VectorHeads

        assert body is not None, "heads stand around a body"
        torch.manual_seed(seed)
        made = VectorHeads.around(
            load_causal(resolve(body), dtype=torch.float32),
            input_size=problem.ends["input_size"],
            outputs=problem.ends["outputs"],
            heads="mlp",
            head_width=self.head_width,
            freeze=self.freeze,
        )
        if not self.pretrained:
            made.randomise_body(torch.Generator().manual_seed(seed))
        return made


Learner = Annotated[Network | Heads, Field(discriminator="kind")]
"""Whatever is trained on a problem."""


def with_parameters(network: Network, problem: AnyProblem, parameters: int) -> Network:
    """The network with the feed-forward width that brings it nearest to a number of parameters.

    A mixer that takes more than that alone is left without a feed-forward layer.
    """

    def off(size: int) -> int:
        return abs(network.model_copy(update={"ffn_size": size}).shape(problem).parameters - parameters)

    counted = [network.model_copy(update={"ffn_size": size}).shape(problem).parameters for size in (1, 2)]
    guess = 1 + round((parameters - counted[0]) / (counted[1] - counted[0]))
    best = min((size for size in (guess - 1, guess, guess + 1, 0) if size >= 0), key=off)
    return network.model_copy(update={"ffn_size": best})
