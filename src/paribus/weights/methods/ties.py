"""TIES: keep the largest entries of each task vector, elect signs, average what agrees (arXiv 2306.01708, Algorithm 1).

Trimming scopes, named because results differ:
``"tensor"`` (mergekit): of each tensor exactly int(density * size) entries stay, at least one; among equal magnitudes
at the threshold the first in the tensor stay (mergekit leaves that choice to an unstable sort; in bf16, where task
vectors take few values, thousands of entries can be equal there).
``"model"`` (the authors' code): one threshold per model over all entries of all tensors; equal magnitudes all stay.
Their code counts from the bottom and so keeps one entry more than density * size; here the threshold is the k-th
largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from paribus.weights.blocks import Block, Sources
from paribus.weights.methods.base import PerTensor
from paribus.weights.methods.task_vectors import Scope, Sparsify, TaskVectors
from paribus.weights.selection import Histogram, Threshold


class Ties(TaskVectors):
    """``densities``: share of entries kept, one per model, in (0, 1]. Other arguments: ``TaskVectors``."""

    def __init__(
        self, densities: Sequence[float], *, weights: PerTensor, scale: float, normalise: bool, scope: Scope
    ) -> None:
        super().__init__(weights, scale, normalise, scope)
        self._densities = densities
        self._whole_model: list[Threshold] = []

    def prepare(self, sources: Sources) -> None:
        if self._scope == "model":
            self._whole_model = self._thresholds(sources, sources.floating())
        super().prepare(sources)

    def sparsifier(self, name: str, sources: Sources) -> Sparsify:
        if all(density >= 1 for density in self._densities):
            return lambda block: block.deltas()
        if self._scope == "model":
            values_N1 = torch.tensor([[threshold.value] for threshold in self._whole_model])
            return lambda block: _at_least(block.deltas(), values_N1)
        return _ExactlyK(self._thresholds(sources, [name]))

    def _thresholds(self, sources: Sources, names: Sequence[str]) -> list[Threshold]:
        total = sum(sources.entry(name).elements for name in names)
        if total == 0:
            return [Threshold(0.0, 0) for _ in self._densities]
        histograms = [Histogram(max(1, int(density * total))) for density in self._densities]
        for last in (False, True):
            for deltas_NC in _deltas(sources, names):
                for histogram, delta_C in zip(histograms, deltas_NC, strict=True):
                    histogram.add(delta_C.float())
            if not last:
                for histogram in histograms:
                    histogram.narrow()
        return [histogram.threshold() for histogram in histograms]


def _deltas(sources: Sources, names: Sequence[str]) -> Iterator[torch.Tensor]:
    return (block.deltas() for name in names for block in sources.blocks(name))


def _at_least(deltas_NC: torch.Tensor, values_N1: torch.Tensor) -> torch.Tensor:
    return torch.where(deltas_NC.abs() >= values_N1, deltas_NC, 0.0)


class _ExactlyK:
    """Keeps what lies above the threshold, and of what lies at it the first ``at`` entries of the tensor."""

    def __init__(self, thresholds: Sequence[Threshold]) -> None:
        self._values_N1 = torch.tensor([[threshold.value] for threshold in thresholds])
        self._left = [threshold.at for threshold in thresholds]

    def __call__(self, block: Block) -> torch.Tensor:
        deltas_NC = block.deltas()
        kept_NC = _at_least(deltas_NC, self._values_N1)
        for row, (delta_C, value) in enumerate(zip(deltas_NC, self._values_N1[:, 0], strict=True)):
            places = (delta_C.abs() == value).nonzero()[:, 0]
            kept_NC[row, places[self._left[row] :]] = 0.0
            self._left[row] -= min(self._left[row], len(places))
        return kept_NC
