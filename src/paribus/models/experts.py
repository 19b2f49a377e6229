"""Feed-forward experts in two stacked tensors, and three ways to run them that give the same numbers.

    y = sum over the k experts i of a token:  gate_i * down_i(act(gate_proj_i x) * up_proj_i x)

- ``loop``: one product per expert over the tokens it got. Runs everywhere; counts leave the device.
- ``grouped_mm``: torch's grouped product, one call for all experts. Nothing leaves the device.
- ``dense``: every expert on every token in one product, with zeros as gates: E/k times the work in the largest pieces.
  Fastest where there are few tokens or few experts.

No token is ever dropped, an expert without tokens costs nothing and gets a zero gradient, and results are summed in a
fixed order, so a run repeats bit for bit.

Shapes: R tokens, D model width, F width of one branch, E experts, k experts of a token, P = R*k (token, expert) pairs.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN
from transformers.integrations import moe  # noqa: F401 (registers the grouped product that can be compiled)

from paribus.errors import ModelError

Backend = Literal["auto", "loop", "grouped_mm", "dense"]
BACKENDS: tuple[Backend, ...] = (
    "grouped_mm",
    "loop",
    "dense",
)  # the first wins where they are equally quick

# Bounds of the self-test: entries of its input, and products of one forward pass of the dense way.
LARGEST_INPUT, LARGEST_WORK = 2**21, 2**29


class Experts(nn.Module):
    """E SwiGLU (or GeGLU) networks; ``backend`` is how to run them and no part of the model."""

    def __init__(self, experts: int, width: int, branch: int, activation: str, top_k: int = 1) -> None:
        super().__init__()
        self.act, self.activation, self.top_k = ACT2FN[activation], activation, top_k
        self.backend: Backend = "auto"
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * branch, width))
        self.down_proj = nn.Parameter(torch.empty(experts, width, branch))

    def forward(self, x_RD: Tensor, chosen_Rk: Tensor, gates_Rk: Tensor) -> Tensor:
        """Outputs (R, D) of tokens sent to the experts ``chosen_Rk`` with weights ``gates_Rk``."""
        backend = self._backend(x_RD)
        if backend == "dense":
            return self._dense(x_RD, chosen_Rk, gates_Rk)
        expert_P, order_P = chosen_Rk.flatten().sort(stable=True)
        rows_PD = x_RD[order_P // chosen_Rk.shape[1]]
        out_PD = (self._loop if backend == "loop" else self._grouped)(rows_PD, expert_P)
        back_P = torch.empty_like(order_P).scatter(0, order_P, torch.arange(len(order_P), device=order_P.device))
        out_RkD = out_PD[back_P].view(*chosen_Rk.shape, -1)
        return (out_RkD * gates_Rk[..., None].to(out_RkD.dtype)).sum(1)

    def only(self, x: Tensor) -> Tensor:
        """The one expert of a dense model on every token, (..., D) to (..., D)."""
        gate, up = F.linear(x, self.gate_up_proj.squeeze(0)).chunk(2, dim=-1)
        return F.linear(self.act(gate) * up, self.down_proj.squeeze(0))

    def _loop(self, rows_PD: Tensor, expert_P: Tensor) -> Tensor:
        counts = torch.bincount(expert_P, minlength=len(self.down_proj)).tolist()
        # unbind, because indexing one expert makes a gradient of the size of all
        weights = zip(self.gate_up_proj.unbind(0), self.down_proj.unbind(0), strict=True)
        pieces = []
        for rows, (gate_up, down) in zip(rows_PD.split(counts), weights, strict=True):
            gate, up = F.linear(rows, gate_up).chunk(2, dim=-1)
            pieces.append(F.linear(self.act(gate) * up, down))
        return torch.cat(pieces)

    def _grouped(self, rows_PD: Tensor, expert_P: Tensor) -> Tensor:
        """Autocast does not know the grouped product, so the cast it would make is made here."""
        dtype = compute_dtype(rows_PD)
        if dtype == torch.float64:
            raise ModelError(
                "The grouped product has no float64 kernel in torch; use set_experts_backend('loop') or 'dense'."
            )
        ends = torch.searchsorted(expert_P, torch.arange(len(self.down_proj), device=expert_P.device), right=True)
        ends = ends.to(torch.int32)
        gate_up, down = self.gate_up_proj.to(dtype).mT, self.down_proj.to(dtype).mT
        gate, up = grouped_product(rows_PD.to(dtype), gate_up, ends).chunk(2, dim=-1)
        return grouped_product(self.act(gate) * up, down, ends)

    def _dense(self, x_RD: Tensor, chosen_Rk: Tensor, gates_Rk: Tensor) -> Tensor:
        """Two products for all experts: the gates go in front of the second, which sums over experts as it goes."""
        experts, width, branch = self.down_proj.shape
        gates_RE = gates_Rk.new_zeros(len(x_RD), experts).scatter(1, chosen_Rk, gates_Rk)
        both = F.linear(x_RD, self.gate_up_proj.flatten(0, 1)).view(-1, experts, 2, branch)
        inner_REF = self.act(both[:, :, 0]) * both[:, :, 1]
        inner_REF = inner_REF * gates_RE[..., None].to(inner_REF.dtype)
        return F.linear(inner_REF.flatten(1), self.down_proj.transpose(0, 1).reshape(width, -1))

    def _backend(self, x_RD: Tensor) -> str:
        """``auto`` resolved. While compiling or without data nothing can be timed: the way that needs no data."""
        if self.backend != "auto":
            return self.backend
        if x_RD.device.type == "meta" or torch.compiler.is_compiling():
            return "dense"
        experts, width, branch = self.down_proj.shape
        shape = (experts, self.top_k, width, branch, self.activation)
        return _fastest(shape, _bucket(len(x_RD)), str(x_RD.device), compute_dtype(x_RD))


def grouped_product(rows: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """Rows (P, n) of group i, which end at ``ends[i]``, times ``weights[i]`` (n, m); torch compiles it in bf16 only."""
    if torch.compiler.is_compiling() and rows.dtype != torch.bfloat16:
        return torch.ops.transformers.grouped_mm_fallback(rows, weights, ends)  # one operator, opaque to the compiler
    return F.grouped_mm(rows, weights, offs=ends)


def compute_dtype(x: Tensor) -> torch.dtype:
    """The type that a linear layer would compute in here: autocast's, if it is on."""
    device = x.device.type
    if device != "meta" and torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return x.dtype


