"""What a small sequence model costs and carries, from its sizes alone: parameters, operations, state. No torch here.

    width D, layers L, heads H, width A of one head, feed-forward width F, inputs E wide, O logits a position,
    state N per channel, T tokens.

Operations: a multiply-add is two. Matrix products count as they are run in the parallel form (attention over the full
square, masked half included; the chunks of the linear mixers with their padding), and a Fourier transform of n real
numbers counts 2.5 n log2 n. Norms, gates, decays, convolutions over four tokens or fewer, and the filters of long
convolutions, which are made once a batch, do not count.

State: the numbers that cross a cut after a number of tokens. The lower bounds of Bhattamishra et al. 2024 (arXiv
2406.09347) speak about them: whatever a model can still say about the tokens before the cut is in those numbers. How
many tokens were read is known to both sides and is not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from paribus.errors import ModelError

MIXERS = ("attention", "elman", "lstm", "gru", "dss", "retention", "mamba2", "hyena", "rwkv")
"""Everything that can mix the tokens of a sequence model."""

GATES = {"elman": 1, "gru": 3, "lstm": 4}
"""Stacked matrices of a classical recurrent net."""

GROWING = ("attention", "hyena")
"""Mixers that keep the whole past; bounds on recurrent models do not bind them."""

IN_HEADS = ("attention", "retention", "mamba2", "rwkv")
"""Mixers that divide the width into heads."""

CHUNKS = {"retention": 32, "mamba2": 32, "rwkv": 16}
"""Tokens that the linear mixers take at once, at most; each chunk hands its state to the next."""

EXPANSION = {"retention": 2, "mamba2": 2}
"""Width of the values over the width of the model (RetNet, section 3.1; Mamba-2)."""

SHORT_FILTER = {"mamba2": 4, "hyena": 3}
"""Taps of the convolution before the mixer proper (Mamba-2's and Hyena's published values)."""

DECAY_RANK = 16
"""Width between the two matrices that make RWKV's decays out of the input."""

FILTER_FEATURES = 5
"""What Hyena's filter network knows of a position: its number, and two sines and cosines."""

CHOICES = {
    "mixer": MIXERS,
    "ffn_activation": ("gelu", "relu"),
    "norm": ("layer", "none"),
    "positions": ("learned", "none"),
}
POSITIVE = (
    "outputs", "hidden_size", "num_hidden_layers", "num_attention_heads", "state_size", "filter_size", "max_positions",
)  # fmt: skip


def default_positions(mixer: str) -> str:
    """ "learned" for mixers that cannot tell order by themselves or are published with a table, else "none"."""
    return "learned" if mixer in GROWING else "none"


