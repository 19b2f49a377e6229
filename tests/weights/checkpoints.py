"""Small checkpoints made in a test's folder, with a shape that speaks of layers, norms and embeddings."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SHAPES = {
    "model.embed_tokens.weight": (40, 30),
    "model.layers.0.mlp.weight": (17, 30),
    "model.layers.1.mlp.weight": (17, 30),
    "model.layers.2.mlp.weight": (17, 30),
    "model.norm.weight": (30,),
}
CONFIG = {"model_type": "llama", "hidden_size": 30, "vocab_size": 40, "transformers_version": "5.0"}


def tensors(seed: int, *, dtype: torch.dtype = torch.float32, near: Mapping[str, torch.Tensor] | None = None):
    """Random tensors; with ``near``, a fine-tuned neighbour of those (distance about 0.1)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    if near is not None:
        drawn = {name: near[name].float() + 0.1 * value for name, value in drawn.items()}
    return {name: value.to(dtype) for name, value in drawn.items()}


def save(folder: Path, weights: Mapping[str, torch.Tensor], *, shards: int = 1, config: Mapping | None = None) -> Path:
    """A model directory with the weights in one file or in several with an index."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | dict(config or {})))
    if shards == 1:
        save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    homes = {name: f"model-{n % shards + 1:05d}-of-{shards:05d}.safetensors" for n, name in enumerate(weights)}
    for file in set(homes.values()):
        save_file({name: weights[name] for name in weights if homes[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    return folder


def load(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a directory, read by the safetensors library."""
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found
