"""Writing a checkpoint as it is produced: shards planned from shapes alone, then filled chunk by chunk."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch

from paribus.errors import ConfigError
from paribus.weights.checkpoint import INDEX, SPELLINGS, chunk_bytes
from paribus.weights.fingerprint import TensorHashes

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class Planned:
    """A tensor to be written."""

    name: str
    torch_dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * self.torch_dtype.itemsize


def size_in_bytes(size: int | str) -> int:
    """``5_000_000`` or ``"5GB"`` as bytes; ``ConfigError`` for anything else."""
    text = str(size).strip().upper()
    for unit, factor in sorted(_UNITS.items(), key=lambda item: -len(item[0])):
        if text.endswith(unit) and text.removesuffix(unit).strip().isdigit():
            return int(text.removesuffix(unit)) * factor
    if not text.isdigit() or int(text) == 0:
        raise ConfigError(f"The shard size is {size!r}; give bytes or a number with KB, MB or GB, such as '5GB'.")
    return int(text)


def plan_shards(tensors: Sequence[Planned], limit: int) -> list[list[Planned]]:
    """Consecutive tensors of at most ``limit`` bytes a shard (a larger tensor gets its own).

    Inside a shard wide dtypes come first, so that every tensor starts at a multiple of its element size.
    """
    shards: list[list[Planned]] = [[]]
    filled = 0
    for tensor in tensors:
        if shards[-1] and filled + tensor.bytes > limit:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += tensor.bytes
    return [sorted(shard, key=lambda tensor: -tensor.torch_dtype.itemsize) for shard in shards]


class ShardWriter:
    """Writes planned tensors in the plan's order (``for tensor in writer.tensors(): writer.write(chunk) ...``) and
    hashes them on the way.
    """

    def __init__(self, folder: Path, shards: Sequence[Sequence[Planned]], hashes: TensorHashes) -> None:
        self.folder, self.shards, self.hashes = folder, shards, hashes
        self._name = ""
        self._file: BinaryIO | None = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def tensors(self) -> Iterable[Planned]:
        """Each tensor in turn; write all of its chunks before asking for the next."""
        for number, shard in enumerate(self.shards, start=1):
            self._close()
            self._file = (self.folder / self._file_name(number)).open("wb")
            self._file.write(_header(shard))
            for tensor in shard:
                self._name = tensor.name
                yield tensor
                self.hashes.finish(tensor.name)
        self._close()
        if len(self.shards) > 1:
            (self.folder / INDEX).write_text(json.dumps(self._index(), indent=2), encoding="utf-8")

    def write(self, chunk: torch.Tensor) -> None:
        """Append elements (already in the output dtype) of the current tensor."""
        assert self._file is not None
        self._file.write(chunk_bytes(chunk))
        self.hashes.update(self._name, chunk)

    def _file_name(self, number: int) -> str:
        if len(self.shards) == 1:
            return "model.safetensors"
        return f"model-{number:05d}-of-{len(self.shards):05d}.safetensors"

    def _index(self) -> dict[str, object]:
        homes = {t.name: self._file_name(n) for n, shard in enumerate(self.shards, start=1) for t in shard}
        total = sum(tensor.bytes for shard in self.shards for tensor in shard)
        return {"metadata": {"total_size": total}, "weight_map": dict(sorted(homes.items()))}

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _header(shard: Sequence[Planned]) -> bytes:
    rows: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in shard:
        place = [offset, offset + tensor.bytes]
        rows[tensor.name] = {"dtype": SPELLINGS[tensor.torch_dtype], "shape": list(tensor.shape), "data_offsets": place}
        offset += tensor.bytes
    text = json.dumps(rows, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
