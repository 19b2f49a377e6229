"""Hyena (Poli et al. 2023, arXiv 2302.10866, section 3) as a mixer: long convolutions with learned filters, and gates.

    v <- filter_n * (x_n . v)  for n = 1 .. order-1,   y = W_O (x_0 . v)            (* convolves, . multiplies)

The streams x_0 .. x_{order-1} and v are linear in the input, each after a convolution of three taps. The filters come
from a small network with sines, read at positions 0 to 1 of ``max_positions``, under a window that falls at another
speed in every channel. Settings the configuration does not name are those of the authors' code.

A filter may be as long as the sequence, so the step form keeps the whole past: the state grows, and bounds on recurrent
models do not bind this one.

Shapes: B batch, T tokens, D width, N order-1 long convolutions, M streams (order+1).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization

from paribus.models.convolution import ShortConvolution, long_convolution
from paribus.models.norms import wide
from paribus.models.recurrent import Mixer, State
from paribus.models.sequence_shape import FILTER_FEATURES, SHORT_FILTER

TARGET, FAST, SLOW = 1e-2, 0.3, 1.5
"""The window falls to TARGET within FAST (first channel's SLOW) of the reach."""


class ImplicitFilter(nn.Module):
    """Filters (T, N, D) as a function of position: ``layers`` (three hidden ones and the output), ``frequency``.

    Matrices start as torch starts them; frequencies at 1.
    """

    def __init__(self, filters: int, width: int, hidden: int, reach: int) -> None:
        super().__init__()
        self.filters, self.width, self.reach = filters, width, reach
        sizes = (FILTER_FEATURES, hidden, hidden, hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.layers.append(nn.Linear(hidden, filters * width, bias=False))
        self.frequency = nn.Parameter(torch.empty(hidden))

    def forward(self, length: int) -> Tensor:
        hidden_layers, output = list(self.layers)[:-1], self.layers[-1]
        place_T = self._places(length)
        x = self._features(place_T).to(self.frequency.dtype)
        for layer in hidden_layers:
            x = (self.frequency * layer(x)).sin()
        filters_TND = output(x).unflatten(-1, (self.filters, self.width))
        return filters_TND * self._window(place_T)[:, None].to(filters_TND.dtype)

    def init_weights(self) -> None:
        """U(-1/sqrt(inputs), 1/sqrt(inputs)) for matrices and biases."""
        for layer in self.layers:
            bound = 1 / math.sqrt(layer.in_features)  # type: ignore[arg-type]
            for weight in layer.parameters():
                initialization.uniform_(weight, -bound, bound)
        initialization.ones_(self.frequency)

    def _places(self, length: int) -> Tensor:
        dtype, device = wide(self.frequency.dtype), self.frequency.device
        return torch.arange(length, device=device, dtype=dtype) / max(self.reach - 1, 1)

    def _features(self, place_T: Tensor) -> Tensor:
        """The place itself, cosines and sines, (T, 5)."""
        bands = (FILTER_FEATURES - 1) // 2
        rates = torch.linspace(1e-4, bands - 1, bands, device=place_T.device, dtype=place_T.dtype)
        angles = 2 * math.pi * place_T[:, None] * rates
        return torch.cat((place_T[:, None], angles.cos(), -angles.sin()), dim=-1)

    def _window(self, place_T: Tensor) -> Tensor:
        ends = (abs(math.log(TARGET)) / SLOW, abs(math.log(TARGET)) / FAST)
        speeds = torch.linspace(*ends, self.width, device=place_T.device, dtype=place_T.dtype)
        return (-place_T[:, None] * speeds).exp()


class Hyena(Mixer):
    """``in_proj`` (M*D, D), rows of x_0, x_1, ..., v; ``short`` (its convolution); ``filter``; ``bias`` (N, D), what a
    long convolution adds of its present input; ``o_proj`` (D, D).

    State: the last two inputs of the short convolution, (B, 2, M*D), and all inputs of the long ones, (B, t, N, D).
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.width, self.order = config.hidden_size, config.hyena_order
        streams, bias = (self.order + 1) * self.width, config.linear_bias
        self.in_proj = nn.Linear(self.width, streams, bias=bias)
        self.short = ShortConvolution(streams, SHORT_FILTER["hyena"])
        self.filter = ImplicitFilter(self.order - 1, self.width, config.filter_size, config.max_positions)
        self.bias = nn.Parameter(torch.empty(self.order - 1, self.width))
        self.o_proj = nn.Linear(self.width, self.width, bias=bias)

    def parallel(self, x_BTD: Tensor) -> Tensor:
        *gates, v_BTD = self.short(self.in_proj(x_BTD)).split(self.width, dim=-1)
        for filter_TD, bias, gate in zip(self.filters(x_BTD.shape[1]), self.bias, reversed(gates[1:]), strict=True):
            v_BTD = v_BTD * gate
            v_BTD = long_convolution(v_BTD, filter_TD) + v_BTD * bias
        return self.o_proj(v_BTD * gates[0])

    def filters(self, length: int) -> tuple[Tensor, ...]:
        """N filters of shape (T, D)."""
        return self.filter(length).unbind(1)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """(2, M*D), and an empty past (0, N, D)."""
        return (SHORT_FILTER["hyena"] - 1, (self.order + 1) * self.width), (0, *self.bias.shape)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        streams_Bn, recent = self.short.step(self.in_proj(x_BD), state[0])
        *gates, v_BD = streams_Bn.split(self.width, dim=-1)
        filters, entered = self.filters(state[1].shape[1] + 1), []
        for index, (filter_TD, gate) in enumerate(zip(filters, reversed(gates[1:]), strict=True)):
            v_BD = v_BD * gate
            entered.append(v_BD)
            past_BTD = torch.cat((state[1][:, :, index], v_BD[:, None]), dim=1)
            v_BD = (past_BTD * filter_TD.flip(0)).sum(1) + v_BD * self.bias[index]
        past = torch.cat((state[1], torch.stack(entered, dim=1)[:, None]), dim=1)
        return self.o_proj(v_BD * gates[0]), (recent, past)

    def init_weights(self, std: float) -> None:
        self.short.init_weights()
        self.filter.init_weights()
        initialization.normal_(self.bias)
