"""What every mixer of a sequence model can do, and the classical recurrent nets (Elman, LSTM, GRU).

A mixer turns (B, T, D) into (B, T, D) and lets each position see those before it. It has two forms that give the same
numbers: ``parallel`` takes all tokens at once and is what training uses; ``step`` takes one token and a state, and the
state is all it knows of the past. Both are plain PyTorch and run anywhere, in every real number format.

Shapes: B batch, T tokens, D width, G gates.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization

from paribus.errors import ModelError
from paribus.models.linear_attention import check_library

State = tuple[Tensor, ...]
"""What one mixer carries from token to token; the first dimension of each tensor is the batch."""

Kernel = Literal["auto", "torch", "library", "steps"]
KERNELS = ("auto", "torch", "library", "steps")


class Mixer(nn.Module):
    """Base of all mixers. ``kernel`` says how ``forward`` computes; the results are the same up to rounding.

    "torch"     the parallel form in plain PyTorch
    "library"   the parallel form by a kernel of flash-linear-attention, which needs a GPU
    "auto"      "library" where the mixer has such a kernel, the library is installed and the input is on a GPU; else
                "torch"
    "steps"     one token after the other: slow, but ``torch.func.vmap`` can batch every mixer in this form
    """

    kernel: Kernel = "auto"
    has_library_kernel = False

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.scan(x_BTD) if self.kernel == "steps" else self.parallel(x_BTD)

    def parallel(self, x_BTD: Tensor) -> Tensor:
        """All tokens at once, (B, T, D) in and out; position t sees positions up to t."""
        raise NotImplementedError

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of one sequence's state before its first token, without the batch; 0 where it grows by the token."""
        raise NotImplementedError

    def initial_state(self, batch: int, *, device: Any = None, dtype: torch.dtype | None = None) -> State:
        """The state before the first token of ``batch`` sequences: zeros."""
        return tuple(torch.zeros(batch, *shape, device=device, dtype=dtype) for shape in self.state_shapes())

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """One token (B, D) and the state before it; its output (B, D) and the state after it."""
        raise NotImplementedError

    def init_weights(self, std: float) -> None:
        """Draw what must not start as transformers starts its matrices, N(0, std^2) with biases at 0."""

    def scan(self, x_BTD: Tensor) -> Tensor:
        """The parallel form's numbers, made by steps."""
        state, outputs = self.initial_state(len(x_BTD), device=x_BTD.device, dtype=x_BTD.dtype), []
        for x_BD in x_BTD.unbind(1):
            y_BD, state = self.step(x_BD, state)
            outputs.append(y_BD)
        return torch.stack(outputs, dim=1)


def check_kernel(kernel: str, mixer: Mixer) -> None:
    """Raise ``ModelError`` for an unknown kernel, and for "library" where it cannot be had."""
    if kernel not in KERNELS:
        raise ModelError(f"kernel is {kernel!r}; use one of {', '.join(KERNELS)}.")
    if kernel == "library":
        if not mixer.has_library_kernel:
            raise ModelError(f"{type(mixer).__name__} has no library kernel; use kernel='auto', 'torch' or 'steps'.")
        check_library()


class Classical(Mixer):
    """A one-layer net of torch with the width of the model; ``net`` holds its weights under torch's names.

    Its weights start as torch starts them, from U(-1/sqrt(D), 1/sqrt(D)). torch's own kernel has no batching rule for
    ``torch.func.vmap``; kernel="steps" does.
    """

    net: nn.RNNBase
    states = 1

    def parallel(self, x_BTD: Tensor) -> Tensor:
        return self.net(x_BTD)[0]

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """``states`` times (D): the hidden state, and the LSTM's cell."""
        return ((self.net.hidden_size,),) * self.states

    def init_weights(self, std: float) -> None:
        bound = 1 / math.sqrt(self.net.hidden_size)
        for weight in self.net.parameters():
            initialization.uniform_(weight, -bound, bound)

    def gates(self, x_BD: Tensor, h_BD: Tensor) -> tuple[Tensor, Tensor]:
        """What the input and the hidden state each add to the gates, (B, G*D)."""
        net: Any = self.net
        from_input = F.linear(x_BD, net.weight_ih_l0, net.bias_ih_l0)
        return from_input, F.linear(h_BD, net.weight_hh_l0, net.bias_hh_l0)


class Elman(Classical):
    """h' = relu(W x + U h + b) (Elman 1990, with the rectifier that exact constructions need)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.net = nn.RNN(config.hidden_size, config.hidden_size, nonlinearity="relu", batch_first=True)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        from_input, from_past = self.gates(x_BD, state[0])
        h_BD = (from_input + from_past).relu()
        return h_BD, (h_BD,)


class LSTM(Classical):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), torch's form; the state is hidden state and cell."""

    states = 2

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.net = nn.LSTM(config.hidden_size, config.hidden_size, batch_first=True)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        from_input, from_past = self.gates(x_BD, state[0])
        enter, keep, new, show = (from_input + from_past).chunk(4, dim=-1)
        c_BD = keep.sigmoid() * state[1] + enter.sigmoid() * new.tanh()
        h_BD = show.sigmoid() * c_BD.tanh()
        return h_BD, (h_BD, c_BD)


class GRU(Classical):
    """Gated recurrent unit (Cho et al. 2014), torch's form."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.net = nn.GRU(config.hidden_size, config.hidden_size, batch_first=True)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        from_input, from_past = self.gates(x_BD, state[0])
        (reset, keep, new), (reset_h, keep_h, new_h) = from_input.chunk(3, dim=-1), from_past.chunk(3, dim=-1)
        keep = (keep + keep_h).sigmoid()
        new = (new + (reset + reset_h).sigmoid() * new_h).tanh()
        h_BD = (1 - keep) * new + keep * state[0]
        return h_BD, (h_BD,)
