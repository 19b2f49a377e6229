"""How long, how fast and with what optimizer to train; imports no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LoraSettings(BaseModel):
    """Low-rank adapters through peft: rank, scale, dropout, and which linear layers (empty = all of them)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    targets: tuple[str, ...] = ()


class TrainSettings(BaseModel):
    """Everything that decides the trajectory except model, data and objective.

    Args:
        steps: optimizer steps.
        batch_size: rows a step, all accumulated micro-batches together.
        learning_rate: peak.
        warmup_steps: linear warm-up from zero.
        schedule: what follows the warm-up, falling towards ``min_learning_rate_ratio`` of the peak (see ``rate_at``).
        weight_decay: decoupled; matrices only (no norms, biases or embeddings).
        router_learning_rate: peak for the routers of a mixture (None = ``learning_rate``).
        router_weight_decay: of the routers (None = ``weight_decay``).
        freeze: patterns (fnmatch: ``*.mlp.experts.*``) of parameter names that stay as they are.
        max_grad_norm: global gradient-norm clip (0 = none).
        gradient_accumulation: micro-batches a step; the step is the same as without, up to rounding.
        optimizer: ``adamw``, or ``muon`` for the matrices of the body with AdamW for everything else (also for routers
            and for stacks of expert matrices: torch's Muon takes single matrices only).
        activation_checkpointing: recompute activations in the backward pass.
        seed: of the batch order and of dropout.
        checkpoint_every: steps between two checkpoints (0 = none).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    min_learning_rate_ratio: float = Field(default=0.1, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    router_learning_rate: float | None = Field(default=None, gt=0)
    router_weight_decay: float | None = Field(default=None, ge=0)
    freeze: tuple[str, ...] = ()
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = Field(default=1.0, ge=0)
    gradient_accumulation: int = Field(default=1, ge=1)
    optimizer: Literal["adamw", "muon"] = "adamw"
    activation_checkpointing: bool = False
    seed: int = 0
    checkpoint_every: int = Field(default=0, ge=0)
    lora: LoraSettings | None = None
