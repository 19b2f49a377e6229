"""From a mixture to a class of transformers itself, where one computes the same function: to serve and to train on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict

from paribus.errors import ModelError
from paribus.weights.checkpoint import Checkpoint
from paribus.weights.companions import TOKENIZER, copy_files
from paribus.weights.compatibility import without_tied_head
from paribus.weights.export_targets import OTHERS, SHARED_WIDTH, TARGETS, Target, differences, notes
from paribus.weights.families import Architecture
from paribus.weights.merging import peak_memory
from paribus.weights.publishing import published
from paribus.weights.recipes import Piece, Reader, Recipe, planned_tensors, write_recipes
from paribus.weights.writing import Planned, size_in_bytes

if TYPE_CHECKING:
    from paribus.models.mixture import MixtureConfig

REPORT = "export_report.json"


class ExportReport(BaseModel):
    """What a mixture was written as, and what that class does differently in training (``notes``).

    ``peak_memory``: most bytes of memory that this *process* held so far (None where the system does not say).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    architecture: str
    source: str
    source_hash: str
    weights_hash: str
    notes: tuple[str, ...]
    parameters: int
    shards: int
    companions: tuple[str, ...]
    seconds: float
    peak_memory: int | None


def export_mixture(
    model_dir: str | Path, out: str | Path, target: str = "auto", *, shard_size: int | str = "5GB"
) -> ExportReport:
    """Write a mixture with one attention as a class of transformers that computes the same logits, into ``out``.

    Args:
        model_dir: a model of ``models.mixture``, as ``upcycle`` or training saved it.
        target: ``cohere2_moe`` (parallel blocks), ``mixtral``, ``qwen2_moe`` (also raw gates), ``qwen3_moe``; for a
            model without experts ``cohere``, ``llama``, ``mistral``, ``qwen2``, ``qwen3``, ``gemma``; ``auto``: the
            first that fits.
        shard_size: largest file, in bytes or as "5GB".

    Raises:
        ConfigError: an ``out`` that is not empty.
        ModelError: another kind of model, a target that is not known, or one that would compute another function (every
            difference is named): attention experts, gates that the class divides by their sum, another block.
    """
    started, shard_limit = time.monotonic(), size_in_bytes(shard_size)
    with Checkpoint(model_dir) as source:
        config = _mixture_config(source)
        name = _chosen(target, config, source)
        recipes, reader = list(_recipes(TARGETS[name], config)), Reader(source)
        _check_tensors(source, recipes)
        planned = planned_tensors(recipes, source, None)
        written_config = _target_config(TARGETS[name], config, planned[0].torch_dtype)
        with published(Path(out)) as folder:
            written = write_recipes(recipes, planned, [reader], folder, shard_limit=shard_limit, fill=_zeros)
            written_config.save_pretrained(folder)
            report = ExportReport(
                target=name,
                architecture=TARGETS[name].architecture,
                source=str(source.path),
                source_hash=reader.weights_hash(),
                weights_hash=written.weights_hash,
                notes=tuple(notes(name, config)),
                parameters=sum(tensor.elements for tensor in planned),
                shards=written.shards,
                companions=tuple(copy_files(TOKENIZER, [source], folder)),
                seconds=time.monotonic() - started,
                peak_memory=peak_memory(),
            )
            (folder / REPORT).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return report


def _mixture_config(source: Checkpoint) -> MixtureConfig:
    from paribus.models.mixture import MixtureConfig

    kind = (source.json("config.json") or {}).get("model_type")
    if kind != MixtureConfig.model_type:
        raise ModelError(f"{source.path} is a {kind!r}; give a {MixtureConfig.model_type!r}, as upcycle writes them.")
    return MixtureConfig.from_pretrained(source.path)


def _chosen(target: str, config: MixtureConfig, source: Checkpoint) -> str:
    """The target's name, if it computes the same function."""
    if target in OTHERS:
        raise ModelError(f"A mixture cannot be written as {target!r}: {OTHERS[target]}.")
    if target != "auto" and target not in TARGETS:
        raise ModelError(f"The export target is {target!r}; use auto or one of {', '.join(TARGETS)}.")
    reasons = {name: differences(name, config) for name in ([target] if target != "auto" else TARGETS)}
    fitting = [name for name, found in reasons.items() if not found]
    if not fitting:
        told = "\n".join(f"- {name}: {'; '.join(found)}" for name, found in reasons.items())
        raise ModelError(
            f"{source.path} cannot be written as {target} without changing what it computes:\n{told}\n"
            "Load it with paribus.models.load instead; it is a model of transformers' own kind."
        )
    return fitting[0]


def _target_config(target: Target, config: MixtureConfig, dtype: torch.dtype) -> Any:
    import transformers

    same = (
        "vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads head_dim intermediate_size "
        "hidden_act max_position_embeddings initializer_range tie_word_embeddings use_cache rope_parameters "
        "pad_token_id bos_token_id eos_token_id"
    )
    kept = {name: getattr(config, name) for name in same.split()}
    try:
        return getattr(transformers, target.config)(
            **kept | target.own(config), architectures=[target.architecture], dtype=dtype
        )
    except (ValueError, TypeError) as error:
        raise ModelError(f"transformers' {target.config} does not take this shape: {error}") from error


