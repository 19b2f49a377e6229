"""Spherical interpolation of two models (Shoemake 1985, "Animating rotation with quaternion curves").

O = angle between the normalised tensors; theta = sin((1-t)O)/sin O * a + sin(tO)/sin O * b on the un-normalised ones.
Nearly parallel tensors (|cos O| > 0.9995) are interpolated linearly, as mergekit does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch

from paribus.weights.blocks import Block, Sources
from paribus.weights.methods.base import Combine, PerTensor

PARALLEL = 0.9995

Angle = Literal["tensor", "model"]


class Slerp:
    """``t(name)`` in [0, 1]: 0 is the first model, 1 the second. ``angle``: one per tensor, or one for all of them."""

    def __init__(self, t: PerTensor, angle: Angle = "tensor") -> None:
        self._t, self._angle = t, angle
        self._global = 1.0

    def prepare(self, sources: Sources) -> None:
        if self._angle == "model":
            self._global = cosine(block for name in sources.floating() for block in sources.blocks(name))

    def start(self, name: str, sources: Sources) -> Combine:
        t = float(self._t(name))
        if t in (0.0, 1.0):
            # The ends are the models themselves: sin(O)/sin(O) would be 1 only up to rounding.
            return lambda block: block.models_NC[int(t)]
        cos = self._global if self._angle == "model" else cosine(sources.blocks(name))
        first, second = coefficients(cos, t)

        def combine(block: Block) -> torch.Tensor:
            return block.models_NC[0] * first + block.models_NC[1] * second

        return combine


def cosine(blocks: Iterable[Block]) -> float:
    """Cosine between two models' tensors, summed in float64; 1 (parallel) where either is all zero."""
    dot, left, right = 0.0, 0.0, 0.0
    for block in blocks:
        a, b = block.models_NC[0], block.models_NC[1]
        dot += float(torch.dot(a, b))
        left += float(torch.dot(a, a))
        right += float(torch.dot(b, b))
    return dot / math.sqrt(left * right) if left and right else 1.0


def coefficients(cos: float, t: float) -> tuple[float, float]:
    """Factors of the two models at ``t`` for an angle given by its cosine."""
    if abs(cos) > PARALLEL:
        return 1.0 - t, t
    angle = math.acos(cos)
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
