"""State-space models as mixers: DSS, which is linear and constant in time, and Mamba-2, whose decays read the input.

Shapes: B batch, T tokens, D width, N state per channel, H heads, I inner width (2*D), P = I/H.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization

from paribus.models.convolution import ShortConvolution, long_convolution
from paribus.models.linear_attention import scalar_decay
from paribus.models.norms import wide
from paribus.models.recurrent import Mixer, State
from paribus.models.sequence_shape import CHUNKS, SHORT_FILTER

LOG_STEPS = (math.log(1e-3), math.log(1e-1))
"""Between these the logarithms of time steps start, uniformly, in both models."""


class DSS(Mixer):
    """Diagonal state spaces, DSS-exp (Gupta et al. 2022, arXiv 2203.14343, section 3), in the usual layer.

        s_t = exp(d a) s_{t-1} + x_t,   y_t = Re(c (exp(d a) - 1)/a . s_t) + skip x_t,   out = W gelu(y)

    with a = -exp(``log_real``) + i ``imaginary`` (N), shared by all channels, d = exp(``log_step``) (D), c =
    ``readout`` (D, N, 2: real and imaginary part), ``skip`` (D), W = ``o_proj`` (D, D). The parallel form is one long
    convolution.

    State: the complex s as real numbers, (B, D, N, 2). It starts from the eigenvalues of skew-HiPPO, as published.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.width, self.size = config.hidden_size, config.state_size
        self.log_real, self.imaginary = (nn.Parameter(torch.empty(self.size)) for _ in range(2))
        self.readout = nn.Parameter(torch.empty(self.width, self.size, 2))
        self.log_step, self.skip = (nn.Parameter(torch.empty(self.width)) for _ in range(2))
        self.o_proj = nn.Linear(self.width, self.width, bias=config.linear_bias)

    def parallel(self, x_BTD: Tensor) -> Tensor:
        return self._out(long_convolution(x_BTD, self.filters(x_BTD.shape[1])), x_BTD)

    def filters(self, length: int) -> Tensor:
        """The convolution that the state space is, (T, D).

        Powers of exp(d a) up to T are products of two among 2 sqrt(T) of them, and the sum over n a matrix product.
        """
        exponent_DN, readout_DN = self._discrete()
        size = math.isqrt(length - 1) + 1
        times = torch.arange(size, device=exponent_DN.device)
        few_DSN = (times[:, None] * exponent_DN[:, None]).exp()
        far_DSN = (size * times[:, None] * exponent_DN[:, None]).exp() * readout_DN[:, None]
        return (far_DSN @ few_DSN.transpose(1, 2)).real.flatten(1)[:, :length].T

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """(D, N, 2)."""
        return ((self.width, self.size, 2),)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        exponent_DN, readout_DN = self._discrete()
        before = torch.view_as_complex(state[0].to(exponent_DN.real.dtype).contiguous())
        state_BDN = exponent_DN.exp() * before + x_BD[..., None]
        y_BD = (readout_DN * state_BDN).sum(-1).real.to(x_BD.dtype)
        return self._out(y_BD, x_BD), (torch.view_as_real(state_BDN).to(state[0].dtype),)

    def init_weights(self, std: float) -> None:
        initialization.constant_(self.log_real, math.log(0.5))
        initialization.copy_(self.imaginary, hippo_frequencies(self.size))
        initialization.normal_(self.readout, std=math.sqrt(0.5))  # a complex normal of variance 1
        initialization.uniform_(self.log_step, *LOG_STEPS)
        initialization.normal_(self.skip)

    def _discrete(self) -> tuple[Tensor, Tensor]:
        """d a, and what the state is read with, both complex (D, N)."""
        dtype = wide(self.readout.dtype)
        rates_N = torch.complex(-self.log_real.to(dtype).exp(), self.imaginary.to(dtype))
        exponent_DN = self.log_step.to(dtype).exp()[:, None] * rates_N
        return exponent_DN, torch.view_as_complex(self.readout.to(dtype)) * (exponent_DN.exp() - 1) / rates_N

    def _out(self, y: Tensor, x: Tensor) -> Tensor:
        return self.o_proj(F.gelu(y + self.skip * x))


def hippo_frequencies(size: int) -> Tensor:
    """Positive imaginary parts of the eigenvalues of skew-HiPPO of twice the size (Gupta et al. 2022, section 4)."""
    root = (2 * torch.arange(2 * size, dtype=torch.float64) + 1).sqrt()
    skew = 0.5 * torch.outer(root, root).tril(-1)
    return torch.linalg.eigvalsh(1j * (skew - skew.T))[size:].float()


