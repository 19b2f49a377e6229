"""All attention experts of a mixture as ONE attention (BAM, section 3).

    sum_j g_j(x) Attention_j(x)  =  O [g_1(x) heads_1(x); ...; g_N(x) heads_N(x)],   O = [O_1 ... O_N]

Attention with N*H heads gives the heads of every expert; each is multiplied by its expert's gate, and the joint output
projection does the sum. So there is one product for queries, keys and values, one call of whatever attention kernel is
chosen, and one output product; no token is sent anywhere. With ``shared_kv`` all experts read one set of keys and
values: grouped-query attention with N times as many queries per key, and a cache as small as the dense model's.

Shapes: B batch, T new tokens, D width, A head width; H query heads and K key/value heads of ONE expert; N experts, M
their sets of keys and values (N, or 1 if shared).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from paribus.models.decoder import eager_attention, rotate
from paribus.models.mixture_config import MixtureConfig
from paribus.models.norms import HeadNorm
from paribus.models.rotary import rotate_halves
from paribus.models.routing import Router, soft_gates


class MixtureAttention(nn.Module):
    """N experts of grouped-query attention as one, gated per expert: output, attention weights, gates.

    Rows of ``qkv_proj``: the queries of expert 0, of expert 1, ..., then the keys of each, then the values of each.
    Columns of ``o_proj``: those of expert 0, of expert 1, ...
    """

    def __init__(self, config: MixtureConfig, layer_idx: int) -> None:
        super().__init__()
        assert config.num_key_value_heads is not None and config.head_dim is not None  # the configuration filled them
        self.config, self.layer_idx = config, layer_idx
        self.experts, self.kv_experts = config.attention_experts, config.kv_experts
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.is_causal, self.scaling = config.head_dim, True, config.head_dim**-0.5
        self.num_key_value_groups = self.experts * self.heads // (self.kv_experts * self.kv_heads)
        self.turn = rotate if config.rope_interleaved else rotate_halves
        width, kv_width = self.experts * self.heads * self.head_dim, self.kv_experts * self.kv_heads * self.head_dim
        self.split = (width, kv_width, kv_width)
        self.qkv_proj = nn.Linear(config.hidden_size, sum(self.split), bias=config.qkv_bias)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)
        if config.qk_norm != "none":
            norm = (self.head_dim, config.norm_eps)
            self.q_norm = HeadNorm(config.qk_norm, self.experts, self.heads, *norm)
            self.k_norm = HeadNorm(config.qk_norm, self.kv_experts, self.kv_heads, *norm)
        if self.experts > 1:
            self.router = Router(config.hidden_size, self.experts)

    def forward(
        self,
        x_BTD: Tensor,
        tables: tuple[Tensor, Tensor],
        attention_mask: Tensor | None,
        past_key_values: Cache | None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        q_BHTA, k_BKTA, v_BKTA = self.project(x_BTD, tables)
        if past_key_values is not None:
            k_BKTA, v_BKTA = past_key_values.update(k_BKTA, v_BKTA, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        window = {"sliding_window": self.config.sliding_window} if self.config.sliding_window else {}
        out_BTHA, weights = attend(
            self, q_BHTA, k_BKTA, v_BKTA, attention_mask, scaling=self.scaling, dropout=0.0, **window, **kwargs
        )
        out_BTNHA = self.by_expert(out_BTHA)
        gates_BTN = self.gates(x_BTD)
        if gates_BTN is not None:
            out_BTNHA = out_BTNHA * gates_BTN[..., None, None].to(out_BTNHA.dtype)
        return self.o_proj(out_BTNHA.flatten(2)), weights, gates_BTN

    def project(self, x_BTD: Tensor, tables: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of N*H heads, keys and values of M*K heads, each (B, heads, T, A), ready to attend."""
        q_BTn, k_BTn, v_BTn = self.qkv_proj(x_BTD).split(self.split, dim=-1)
        q_BTNHA = q_BTn.unflatten(-1, (self.experts, self.heads, self.head_dim))
        k_BTMKA = k_BTn.unflatten(-1, (self.kv_experts, self.kv_heads, self.head_dim))
        if self.config.qk_norm != "none":
            q_BTNHA, k_BTMKA = self.q_norm(q_BTNHA), self.k_norm(k_BTMKA)
        if self.kv_experts < self.experts:  # queries of all experts that read one key must lie side by side
            q_BTNHA = q_BTNHA.unflatten(3, (self.kv_heads, -1)).transpose(2, 3)
        q_BHTA, k_BKTA = (heads.flatten(2, -2).transpose(1, 2) for heads in (q_BTNHA, k_BTMKA))
        v_BKTA = v_BTn.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        return self.turn(q_BHTA, *tables), self.turn(k_BKTA, *tables), v_BKTA

    def by_expert(self, out_BTHA: Tensor) -> Tensor:
        """Heads as attention left them, back in the order of experts: (B, T, N, H, A)."""
        if self.kv_experts < self.experts:
            return out_BTHA.unflatten(2, (self.kv_heads, self.experts, -1)).transpose(2, 3).flatten(3, 4)
        return out_BTHA.unflatten(2, (self.experts, self.heads))

    def gates(self, x_BTD: Tensor) -> Tensor | None:
        """g(x), (B, T, N) in float32; None for one expert, whose gate is 1."""
        if self.experts == 1:
            return None
        return soft_gates(self.router(x_BTD), self.config.attention_top_k, self.config.attention_gate_norm)
