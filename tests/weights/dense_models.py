"""Tiny dense models of the families that can be upcycled, made where a test wants them."""

from pathlib import Path
from typing import Any

import torch
from checkpoints import save
from transformers import PreTrainedModel

DECODER: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "intermediate_size": 24,
}


def decoder_weights(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Random tensors of Paribus' decoder in the shape ``DECODER``; norms too, so that a mean of them is seen."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"model.embed_tokens.weight": (40, 16), "model.norm.weight": (16,)}
    for layer in range(2):
        shapes |= {
            f"model.layers.{layer}.self_attn.{n}_proj.weight": (r, 16) for n, r in {"q": 24, "k": 12, "v": 12}.items()
        }
        shapes |= {f"model.layers.{layer}.mlp.{n}_proj.weight": (24, 16) for n in ("gate", "up")}
        shapes[f"model.layers.{layer}.self_attn.o_proj.weight"] = (16, 24)
        shapes[f"model.layers.{layer}.mlp.down_proj.weight"] = (16, 24)
        shapes[f"model.layers.{layer}.input_layernorm.weight"] = (16,)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def save_decoder(
    folder: Path, seed: int, *, dtype: torch.dtype = torch.float32, config: dict[str, Any] | None = None
) -> Path:
    """A directory with ``decoder_weights``."""
    return save(
        folder, decoder_weights(seed, dtype), config={"model_type": "paribus_decoder"} | DECODER | (config or {})
    )


def shaken(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """The model with every parameter random, norms and biases too, in float64 and ready to compare."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data = parameter.data.double() + 0.2 * noise
    return model.double().eval()
