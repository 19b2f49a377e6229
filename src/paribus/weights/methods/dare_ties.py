"""DARE (drop and rescale, arXiv 2311.03099), then the sign election and disjoint mean of TIES.

Every entry of a task vector is dropped with probability p = 1 - density. What stays is divided by 1 - p (the paper:
the task vector is unbiased in expectation) or, ``rescale="l1"``, multiplied so that each tensor keeps its L1 norm
(mergekit's current form).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from paribus.weights.blocks import Sources
from paribus.weights.methods.base import PerTensor
from paribus.weights.methods.task_vectors import Scope, Sparsify, TaskVectors

Rescale = Literal["inverse", "l1"]


class DareTies(TaskVectors):
    """``densities``: 1 - p, one per model, in (0, 1]. The dropped entries are a function of the seed, the model's place
    in the list, the tensor's name and the entry's position, whatever the order or size of the reads.
    """

    def __init__(
        self,
        densities: Sequence[float],
        *,
        seed: int,
        rescale: Rescale,
        weights: PerTensor,
        scale: float,
        normalise: bool,
        scope: Scope,
    ) -> None:
        super().__init__(weights, scale, normalise, scope)
        self._densities, self._seed, self._rescale = densities, seed, rescale

    def sparsifier(self, name: str, sources: Sources) -> Sparsify:
        factors = [1.0 / density for density in self._densities]
        if self._rescale == "l1":
            factors = self._norm_factors(name, sources)
        drop = self._dropper(name)
        factors_N1 = torch.tensor(factors, dtype=torch.float32)[:, None]
        return lambda block: drop(block.deltas()).mul_(factors_N1)

    def _dropper(self, name: str) -> _Dropper:
        return _Dropper([_stream(self._seed, place, name) for place in range(len(self._densities))], self._densities)

    def _norm_factors(self, name: str, sources: Sources) -> list[float]:
        drop, before, after = self._dropper(name), np.zeros(len(self._densities)), np.zeros(len(self._densities))
        for block in sources.blocks(name):
            deltas_NC = block.deltas()
            before += deltas_NC.abs().sum(dim=1, dtype=torch.float64).numpy()
            after += drop(deltas_NC).abs().sum(dim=1, dtype=torch.float64).numpy()
        return [float(b / a) if a > 0 else 1.0 for b, a in zip(before, after, strict=True)]


class _Dropper:
    """Sets entries to zero in place, from one random stream per model."""

    def __init__(self, streams: Sequence[np.random.SFC64], densities: Sequence[float]) -> None:
        self._streams, self._densities = streams, densities

    def __call__(self, deltas_NC: torch.Tensor) -> torch.Tensor:
        for delta_C, stream, density in zip(deltas_NC, self._streams, self._densities, strict=True):
            if density < 1:
                # Two 32-bit draws out of each word; an odd length (a tensor's last stretch) wastes half a word.
                words = stream.random_raw((len(delta_C) + 1) // 2)
                draws = words.view(np.uint32)[: len(delta_C)]
                delta_C.numpy()[draws >= np.uint32(density * 2**32)] = 0.0
        return deltas_NC


def _stream(seed: int, place: int, name: str) -> np.random.SFC64:
    digest = hashlib.sha256(f"{seed}/{place}/{name}".encode()).digest()
    return np.random.SFC64(np.frombuffer(digest, dtype=np.uint32))
