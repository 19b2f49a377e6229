"""The files beside the weights: configuration, tokenizer, chat template, generation settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from paribus.weights.checkpoint import Checkpoint

COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "chat_template.jinja",
    "chat_template.json",
)


TOKENIZER = tuple(name for name in COMPANIONS if name != "config.json")
"""The companions that a model of another architecture can keep."""


def copy_companions(sources: Sequence[Checkpoint], folder: Path, dtype: torch.dtype | None) -> list[str]:
    """Copy each companion from the first source that has it; with ``dtype``, the configuration names it. Returns names.

    A base without a chat template so gets the one its fine-tuned models learned.
    """
    copied = copy_files(COMPANIONS, sources, folder)
    if dtype is not None and (folder / "config.json").is_file():
        _set_dtype(folder / "config.json", dtype)
    return copied


def copy_files(names: Sequence[str], sources: Sequence[Checkpoint], folder: Path) -> list[str]:
    """Copy each named file from the first source that has it; returns the names that were there."""
    copied = []
    for name in names:
        home = next((source.path / name for source in sources if (source.path / name).is_file()), None)
        if home is not None:
            shutil.copyfile(home, folder / name)
            copied.append(name)
    return copied


def _set_dtype(file: Path, dtype: torch.dtype) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    key = "torch_dtype" if "torch_dtype" in config else "dtype"
    config[key] = str(dtype).removeprefix("torch.")
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
