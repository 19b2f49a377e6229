"""Conversations one a row, for models that cannot keep packed ones apart (``paribus.training.separation``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paribus.data.chat import Encoded
from paribus.data.packing import IGNORE, array_hash
from paribus.data.pairs import collate
from paribus.errors import DataError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class UnpackedDataset:
    """Encoded conversations, padded on the right to the longest of their batch."""

    rows: tuple[Encoded, ...]
    pad_id: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of tokens and masks."""
        ids = np.concatenate([row.input_ids for row in self.rows])
        masks = np.concatenate([row.completion_mask for row in self.rows])
        return array_hash(np.asarray([len(row) for row in self.rows]), ids, masks)

    def batch(self, rows: NDArray[np.int64]) -> "dict[str, torch.Tensor]":
        """``input_ids``, ``attention_mask`` and unshifted ``labels`` (-100: nothing to learn), each (rows, longest)."""
        batch = collate([self.rows[row] for row in rows], self.pad_id)
        learned = batch.pop("completion_mask").bool()
        learned[:, 0] = False  # as in packed rows: nothing stands before a first token
        return batch | {"labels": batch["input_ids"].masked_fill(~learned, IGNORE)}


def one_a_row(encoded: Sequence[Encoded], length: int, *, pad_id: int = 0) -> UnpackedDataset:
    """The conversations, in order. Raises ``DataError`` for none, or for one of more than ``length`` tokens."""
    longest = max(map(len, encoded), default=0)
    if not 0 < longest <= length:
        raise DataError(
            f"There are {len(encoded)} conversations, the longest has {longest} tokens of {length} allowed."
        )
    return UnpackedDataset(tuple(encoded), pad_id)
