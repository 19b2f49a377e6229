"""Linear attention with decay, in chunks: what retention, Mamba-2 and RWKV have in common.

    S_t = decay_t S_{t-1} + k_t v_t^T,   y_t = q_t^T S_t          S (K, V) per head, decay_t in (0, 1]

Within a chunk of Q tokens this is a masked matrix product; from chunk to chunk the state is handed on (Sun et al. 2023,
arXiv 2307.08621, section 2; Dao and Gu 2024, arXiv 2405.21060, section 6; Yang et al. 2024, arXiv 2312.06635, section
4). Decays come as logarithms, and exponents are never above those of one chunk, so nothing overflows.

flash-linear-attention (the package ``fla``, https://github.com/fla-org/flash-linear-attention) has GPU kernels of both
functions. They are taken when asked for, or by themselves on a GPU where the library is installed. No GPU was at hand:
the choice is tested, the kernels' results are not; their pure PyTorch counterparts in the library are, on a CPU.

Shapes: B batch, H heads, T tokens, C chunks of Q tokens, K and V widths of keys and values of one head.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.errors import ModelError
from paribus.models.norms import wide
from paribus.models.sequence_shape import chunking

LOWEST_LOG_DECAY = -5.0
"""Floor of a decay per key channel: over half a chunk of 16 its inverse stays below e^40, which float32 holds."""


def check_library() -> None:
    """Raise ``ModelError`` if flash-linear-attention is not installed."""
    if find_spec("fla") is None:
        raise ModelError(
            "kernel='library' needs flash-linear-attention, which is not installed; install it on a machine with a "
            "GPU, or use kernel='torch'."
        )


def library_function(module: str, name: str) -> Any:
    """A function of flash-linear-attention; ``ModelError`` if the library is not installed."""
    check_library()
    return getattr(importlib.import_module(module), name)


def wants_library(kernel: str, x: Tensor) -> bool:
    """Whether the library computes on ``x``; ``ModelError`` if it is asked to and ``x`` is not on a GPU."""
    if kernel == "library" and not x.is_cuda:
        raise ModelError(f"kernel='library' runs on a GPU only and the input is on {x.device}; use kernel='torch'.")
    return kernel == "library" or (kernel == "auto" and x.is_cuda and find_spec("fla") is not None)


def scalar_decay(
    q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, log_decay_BHT: Tensor, *, chunk: int, kernel: str = "torch"
) -> Tensor:
    """One decay per head and token; values (B, H, T, V) from an empty state.

    Queries and keys with one head are shared by all; the decays' batch may be 1.
    """
    if wants_library(kernel, v_BHTV):
        return _scalar_by_library(q_BHTK, k_BHTK, v_BHTV, log_decay_BHT)
    length = v_BHTV.shape[2]
    q, k, v, g = (_chunks(x, chunk) for x in (q_BHTK, k_BHTK, v_BHTV, log_decay_BHT[..., None]))
    total_BHCQ1 = g.to(wide(g.dtype)).cumsum(dim=3)
    between = total_BHCQ1 - total_BHCQ1.transpose(3, 4)
    future = torch.ones(between.shape[-2:], dtype=torch.bool, device=between.device).triu(1)
    y = ((q @ k.transpose(3, 4)) * between.masked_fill(future, -torch.inf).exp()).to(v.dtype) @ v
    if v.shape[2] > 1:
        last = total_BHCQ1[..., -1:, :]
        added = k.transpose(3, 4) @ (v * (last - total_BHCQ1).exp()).to(v.dtype)
        y = y + total_BHCQ1.exp() * (q @ _states_before(added, last.exp()))
    return y.flatten(2, 3)[:, :, :length].to(v_BHTV.dtype)


def vector_decay(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHTK: Tensor,
    bonus_HK: Tensor,
    *,
    chunk: int,
    kernel: str = "torch",
) -> Tensor:
    """One decay per key channel, applied after the token is read, which itself counts ``bonus_HK`` times (RWKV-6).

        y_t = q_t^T (S_{t-1} + diag(bonus) k_t v_t^T)

    Logarithms of decays must be at least ``LOWEST_LOG_DECAY`` and ``chunk`` at most 16, or float32 overflows.
    """
    if wants_library(kernel, v_BHTV):
        kernel_function = library_function("fla.ops.rwkv6", "chunk_rwkv6")
        heads = (x.transpose(1, 2).contiguous() for x in (q_BHTK, k_BHTK, v_BHTV, log_decay_BHTK))
        return kernel_function(*heads, bonus_HK, scale=1.0)[0].transpose(1, 2)
    length, dtype = v_BHTV.shape[2], wide(v_BHTV.dtype)
    q, k, v, g = (_chunks(x.to(dtype), chunk) for x in (q_BHTK, k_BHTK, v_BHTV, log_decay_BHTK))
    total = g.cumsum(dim=3)
    before, middle = total - g, total[..., total.shape[3] // 2, None, :]
    scores = ((q * (before - middle).exp()) @ (k * (middle - total).exp()).transpose(3, 4)).tril(-1)
    y = scores @ v + (q * k * bonus_HK[:, None, None]).sum(-1, keepdim=True) * v
    if v.shape[2] > 1:
        last = total[..., -1:, :]
        added = (k * (last - total).exp()).transpose(3, 4) @ v
        y = y + (q * before.exp()) @ _states_before(added, last.exp().transpose(3, 4))
    return y.flatten(2, 3)[:, :, :length].to(v_BHTV.dtype)


def _chunks(x_BHTn: Tensor, chunk: int) -> Tensor:
    """(B, H, C, Q, n), zeros after the last token: a zero neither decays nor adds anything."""
    length = x_BHTn.shape[2]
    chunks, size = chunking(length, chunk)
    return F.pad(x_BHTn, (0, 0, 0, chunks * size - length)).unflatten(2, (chunks, size))


def _states_before(added_BHCKV: Tensor, decay: Tensor) -> Tensor:
    """The state that each chunk starts from; ``decay`` (B, H, C, K or 1, 1) is over a whole chunk."""
    state = torch.zeros_like(added_BHCKV[:, :, 0])
    states = [state]
    for index in range(added_BHCKV.shape[2] - 1):
        state = state * decay[:, :, index] + added_BHCKV[:, :, index]
        states.append(state)
    return torch.stack(states, dim=2).to(added_BHCKV.dtype)


def _scalar_by_library(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, log_decay_BHT: Tensor) -> Tensor:
    batch, heads = v_BHTV.shape[:2]
    q, k = (x.expand(batch, heads, -1, -1).transpose(1, 2).contiguous() for x in (q_BHTK, k_BHTK))
    decays = log_decay_BHT.expand(batch, heads, -1).transpose(1, 2).contiguous()
    function = library_function("fla.ops.simple_gla", "chunk_simple_gla")
    return function(q, k, v_BHTV.transpose(1, 2).contiguous(), g=decays, scale=1.0)[0].transpose(1, 2)
