"""Mixtures against a dense model of their operations, transformers' Mixtral, and a loop over attention experts.

    python benchmarks/bench_mixture.py                                   # CPU, pocket size: about four minutes
    python benchmarks/bench_mixture.py --shape paper-small --device cuda --dtype bfloat16 --compile

Four experts of each kind. Each part runs a mixture and its peers in one process, taking turns; medians are shown, and
ratios are taken within each turn. The peers:

- dense: our decoder with as many heads and as wide a feed-forward branch as a token meets, so as many operations;
- loop over attention experts: the same weights, each expert attending for itself, written out below;
- Mixtral: transformers' class with the same weights (two of four experts, gates renormalised), "eager" and
  "grouped_mm".

Where weights are the same the largest difference of two logits is printed. A training step is forward, backward and
fused AdamW, under autocast for bfloat16; decoding is greedy with a cache, in the given type throughout. On a CPU
seconds are of the processor, which other work on the machine disturbs least; on a GPU they are wall time. Operations
are counted by ``paribus.models.shapes``. Goal: at least 85% of the dense model's operations a second in training. In
decoding, eight rows at a time meet nearly all experts between them, so a mixture has more weights to read than the
dense model, whatever runs it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import MixtralConfig, MixtralForCausalLM

from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.models.experts import fastest_backend
from paribus.models.mixture import MixtureConfig, MixtureForCausalLM
from paribus.models.shapes import MixtureShape

EXPERTS, PROMPT, NEW = 4, 32, 64
SHAPES: dict[str, dict[str, Any]] = {
    "pocket": {
        "vocab_size": 2048,
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "head_dim": 64,
        "intermediate_size": 512,
        "tie_word_embeddings": True,
    },
    "paper-small": {
        "vocab_size": 256_000,
        "hidden_size": 1024,
        "num_hidden_layers": 6,
        "head_dim": 128,
        "intermediate_size": 2048,
        "tie_word_embeddings": False,
    },
}
MIXTURES: dict[str, dict[str, Any]] = {
    "expert-KV": {"attention_experts": EXPERTS},
    "shared-KV": {"attention_experts": EXPERTS, "shared_kv": True},
    "BTX": {},
    "BTX as Mixtral": {
        "ffn_top_k": 2,
        "ffn_gate_norm": "renormalised",
        "block": "sequential",
        "norm": "rms",
        "rope_interleaved": False,
    },
}

COLUMNS = (
    "side",
    "experts",
    "train tokens/s",
    "GFLOP/s",
    "ours: times its GFLOP/s",
    "decode tokens/s",
    "ours: times its decoding",
    "weights MB, fp32",
    "cache MB per 1,000 tokens",
    "peak MB",
)


@dataclass
class Side:
    """A model of a part, its operations a token, and what was measured."""

    name: str
    model: Any
    shape: MixtureShape
    backend: str = ""
    training: list[float] = field(default_factory=list)
    decoding: list[float] = field(default_factory=list)
    peak: int = 0


def heads(shape: dict[str, Any]) -> int:
    """Heads of one expert: as many as fill the width."""
    return shape["hidden_size"] // shape["head_dim"]


def mixture(name: str, shape: dict[str, Any]) -> MixtureForCausalLM:
    """Ours."""
    sizes = {**shape, "num_attention_heads": heads(shape), "ffn_experts": EXPERTS, **MIXTURES[name]}
    return MixtureForCausalLM(MixtureConfig(**sizes))


def dense(config: MixtureConfig, shape: dict[str, Any]) -> DecoderForCausalLM:
    """One dense model with what a token meets in a mixture, routers aside."""
    queries, keys = config.attention_experts * heads(shape), config.kv_experts * heads(shape)
    sizes = {**shape, "intermediate_size": config.ffn_top_k * shape["intermediate_size"]}
    return DecoderForCausalLM(DecoderConfig(**sizes, num_attention_heads=queries, num_key_value_heads=keys))


def mixtral(ours: MixtureForCausalLM, shape: dict[str, Any], implementation: str) -> MixtralForCausalLM:
    """transformers' Mixtral with our weights."""
    config = MixtralConfig(
        **shape,
        num_attention_heads=heads(shape),
        num_key_value_heads=heads(shape),
        num_local_experts=EXPERTS,
        num_experts_per_tok=2,
        rms_norm_eps=ours.config.norm_eps,
        rope_parameters=dict(ours.config.rope_parameters),
        max_position_embeddings=ours.config.max_position_embeddings,
        sliding_window=None,
    )
    model = MixtralForCausalLM._from_config(config, attn_implementation="sdpa", experts_implementation=implementation)
    weights: dict[str, Tensor] = {}
    for name, weight in ours.state_dict().items():
        if "qkv_proj" in name:
            for part, rows in zip("qkv", weight.chunk(3), strict=True):
                weights[name.replace("qkv_proj", f"{part}_proj")] = rows
        else:
            weights[name.replace("mlp.router", "mlp.gate")] = weight
    model.load_state_dict(weights)
    return model