@dataclass(frozen=True, kw_only=True)
class SequenceShape:
    """Sizes of a sequence model; the fields are those of ``SequenceConfig``, where they are explained.

    Raises ``ModelError`` for unknown words and for sizes that do not fit each other.
    """

    mixer: str = "attention"
    vocab_size: int = 0
    input_size: int = 0
    outputs: int = 2
    hidden_size: int = 64
    num_hidden_layers: int = 1
    num_attention_heads: int = 4
    head_dim: int | None = None
    ffn_size: int | None = None
    ffn_activation: str = "gelu"
    state_size: int = 16
    hyena_order: int = 3
    filter_size: int = 64
    norm: str = "layer"
    residual: bool = True
    positions: str | None = None
    max_positions: int = 512
    causal: bool = True
    attention_bias: bool = True
    linear_bias: bool = True

    def __post_init__(self) -> None:
        if self.positions is None:
            object.__setattr__(self, "positions", default_positions(self.mixer))
        self._check_words()
        self._check_sizes()
        self._check_mixer()

    @classmethod
    def of(cls, config: Any) -> SequenceShape:
        """The shape of a ``SequenceConfig``; ``ModelError`` for any other configuration."""
        if getattr(config, "model_type", None) != "paribus_sequence":
            raise ModelError(
                f"{type(config).__name__} is no SequenceConfig; paribus.models.count counts other models' parameters."
            )
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})

    @property
    def head_width(self) -> int:
        """Width of one head of the queries and keys (A)."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def feed_forward(self) -> int:
        """Width of the feed-forward layer; 0 if there is none."""
        return 4 * self.hidden_size if self.ffn_size is None else self.ffn_size

    @property
    def inner_size(self) -> int:
        """Width of the values inside the mixer."""
        return EXPANSION.get(self.mixer, 1) * self.hidden_size

    @property
    def parameters(self) -> int:
        """All parameters, tables of tokens and positions included."""
        width, bias = self.hidden_size, int(self.linear_bias)
        tables = (self.vocab_size + (self.max_positions if self.positions == "learned" else 0)) * width
        read_in = (self.input_size + bias) * width if self.input_size else 0
        head = (width + bias) * self.outputs
        norm = 2 * width if self.norm == "layer" else 0
        branches = 2 if self.feed_forward else 1
        fed = 2 * width * self.feed_forward + bias * (self.feed_forward + width if self.feed_forward else 0)
        return tables + read_in + head + norm + self.num_hidden_layers * (branches * norm + fed + self._mixer_weights)

    def flops_per_token(self, length: int) -> float:
        """Forward operations for one token of a sequence of ``length`` tokens, averaged over the sequence."""
        self._check_length(length)
        ends = self.hidden_size * (self.input_size + self.outputs)
        fed = 2 * self.hidden_size * self.feed_forward
        return 2.0 * ends + self.num_hidden_layers * (2.0 * (fed + self._mixer_matrices) + self._mixing(length))

    def training_flops(self, length: int, tokens: int) -> float:
        """Forward and backward operations for ``tokens`` tokens in sequences of ``length``: three forward passes."""
        return 3 * tokens * self.flops_per_token(length)

    def state_numbers(self, length: int) -> int:
        """Numbers that cross a cut after ``length`` tokens of one sequence, over all layers."""
        self._check_length(length)
        return self.num_hidden_layers * self._layer_state(length)

    def state_bits(self, length: int, bits_per_number: int = 32) -> int:
        """The same in bits, for numbers of ``bits_per_number`` bits."""
        if bits_per_number < 1:
            raise ModelError(f"bits_per_number is {bits_per_number}; a number has at least one bit.")
        return self.state_numbers(length) * bits_per_number

    @property
    def _mixer_matrices(self) -> int:
        """Entries of the matrices of one mixer that every token is multiplied with."""
        width, inner, heads = self.hidden_size, self.inner_size, self.num_attention_heads
        match self.mixer:
            case "attention":
                return 4 * width * heads * self.head_width
            case "elman" | "gru" | "lstm":
                return 2 * GATES[self.mixer] * width**2
            case "dss":
                return width**2
            case "retention":
                return 2 * width**2 + 3 * width * inner
            case "mamba2":
                return width * (3 * inner + 2 * self.state_size + heads)
            case "hyena":
                return (self.hyena_order + 2) * width**2
        return 5 * width**2 + 2 * width * DECAY_RANK

    @property
    def _mixer_weights(self) -> int:
        """Parameters of one mixer: its matrices, and its vectors and filters."""
        width, bias = self.hidden_size, int(self.linear_bias)
        match self.mixer:
            case "attention":
                vectors = self.attention_bias * (3 * self.num_attention_heads * self.head_width + width)
            case "elman" | "gru" | "lstm":
                vectors = 2 * GATES[self.mixer] * width
            case "dss":
                vectors = 2 * self.state_size * (1 + width) + (2 + bias) * width
            case "retention":
                vectors = 0
            case "mamba2":
                convolved = self.inner_size + 2 * self.state_size
                vectors = (SHORT_FILTER["mamba2"] + 1) * convolved + 3 * self.num_attention_heads + self.inner_size
            case "hyena":
                vectors = self._hyena_vectors
            case _:
                vectors = 9 * width
        return self._mixer_matrices + vectors

    @property
    def _hyena_vectors(self) -> int:
        width, order, hidden, bias = self.hidden_size, self.hyena_order, self.filter_size, int(self.linear_bias)
        streams, filters = (order + 1) * width, (order - 1) * width
        network = (FILTER_FEATURES + 1) * hidden + 2 * (hidden + 1) * hidden + hidden + hidden * filters
        return bias * (streams + width) + (SHORT_FILTER["hyena"] + 1) * streams + network + filters

    def _mixing(self, length: int) -> float:
        """Operations between tokens, for one of them in one layer."""
        width, heads = self.hidden_size, self.num_attention_heads
        match self.mixer:
            case "attention":
                return 4.0 * heads * self.head_width * length
            case "retention":
                return _chunked(length, CHUNKS[self.mixer], heads, heads, self.head_width, self.inner_size // heads)
            case "mamba2":
                return _chunked(length, CHUNKS[self.mixer], 1, heads, self.state_size, self.inner_size // heads)
            case "rwkv":
                return _chunked(length, CHUNKS[self.mixer], heads, heads, self.head_width, self.head_width)
            case "dss" | "hyena":
                convolutions = 1 if self.mixer == "dss" else self.hyena_order - 1
                return convolutions * width * 2 * 2.5 * 2 * math.log2(2 * length)  # there and back, twice as long
        return 0.0

    def _layer_state(self, length: int) -> int:
        width, inner = self.hidden_size, self.inner_size
        match self.mixer:
            case "attention":
                return 2 * self.num_attention_heads * self.head_width * length
            case "elman" | "gru":
                return width
            case "lstm":
                return 2 * width
            case "dss":
                return 2 * width * self.state_size
            case "retention":
                return self.head_width * inner
            case "mamba2":
                return inner * self.state_size + (SHORT_FILTER["mamba2"] - 1) * (inner + 2 * self.state_size)
            case "hyena":
                order = self.hyena_order
                return width * ((order - 1) * length + (SHORT_FILTER["hyena"] - 1) * (order + 1))
        return width * self.head_width + width

    def _check_words(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ModelError(f"{name} is {getattr(self, name)!r}; use one of {', '.join(choices)}.")

    def _check_sizes(self) -> None:
        for name in POSITIVE:
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("vocab_size", "input_size", "ffn_size", "head_dim"):
            if (getattr(self, name) or 0) < 0:
                raise ModelError(f"{name} is {getattr(self, name)}; it cannot be negative.")
        if self.hyena_order < 2:
            raise ModelError(f"hyena_order is {self.hyena_order}; it must be at least 2, which has one convolution.")

    def _check_mixer(self) -> None:
        if self.mixer != "attention" and (self.head_dim is not None or not self.causal):
            wrong = "causal=False" if not self.causal else f"head_dim={self.head_dim}"
            raise ModelError(f"mixer {self.mixer!r} cannot have {wrong}; only attention can.")
        if self.mixer in IN_HEADS and not self.head_dim and self.inner_size % self.num_attention_heads:
            raise ModelError(
                f"{self.mixer}'s width {self.inner_size} is not divisible by num_attention_heads "
                f"{self.num_attention_heads}; change one of them."
            )
        if self.mixer == "retention" and self.hidden_size % (2 * self.num_attention_heads):
            raise ModelError(
                f"retention turns pairs, so hidden_size {self.hidden_size} must be a multiple of twice "
                f"num_attention_heads {self.num_attention_heads}; change one of them."
            )

    def _check_length(self, length: int) -> None:
        if length < 1:
            raise ModelError(f"length is {length}; a sequence has at least one token.")
        check_length(self, length)


def check_length(shape: Any, length: int) -> None:
    """Raise ``ModelError`` if ``length`` tokens are more than the table of positions, or Hyena's filters, reach.

    ``shape``: a ``SequenceShape`` or a ``SequenceConfig``.
    """
    if length > shape.max_positions and (shape.positions == "learned" or shape.mixer == "hyena"):
        what = "its table of positions" if shape.positions == "learned" else "its filters"
        raise ModelError(
            f"A sequence of {length} tokens is longer than max_positions={shape.max_positions}, where {what} end; "
            "build the model with more, or cut the sequence."
        )


def chunking(length: int, chunk: int) -> tuple[int, int]:
    """How many chunks, and of how many tokens: as few as ``chunk`` allows, and as even as they can be."""
    chunks = -(-length // chunk)
    return chunks, -(-length // chunks)


def _chunked(length: int, chunk: int, score_heads: int, heads: int, keys: int, values: int) -> float:
    """Operations of chunked linear attention for one token: within its chunk, and with the state if there is one.

    ``score_heads``: heads with their own queries and keys; ``keys`` and ``values``: widths of one head.
    """
    chunks, size = chunking(length, chunk)
    within = 2 * size * (score_heads * keys + heads * values)
    carried = 4 * heads * keys * values if chunks > 1 else 0
    return chunks * size / length * (within + carried)
