"""Stages that turn dense models into one mixture."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from paribus.lab import current, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.merging import MERGED
from paribus.studies.stages.models import Shape, resolve

Variant = Literal["expert_kv", "shared_kv", "btx", "sparse_upcycling", "dense_average", "dense_continued"]
GateNorm = Literal["raw", "renormalised", "scaled"]

COMPUTE = "compute.json"
LARGEST_TEST = 4096


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


class MixtureComputeConfig(StageConfig):
    """The mixture whose training step is timed: dense shape, vocabulary, experts, experts a token, rows and length."""

    shape: Shape
    vocabulary: int
    experts: int
    top_k: int
    rows: int
    length: int


@stage(version="1")
def mixture_compute_test(config: MixtureComputeConfig, *, out: Path) -> None:
    """Test once for a whole store how this machine computes the mixture best; writes ``compute.json``.

    Tested are the ways of computing feed-forward experts and, on a CPU, bf16 against fp32, on a mixture of the study's
    own shape with random weights. All arms then compute alike, and a run that was killed goes on as it began.
    """
    import torch

    from paribus.models.experts import fastest_backend
    from paribus.training.compute import BF16_GAIN

    mixture, device = _mixture(config), torch.device(current().device)
    tokens = config.rows * config.length
    chosen = fastest_backend(mixture, tokens=tokens, device=device, dtype=torch.float32)
    gain = _bf16_gain(mixture, chosen, config) if device.type == "cpu" else 0.0
    print(f"experts by {chosen}; bf16 on the CPU: {gain:.2f}x as fast as fp32")
    (out / COMPUTE).write_text(json.dumps({"cpu_bf16": gain >= BF16_GAIN, "experts": chosen}))


def _mixture(config: MixtureComputeConfig) -> Any:
    from paribus.models.mixture import MixtureConfig

    shape = config.shape
    return MixtureConfig(
        vocab_size=config.vocabulary,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.context,
        attention_experts=config.experts,
        ffn_experts=config.experts,
        ffn_top_k=config.top_k,
    )


def _bf16_gain(mixture: Any, backend: Any, config: MixtureComputeConfig) -> float:
    from paribus.models.mixture import MixtureForCausalLM
    from paribus.training.compute import step_gain

    network = MixtureForCausalLM(mixture)
    network.set_experts_backend(backend)
    # Speed per token hardly changes beyond a few thousand tokens, and larger steps would only take longer.
    rows = max(1, min(config.rows, LARGEST_TEST // config.length))
    return step_gain(network, rows=rows, length=config.length)


def chosen_backend(test: Path | None) -> Any:
    """How experts are computed, by a ``mixture_compute_test`` artifact; without one each call may choose."""
    return "auto" if test is None else str(json.loads((test / COMPUTE).read_text())["experts"])