class Mamba2(Mixer):
    """Mamba-2 (Dao and Gu 2024, arXiv 2405.21060, section 7), one group, twice the width inside.

        S_t = exp(-d_t a) S_{t-1} + d_t b_t x_t^T,   y_t = c_t^T S_t + skip x_t,   out = W norm(y . silu(z))

    ``in_proj`` (2*I + 2*N + H, D), rows of z, x, b, c, d; ``conv`` of four taps over x, b and c, followed by silu;
    d = softplus(d + ``step_bias``); a = exp(``log_rate``); ``skip``: all (H); ``norm`` (I), an RMS norm; ``o_proj``
    (D, I). Weights are those of transformers' Mamba2 under other names.

    State: (B, H, N, P), and the last three inputs of the convolution, (B, 3, I + 2*N).
    """

    has_library_kernel = True

    def __init__(self, config: Any) -> None:
        super().__init__()
        inner, self.size, self.heads = config.shape.inner_size, config.state_size, config.num_attention_heads
        self.inner, self.split = inner, (inner, inner + 2 * self.size, self.heads)
        self.in_proj = nn.Linear(config.hidden_size, sum(self.split), bias=False)
        self.conv = ShortConvolution(self.split[1], SHORT_FILTER["mamba2"])
        self.step_bias, self.log_rate, self.skip = (nn.Parameter(torch.empty(self.heads)) for _ in range(3))
        self.norm = nn.RMSNorm(inner, eps=config.norm_eps)
        self.o_proj = nn.Linear(inner, config.hidden_size, bias=False)

    def parallel(self, x_BTD: Tensor) -> Tensor:
        z_BTI, convolved, step = self.in_proj(x_BTD).split(self.split, dim=-1)
        b_B1TN, c_B1TN, x_BHTP, step_BHT = self._parts(self.conv(convolved), step)
        decay_BHT, added_BHTP = self._discrete(x_BHTP, step_BHT)
        y_BHTP = scalar_decay(c_B1TN, b_B1TN, added_BHTP, decay_BHT, chunk=CHUNKS["mamba2"], kernel=self.kernel)
        return self._out(y_BHTP, x_BHTP, z_BTI)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """(H, N, P) and (3, I + 2*N)."""
        return (self.heads, self.size, self.inner // self.heads), (SHORT_FILTER["mamba2"] - 1, self.split[1])

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        z_BI, convolved, step = self.in_proj(x_BD).split(self.split, dim=-1)
        mixed, recent = self.conv.step(convolved, state[1])
        b_B11N, c_B11N, x_BH1P, step_BH1 = self._parts(mixed[:, None], step[:, None])
        decay_BH1, added_BH1P = self._discrete(x_BH1P, step_BH1)
        state_BHNP = decay_BH1.exp()[..., None] * state[0] + b_B11N.transpose(2, 3) * added_BH1P
        y_BH1P = c_B11N @ state_BHNP.to(c_B11N.dtype)
        return self._out(y_BH1P, x_BH1P, z_BI[:, None])[:, 0], (state_BHNP.to(state[0].dtype), recent)

    def init_weights(self, std: float) -> None:
        self.conv.init_weights()
        initialization.ones_(self.skip)
        initialization.ones_(self.norm.weight)
        initialization.copy_(self.log_rate, torch.arange(1, self.heads + 1).float().log())
        low, high = LOG_STEPS
        step = (low + (high - low) * torch.rand(self.heads)).exp()
        initialization.copy_(self.step_bias, step + (-torch.expm1(-step)).log())  # softplus of it is the step
        bound = 1 / math.sqrt(self.inner)
        initialization.uniform_(self.o_proj.weight, -bound, bound)

    def _parts(self, convolved: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """b and c with one head for all, x and the time steps by head, in the order (B, heads, T, ...)."""
        x_BTI, b_BTN, c_BTN = F.silu(convolved).split((self.inner, self.size, self.size), dim=-1)
        x_BHTP = x_BTI.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return b_BTN[:, None], c_BTN[:, None], x_BHTP, F.softplus(step + self.step_bias).transpose(1, 2)

    def _discrete(self, x_BHTP: Tensor, step_BHT: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the decays, and what enters the state."""
        return -self.log_rate.exp()[:, None] * step_BHT, x_BHTP * step_BHT[..., None]

    def _out(self, y_BHTP: Tensor, x_BHTP: Tensor, z_BTI: Tensor) -> Tensor:
        y_BTI = (y_BHTP + self.skip[:, None, None] * x_BHTP).transpose(1, 2).flatten(2)
        return self.o_proj(self.norm(y_BTI * F.silu(z_BTI)))
