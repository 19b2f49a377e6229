"""Sign election and disjoint mean over sparsified task vectors: what TIES and DARE-TIES have in common.

TIES-Merging (arXiv 2306.01708): elect for every entry the sign with the larger total; average the entries that agree
with it; add the average, scaled by lambda, to the base. Two published ways of settling an entry whose votes sum to
exactly zero are kept apart: ``"tensor"`` elects plus (mergekit), ``"model"`` elects the sign that most entries of the
whole model elected (the authors' code).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from paribus.weights.blocks import Block, Sources
from paribus.weights.methods.base import Combine, PerTensor

Scope = Literal["tensor", "model"]
Sparsify = Callable[[Block], torch.Tensor]
"""Blocks of one tensor in flat order to task vectors with dropped entries set to zero, shape (N, C)."""


class TaskVectors:
    """Base class: a subclass says in ``sparsifier`` which entries of the task vectors survive.

    Args:
        weights: per tensor, N weights; they weigh votes and means, so their scale matters only without ``normalise``.
        scale: lambda.
        normalise: divide by the weights of the agreeing entries (a mean); otherwise the weighted sum is added.
        scope: what the subclass trims over, and how a zero vote is settled.
    """

    def __init__(self, weights: PerTensor, scale: float, normalise: bool, scope: Scope) -> None:
        self._weights, self._scale, self._normalise, self._scope = weights, scale, normalise, scope
        self._zero_sign = 1.0

    def sparsifier(self, name: str, sources: Sources) -> Sparsify:
        raise NotImplementedError

    def prepare(self, sources: Sources) -> None:
        if self._scope == "model":
            self._zero_sign = self._majority(sources)

    def start(self, name: str, sources: Sources) -> Combine:
        sparsify = self.sparsifier(name, sources)
        weights_N1 = torch.tensor(self._weights(name), dtype=torch.float32)[:, None]

        def combine(block: Block) -> torch.Tensor:
            assert block.base_C is not None
            votes_NC = sparsify(block).mul_(weights_N1)
            elected_C = self._elect(votes_NC)
            agree_NC = votes_NC * elected_C > 0
            mixed_C = (votes_NC * agree_NC).sum(dim=0)
            if self._normalise:
                share_C = (weights_N1 * agree_NC).sum(dim=0)
                mixed_C /= torch.where(share_C == 0, 1.0, share_C)
            return block.base_C + mixed_C * self._scale

        return combine

    def _elect(self, votes_NC: torch.Tensor) -> torch.Tensor:
        total_C = votes_NC.sum(dim=0)
        return torch.where(total_C == 0, self._zero_sign, total_C.sign())

    def _majority(self, sources: Sources) -> float:
        """Sign of the sum of elected signs over the whole model: one more pass over the weights."""
        balance = 0.0
        for name in sources.floating():
            sparsify = self.sparsifier(name, sources)
            weights_N1 = torch.tensor(self._weights(name), dtype=torch.float32)[:, None]
            for block in sources.blocks(name):
                balance += float(sparsify(block).mul_(weights_N1).sum(dim=0).sign().sum())
        return float(balance > 0) - float(balance < 0)
