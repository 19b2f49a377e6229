"""How to compute: number format, kernels and compilation, chosen by a short self-test on this machine.

On CPUs with bf16 matrix units, bf16 autocast with eager attention is up to twice as fast as fp32 (SDPA's backward is
slow in bf16 there); on others it loses. Which way of running a mixture's feed-forward experts is quickest depends on
their number and size. So both are measured, not assumed. The choice changes rounding: callers record it, and a resumed
run takes the choice of its checkpoint.
"""

import shutil
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn
from torch.nn import functional as F

BF16_GAIN = 1.25
"""How much faster bf16 must be in the self-test before it is taken; rounding is not given away for a few percent."""

COMPILE_STEPS = 400
"""Steps after which a compilation of about half a minute has paid on a CPU (measured: 160 to 400)."""

SHORT = 50
"""Steps below which a CPU run is fp32."""


ExpertsBackend = Literal["loop", "grouped_mm", "dense"]
"""The ways of ``paribus.models.experts``."""


class ComputePath(BaseModel):
    """How a training run computes, and why. ``experts`` concerns mixtures only: how their feed-forward experts run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["float32", "bfloat16"] = "float32"
    attention: Literal["sdpa", "eager"] = "sdpa"
    compile: bool = False
    experts: ExpertsBackend | None = None
    reason: str = "fixed by the caller"

    @model_validator(mode="after")
    def _can_be_compiled(self) -> "ComputePath":
        if self.compile and self.experts == "grouped_mm" and self.dtype == "float32":
            raise ValueError(
                "experts='grouped_mm' cannot be compiled in float32, torch's compiler takes it in bfloat16 only; use "
                "experts='dense', dtype='bfloat16' or compile=False."
            )
        return self


FP32 = ComputePath()


@lru_cache(maxsize=1)
def bf16_gain() -> float:
    """Seconds of an fp32 block over seconds of the same block under bf16 autocast, forward and backward (about 1 s)."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(256, 1024), nn.SiLU(), nn.Linear(1024, 256))
    x = torch.randn(2048, 256)

    def once(bf16: bool) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.mse_loss(block(x).float(), x)
        loss.backward()
        return time.perf_counter() - start

    return gain_of(once, turns=5)


def gain_of(once: Callable[[bool], float], *, turns: int) -> float:
    """Seconds of the plain way over those of the new: ``once(new)`` gives those of one pass, the first pair warms up.

    The passes take turns, and minima are compared: other processes on the machine slow both the same way.
    """
    pairs = [(once(False), once(True)) for _ in range(turns + 1)][1:]
    plain, new = (min(column) for column in zip(*pairs, strict=True))
    return plain / new


def step_gain(model: Any, *, rows: int, length: int, turns: int = 4) -> float:
    """Seconds of an fp32 training step of this very model over seconds of its bf16 step, forward and backward.

    A model of narrow layers gains less than ``bf16_gain`` says, or loses: casts and eager attention cost it more than
    its products save. The model is left as it was found. ``rows`` x ``length``: token ids of the step.
    """
    ids = torch.arange(rows * length).view(rows, length) % model.config.vocab_size
    attention, was_training = model.config._attn_implementation, model.training

    def once(bf16: bool) -> float:
        model.set_attn_implementation("eager" if bf16 else attention)
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        model.zero_grad(set_to_none=True)
        return time.perf_counter() - start

    model.train()
    try:
        return gain_of(once, turns=turns)
    finally:
        model.set_attn_implementation(attention)
        model.train(was_training)


def self_test(steps: int, *, device: str = "cpu", model: Any = None, tokens: int = 4096) -> ComputePath:
    """Choose the compute path for a run of ``steps`` optimizer steps by testing this machine (about a second).

    With a ``model`` that has experts their backend is chosen too, for passes over ``tokens`` tokens.
    """
    path = path_for(steps, device=device, cpu_bf16=False)
    if device == "cpu" and steps >= SHORT:
        gain = bf16_gain()
        path = path_for(steps, device=device, cpu_bf16=gain >= BF16_GAIN)
        path = path.model_copy(update={"reason": f"bf16 ran {gain:.2f}x as fast as fp32 here (needed: {BF16_GAIN}x)"})
    return with_experts(path, model, steps=steps, tokens=tokens, device=device)


def path_for(steps: int, *, device: str, cpu_bf16: bool, experts: ExpertsBackend | None = None) -> ComputePath:
    """The compute path for ``steps`` steps where it is known whether bf16 pays on the CPU; a GPU is asked.

    ``experts``: a backend chosen before. Short CPU runs are fp32 in any case: nothing can be won there, and equal seeds
    stay comparable.
    """
    if device != "cpu":
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        dtype: Literal["float32", "bfloat16"] = "bfloat16" if bf16 else "float32"
        compiled = steps >= COMPILE_STEPS and (bf16 or experts != "grouped_mm")
        reason = f"{device} with{'' if bf16 else 'out'} bf16"
        return ComputePath(dtype=dtype, compile=compiled, experts=experts, reason=reason)
    if steps < SHORT:
        return ComputePath(experts=experts, reason=f"{steps} steps are too few for anything but fp32")
    if not cpu_bf16:
        return ComputePath(experts=experts, reason="bf16 does not pay on this CPU")
    compiled = steps >= 4 * COMPILE_STEPS and shutil.which("g++") is not None
    reason = "bf16 pays on this CPU"
    return ComputePath(dtype="bfloat16", attention="eager", compile=compiled, experts=experts, reason=reason)


def with_experts(path: ComputePath, model: Any, *, steps: int, tokens: int, device: str) -> ComputePath:
    """The path with a backend for the model's experts, if it has more than one and the path names none.

    Left to itself each process of a run would measure anew, and a resumed one might round differently. A backend that
    was set on the model stays.
    """
    if path.experts is not None or getattr(getattr(model, "config", None), "ffn_experts", 1) == 1:
        return path
    chosen = model.experts_backend
    if chosen == "auto":
        chosen = _experts_backend(path, model, steps, tokens, device)
    return path.model_copy(update={"experts": chosen})


def _experts_backend(path: ComputePath, model: Any, steps: int, tokens: int, device: str) -> str:
    if path.compile and path.dtype == "float32":
        return "dense"  # the compiler breaks off at a loop and refuses grouped_mm
    if device == "cpu" and steps < SHORT:
        return "loop"
    from paribus.models.experts import fastest_backend

    dtype = torch.bfloat16 if path.dtype == "bfloat16" else next(model.parameters()).dtype
    return fastest_backend(model.config, tokens=tokens, device=device, dtype=dtype)
