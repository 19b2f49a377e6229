"""Weighted average: theta = sum_i a_i theta_i (model soups, arXiv 2203.05482). The method Aya Expanse settled on."""

from __future__ import annotations

import torch

from paribus.weights.blocks import Block, Sources
from paribus.weights.methods.base import Combine, PerTensor


class Linear:
    """``weights(name)`` gives N numbers; they are used as they are."""

    def __init__(self, weights: PerTensor) -> None:
        self._weights = weights

    def prepare(self, sources: Sources) -> None:
        """Nothing to look at beforehand."""

    def start(self, name: str, sources: Sources) -> Combine:
        weights = [float(weight) for weight in self._weights(name)]

        def combine(block: Block) -> torch.Tensor:
            # Products summed in the order of the models, each rounded: reproducible by plain array arithmetic.
            total = block.models_NC[0] * weights[0]
            for row, weight in zip(block.models_NC[1:], weights[1:], strict=True):
                total += row * weight
            return total

        return combine
