"""Prompts of labelled points, and how a sequence model reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Functions = Mapping[str, Tensor]
"""Parameters of B functions of one class, each tensor of shape ``(B, ...)``; every class says which names it uses."""


@dataclass(frozen=True)
class Prompts:
    """B prompts of m labelled points in n dimensions; prompt b shows ``x[b, 0], y[b, 0], x[b, 1], y[b, 1], ...``.

    Args:
        x: points, ``(B, m, n)`` int8 in {-1, 1}.
        y: labels as shown (with their noise, if any), ``(B, m)`` int8 in {-1, 1}.
        functions: what labelled them; ``function_class.evaluate(functions, x)`` are the labels without noise.
        forced: points that were moved to one side of the function, so that labels are balanced, ``(B, m)`` bool.
        taught: length of the teaching sequence the prompt begins with (0 = none), ``(B,)`` int64.
    """

    x: Tensor
    y: Tensor
    functions: Functions
    forced: Tensor
    taught: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: str) -> "Prompts":
        """The same prompts on another device. They are always drawn on the CPU, so no device changes their values."""
        functions = {name: tensor.to(device) for name, tensor in self.functions.items()}
        moved = {name: getattr(self, name).to(device) for name in ("x", "y", "forced", "taught")}
        return replace(self, functions=functions, **moved)


def encode(prompts: Prompts) -> dict[str, Tensor]:
    """Prompts as a batch for a model that reads vectors (ICL-Discrete, section 2 and its released code).

    Returns:
        ``inputs_embeds``: ``(B, 2m, n)`` float32; even positions hold a point, odd ones its label in coordinate 0 of a
        zero vector. ``labels``: ``(B, 2m)`` int64; at even positions the label of that point (0 for -1, 1 for +1), at
        odd ones -100 (no loss). A causal model's answer at position 2i has seen exactly the points before i and x_i.
    """
    count, points, dimensions = prompts.x.shape
    vectors = prompts.x.new_zeros((count, points, 2, dimensions), dtype=torch.float32)
    vectors[:, :, 0] = prompts.x
    vectors[:, :, 1, 0] = prompts.y
    labels = prompts.y.new_full((count, points, 2), -100, dtype=torch.int64)
    labels[:, :, 0] = prompts.y > 0
    return {"inputs_embeds": vectors.view(count, 2 * points, dimensions), "labels": labels.view(count, 2 * points)}
