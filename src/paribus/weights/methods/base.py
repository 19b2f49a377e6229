"""What a merge method is: it may look at all weights first, then turns stretches of N models into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from paribus.weights.blocks import Block, Sources

Combine = Callable[[Block], torch.Tensor]
"""Blocks of one tensor in flat order to merged elements, shape (C,)."""

PerTensor = Callable[[str], Any]
"""A parameter's value for a tensor's name (constant, or changing with depth)."""


class Method(Protocol):
    """``prepare`` once per merge, then ``start`` once per tensor."""

    def prepare(self, sources: Sources) -> None: ...

    def start(self, name: str, sources: Sources) -> Combine: ...
