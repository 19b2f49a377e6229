"""From dense models to one mixture: ``upcycle`` checks them, plans every tensor, streams it, and writes what it did.

Branch-Attend-Mix (arXiv 2408.08274): after each copy of a seed was trained on its own domain, FFN and attention of
every copy become experts of one model; everything else is the mean over the copies, the seed among them. BTX
(2403.07816) keeps one attention, the mean; sparse upcycling (2212.05055) starts from copies of the seed alone. Left
open by the papers and chosen here: shared keys and values are a mean as all that is no expert, and routers are drawn
from a small normal.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict

from paribus.models.dtype import dtype_named
from paribus.weights.checkpoint import Checkpoint
from paribus.weights.companions import TOKENIZER, copy_files
from paribus.weights.compatibility import check_compatible
from paribus.weights.families import Architecture, read_architecture
from paribus.weights.merging import peak_memory
from paribus.weights.publishing import published
from paribus.weights.recipes import Reader, Recipe, planned_tensors, write_recipes
from paribus.weights.upcycling_plan import expert_width, plan
from paribus.weights.upcycling_settings import AttentionGates, FfnGates, UpcycleSettings, Variant
from paribus.weights.writing import Planned, size_in_bytes

if TYPE_CHECKING:
    from paribus.models.mixture import MixtureConfig

REPORT = "upcycle_report.json"


class UpcycledPiece(BaseModel):
    """A stretch of a mixture's tensor: copied from one model, or averaged over several.

    ``rows`` and ``columns`` (start, stop) are of the source tensor ``tensor``, seen as a matrix whose width is the last
    dimension. Pieces lie one under the other; those of one ``band`` lie side by side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[int, ...]
    tensor: str
    rows: tuple[int, int]
    columns: tuple[int, int]
    band: int


class UpcycledTensor(BaseModel):
    """One tensor of the mixture and its ``origin``: ``copied``, ``averaged`` (some or all of its pieces), or ``drawn``.

    Routers are drawn, with the report's ``router_std`` and ``router_seed``; they have no pieces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, ...]
    dtype: str
    origin: str
    pieces: tuple[UpcycledPiece, ...]


class UpcycleReport(BaseModel):
    """What was made of which models, and what it took. ``sources`` and ``weights_hashes`` are in the models' order.

    ``peak_memory``: most bytes of memory that this *process* held so far (None where the system does not say).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    settings: dict[str, Any]
    sources: tuple[str, ...]
    source_hashes: tuple[str, ...]
    weights_hash: str
    tensors: tuple[UpcycledTensor, ...]
    parameters: int
    shards: int
    companions: tuple[str, ...]
    seconds: float
    peak_memory: int | None

    def reproducible(self) -> dict[str, Any]:
        """The report without what differs from run to run and from machine to machine: seconds, memory, paths."""
        return self.model_dump(mode="json", exclude={"sources", "seconds", "peak_memory"})


def upcycle(
    variant: Variant,
    models: Sequence[str | Path],
    out: str | Path,
    *,
    seed_model: int = 0,
    ffn_sources: Sequence[int] | None = None,
    ffn_top_k: int = 1,
    ffn_gate_norm: FfnGates = "raw",
    attention_top_k: int | None = None,
    attention_gate_norm: AttentionGates = "raw",
    split: int = 1,
    blend: bool = False,
    router_std: float = 0.02,
    router_seed: int = 0,
    load_balance_coefficient: float = 0.01,
    router_z_coefficient: float = 0.001,
    dtype: str | None = None,
    shard_size: int | str = "5GB",
    ignore_config: Collection[str] = (),
) -> UpcycleReport:
    """Make one mixture (``models.mixture``) of dense models of one shape, write it into ``out``, and report.

    Copies are copies to the bit. Means are computed in float64 and rounded once. Memory does not grow with the models:
    they are read and written at most half a million elements at a time.

    Args:
        variant: ``expert_kv`` (each model's whole attention is an expert), ``shared_kv`` (queries and outputs are, keys
            and values are one mean), ``btx`` (attention is the mean; only FFNs are experts), ``sparse_upcycling``
            (copies of the seed's FFN in the seed), ``dense_average`` (the mean of all, no experts), ``dense_continued``
            (the seed, no experts).
        models: safetensors directories or hub ids: Paribus' decoder, Cohere, Llama, Mistral, Qwen2, Qwen3, Gemma.
        seed_model: number of the model that the others branched from. It is an expert as they are.
        ffn_sources: which model each FFN expert is copied from; default: one of each (sparse_upcycling: as many copies
            of the seed as there are models).
        ffn_top_k: FFN experts a token; ``ffn_gate_norm``: their gates as the softmax over all gives them (``raw``),
            divided by their sum (``renormalised``), or multiplied by the number of experts (``scaled``).
        attention_top_k: attention experts a token, None for all; ``attention_gate_norm``: gates of the kept ones.
        split: cut every FFN along its inner width into so many experts; their sum is the FFN.
        blend: with ``split``, expert j is part j of every source's FFN side by side (BTX's ablation of blended
            experts), so there are ``split`` experts.
        router_std: routers are drawn from N(0, router_std^2), each from its name and ``router_seed`` alone.
        load_balance_coefficient: and ``router_z_coefficient``, written to the configuration for training.
        dtype: output type ("bfloat16", ...); default: as stored, and then all models must be stored alike.
        shard_size: largest file, in bytes or as "5GB".
        ignore_config: configuration fields in which the models may differ.

    Raises:
        ConfigError: a setting out of range or foreign to the variant, or an ``out`` that is not empty.
        ModelError: a source that cannot be read or expressed (with the reason), or sources that do not fit together
            (all differences listed).
    """
    settings = UpcycleSettings(
        variant=variant,
        models=len(models),
        seed_model=seed_model,
        ffn_sources=ffn_sources,
        ffn_top_k=ffn_top_k,
        ffn_gate_norm=ffn_gate_norm,
        attention_top_k=attention_top_k,
        attention_gate_norm=attention_gate_norm,
        split=split,
        blend=blend,
        router_std=router_std,
        router_seed=router_seed,
        load_balance_coefficient=load_balance_coefficient,
        router_z_coefficient=router_z_coefficient,
    )
    job = _Job(settings, dtype, size_in_bytes(shard_size), tuple(ignore_config))
    with ExitStack() as stack:
        sources = [stack.enter_context(Checkpoint(path)) for path in models]
        return job.run(sources, Path(out))


