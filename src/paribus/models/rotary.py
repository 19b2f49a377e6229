"""Rotary position embeddings with the frequency scalings of transformers; pairs are neighbours or halves of a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from paribus.models.norms import wide


class Rotary(nn.Module):
    """Cosines and sines of positions; the frequencies are constants, kept out of the weights and of casts to bf16."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        rope, width = config.rope_parameters, config.head_dim
        with torch.device("cpu"):  # also when the model is being built without storage
            if rope["rope_type"] == "default":
                frequencies, self.scaling = 1.0 / rope["rope_theta"] ** (torch.arange(0, width, 2).float() / width), 1.0
            else:
                frequencies, self.scaling = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, torch.device("cpu"))
            self.frequencies: list[float] = frequencies.tolist()

    def forward(self, position_ids_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Of shape (B, 1, T, A/2), at least in float32: bf16 positions would collide after 256 tokens."""
        frequencies = torch.tensor(self.frequencies, device=position_ids_BT.device, dtype=wide(dtype))
        angles = position_ids_BT[:, None, :, None].to(frequencies.dtype) * frequencies
        return angles.cos() * self.scaling, angles.sin() * self.scaling


def rotate_halves(x_BHTA: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + A/2), Llama's way; ``decoder.rotate`` turns neighbours."""
    first, second = x_BHTA.to(cos.dtype).chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x_BHTA.dtype)
