"""Softmax attention as a mixer: any number of heads, causal or not, any scale, no positions of its own.

Shapes: B batch, T tokens, D width, H heads, A width of one head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from paribus.errors import ModelError
from paribus.models.decoder import eager_attention
from paribus.models.recurrent import Mixer, State


class AttentionCore(nn.Module):
    """Heads (B, H, T, A) in, (B, T, H, A) and, from eager attention, the weights (B, H, T, T) out.

    A module without weights, so that ``output_attentions=True`` can record what it returns.
    """

    num_key_value_groups = 1

    def __init__(self, config: Any, scaling: float) -> None:
        super().__init__()
        self.config, self.scaling, self.is_causal = config, scaling, config.causal

    def forward(self, q_BHTA: Tensor, k_BHTA: Tensor, v_BHTA: Tensor, mask: Tensor | None) -> tuple[Tensor, Any]:
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        if self.config._attn_implementation == "eager":
            mask = self._additive(mask, q_BHTA)
        return attend(self, q_BHTA, k_BHTA, v_BHTA, mask, scaling=self.scaling, dropout=0.0, is_causal=self.is_causal)

    def _additive(self, mask: Tensor | None, q_BHTA: Tensor) -> Tensor | None:
        """Eager attention knows nothing of causality, and adds its mask to the scores."""
        length, lowest = q_BHTA.shape[2], torch.finfo(q_BHTA.dtype).min
        if mask is not None:
            return torch.zeros_like(mask, dtype=q_BHTA.dtype).masked_fill(~mask, lowest)
        if not self.is_causal:
            return None
        return torch.full((1, 1, length, length), lowest, dtype=q_BHTA.dtype, device=q_BHTA.device).triu(1)


class Attention(Mixer):
    """Multi-head attention. Rows of ``qkv_proj``: the queries of all heads, then their keys, then their values.

    Its state is every key and value so far: it grows with the sequence.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.heads, self.causal = config.num_attention_heads, config.causal
        self.head_dim = config.shape.head_width
        scale = config.attention_scale
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * self.heads * self.head_dim, bias=config.attention_bias)
        self.o_proj = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=config.attention_bias)
        self.core = AttentionCore(config, self.head_dim**-0.5 if scale is None else scale)

    def forward(self, x_BTD: Tensor, seen_BT: Tensor | None = None) -> Tensor:
        """``seen_BT``: True at tokens that may be attended to. Causal attention to right-padded rows needs none."""
        return self.scan(x_BTD) if self.kernel == "steps" else self.parallel(x_BTD, seen_BT)

    def parallel(self, x_BTD: Tensor, seen_BT: Tensor | None = None) -> Tensor:
        q_BHTA, k_BHTA, v_BHTA = self._heads(x_BTD)
        mask = None if seen_BT is None else seen_BT[:, None, None, :].expand(-1, 1, x_BTD.shape[1], -1)
        return self.o_proj(self.core(q_BHTA, k_BHTA, v_BHTA, mask)[0].flatten(2))

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """No keys and no values: twice (H, 0, A)."""
        return ((self.heads, 0, self.head_dim),) * 2

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        if not self.causal:
            raise ModelError("Attention with causal=False sees later tokens and has no steps; use the parallel form.")
        q_BH1A, k_BH1A, v_BH1A = self._heads(x_BD[:, None])
        k_BHTA, v_BHTA = torch.cat((state[0], k_BH1A), dim=2), torch.cat((state[1], v_BH1A), dim=2)
        heads_B1HA, _ = eager_attention(self, q_BH1A, k_BHTA, v_BHTA, None, scaling=self.core.scaling)
        return self.o_proj(heads_B1HA.flatten(2))[:, 0], (k_BHTA, v_BHTA)

    def _heads(self, x_BTD: Tensor) -> tuple[Tensor, ...]:
        qkv_BTHA = self.qkv_proj(x_BTD).unflatten(-1, (3, self.heads, self.head_dim))
        return tuple(part.transpose(1, 2) for part in qkv_BTHA.unbind(2))