def _recipes(target: Target, config: MixtureConfig) -> Iterator[Recipe]:
    """Every tensor of the target, cut out of the mixture's fused ones."""
    dense = Architecture(**{field.name: getattr(config, field.name) for field in fields(Architecture)})
    yield from (_copied(name, name, shape) for name, shape in dense.outer().items())
    for prefix in (f"model.layers.{layer}." for layer in range(config.num_hidden_layers)):
        yield from (_copied(prefix + name, prefix + name, shape) for name, shape in dense.norms().items())
        yield from _attention(dense, prefix)
        yield from _experts(target, config, prefix) if target.gates else _dense_ffn(dense, prefix)


def _attention(dense: Architecture, prefix: str) -> Iterator[Recipe]:
    place = {"weight": 0, "bias": 0}
    for name, shape in dense.attention().items():
        module, kind = name.removeprefix("self_attn.").split(".")
        if module in ("q_proj", "k_proj", "v_proj"):
            fused = Fused(f"{prefix}self_attn.qkv_proj.{kind}", place[kind])
            place[kind] += shape[0]
            yield fused.cut(prefix + name, shape)
        else:
            yield _copied(prefix + name, prefix + name, shape)


@dataclass(frozen=True)
class Fused:
    """A place in a fused tensor, counted along its first dimension."""

    tensor: str
    start: int

    def cut(self, name: str, shape: tuple[int, ...]) -> Recipe:
        """The stretch of ``shape`` that begins here, under a name of its own."""
        inner = (self.start, self.start + shape[0])
        rows, columns = ((0, 1), inner) if len(shape) == 1 else (inner, (0, shape[1]))
        return Recipe(name, shape, ((Piece((0,), self.tensor, rows, columns),),))


def _copied(name: str, tensor: str, shape: tuple[int, ...]) -> Recipe:
    """All of a tensor; a leading dimension of one expert goes."""
    rows = shape[0] if len(shape) > 1 else 1
    return Recipe(name, shape, ((Piece((0,), tensor, (0, rows), (0, shape[-1])),),))


def _experts(target: Target, config: MixtureConfig, prefix: str) -> Iterator[Recipe]:
    width = config.hidden_size
    yield _copied(f"{prefix}{target.ffn}.gate.weight", f"{prefix}mlp.router.weight", (config.ffn_experts, width))
    for expert in range(config.ffn_experts):
        yield from _expert(config, prefix, f"{prefix}{target.ffn}.experts.{expert}.", target.names, expert)
    if target.shared_expert:
        for name in ("gate_proj", "up_proj"):
            yield Recipe(f"{prefix}mlp.shared_expert.{name}.weight", (SHARED_WIDTH, width), ())
        yield Recipe(f"{prefix}mlp.shared_expert.down_proj.weight", (width, SHARED_WIDTH), ())
        yield Recipe(f"{prefix}mlp.shared_expert_gate.weight", (1, width), ())


def _dense_ffn(dense: Architecture, prefix: str) -> Iterator[Recipe]:
    return _expert(dense, prefix, f"{prefix}mlp.", ("gate_proj", "up_proj", "down_proj"), 0)


def _expert(
    config: MixtureConfig | Architecture, prefix: str, place: str, names: tuple[str, str, str], expert: int
) -> Iterator[Recipe]:
    """Gate, up and down of one expert."""
    inner, width = config.intermediate_size, config.hidden_size
    stack = f"{prefix}mlp.experts.gate_up_proj"
    yield Fused(stack, 2 * expert * inner).cut(f"{place}{names[0]}.weight", (inner, width))
    yield Fused(stack, (2 * expert + 1) * inner).cut(f"{place}{names[1]}.weight", (inner, width))
    yield Fused(f"{prefix}mlp.experts.down_proj", expert * width).cut(f"{place}{names[2]}.weight", (width, inner))


def _zeros(tensor: Planned) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.torch_dtype)


def _check_tensors(source: Checkpoint, recipes: list[Recipe]) -> None:
    """The pieces must be there and use every element of the mixture once."""
    used = dict.fromkeys(without_tied_head(source), 0)
    for piece in (piece for recipe in recipes for band in recipe.bands for piece in band):
        used[piece.tensor] = used.get(piece.tensor, 0) + piece.height * piece.width
    stored = dict.fromkeys(used, 0) | {name: entry.elements for name, entry in source.entries.items()}
    wrong = [f"{name} ({stored[name]} elements, {count} used)" for name, count in used.items() if stored[name] != count]
    if wrong:
        raise ModelError(
            f"The tensors of {source.path} are not those of its configuration: {'; '.join(wrong[:5])}. Save the whole "
            "mixture there with save_pretrained."
        )
