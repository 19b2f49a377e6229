"""Tiny sequence models of every kind, and the mixers alone."""

import torch
from torch import Tensor

from paribus.models.recurrent import Mixer
from paribus.models.sequence import BUILDERS, SequenceConfig, SequenceForPrediction, SequenceState
from paribus.models.sequence_shape import MIXERS

TINY = {"hidden_size": 8, "num_attention_heads": 2, "state_size": 3, "filter_size": 6, "max_positions": 80}
CHUNKED = ("retention", "mamba2", "rwkv")
RECURRENT = tuple(mixer for mixer in MIXERS if mixer not in ("attention", "hyena"))


def config(mixer: str, **changes: object) -> SequenceConfig:
    """A configuration of width 8."""
    return SequenceConfig(**{"mixer": mixer, "vocab_size": 7, "outputs": 3, **TINY, **changes})


def model(mixer: str, *, seed: int = 0, **changes: object) -> SequenceForPrediction:
    """A model in double precision, its matrices large enough for differences to show."""
    torch.manual_seed(seed)
    return SequenceForPrediction(config(mixer, **{"initializer_range": 0.5, **changes})).double().eval()


def alone(mixer: str, *, seed: int = 0, **changes: object) -> Mixer:
    """The mixer of such a model."""
    body = model(mixer, seed=seed, **changes).model
    found = body.layers[0].mixer
    assert isinstance(found, BUILDERS[mixer])
    return found


def stepped(
    net: SequenceForPrediction, tokens: Tensor, state: SequenceState | None = None
) -> tuple[Tensor, SequenceState]:
    """Logits (B, T, O) of the step form, from the start or from a state, and the state after them."""
    state, logits = state or net.initial_state(len(tokens)), []
    for token in tokens.unbind(1):
        y, state = net.step(token, state)
        logits.append(y)
    return torch.stack(logits, dim=1), state


def ids(batch: int, length: int, seed: int = 1) -> Tensor:
    """Token ids."""
    return torch.randint(0, 7, (batch, length), generator=torch.Generator().manual_seed(seed))


def vectors(*shape: int, seed: int = 1) -> Tensor:
    """Normal vectors in double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
