"""The batch stream: which rows a step sees is a pure function of (data hash or order, seed, step).

Nothing is carried from step to step, so a run can be resumed or replayed from any step without reading those before it.
"""

import hashlib
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError

if TYPE_CHECKING:
    import torch


class Dataset(Protocol):
    """What a stream needs of its data."""

    @property
    def data_hash(self) -> str:
        """A hash of everything a model would see."""

    def __len__(self) -> int: ...

    def batch(self, rows: NDArray[np.int64]) -> "dict[str, torch.Tensor]":
        """The given rows as tensors."""


class BatchStream:
    """Endless batches of ``batch_size`` rows; each epoch is its own permutation, and a batch may cross two epochs.

    ``order`` names what the permutations follow from, beside the seed, in place of the data's hash: two data sets whose
    rows belong together one to one (the same pairs with critiques and without) are then read in the same order.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, order: str | None = None) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} cannot be used; it must be at least 1.")
        if len(dataset) == 0:
            raise ConfigError("The data set has no rows; there is nothing to train on.")
        self.dataset, self.batch_size, self.seed, self.order = dataset, batch_size, seed, order
        self._permutations: dict[int, NDArray[np.int64]] = {}

    @property
    def data_hash(self) -> str:
        """Hash of the data behind the stream."""
        return self.dataset.data_hash

    def rows(self, step: int) -> NDArray[np.int64]:
        """Row numbers of step ``step`` (counted from 0)."""
        first = step * self.batch_size
        places = np.arange(first, first + self.batch_size)
        epochs, offsets = np.divmod(places, len(self.dataset))
        return np.array([self._permutation(int(e))[o] for e, o in zip(epochs, offsets, strict=True)], dtype=np.int64)

    def batch(self, step: int) -> "dict[str, torch.Tensor]":
        """The batch of step ``step``."""
        return self.dataset.batch(self.rows(step))

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._permutations:
            key = hashlib.sha256(f"{self.order or self.data_hash}:{self.seed}:{epoch}".encode()).digest()
            generator = np.random.Generator(np.random.Philox(key=np.frombuffer(key[:16], dtype=np.uint64)))
            # Two epochs are enough: a batch crosses at most from one into the next (or is cheap to make again).
            while len(self._permutations) > 1:
                self._permutations.pop(next(iter(self._permutations)))
            self._permutations[epoch] = generator.permutation(len(self.dataset))
        return self._permutations[epoch]
