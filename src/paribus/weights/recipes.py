"""Tensors cut and put together from pieces of others: what a recipe is, and how it is read, averaged and written.

Tensors are seen as matrices: the last dimension is the width, all others are rows (a vector is one row). A tensor is a
stack of *bands*, top to bottom; a band is one or more pieces of equal height side by side. So the queries of several
experts are bands, their output projections are pieces of one band, and a matrix that is cut along its width is a piece
with a range of columns.

Legend: R rows, W columns. A block is a matrix of at most ``checkpoint.CHUNK`` elements (eight times that where nothing
is computed), or one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch

from paribus.weights import checkpoint
from paribus.weights.checkpoint import Checkpoint
from paribus.weights.fingerprint import TensorHashes
from paribus.weights.writing import Planned, ShardWriter, plan_shards

COPIED = 8
"""How many times ``checkpoint.CHUNK`` elements a block has that is only copied: nothing has to fit beside it into the
processor's cache, and fewer calls took 0.65 times the CPU seconds."""


@dataclass(frozen=True)
class Piece:
    """A rectangle (``rows`` and ``columns`` as start and stop) of a source tensor, averaged over ``models``."""

    models: tuple[int, ...]
    tensor: str
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def height(self) -> int:
        return self.rows[1] - self.rows[0]

    @property
    def width(self) -> int:
        return self.columns[1] - self.columns[0]


Band = tuple[Piece, ...]


@dataclass(frozen=True)
class Recipe:
    """One tensor to write; one without bands has no source and is filled (a router is drawn)."""

    name: str
    shape: tuple[int, ...]
    bands: tuple[Band, ...]

    @property
    def filled(self) -> bool:
        return not self.bands


class Reader:
    """One source model. What is read in order feeds its hash on the way; ``weights_hash`` reads the rest."""

    def __init__(self, source: Checkpoint) -> None:
        self.source = source
        self._hashes = TensorHashes(source.entries)
        self._fed = dict.fromkeys(source.entries, 0)

    def block(self, piece: Piece, first: int, count: int) -> torch.Tensor:
        """Rows ``first`` to ``first + count`` of the piece, shape (R, W), in the stored dtype."""
        entry = self.source.entries[piece.tensor]
        width, top = entry.shape[-1], piece.rows[0] + first
        if piece.width == width:
            block_RW = torch.empty((count, width), dtype=entry.torch_dtype)
            self.source.read(piece.tensor, top * width, block_RW)
            self._feed(piece.tensor, top * width, block_RW)
            return block_RW
        block_RW = torch.empty((count, piece.width), dtype=entry.torch_dtype)
        for number, row in enumerate(block_RW, start=top):
            self.source.read(piece.tensor, number * width + piece.columns[0], row)
        return block_RW

    def weights_hash(self) -> str:
        """The hash of the whole checkpoint, as ``fingerprint.weights_hash``."""
        for name, fed in self._fed.items():
            for chunk in self.source.chunks(name, fed):
                self._hashes.update(name, chunk)
            self._hashes.finish(name)
        return self._hashes.hexdigest()

    def _feed(self, name: str, place: int, block_RW: torch.Tensor) -> None:
        if self._fed[name] == place:
            self._hashes.update(name, block_RW)
            self._fed[name] += block_RW.numel()


def blocks(readers: Sequence[Reader], band: Band, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    """The band from top to bottom, in the output's dtype."""
    width = sum(piece.width for piece in band)
    averaged = any(len(piece.models) > 1 for piece in band)
    step = max(1, checkpoint.CHUNK * (1 if averaged else COPIED) // width)
    for first in range(0, band[0].height, step):
        count = min(step, band[0].height - first)
        parts = [round_once(_blended(readers, piece, first, count), dtype) for piece in band]
        yield parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _blended(readers: Sequence[Reader], piece: Piece, first: int, count: int) -> torch.Tensor:
    """A copy as stored, or the mean of several models in float64."""
    found = [readers[number].block(piece, first, count) for number in piece.models]
    if len(found) == 1:
        return found[0]
    total_RW = found[0].double()
    for block_RW in found[1:]:
        total_RW += block_RW
    return total_RW.div_(len(found))


def round_once(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``values.to(dtype)``, rounded to nearest once.

    torch takes float64 to the 16-bit formats by way of float32, which rounds twice and can miss the nearest value. Here
    float32 is made odd in its last bit wherever it is inexact, so that the second step cannot see a tie that is none.
    """
    if values.dtype != torch.float64 or dtype.itemsize >= 4:
        return values.to(dtype)
    near = values.float()
    off = (near.double() != values).nonzero(as_tuple=True)  # few: a mean of 16-bit numbers mostly fits into float32
    near[off] = _odd(near[off], values[off])
    return near.to(dtype)


def _odd(near: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Of the two float32 neighbours of each value, ``near`` being one, that whose last bit is set."""
    towards = torch.where(values > near.double(), torch.inf, -torch.inf).float()
    return torch.where(near.view(torch.int32) & 1 == 1, near, torch.nextafter(near, towards))


def planned_tensors(recipes: Sequence[Recipe], source: Checkpoint, wanted: torch.dtype | None) -> list[Planned]:
    """Every tensor with its dtype: the widest of its pieces, if none is asked for; filled ones as the first tensor."""
    planned: list[Planned] = []
    for recipe in recipes:
        found = {source.entries[piece.tensor].torch_dtype for band in recipe.bands for piece in band}
        dtype = wanted or (planned[0].torch_dtype if recipe.filled else reduce(torch.promote_types, found))
        planned.append(Planned(recipe.name, dtype, recipe.shape))
    return planned


@dataclass(frozen=True)
class Written:
    """What ``write_recipes`` left behind: the hash of the whole, and the number of files."""

    weights_hash: str
    shards: int


def write_recipes(
    recipes: Sequence[Recipe],
    planned: Sequence[Planned],
    readers: Sequence[Reader],
    folder: Path,
    *,
    shard_limit: int,
    fill: Callable[[Planned], torch.Tensor],
) -> Written:
    """Stream every tensor into safetensors in ``folder``; ``fill`` makes those that have no source."""
    shards = plan_shards(planned, shard_limit)
    hashes = TensorHashes({tensor.name: tensor for tensor in planned})
    named = {recipe.name: recipe for recipe in recipes}
    with ShardWriter(folder, shards, hashes) as writer:
        for tensor in writer.tensors():
            recipe = named[tensor.name]
            for band in recipe.bands:
                for block in blocks(readers, band, tensor.torch_dtype):
                    writer.write(block)
            if recipe.filled:
                writer.write(fill(tensor))
    return Written(hashes.hexdigest(), len(shards))
