"""Do these checkpoints belong together? Every difference is listed at once, not the first one found."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from paribus.errors import ModelError
from paribus.weights.checkpoint import Checkpoint, Entry

FREE_FIELDS = frozenset(
    {
        "_name_or_path",
        "transformers_version",
        "torch_dtype",
        "dtype",
        "use_cache",
        "_commit_hash",
        "_attn_implementation",
    }
)
"""Configuration fields that say nothing about what a weight means."""

HEADS = ("lm_head.weight", "embed_out.weight", "lm_head.decoder.weight")
_SHOWN = 20


def check_compatible(
    sources: Sequence[Checkpoint], *, any_dtype: bool = False, ignore_config: Collection[str] = ()
) -> None:
    """Raise one ``ModelError`` that lists every way in which the sources differ from the first.

    Compared: tensor names, shapes, dtypes (unless ``any_dtype``), configuration fields (but for ``FREE_FIELDS`` and
    ``ignore_config``), and the tokenizers' vocabularies, merges and added tokens, where both have a tokenizer.
    """
    first = sources[0]
    problems = [problem for source in sources for problem in _head_problems(source)]
    for other in sources[1:]:
        problems += _tensor_problems(first, other, any_dtype)
        problems += _config_problems(first, other, FREE_FIELDS | set(ignore_config))
        problems += _tokenizer_problems(first, other)
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ModelError(
            f"These models cannot be merged with {first.path} ({len(problems)} differences):\n- "
            + "\n- ".join(problems[:_SHOWN] + more)
            + "\nMerge models that were trained from one checkpoint and saved alike."
        )


def _tensor_problems(first: Checkpoint, other: Checkpoint, any_dtype: bool) -> list[str]:
    problems = []
    ours, theirs = without_tied_head(first), without_tied_head(other)
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs:
            problems.append(f"{other.path}: tensor {name!r} is missing")
        elif name not in ours:
            problems.append(f"{other.path}: tensor {name!r} is extra, {first.path.name} has none")
        else:
            problems += _entry_problems(other.path, ours[name], theirs[name], any_dtype)
    return problems


def _entry_problems(path: Path, ours: Entry, theirs: Entry, any_dtype: bool) -> list[str]:
    problems = []
    if ours.shape != theirs.shape:
        problems.append(f"{path}: tensor {ours.name!r} has shape {list(theirs.shape)}, expected {list(ours.shape)}")
    both_floats = ours.torch_dtype.is_floating_point and theirs.torch_dtype.is_floating_point
    if ours.dtype != theirs.dtype and not (any_dtype and both_floats):
        problems.append(
            f"{path}: tensor {ours.name!r} has dtype {theirs.dtype}, expected {ours.dtype} (dtype=... allows a mix)"
        )
    return problems


def without_tied_head(source: Checkpoint) -> dict[str, Entry]:
    """The tensors, but for an output head that the configuration says is the embedding."""
    if not tied(source):
        return source.entries
    return {name: entry for name, entry in source.entries.items() if name not in HEADS}


def tied(source: Checkpoint) -> bool:
    """Whether the configuration says that the output head is the embedding."""
    return bool((source.json("config.json") or {}).get("tie_word_embeddings", False))


def _head_problems(source: Checkpoint) -> list[str]:
    """A stored head may be left out as tied only if it really is a copy."""
    stored = [name for name in HEADS if name in source.entries] if tied(source) else []
    return [
        f"{source.path}: config says tie_word_embeddings, but {head!r} equals no other tensor of its shape"
        for head in stored
        if not any(_equal(source, head, name) for name in source.entries if name != head)
    ]


def _equal(source: Checkpoint, left: str, right: str) -> bool:
    a, b = source.entries[left], source.entries[right]
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    return all(x.equal(y) for x, y in zip(source.chunks(left), source.chunks(right), strict=True))


def _config_problems(first: Checkpoint, other: Checkpoint, free: Collection[str]) -> list[str]:
    ours, theirs = first.json("config.json"), other.json("config.json")
    if ours is None or theirs is None:
        lacking = other if theirs is None else first
        return [f"{lacking.path}: there is no config.json"]
    return [
        f"{other.path}: config field {key!r} is {_value(theirs, key)}, expected {_value(ours, key)}"
        for key in sorted((ours.keys() | theirs.keys()) - set(free))
        if ours.get(key) != theirs.get(key)
    ]


def _value(config: dict[str, Any], key: str) -> str:
    return repr(config[key]) if key in config else "absent"


def _tokenizer_problems(first: Checkpoint, other: Checkpoint) -> list[str]:
    problems = []
    ours, theirs = first.json("tokenizer.json"), other.json("tokenizer.json")
    if ours is not None and theirs is not None and ours != theirs:
        problems += [
            f"{other.path}: the tokenizer's {what} differ{detail}"
            for what, detail in _tokenizer_differences(ours, theirs)
        ]
    for name in ("tokenizer.model", "spiece.model"):
        pair = [_digest(source.path / name) for source in (first, other)]
        if None not in pair and pair[0] != pair[1]:
            problems.append(f"{other.path}: {name} differs")
    return problems


def _tokenizer_differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for part in ("vocab", "merges"):
        left, right = (content.get("model", {}).get(part) for content in (ours, theirs))
        if left != right:
            found.append((part, f" ({len(right or ())} entries, expected {len(left or ())})"))
    if ours.get("added_tokens") != theirs.get("added_tokens"):
        found.append(("added tokens", ""))
    return found


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
