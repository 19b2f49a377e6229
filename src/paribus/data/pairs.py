"""Preference pairs as token arrays, with room for reference log-probabilities computed once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paribus.data.chat import Encoded, encode_many
from paribus.data.packing import array_hash
from paribus.errors import DataError
from paribus.records import Message, PreferencePair

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class PairDataset:
    """Encoded pairs. ``margins`` (n,) float32, NaN where unknown; ``reference`` (n, 2) float64 sums of completion
    log-probabilities under the reference model (chosen, rejected), or None while they have not been computed.
    """

    chosen: tuple[Encoded, ...]
    rejected: tuple[Encoded, ...]
    margins: NDArray[np.float32]
    reference: NDArray[np.float64] | None = None
    pad_id: int = 0
    pad_to: int | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of tokens, masks and margins; the reference is left out (it follows from data and model)."""
        rows = [*self.chosen, *self.rejected]
        sizes = np.asarray([len(row) for row in rows])
        ids = np.concatenate([row.input_ids for row in rows])
        masks = np.concatenate([row.completion_mask for row in rows])
        return array_hash(sizes, ids, masks, self.margins)

    def with_reference(self, reference: NDArray[np.float64]) -> "PairDataset":
        """The same pairs with reference log-probabilities (n, 2)."""
        if reference.shape != (len(self), 2):
            raise DataError(
                f"Reference log-probabilities have shape {reference.shape}; {len(self)} pairs need ({len(self)}, 2)."
            )
        return replace(self, reference=reference)

    def batch(self, rows: NDArray[np.int64]) -> "dict[str, torch.Tensor]":
        """Tensors of the given pairs, chosen in the first half of the batch and rejected in the second.

        ``input_ids``, ``attention_mask``, ``completion_mask`` (2n, longest) right-padded; ``margins`` (n,);
        ``reference`` (n, 2) where it is known.
        """
        import torch

        members = [self.chosen[row] for row in rows] + [self.rejected[row] for row in rows]
        batch = collate(members, self.pad_id, self.pad_to)
        batch["margins"] = torch.from_numpy(self.margins[rows])
        if self.reference is not None:
            batch["reference"] = torch.from_numpy(self.reference[rows])
        return batch


def collate(members: Sequence[Encoded], pad_id: int, pad_to: int | None = None) -> "dict[str, torch.Tensor]":
    """Right-pad conversations to the longest (or ``pad_to``): input_ids, attention_mask, completion_mask, int64."""
    import torch

    width = max(max(len(row) for row in members), pad_to or 0)
    ids = np.full((len(members), width), pad_id, np.int64)
    attention = np.zeros((len(members), width), np.int64)
    completion = np.zeros((len(members), width), np.int64)
    for number, row in enumerate(members):
        ids[number, : len(row)] = row.input_ids
        attention[number, : len(row)] = 1
        completion[number, : len(row)] = row.completion_mask
    arrays = {"input_ids": ids, "attention_mask": attention, "completion_mask": completion}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def encode_pairs(
    tokenizer: "PreTrainedTokenizerBase", pairs: Sequence[PreferencePair], *, pad_to: int | None = None
) -> PairDataset:
    """Encode preference records. Raises ``DataError`` when there are none."""
    if not pairs:
        raise DataError("There are no preference pairs; check the source, or whether every margin was zero.")
    sides = [
        encode_many(
            tokenizer, [(*pair.prompt, Message.model_construct(role="assistant", content=text)) for pair, text in rows]
        )
        for rows in ([(p, p.chosen) for p in pairs], [(p, p.rejected) for p in pairs])
    ]
    margins = np.asarray([np.nan if pair.margin is None else pair.margin for pair in pairs], np.float32)
    return PairDataset(tuple(sides[0]), tuple(sides[1]), margins, pad_id=padding_id(tokenizer), pad_to=pad_to)


def padding_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The id to pad with; without one, the end of sequence or 0 (pads are masked, any id will do)."""
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(pad_id or 0)
