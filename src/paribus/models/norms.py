"""Norms of hidden states and of heads, in float32 at least whatever the type of the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type for norms, rotations and gates: float32, or float64 where the model is."""
    return torch.promote_types(dtype, torch.float32)


class Norm(nn.Module):
    """LayerNorm without a bias, RMSNorm, or Gemma's (``weight`` is the factor less one), over the last dimension."""

    def __init__(self, kind: str, shape: tuple[int, ...], eps: float) -> None:
        super().__init__()
        self.kind, self.eps = kind, eps
        self.weight = nn.Parameter(torch.zeros(shape) if kind == "rms_plus_one" else torch.ones(shape))

    def factor(self) -> Tensor:
        """In bf16 the sum with 1 would round the weight to 1/128, so it is made wider first, as Gemma does."""
        return self.weight.to(wide(self.weight.dtype)) + 1 if self.kind == "rms_plus_one" else self.weight

    def forward(self, x: Tensor) -> Tensor:
        normalise = F.layer_norm if self.kind == "layer" else F.rms_norm
        return (normalise(x.to(wide(x.dtype)), x.shape[-1:], eps=self.eps) * self.factor()).to(x.dtype)


class HeadNorm(Norm):
    """Of queries or keys (..., experts, heads, A): a weight per expert ("rms", Qwen3) or per head ("layer", Cohere)."""

    def __init__(self, kind: str, experts: int, heads: int, width: int, eps: float) -> None:
        super().__init__(kind, (experts, width) if kind == "rms" else (experts, heads, width), eps)

    def factor(self) -> Tensor:
        return self.weight[:, None] if self.kind == "rms" else self.weight