def check_backend(name: str) -> None:
    """Raise ``ModelError`` for a word that is no backend."""
    if name not in ("auto", *BACKENDS):
        raise ModelError(f"The experts' backend is {name!r}; use auto, {', '.join(BACKENDS)}.")


def fastest_backend(config: Any, *, tokens: int, device: str | torch.device, dtype: torch.dtype) -> str:
    """The quickest of ``BACKENDS`` for a forward and backward pass of one layer, measured in a second or two at most.

    ``config``: a ``MixtureConfig``. ``tokens``: rows that one call gets, rounded up to a power of two, at most 4,096.
    ``dtype``: the type it computes in (autocast's, under autocast). A later one in the list must be a tenth faster than
    an earlier one, so that noise changes little. Measured once per process for the same question; large layers with
    fewer tokens and a narrower branch, to which the time of all three is proportional.
    """
    shape = (config.ffn_experts, config.ffn_top_k, config.hidden_size, config.intermediate_size, config.hidden_act)
    return _fastest(shape, _bucket(tokens), str(torch.device(device)), dtype)


def _bucket(tokens: int) -> int:
    return min(1 << max(tokens - 1, 0).bit_length(), 4096)


@cache
def _fastest(shape: tuple[int, int, int, int, str], tokens: int, device: str, dtype: torch.dtype) -> str:
    experts, top_k, width, branch, activation = shape
    tokens = min(tokens, max(LARGEST_INPUT // width, 64))
    branch -= max(branch - max(LARGEST_WORK // (tokens * experts * width), 32), 0) // 16 * 16  # kernels ask for 16ths
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(torch.device(device).type, enabled=False):
        layer = Experts(experts, width, branch, activation, top_k).to(device, dtype)
        for weight in layer.parameters():
            nn.init.constant_(weight, 1e-3)
        x = torch.full((tokens, width), 0.1, device=device, dtype=dtype, requires_grad=True)
        slots = torch.arange(tokens * top_k, device=device).view(tokens, top_k) % experts
        inputs = (x, slots, torch.full((tokens, top_k), 1 / top_k, device=device))
        seconds = _race(layer, inputs)
    best = BACKENDS[0]
    for name in BACKENDS[1:]:
        best = name if seconds[name] < 0.9 * seconds[best] else best
    return str(best)


def _race(layer: Experts, inputs: tuple[Tensor, Tensor, Tensor]) -> dict[str, float]:
    """The best seconds of each backend, in turns so that a busy machine slows all of them; the hopeless run twice."""
    for name in BACKENDS:
        _seconds(layer, name, inputs)  # the first call of a kernel loads it
    best: dict[str, float] = {name: _seconds(layer, name, inputs) for name in BACKENDS}
    hopeful = [name for name in BACKENDS if best[name] <= 4 * min(best.values())]
    for _ in range(2):
        best |= {name: min(best[name], _seconds(layer, name, inputs)) for name in hopeful}
    return best


def _seconds(layer: Experts, backend: Backend, inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Of one forward and backward pass; infinite where the device lacks the kernel."""
    layer.backend = backend
    start = time.perf_counter()
    try:
        layer(*inputs).square().sum().backward()
        if inputs[0].is_cuda:
            torch.cuda.synchronize(inputs[0].device)
    except (ModelError, RuntimeError, AttributeError):  # no grouped product for this type or device
        return float("inf")
    return time.perf_counter() - start
