"""RWKV time mixing with decays made from the input (RWKV-6, "Finch": Peng et al. 2024, arXiv 2404.05892) as a mixer.

    S_t = diag(w_t) S_{t-1} + k_t v_t^T,   y_t = r_t^T (S_{t-1} + diag(u) k_t v_t^T),   w_t = exp(-exp(d_t))

Each of r, k, v, the gate and the decay reads its own blend of the present input and the one before. Two differences
from the paper, both to keep a small model small: the blends are learned constants, as in RWKV-5, and -exp(d_t) is cut
off at -5 (a decay of 0.7% a token), which keeps the chunked form within float32.

Shapes: B batch, T tokens, D width, H heads, A width of one head, R rank of the decay.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization

from paribus.models.linear_attention import LOWEST_LOG_DECAY, vector_decay
from paribus.models.norms import wide
from paribus.models.recurrent import Mixer, State
from paribus.models.sequence_shape import CHUNKS, DECAY_RANK

STREAMS = ("r", "k", "v", "gate", "decay")
NORM_EPS = 64e-5  # the paper's, 1e-5 times the square of its head size divisor of 8


class RWKV(Mixer):
    """``blend`` (5, D), how much of the input before goes into r, k, v, gate and decay; ``r_proj``, ``k_proj``,
    ``v_proj``, ``gate_proj``, ``o_proj`` (D, D); ``decay`` (D), ``decay_down`` (R, D), ``decay_up`` (D, R); ``bonus``
    (D), u; ``norm`` per head, with ``weight`` and ``bias`` (D).

    State: (B, H, A, A), and the input before, (B, D). Vectors start by the paper's rules for a first layer.
    """

    has_library_kernel = True

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, self.heads = config.hidden_size, config.num_attention_heads
        self.blend = nn.Parameter(torch.empty(len(STREAMS), width))
        self.r_proj, self.k_proj, self.v_proj, self.gate_proj, self.o_proj = (
            nn.Linear(width, width, bias=False) for _ in range(5)
        )
        self.decay, self.bonus = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))
        self.decay_down = nn.Linear(width, DECAY_RANK, bias=False)
        self.decay_up = nn.Linear(DECAY_RANK, width, bias=False)
        self.norm = nn.GroupNorm(self.heads, width, eps=NORM_EPS)

    def parallel(self, x_BTD: Tensor) -> Tensor:
        (r, k, v, log_decay), gate_BTD = self._project(x_BTD, F.pad(x_BTD, (0, 0, 1, 0))[:, :-1])
        y_BHTA = vector_decay(r, k, v, log_decay, self._bonus(), chunk=CHUNKS["rwkv"], kernel=self.kernel)
        return self._out(y_BHTA, gate_BTD)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """(H, A, A) and (D)."""
        size = len(self.bonus) // self.heads
        return (self.heads, size, size), (len(self.bonus),)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        (r, k, v, log_decay), gate_B1D = self._project(x_BD[:, None], state[1][:, None])
        new_BHAA = k.transpose(2, 3) * v
        y_BH1A = r @ (state[0] + self._bonus()[..., None] * new_BHAA).to(r.dtype)
        state_BHAA = log_decay.exp().transpose(2, 3) * state[0] + new_BHAA
        return self._out(y_BH1A, gate_B1D)[:, 0], (state_BHAA.to(state[0].dtype), x_BD)

    def init_weights(self, std: float) -> None:
        channel = torch.arange(len(self.bonus), device=self.bonus.device) / max(len(self.bonus) - 1, 1)
        initialization.copy_(self.blend, (1 - channel).expand_as(self.blend))
        initialization.copy_(self.decay, -6 + 5 * channel**0.7)
        initialization.copy_(self.bonus, 0.1 * ((torch.arange(len(self.bonus)) + 1) % 3 - 1).to(self.bonus))
        initialization.zeros_(self.decay_down.weight)
        initialization.uniform_(self.decay_up.weight, -0.01, 0.01)

    def _project(self, x_BTD: Tensor, before_BTD: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """r, k, v and the logarithms of the decays, each (B, H, T, A), and the gate (B, T, D)."""
        change = before_BTD - x_BTD
        r, k, v, gate, decay = (x_BTD + change * blend for blend in self.blend)
        raw_BTD = self.decay + self.decay_up(self.decay_down(decay).tanh())
        log_decay = (-raw_BTD.to(wide(raw_BTD.dtype)).exp()).clamp(min=LOWEST_LOG_DECAY)
        streams = (self.r_proj(r), self.k_proj(k), self.v_proj(v), log_decay)
        heads = tuple(stream.unflatten(-1, (self.heads, -1)).transpose(1, 2) for stream in streams)
        return heads, F.silu(self.gate_proj(gate))

    def _out(self, y_BHTA: Tensor, gate_BTD: Tensor) -> Tensor:
        y_RD = y_BHTA.transpose(1, 2).flatten(2).flatten(0, 1)
        return self.o_proj(self.norm(y_RD).view_as(gate_BTD) * gate_BTD)

    def _bonus(self) -> Tensor:
        return self.bonus.view(self.heads, -1)