def looped(ours: MixtureForCausalLM) -> MixtureForCausalLM:
    """The same model, each attention expert by itself."""
    model = copy.deepcopy(ours)
    for block in model.model.layers:
        block.self_attn.forward = MethodType(one_by_one, block.self_attn)
    return model


def one_by_one(
    self: nn.Module, x_BTD: Tensor, tables: Any, attention_mask: Any, past_key_values: Any, **_: Any
) -> tuple[Tensor, None, Tensor]:
    """sum_j g_j(x) Attention_j(x), expert after expert; keys and values of all are cached as ours are."""
    gates_BTN = self.gates(x_BTD)
    widths = [self.heads * self.head_dim] * self.experts + [self.kv_heads * self.head_dim] * (2 * self.kv_experts)
    rows = self.qkv_proj.weight.split(widths)
    output = self.o_proj.weight.split(self.heads * self.head_dim, dim=1)

    def project(weight: Tensor) -> Tensor:
        return F.linear(x_BTD, weight).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    keys = [self.turn(project(weight), *tables) for weight in rows[self.experts : self.experts + self.kv_experts]]
    values = [project(weight) for weight in rows[self.experts + self.kv_experts :]]
    if past_key_values is not None:
        both = past_key_values.update(torch.cat(keys, 1), torch.cat(values, 1), self.layer_idx)
        keys, values = (part.split(self.kv_heads, dim=1) for part in both)
    total = 0
    for expert in range(self.experts):
        query, place = self.turn(project(rows[expert]), *tables), expert % self.kv_experts
        causal = attention_mask is None and query.shape[2] > 1
        heads_BHTA = F.scaled_dot_product_attention(
            query, keys[place], values[place], attn_mask=attention_mask, is_causal=causal
        )
        attended = F.linear(heads_BHTA.transpose(1, 2).flatten(2), output[expert])
        total = total + attended * gates_BTN[..., expert, None].to(attended.dtype)
    return total, None, gates_BTN


def sides(name: str, shape: dict[str, Any], backend: str) -> list[Side]:
    """A mixture and its peers."""
    torch.manual_seed(0)
    ours = mixture(name, shape)
    ours.set_experts_backend(backend)
    mine = MixtureShape.of(ours.config)
    plain = dense(ours.config, shape)
    found = [Side(f"paribus {name}", ours, mine, backend), Side("dense", plain, MixtureShape.of(plain.config))]
    if ours.config.attention_experts > 1:
        found.append(Side("loop over attention experts", looped(ours), mine, backend))
    if "Mixtral" in name:
        found += [Side("Mixtral", mixtral(ours, shape, how), mine, how) for how in ("eager", "grouped_mm")]
    return found


def train_step(model: Any, optimizer: torch.optim.Optimizer, ids: Tensor, dtype: torch.dtype) -> None:
    """Forward, backward, AdamW."""
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@torch.inference_mode()
def decode(model: Any, prompt: Tensor) -> None:
    """``NEW`` greedy tokens after the prompt."""
    ids, cache = prompt, None
    for _ in range(NEW):
        outputs = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        ids, cache = outputs.logits[:, -1].argmax(-1, keepdim=True), outputs.past_key_values


