"""Stages that turn dense models into one mixture."""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from paribus.lab import current, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.merging import MERGED
from paribus.studies.stages.models import Shape, resolve

Variant = Literal["expert_kv", "shared_kv", "btx", "sparse_upcycling", "dense_average", "dense_continued"]
GateNorm = Literal["raw", "renormalised", "scaled"]

BACKEND = "backend.json"


class UpcycleConfig(StageConfig):
    """How dense models of one shape become one model; the first is the seed they all came from.

    Args:
        variant: what is copied into experts and what is averaged (``paribus.weights.upcycle``).
        ffn_sources: which model each FFN expert is copied from (empty = one each).
        top_k: FFN experts a token.
        gate_norm: FFN gates as the softmax gives them, renormalised over the selected, or scaled by their number.
        attention_top_k: attention experts a token (None = all, weighted).
    """

    variant: Variant
    ffn_sources: tuple[int, ...] = ()
    top_k: int = Field(default=1, ge=1)
    gate_norm: GateNorm = "raw"
    attention_top_k: int | None = None
    router_std: float = 0.02
    load_balance_coefficient: float = 0.01
    router_z_coefficient: float = 0.001


@stage(version="1")
def upcycle_models(config: UpcycleConfig, models: list[Path], *, out: Path, seed: int) -> None:
    """Write the mixture as a model directory, routers drawn from ``seed``; its report tells where tensors are from."""
    from paribus.weights import upcycle
    from paribus.weights.upcycling import REPORT

    report = upcycle(
        config.variant,
        [Path(resolve(model)) for model in models],
        out / MERGED,
        seed_model=0,
        ffn_sources=config.ffn_sources or None,
        ffn_top_k=config.top_k,
        ffn_gate_norm=config.gate_norm,
        attention_top_k=config.attention_top_k,
        router_std=config.router_std,
        router_seed=seed,
        load_balance_coefficient=config.load_balance_coefficient,
        router_z_coefficient=config.router_z_coefficient,
    )
    # Seconds, memory and paths would differ from run to run.
    (out / MERGED / REPORT).write_text(json.dumps(report.reproducible(), indent=1))


class BackendConfig(StageConfig):
    """The mixture whose feed-forward experts are timed: dense shape, experts, experts a token, tokens a step."""

    shape: Shape
    experts: int
    top_k: int
    tokens: int


@stage(version="1")
def backend_test(config: BackendConfig, *, out: Path) -> None:
    """Time the ways of computing feed-forward experts once for a whole store; writes ``backend.json``.

    All arms then compute alike, and a run that was killed goes on as it began, whatever a new test would say.
    """
    import torch

    from paribus.models.experts import fastest_backend
    from paribus.models.mixture import MixtureConfig

    shape = config.shape
    mixture = MixtureConfig(
        hidden_size=shape.hidden_size,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        intermediate_size=shape.intermediate_size,
        ffn_experts=config.experts,
        ffn_top_k=config.top_k,
    )
    chosen = fastest_backend(mixture, tokens=config.tokens, device=torch.device(current().device), dtype=torch.float32)
    print(f"feed-forward experts are computed by {chosen!r}")
    (out / BACKEND).write_text(json.dumps({"experts": chosen}))


def chosen_backend(test: Path | None) -> str | None:
    """The choice of a ``backend_test`` artifact; None where there is none."""
    return None if test is None else str(json.loads((test / BACKEND).read_text())["experts"])