@dataclass(frozen=True)
class _Job:
    """What to make, once the settings are known to be sound."""

    settings: UpcycleSettings
    dtype: str | None
    shard_limit: int
    ignore_config: tuple[str, ...]

    def run(self, sources: Sequence[Checkpoint], out: Path) -> UpcycleReport:
        started, settings = time.monotonic(), self.settings
        check_compatible(sources, any_dtype=self.dtype is not None, ignore_config=self.ignore_config)
        dense = read_architecture(sources[settings.seed_model])
        recipes, readers = plan(dense, settings.assignment()), [Reader(source) for source in sources]
        planned = planned_tensors(recipes, sources[0], dtype_named(self.dtype) if self.dtype is not None else None)
        config = mixture_config(dense, settings, planned[0].torch_dtype)
        draw = partial(drawn_router, std=settings.router_std, seed=settings.router_seed)
        with published(out) as folder:
            written = write_recipes(recipes, planned, readers, folder, shard_limit=self.shard_limit, fill=draw)
            config.save_pretrained(folder)
            report = UpcycleReport(
                variant=settings.variant,
                settings=settings.used() | {"dtype": self.dtype},
                sources=tuple(str(source.path) for source in sources),
                source_hashes=tuple(reader.weights_hash() for reader in readers),
                weights_hash=written.weights_hash,
                tensors=tuple(_told(recipe, tensor) for recipe, tensor in zip(recipes, planned, strict=True)),
                parameters=sum(tensor.elements for tensor in planned),
                shards=written.shards,
                companions=tuple(copy_files(TOKENIZER, [sources[settings.seed_model], *sources], folder)),
                seconds=time.monotonic() - started,
                peak_memory=peak_memory(),
            )
            (folder / REPORT).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return report


def drawn_router(tensor: Planned, std: float, seed: int) -> torch.Tensor:
    """N(0, std^2), drawn in float32 from the seed and the tensor's name: no router depends on another one."""
    digest = hashlib.sha256(f"{seed} {tensor.name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
    return (torch.randn(tensor.shape, generator=generator) * std).to(tensor.torch_dtype)


def _told(recipe: Recipe, tensor: Planned) -> UpcycledTensor:
    pieces = tuple(
        UpcycledPiece(**asdict(piece), band=number) for number, band in enumerate(recipe.bands) for piece in band
    )
    averaged = any(len(piece.models) > 1 for piece in pieces)
    return UpcycledTensor(
        name=recipe.name,
        shape=recipe.shape,
        dtype=str(tensor.torch_dtype).removeprefix("torch."),
        origin="drawn" if recipe.filled else "averaged" if averaged else "copied",
        pieces=pieces,
    )


def mixture_config(dense: Architecture, settings: UpcycleSettings, dtype: torch.dtype) -> MixtureConfig:
    """The mixture's configuration; ``ModelError`` where the class cannot express it."""
    from paribus.models.mixture import MixtureConfig

    assignment = settings.assignment()
    named = "load_balance_coefficient router_z_coefficient attention_top_k attention_gate_norm ffn_top_k ffn_gate_norm"
    fields = asdict(dense) | {name: getattr(settings, name) for name in named.split()}
    return MixtureConfig(
        **fields
        | {
            "intermediate_size": expert_width(dense, assignment),
            "attention_experts": len(assignment.attention),
            "shared_kv": settings.variant == "shared_kv",
            "ffn_experts": len(assignment.ffn),
            "architectures": ["MixtureForCausalLM"],
            "dtype": dtype,
        }
    )
