"""Conversations packed into rows of fixed length, each segment blind to the others.

A packed row holds several conversations: positions restart in each, attention stays within each (``segment_ids``), and
the first token of a segment is never a target. Pads have segment 0 and no loss.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from paribus.data.chat import Encoded
from paribus.errors import DataError

if TYPE_CHECKING:
    import torch

IGNORE = -100


@dataclass(frozen=True)
class PackedDataset:
    """Rows of equal length, each array (rows, length) int32.

    ``labels`` are not shifted (as Hugging Face models take them): -100 on prompts, pads and segment starts.
    ``segment_ids`` count from 1 in each row, 0 on pads. ``position_ids`` restart in each segment.
    """

    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    position_ids: NDArray[np.int32]
    segment_ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def length(self) -> int:
        """Tokens a row."""
        return int(self.input_ids.shape[1])

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of what a model would see."""
        return array_hash(self.input_ids, self.labels, self.position_ids, self.segment_ids)

    def batch(self, rows: NDArray[np.int64]) -> "dict[str, torch.Tensor]":
        """The given rows as tensors: input_ids, labels, position_ids, segment_ids (rows, length) int64."""
        import torch

        arrays = {
            "input_ids": self.input_ids,
            "labels": self.labels,
            "position_ids": self.position_ids,
            "segment_ids": self.segment_ids,
        }
        return {name: torch.from_numpy(array[rows].astype(np.int64)) for name, array in arrays.items()}


def array_hash(*arrays: NDArray) -> str:
    """SHA-256 of shapes, types and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def pack(
    encoded: Sequence[Encoded], length: int, *, drop: Literal["error", "truncate"] = "error", pad_id: int = 0
) -> PackedDataset:
    """Pack by best fit, longest first: every conversation goes where it leaves the least room.

    Raises ``DataError`` for no rows, or for a conversation longer than ``length`` (``drop="truncate"`` cuts its end).
    """
    if not encoded:
        raise DataError("There is nothing to pack; give at least one encoded conversation.")
    fitted = [_fitted(row, index, length, drop) for index, row in enumerate(encoded)]
    bins = _best_fit([len(row) for row in fitted], length)
    shape = (len(bins), length)
    dataset = PackedDataset(
        np.full(shape, pad_id, np.int32),
        np.full(shape, IGNORE, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
    )
    for number, members in enumerate(bins):
        _fill(dataset, number, [fitted[member] for member in members])
    return dataset


def _fitted(row: Encoded, index: int, length: int, drop: str) -> Encoded:
    if len(row) <= length:
        return row
    if drop == "error":
        raise DataError(
            f"Conversation {index} has {len(row)} tokens, more than the row length {length}; raise the length, or pass "
            "drop='truncate' to cut it."
        )
    return Encoded(row.input_ids[:length], row.completion_mask[:length])


def _best_fit(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Best fit decreasing with one stack of open bins for each remaining room: O(n x length) at worst."""
    open_bins: list[list[int]] = [[] for _ in range(length + 1)]
    bins: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        room = next((r for r in range(sizes[index], length) if open_bins[r]), None)
        if room is None:
            bins.append([])
            number, room = len(bins) - 1, length
        else:
            number = open_bins[room].pop()
        bins[number].append(index)
        open_bins[room - sizes[index]].append(number)
    return bins


def _fill(dataset: PackedDataset, number: int, members: Sequence[Encoded]) -> None:
    start = 0
    for segment, row in enumerate(members, start=1):
        stop = start + len(row)
        dataset.input_ids[number, start:stop] = row.input_ids
        dataset.labels[number, start:stop] = np.where(row.completion_mask, row.input_ids, IGNORE)
        # The first token of a segment would be predicted from the segment before it.
        dataset.labels[number, start] = IGNORE
        dataset.position_ids[number, start:stop] = np.arange(len(row))
        dataset.segment_ids[number, start:stop] = segment
        start = stop


def block_mask(segment_ids: "torch.Tensor") -> "torch.Tensor":
    """Who may look at whom: (batch, 1, query, key) bool, True within a segment and not ahead.

    Pads (segment 0) form a segment of their own, so that no row of the mask is empty (a softmax over nothing is NaN).
    """
    import torch

    length = segment_ids.shape[1]
    same = segment_ids[:, :, None] == segment_ids[:, None, :]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment_ids.device).tril()
    return (same & causal)[:, None]
