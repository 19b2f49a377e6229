"""Data that is drawn fresh for every step, and yet the same at every replay.

A task with a sampler has no data set to go through. Its batches are drawn by a generator that is seeded from
(data hash, seed, step), so that a run reads what it would have read, wherever it is resumed.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paribus.data.stream import BatchStream
from paribus.errors import DataError

if TYPE_CHECKING:
    import torch

Sampler = Callable[[int, "torch.Generator"], Mapping[str, "torch.Tensor"]]
"""``sampler(count, generator)``: tensors whose first dimension is ``count``, drawn by the (CPU) generator alone."""


class SampledStream(BatchStream):
    """Endless batches of ``batch_size`` fresh rows; no row is seen twice, but by chance.

    Micro-batches are parts of the step's one draw, so the rows of a step do not depend on how many parts it is
    computed in. Rows are numbered through: step n has those from n * batch_size.

    Args:
        sampler: draws rows, see ``Sampler``. What it draws may depend on nothing but its arguments.
        batch_size: rows a step.
        seed: of the stream. Two streams of different seeds or hashes draw independently.
        data_hash: names the sampler with all its settings, since a function has no hash. Runs whose samplers differ
            need different ones, or they will be taken for the same run.
    """

    def __init__(self, sampler: Sampler, batch_size: int, seed: int, data_hash: str) -> None:
        super().__init__(_Draws(sampler, batch_size, seed, data_hash), batch_size, seed)

    def rows(self, step: int) -> NDArray[np.int64]:
        """Row numbers of step ``step`` (counted from 0)."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)


class _Draws:
    """The rows of all steps as a data set; the last step's draw is kept for its other micro-batches."""

    def __init__(self, sampler: Sampler, batch_size: int, seed: int, data_hash: str) -> None:
        self.sampler, self.batch_size, self.seed, self.data_hash = sampler, batch_size, seed, data_hash
        self._kept: tuple[int, dict[str, torch.Tensor]] = (-1, {})

    def __len__(self) -> int:
        return sys.maxsize

    def batch(self, rows: NDArray[np.int64]) -> "dict[str, torch.Tensor]":
        """The given rows, all of one step. Raises ``DataError`` when the sampler gave another number of rows."""
        step, first = divmod(int(rows[0]), self.batch_size)
        assert (rows // self.batch_size == step).all(), "a micro-batch lies within one step"
        drawn = self._drawn(step)
        if len(rows) == self.batch_size:
            return drawn
        return {name: values[first : first + len(rows)] for name, values in drawn.items()}

    def _drawn(self, step: int) -> "dict[str, torch.Tensor]":
        if self._kept[0] != step:
            drawn = dict(self.sampler(self.batch_size, generator_of(f"{self.data_hash}:{self.seed}:{step}")))
            self._check(drawn)
            self._kept = (step, drawn)
        return self._kept[1]

    def _check(self, drawn: "dict[str, torch.Tensor]") -> None:
        wrong = {name: tuple(values.shape) for name, values in drawn.items() if len(values) != self.batch_size}
        if wrong or not drawn:
            raise DataError(
                f"The sampler of {self.data_hash!r} should draw {self.batch_size} rows and drew {wrong or 'nothing'}; "
                "make the number of rows the first dimension of every tensor."
            )


def generator_of(name: str) -> "torch.Generator":
    """A CPU generator seeded by a text: equal texts, equal numbers.

    torch's generator takes no more than 32 bits of a seed, so one pair of texts in four thousand million coincides.
    """
    import torch

    digest = hashlib.sha256(name.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
