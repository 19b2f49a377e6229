"""Multi-scale retention (Sun et al. 2023, arXiv 2307.08621, section 2) as a mixer.

    y_t = W_O (swish(W_G x_t) * norm_h(sum_{s <= t} g_h^(t-s) (q_t . R^(s-t) k_s) v_s)),   g_h = 1 - 2^(-5-h)

As published: rotation R (the part of xPos that the decay does not contain already), decays, a norm per head, the gate,
values and gate twice as wide as queries and keys. The norm has no weights, as in the authors' library. The three
normalisations of section 2.4 that it cancels are left out.

Shapes: B batch, T tokens, D width, H heads, K = D/H and V = 2D/H widths of one head's keys and values.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.models.decoder import rotary_tables, rotate
from paribus.models.linear_attention import scalar_decay
from paribus.models.norms import wide
from paribus.models.recurrent import Mixer, State
from paribus.models.sequence_shape import CHUNKS

THETA = 10_000.0
NORM_EPS = 1e-6


class Retention(Mixer):
    """``in_proj.weight`` (2*D + 4*D, D), rows of queries, keys, values, gate; ``o_proj.weight`` (D, 2*D).

    State: one (B, H, K, V), whose pairs of rows are turned from token to token, so that it needs no position.
    """

    has_library_kernel = True

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, inner, self.heads = config.hidden_size, config.shape.inner_size, config.num_attention_heads
        self.key_width, self.split = width // self.heads, (width, width, inner, inner)
        self.in_proj = nn.Linear(width, sum(self.split), bias=False)
        self.o_proj = nn.Linear(inner, width, bias=False)
        self.log_decays = [math.log1p(-(2.0 ** (-5 - head))) for head in range(self.heads)]

    def parallel(self, x_BTD: Tensor) -> Tensor:
        q_BHTK, k_BHTK, v_BHTV, gate_BTn = self._project(x_BTD)
        tables = self._turns(x_BTD.shape[1], x_BTD)
        decays_BHT = self._decays(x_BTD)[:, None].expand(1, -1, x_BTD.shape[1])
        heads = (rotate(q_BHTK, *tables), rotate(k_BHTK, *tables), v_BHTV)
        y_BHTV = scalar_decay(*heads, decays_BHT, chunk=CHUNKS["retention"], kernel=self.kernel)
        return self._out(y_BHTV, gate_BTn)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """(H, K, V)."""
        return ((self.heads, self.key_width, self.split[2] // self.heads),)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        q_BH1K, k_BH1K, v_BH1V, gate_B1n = self._project(x_BD[:, None])
        cos, sin = (table[:, :, 1:] for table in self._turns(2, x_BD))
        turned_BHKV = rotate(state[0].transpose(2, 3), cos, -sin).transpose(2, 3)
        kept = turned_BHKV * self._decays(x_BD).exp()[:, None, None].to(turned_BHKV.dtype)
        state_BHKV = (kept + k_BH1K.transpose(2, 3) * v_BH1V).to(state[0].dtype)
        return self._out(q_BH1K @ state_BHKV, gate_B1n)[:, 0], (state_BHKV,)

    def _project(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        *qkv, gate_BTn = self.in_proj(x_BTD).split(self.split, dim=-1)
        q_BHTK, k_BHTK, v_BHTV = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv)
        return q_BHTK * self.key_width**-0.5, k_BHTK, v_BHTV, gate_BTn

    def _out(self, y_BHTV: Tensor, gate_BTn: Tensor) -> Tensor:
        normed = F.layer_norm(y_BHTV, y_BHTV.shape[-1:], eps=NORM_EPS).transpose(1, 2).flatten(2)
        return self.o_proj(F.silu(gate_BTn) * normed)

    def _turns(self, length: int, x: Tensor) -> tuple[Tensor, Tensor]:
        return rotary_tables(torch.arange(length, device=x.device)[None], self.key_width, THETA, x.dtype)

    def _decays(self, x: Tensor) -> Tensor:
        # Not a buffer: those outside of the weights are not restored when a checkpoint is loaded.
        return torch.tensor(self.log_decays, device=x.device, dtype=wide(x.dtype))
