"""Weights written by name: blocks of the residual stream, and the matrices that read and write them.

A construction gives names to blocks of coordinates of the stream and says what each matrix reads and writes. Everything
that is not said is zero: ``blank_model`` starts from a ``SequenceForPrediction`` whose every weight is 0, with norms
switched off.

Shapes: D width of the stream, A head width, F feed-forward units; ``BTD`` as in ``paribus.models.sequence``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from paribus.models.sequence import SequenceForPrediction
from paribus.models.sequence_config import SequenceConfig
from paribus.testbeds.formal.task import FormalTask

Match = tuple[str, str, float]
"""A part of an attention score: query block, key block, temperature."""


class Stream:
    """Named blocks of the residual stream: ``Stream(bit=1, code=4)["code"]`` is ``slice(1, 5)``."""

    def __init__(self, **widths: int) -> None:
        self._blocks: dict[str, slice] = {}
        self.width = 0
        for name, width in widths.items():
            self._blocks[name] = slice(self.width, self.width + width)
            self.width += width

    def __getitem__(self, name: str) -> slice:
        return self._blocks[name]

    def size(self, name: str) -> int:
        """Coordinates of a block."""
        return self._blocks[name].stop - self._blocks[name].start

    def rows(self, count: int, **blocks: Tensor | float) -> Tensor:
        """A float64 matrix (count, D): each block (count, size), or a number in all its entries; zeros elsewhere."""
        matrix = torch.zeros(count, self.width, dtype=torch.float64)
        for name, values in blocks.items():
            matrix[:, self[name]] = values
        return matrix


def blank_model(
    task: FormalTask, stream: Stream, *, dtype: torch.dtype = torch.float32, **shape: Any
) -> SequenceForPrediction:
    """A model for ``task`` of the width of ``stream`` without norms, every weight 0.

    Attention has one head, no biases and no scale of its own (temperatures are in the weights). ``shape``: further
    fields of ``SequenceConfig``.
    """
    settings: dict[str, Any] = {
        "vocab_size": task.vocab_size,
        "input_size": task.input_size,
        "outputs": task.outputs,
        "hidden_size": stream.width,
        "num_attention_heads": 1,
        "norm": "none",
        "ffn_activation": "relu",
        "attention_scale": 1.0,
        "attention_bias": False,
        "attn_implementation": "eager",  # rounds where the certificates do
    }
    model: SequenceForPrediction = SequenceForPrediction(SequenceConfig(**settings | shape))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model.to(dtype).eval()  # type: ignore[arg-type]


@torch.no_grad()
def wire_attention(
    model: SequenceForPrediction, layer: int, stream: Stream, *, scores: Sequence[Match], copy: tuple[str, str]
) -> None:
    """Write the head of a layer.

    ``scores``: the score of token j for token i is the sum over (query block, key block, temperature) of temperature *
    <x_i[query block], x_j[key block]>. ``copy``: the head averages the first block over what it attends to and adds it
    to the second, which is as wide.
    """
    mixer: Any = model.model.layers[layer].mixer
    width = model.config.shape.head_width
    queries, keys, values = mixer.qkv_proj.weight.split(width)
    first = 0
    for query, key, temperature in scores:
        size = stream.size(query)
        rows = slice(first, first + size)
        queries[rows, stream[query]] = torch.eye(size) * temperature
        keys[rows, stream[key]] = torch.eye(size)
        first += size
    size = stream.size(copy[0])
    assert max(first, size) <= width, f"a head of width {width} is too narrow for {first} scores and {size} values"
    values[:size, stream[copy[0]]] = torch.eye(size)
    mixer.o_proj.weight[stream[copy[1]], :size] = torch.eye(size)


@torch.no_grad()
def wire_feed_forward(
    model: SequenceForPrediction,
    layer: int,
    *,
    up_FD: Tensor,
    thresholds_F: Tensor,
    down_DF: Tensor,
    offset_D: Tensor | None = None,
) -> None:
    """Write a layer's feed-forward net: down @ relu(up @ x - thresholds) + offset."""
    net: Any = model.model.layers[layer].mlp
    net.up_proj.weight.copy_(up_FD)
    net.up_proj.bias.copy_(-thresholds_F)
    net.down_proj.weight.copy_(down_DF)
    if offset_D is not None:
        net.down_proj.bias.copy_(offset_D)


@torch.no_grad()
def wire_ends(
    model: SequenceForPrediction,
    *,
    tokens_VD: Tensor | None = None,
    vectors_ED: Tensor | None = None,
    positions_TD: Tensor | None = None,
    head_OD: Tensor,
    head_offset_O: Tensor | None = None,
) -> None:
    """Write what enters the stream (token embeddings or read-in, and the table of positions) and what leaves it."""
    body: Any = model.model
    if tokens_VD is not None:
        body.embed_tokens.weight.copy_(tokens_VD)
    if vectors_ED is not None:
        body.read_in.weight.copy_(vectors_ED.T)
    if positions_TD is not None:
        body.embed_positions.weight.copy_(positions_TD)
    model.head.weight.copy_(head_OD)
    if head_offset_O is not None:
        model.head.bias.copy_(head_offset_O)
