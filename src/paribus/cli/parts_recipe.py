"""The options and settings that all training commands share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.training.settings import TrainSettings

StepCount = Annotated[
    int | None, typer.Option(min=1, help="Optimizer steps (instead of --epochs).", show_default="by epochs")
]
Epochs = Annotated[
    float | None, typer.Option(min=0.0, help="Passes over the data (instead of --steps).", show_default="1")
]
Length = Annotated[int, typer.Option(min=8, help="Tokens a row at most.")]
OnLong = Annotated[
    Literal["fail", "truncate", "skip"],
    typer.Option("--on-long-row", help="What to do with rows longer than --length: stop, cut their end, or leave out."),
]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate.")]
Warmup = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the steps that warm up.")]
Schedule = Annotated[Literal["cosine", "linear", "constant"], typer.Option(help="What follows the warm-up.")]
WeightDecay = Annotated[float, typer.Option(min=0.0, help="Decoupled weight decay, on matrices only.")]
ClipNorm = Annotated[float, typer.Option(min=0.0, help="Largest gradient norm (0: no limit).")]
Optimizer = Annotated[Literal["adamw", "muon"], typer.Option(help="muon: for matrices, with AdamW for the rest.")]
Accumulation = Annotated[
    int, typer.Option("--gradient-accumulation", min=1, help="Compute a batch in so many parts, to save memory.")
]
Recompute = Annotated[
    bool, typer.Option("--activation-checkpointing", help="Recompute activations, to save memory (about 30% slower).")
]
Compute = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="Number format of the computation; auto measures which is faster here."),
]
Freeze = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Parameters to leave as they are, such as '*.mlp.experts.*' (repeatable)."),
]
RouterLearningRate = Annotated[
    float | None, typer.Option(help="Peak learning rate of a mixture's routers.", show_default="as everything else")
]
RouterWeightDecay = Annotated[
    float | None, typer.Option(min=0.0, help="Weight decay of a mixture's routers.", show_default="as everything else")
]
LoraRank = Annotated[
    int, typer.Option(min=0, help="Train low-rank adapters of this rank and merge them in (0: train all weights).")
]
LoraAlpha = Annotated[float, typer.Option(help="Scale of the adapters.")]
CheckpointEvery = Annotated[
    int | None,
    typer.Option(min=0, help="Steps between two checkpoints (0: none).", show_default="a tenth of the steps"),
]
KeepCheckpoints = Annotated[
    bool, typer.Option("--keep-checkpoints", help="Do not remove them when the model is saved.")
]
SaveDtype = Annotated[
    Literal["stored", "float32", "bfloat16", "float16"],
    typer.Option(help="Number format of the saved weights; stored: that of MODEL."),
]


@dataclass(frozen=True)
class Job:
    """The options that all training commands have, and some that not all have (from ``lora_rank`` on).

    ``steps`` and ``epochs``: one of them or neither (one epoch).
    """

    steps: int | None
    epochs: float | None
    batch_size: int
    length: int
    learning_rate: float
    warmup: float
    schedule: Literal["cosine", "linear", "constant"]
    weight_decay: float
    max_grad_norm: float
    optimizer: Literal["adamw", "muon"]
    gradient_accumulation: int
    activation_checkpointing: bool
    compute: Literal["auto", "float32", "bfloat16"]
    checkpoint_every: int | None
    keep_checkpoints: bool
    save_dtype: Literal["stored", "float32", "bfloat16", "float16"]
    seed: int
    device: str
    lora_rank: int = 0
    lora_alpha: float = 16.0
    on_long_row: Literal["fail", "truncate", "skip"] | None = None
    freeze: Sequence[str] | None = None
    router_learning_rate: float | None = None
    router_weight_decay: float | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Job":
        """The job among a command's arguments."""
        return cls(**{name: given[name] for name in cls.__dataclass_fields__ if name in given})

    def settings(self, rows: int) -> "TrainSettings":
        """The trainer's settings for ``rows`` rows of data. Raises ``ConfigError`` for values that do not fit."""
        from pydantic import ValidationError

        if self.batch_size % self.gradient_accumulation:
            raise ConfigError(
                f"--batch-size {self.batch_size} cannot be split into {self.gradient_accumulation} equal micro-batches "
                "(--gradient-accumulation); choose a multiple."
            )
        try:
            return self._settings(self.step_count(rows))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            option = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
            raise ConfigError(f"{option} is {first['input']!r}; {first['msg'].lower()}.") from None

    def _settings(self, steps: int) -> "TrainSettings":
        from paribus.training.settings import LoraSettings, TrainSettings

        every = self.checkpoint_every if self.checkpoint_every is not None else max(1, steps // 10)
        return TrainSettings(
            steps=steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup_steps=round(self.warmup * steps),
            schedule=self.schedule,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            gradient_accumulation=self.gradient_accumulation,
            optimizer=self.optimizer,
            activation_checkpointing=self.activation_checkpointing,
            seed=self.seed,
            checkpoint_every=every,
            freeze=tuple(self.freeze or ()),
            router_learning_rate=self.router_learning_rate,
            router_weight_decay=self.router_weight_decay,
            lora=LoraSettings(rank=self.lora_rank, alpha=self.lora_alpha) if self.lora_rank else None,
        )

    def step_count(self, rows: int) -> int:
        """Optimizer steps; an epoch's last batch may take its rest from the next."""
        if self.steps is not None and self.epochs is not None:
            raise ConfigError("--steps and --epochs both say how long to train; give one of them.")
        if self.epochs is not None and self.epochs <= 0:
            raise ConfigError(f"--epochs is {self.epochs:g}; give a number above 0.")
        return self.steps or max(1, -int(-(self.epochs or 1.0) * rows // self.batch_size))

    def identity(self, settings: "TrainSettings") -> dict[str, Any]:
        """What decides the result: the settings and how rows are cut, not where or how fast it is computed."""
        decided = settings.model_dump(exclude={"checkpoint_every"})
        cut = {"length": self.length, "compute": self.compute, "save_dtype": self.save_dtype}
        return decided | cut | ({"on_long_row": self.on_long_row} if self.on_long_row else {})
