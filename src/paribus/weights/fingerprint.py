"""What a set of weights is, whatever file it lies in: a hash over names, dtypes, shapes and values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
import xxhash

from paribus.weights.checkpoint import SPELLINGS, Checkpoint, chunk_bytes


class HasType(Protocol):
    """A tensor's outside: a read ``Entry`` or a ``Planned`` one."""

    @property
    def torch_dtype(self) -> torch.dtype: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class TensorHashes:
    """Hashes of a checkpoint's tensors, fed while they are read or written anyway (xxh3 costs about 0.05 ns a byte)."""

    def __init__(self, tensors: Mapping[str, HasType]) -> None:
        self._tensors = tensors
        self._digests: dict[str, str] = {}
        self._open: dict[str, xxhash.xxh3_128] = {}

    def update(self, name: str, chunk: torch.Tensor) -> None:
        """Add the next elements (stored dtype, flat order) of tensor ``name``."""
        hasher = self._open.setdefault(name, xxhash.xxh3_128())
        hasher.update(chunk_bytes(chunk))

    def finish(self, name: str) -> None:
        """Tensor ``name`` has been fed completely."""
        self._digests[name] = self._open.pop(name, xxhash.xxh3_128()).hexdigest()

    def unseen(self) -> list[str]:
        """Tensors that were not fed yet."""
        return [name for name in self._tensors if name not in self._digests]

    def hexdigest(self) -> str:
        """16 hex digits over all tensors in the order of their names: equal for any sharding of equal weights."""
        rows = (
            f"{name} {SPELLINGS[tensor.torch_dtype]} {list(tensor.shape)} {self._digests[name]}\n"
            for name, tensor in sorted(self._tensors.items())
        )
        return hashlib.sha256("".join(rows).encode()).hexdigest()[:16]


def complete_hash(checkpoint: Checkpoint, hashes: TensorHashes) -> str:
    """Feed what was not read yet, and return the hash of the whole checkpoint."""
    for name in hashes.unseen():
        for chunk in checkpoint.chunks(name):
            hashes.update(name, chunk)
        hashes.finish(name)
    return hashes.hexdigest()


def weights_hash(path: str | Path) -> str:
    """16 hex digits that name the weights in a model directory: names, dtypes, shapes, values, not their sharding.

    Not cryptographic: it tells models apart, it does not prove where they came from. Raises ``ModelError`` as
    ``checkpoint.Checkpoint``.
    """
    with Checkpoint(path) as checkpoint:
        return complete_hash(checkpoint, TensorHashes(checkpoint.entries))
