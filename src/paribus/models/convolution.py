"""Causal convolutions: long ones by Fourier transform, short ones by shifted sums, both per channel.

Shapes: B batch, T tokens, D channels, W taps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization

from paribus.models.norms import wide


def long_convolution(x_BTD: Tensor, filters_TD: Tensor) -> Tensor:
    """y_t = sum_{s <= t} filter_{t-s} x_s per channel, by transforms of 2T numbers, so that nothing wraps round."""
    length, dtype = x_BTD.shape[1], wide(x_BTD.dtype)
    x_BDT, filters_DT = (z.to(dtype).transpose(-1, -2).contiguous() for z in (x_BTD, filters_TD))
    with torch.autocast(x_BTD.device.type, enabled=False):
        spectrum = torch.fft.rfft(x_BDT, n=2 * length) * torch.fft.rfft(filters_DT, n=2 * length)
        return torch.fft.irfft(spectrum, n=2 * length)[..., :length].transpose(1, 2).to(x_BTD.dtype)


class ShortConvolution(nn.Module):
    """``weight`` (D, W), the last tap at the present token, and ``bias`` (D); starts as torch starts its convolutions.

    Its state is the last W-1 inputs, (B, W-1, D).
    """

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, taps))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x_BTD: Tensor) -> Tensor:
        # Sums of shifted inputs: on a CPU faster than torch's convolution of one channel each (9 ms against 14).
        length, taps = x_BTD.shape[1], self.weight.shape[1]
        padded, y_BTD = F.pad(x_BTD, (0, 0, taps - 1, 0)), self.bias.expand_as(x_BTD)
        for tap in range(taps):
            y_BTD = torch.addcmul(y_BTD, padded[:, tap : tap + length], self.weight[:, tap])
        return y_BTD

    def step(self, x_BD: Tensor, past_BWD: Tensor) -> tuple[Tensor, Tensor]:
        """One token and the inputs before it."""
        window = torch.cat((past_BWD, x_BD[:, None]), dim=1)
        return (window * self.weight.T).sum(1) + self.bias, window[:, 1:]

    def init_weights(self) -> None:
        """U(-1/sqrt(W), 1/sqrt(W)), bias 0."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        initialization.uniform_(self.weight, -bound, bound)
        initialization.zeros_(self.bias)
