"""The same stretch of the same tensor in every model, as floating-point blocks: what a merge method works on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from paribus.weights.checkpoint import Checkpoint, Entry
from paribus.weights.fingerprint import TensorHashes


@dataclass(frozen=True)
class Block:
    """Elements ``start`` onwards of one tensor. Legend: N models, C elements (at most ``checkpoint.CHUNK``)."""

    base_C: torch.Tensor | None
    models_NC: torch.Tensor

    def deltas(self) -> torch.Tensor:
        """Task vectors, models minus base, shape (N, C)."""
        assert self.base_C is not None
        return self.models_NC - self.base_C


@dataclass
class Sources:
    """Models and, where the method needs one, their common base; ``names`` are the tensors to merge, tied ones once."""

    models: Sequence[Checkpoint]
    base: Checkpoint | None
    names: Sequence[str]

    def all(self) -> list[Checkpoint]:
        """Base first, if there is one."""
        return [*([self.base] if self.base else []), *self.models]

    def entry(self, name: str) -> Entry:
        return self.all()[0].entries[name]

    def floating(self) -> list[str]:
        """Tensors with values to merge; the others (counters, masks) are copied."""
        return [name for name in self.names if self.entry(name).torch_dtype.is_floating_point]

    def blocks(self, name: str, hashes: Sequence[TensorHashes] | None = None) -> Iterator[Block]:
        """Stretch by stretch in flat order; float32, or float64 where any model stores float64."""
        everyone = self.all()
        wide = any(source.entries[name].torch_dtype == torch.float64 for source in everyone)
        dtype = torch.float64 if wide else torch.float32
        for chunks in zip(*(source.chunks(name) for source in everyone), strict=True):
            for hasher, chunk in zip(hashes or (), chunks, strict=False):
                hasher.update(name, chunk)
            rows = torch.empty((len(chunks), len(chunks[0])), dtype=dtype)
            for row, chunk in zip(rows, chunks, strict=True):
                row.copy_(chunk)
            yield Block(rows[0], rows[1:]) if self.base else Block(None, rows)
        for hasher in hashes or ():
            hasher.finish(name)