def seconds(work: Callable[[], None], device: str) -> float:
    """CPU seconds of the process, or wall seconds of a GPU."""
    clock: Callable[[], float] = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def measure(part: list[Side], options: argparse.Namespace) -> None:
    """Training first, then decoding with weights in the given type; one turn to warm up each."""
    device, dtype = options.device, getattr(torch, options.dtype)
    ids = torch.randint(0, part[0].shape.vocabulary, (options.batch, options.length), device=device)
    works: list[Callable[[], None]] = []
    for side in part:
        side.model.to(device).train()
        if options.compile:
            side.model.model.compile()
        optimizer = torch.optim.AdamW(side.model.parameters(), lr=0.0, fused=True)
        works.append(partial(train_step, side.model, optimizer, ids, dtype))
    take_turns(part, works, options, "training")
    works.clear()
    for side in part:
        side.model.model._compiled_call_impl = None  # a cache that grows would be compiled anew again and again
        side.model.zero_grad(set_to_none=True)
        side.model.to(dtype).eval()
    take_turns(part, [partial(decode, side.model, ids[:, :PROMPT]) for side in part], options, "decoding")


def take_turns(part: list[Side], works: list[Callable[[], None]], options: argparse.Namespace, what: str) -> None:
    """Fill in the seconds of each side."""
    for turn in range(options.repeats + 1):
        for side, work in zip(part, works, strict=True):
            if options.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            spent = seconds(work, options.device)
            if options.device == "cuda" and what == "training":
                side.peak = torch.cuda.max_memory_allocated()
            if turn:
                getattr(side, what).append(spent)


@torch.no_grad()
def difference(part: list[Side]) -> None:
    """The largest difference of two logits to those of the first side, where weights are the same."""
    ids = torch.arange(PROMPT)[None]
    expected = part[0].model.eval()(input_ids=ids, use_cache=False).logits
    for side in part[2:]:
        gap = (side.model.eval()(input_ids=ids, use_cache=False).logits - expected).abs().max()
        print(f"{side.name} ({side.backend}): logits differ from ours by {gap:.1e} at most")


def speed(ours: Side, other: Side, what: str) -> float:
    """How often ``ours`` is done while ``other`` is done once: the median over turns."""
    pairs = zip(getattr(ours, what), getattr(other, what), strict=True)
    return statistics.median(theirs / mine for mine, theirs in pairs)


def report(part: list[Side], options: argparse.Namespace) -> None:
    """A row a side."""
    tokens, ours = options.batch * options.length, part[0]
    bytes_per_value = 2 if options.dtype == "bfloat16" else 4
    for side in part:
        flops, mine = (one.shape.training_flops(options.length, tokens, causal=True) for one in (side, ours))
        spent = statistics.median(side.training)
        cells = (
            side.name,
            side.backend,
            f"{tokens / spent:,.0f}",
            f"{flops / spent / 1e9:,.1f}",
            f"{mine / flops * speed(ours, side, 'training'):.2f}",
            f"{options.batch * NEW / statistics.median(side.decoding):,.0f}",
            f"{speed(ours, side, 'decoding'):.2f}",
            f"{sum(p.numel() for p in side.model.parameters()) * 4 / 1e6:,.0f}",
            f"{side.shape.kv_cache_bytes(1000, bytes_per_value=bytes_per_value) / 1e6:,.1f}",
            f"{side.peak / 1e6:,.0f}" if side.peak else "-",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """All parts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="pocket")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    shape = SHAPES[options.shape]
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for name in MIXTURES:
        config = mixture(name, {**shape, "num_hidden_layers": 1, "vocab_size": 8}).config
        backend = fastest_backend(
            config, tokens=options.batch * options.length, device=options.device, dtype=getattr(torch, options.dtype)
        )
        part = sides(name, shape, "dense" if options.compile and options.dtype == "float32" else backend)
        difference(part)
        measure(part, options)
        report(part, options)


if __name__ == "__main__":
    main()
