"""Merging checkpoints: ``merge`` checks them, streams them through one method, and writes the result atomically."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict

from paribus.errors import ConfigError
from paribus.weights.blocks import Sources
from paribus.weights.checkpoint import Checkpoint
from paribus.weights.companions import copy_companions
from paribus.weights.compatibility import check_compatible, without_tied_head
from paribus.weights.fingerprint import TensorHashes, complete_hash
from paribus.weights.methods.base import Method
from paribus.weights.publishing import published
from paribus.weights.settings import MergeSettings, build_method
from paribus.weights.writing import Planned, ShardWriter, plan_shards, size_in_bytes

REPORT = "merge_report.json"
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


class Source(BaseModel):
    """A merged model: its place, its role, and the hash of its weights (``fingerprint.weights_hash``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    role: Literal["base", "model"]
    weights_hash: str


class MergeReport(BaseModel):
    """What was merged, how, and what it took.

    ``peak_memory``: most bytes of memory that this *process* held so far (None where the system does not say).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    settings: dict[str, Any]
    sources: tuple[Source, ...]
    weights_hash: str
    tensors: int
    parameters: int
    shards: int
    companions: tuple[str, ...]
    seconds: float
    peak_memory: int | None


def merge(
    method: Literal["linear", "slerp", "ties", "dare_ties"],
    models: Sequence[str | Path],
    out: str | Path,
    *,
    base: str | Path | None = None,
    weights: Sequence[float] | None = None,
    normalise: bool | None = None,
    t: float | None = None,
    angle: Literal["tensor", "model"] = "tensor",
    density: float | Sequence[float] | None = None,
    scale: float = 1.0,
    trim: Literal["tensor", "model"] = "tensor",
    rescale: Literal["inverse", "l1"] = "inverse",
    seed: int = 0,
    layer_gradient: Sequence[float] | Sequence[Sequence[float]] | None = None,
    dtype: str | None = None,
    shard_size: int | str = "5GB",
    ignore_config: Collection[str] = (),
) -> MergeReport:
    """Merge models of one shape (safetensors directories or hub ids) into the directory ``out``, and report.

    Memory does not grow with the models: they are read, combined in float32 and written 64 k elements at a time. What
    one method does not use must be left at its default.

    Args:
        method: ``linear`` (any N), ``slerp`` (two models), ``ties`` and ``dare_ties`` (any N and a ``base``).
        base: the checkpoint that all models were trained from (task-vector methods).
        weights: N numbers; default 1/N each (linear), 1 each (task-vector methods).
        normalise: linear: None wants weights that sum to 1, True divides by their sum, False takes them as they are.
            Task-vector methods: True or None divides by the weights of the agreeing entries, False adds the sum.
        t: slerp, 0 = first model, 1 = second; ``angle``: one angle per tensor or for the whole model.
        density: share of each task vector that is kept, in (0, 1]; for dare_ties it is 1 - p. One for all, or N.
        scale: lambda, the factor on the merged task vector.
        trim: ties: threshold per tensor (mergekit) or over the whole model (the authors); see ``methods/ties.py``.
        rescale: dare_ties: divide by 1 - p, or keep each tensor's L1 norm; see ``methods/dare_ties.py``.
        layer_gradient: anchors over the depth, interpolated per layer: values of t (slerp) or vectors of N weights.
        dtype: output type ("bfloat16", ...); default: as stored, and then all models must be stored alike.
        shard_size: largest file, in bytes or as "5GB".
        ignore_config: configuration fields in which the models may differ.

    Raises:
        ConfigError: a setting that does not fit the method, or an ``out`` that is not empty.
        ModelError: a source that cannot be read, or sources that do not fit together (all differences listed).
    """
    started = time.monotonic()
    settings = MergeSettings(
        method=method,
        models=len(models),
        base=base is not None,
        weights=weights,
        normalise=normalise,
        t=t,
        angle=angle,
        density=density,
        scale=scale,
        trim=trim,
        rescale=rescale,
        seed=seed,
        layer_gradient=layer_gradient,
    )
    out_dtype = _dtype(dtype)
    with ExitStack() as stack:
        opened = [stack.enter_context(Checkpoint(path)) for path in models]
        bottom = stack.enter_context(Checkpoint(base)) if base is not None else None
        sources = _sources(opened, bottom, any_dtype=dtype is not None, ignore_config=ignore_config)
        with published(Path(out)) as folder:
            facts = _write(sources, build_method(settings, sources.names), folder, out_dtype, size_in_bytes(shard_size))
            report = MergeReport(
                method=method,
                settings=settings.used() | {"dtype": dtype},
                companions=tuple(copy_companions(sources.all(), folder, out_dtype)),
                seconds=time.monotonic() - started,
                peak_memory=peak_memory(),
                **facts,
            )
            (folder / REPORT).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return report


def _dtype(name: str | None) -> torch.dtype | None:
    if name is not None and name not in _DTYPES:
        raise ConfigError(f"The output dtype is {name!r}; use one of {', '.join(_DTYPES)}.")
    return _DTYPES[name] if name is not None else None


def _sources(
    models: Sequence[Checkpoint], base: Checkpoint | None, *, any_dtype: bool, ignore_config: Collection[str]
) -> Sources:
    everyone = [*([base] if base else []), *models]
    check_compatible(everyone, any_dtype=any_dtype, ignore_config=ignore_config)
    # The first source's own order, file by file: every file is then read from front to back.
    kept = set.intersection(*(set(without_tied_head(source)) for source in everyone))
    return Sources(models, base, [name for name in everyone[0].entries if name in kept])


def _write(
    sources: Sources, method: Method, folder: Path, dtype: torch.dtype | None, shard_limit: int
) -> dict[str, Any]:
    """Stream every tensor through the method; returns the facts for the report."""
    method.prepare(sources)
    planned = [_planned(sources, name, dtype) for name in sources.names]
    shards = plan_shards(planned, shard_limit)
    hashes = [TensorHashes(source.entries) for source in sources.all()]
    written = TensorHashes({tensor.name: tensor for tensor in planned})
    with ShardWriter(folder, shards, written) as writer:
        for tensor in writer.tensors():
            _write_tensor(sources, method, tensor, writer, hashes)
    return {
        "sources": _hashed(sources, hashes),
        "weights_hash": written.hexdigest(),
        "tensors": len(planned),
        "parameters": sum(tensor.elements for tensor in planned),
        "shards": len(shards),
    }


def _hashed(sources: Sources, hashes: Sequence[TensorHashes]) -> tuple[Source, ...]:
    return tuple(
        Source(
            path=str(source.path),
            role="base" if source is sources.base else "model",
            weights_hash=complete_hash(source, hasher),
        )
        for source, hasher in zip(sources.all(), hashes, strict=True)
    )


def _planned(sources: Sources, name: str, dtype: torch.dtype | None) -> Planned:
    entry = sources.entry(name)
    changed = dtype is not None and entry.torch_dtype.is_floating_point
    return Planned(name, dtype if dtype is not None and changed else entry.torch_dtype, entry.shape)


def _write_tensor(
    sources: Sources, method: Method, tensor: Planned, writer: ShardWriter, hashes: Sequence[TensorHashes]
) -> None:
    if not tensor.torch_dtype.is_floating_point:
        _copy_tensor(sources, tensor.name, writer, hashes)
        return
    combine = method.start(tensor.name, sources)
    for block in sources.blocks(tensor.name, hashes):
        writer.write(combine(block).to(tensor.torch_dtype))


def _copy_tensor(sources: Sources, name: str, writer: ShardWriter, hashes: Sequence[TensorHashes]) -> None:
    """Counters and masks cannot be averaged: the first source's are taken (base, where there is one)."""
    for source, hasher in zip(sources.all(), hashes, strict=True):
        for chunk in source.chunks(name):
            hasher.update(name, chunk)
            if source is sources.all()[0]:
                writer.write(chunk)
        hasher.finish(name)


def peak_memory() -> int | None:
    """Most bytes of resident memory this process had so far; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    peaks = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    return peaks[0] if peaks else None
