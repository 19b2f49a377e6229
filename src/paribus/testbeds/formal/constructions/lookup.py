"""Index lookup by one attention head: the index token carries the code of its position and finds it by one softmax.

(Bhattamishra et al. 2024, arXiv 2406.09347: a one-layer transformer of width O(log N) solves index lookup, while a
recurrent model needs a state of N log2(symbols) bits.)

    stream     symbol token s: letter_s in "symbol"; position i: code key k_i in "key"; index token p: code query q_p in
               "query", so that it carries no code of its own
    attention  score <query, key> * temperature; copies "symbol": v = letter of s_p, up to the mass that goes astray
    FFN        rounds v to the exact letter, the head reads the letter

Right for every length up to the task's ``positions`` with the same weights, causal or not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.models.sequence import SequenceForPrediction
from paribus.testbeds.formal.constructions.codes import PositionCode, digit_table, make_code
from paribus.testbeds.formal.constructions.construction import Addressing, Construction
from paribus.testbeds.formal.constructions.wiring import (
    Stream,
    blank_model,
    wire_attention,
    wire_ends,
    wire_feed_forward,
)
from paribus.testbeds.formal.index_lookup import IndexLookup

LETTERS = ("onehot", "binary")


def index_lookup(
    task: IndexLookup,
    *,
    code: str = "sign",
    letters: str = "onehot",
    leak: float = 0.01,
    causal: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Construction:
    """One layer, one head, width symbols + 2 * code width ("onehot") or log2(symbols) + 2 * code width ("binary").

    ``code``: one of ``codes.CODES``. ``letters``: how a symbol is written in the stream. ``leak``: attention that may
    miss its target by design. ``ConfigError`` for an unknown code or letters, or a leak above what the FFN rounds away
    (1/2 for onehot letters, 1/4 for binary ones).
    """
    position_code, letters_SV = make_code(code, task.positions), _letters(letters, task.symbols)
    tolerated = 0.49 if letters == "onehot" else 0.24
    if leak > tolerated:
        raise ConfigError(f"leak {leak} is above {tolerated}, what {letters} letters tolerate; choose a smaller leak.")
    stream = Stream(symbol=letters_SV.shape[1], key=position_code.width, query=position_code.width)
    model = blank_model(
        task,
        stream,
        num_hidden_layers=1,
        head_dim=max(position_code.width, letters_SV.shape[1]),
        ffn_size=(2 if letters == "onehot" else 4) * letters_SV.shape[1],
        max_positions=task.positions + 1,
        causal=causal,
        dtype=dtype,
    )
    tokens_VD = torch.cat(
        (stream.rows(task.symbols, symbol=letters_SV), stream.rows(task.positions, query=position_code.queries_NK))
    )
    positions_TD = torch.cat((stream.rows(task.positions, key=position_code.keys_NK), stream.rows(1)))
    head_OD = stream.rows(task.symbols, symbol=letters_SV)
    wire_ends(model, tokens_VD=tokens_VD, positions_TD=positions_TD, head_OD=head_OD)
    wire_attention(
        model, 0, stream, scores=[("query", "key", position_code.temperature(leak))], copy=("symbol", "symbol")
    )
    (_round_onehot if letters == "onehot" else _round_signs)(model, stream)
    return Construction(
        name=f"index-lookup-{code}-{letters}",
        task=task,
        model=model,
        margin=1 - 2 * leak if letters == "onehot" else 2.0,
        description=f"one head looks the index up by a {code} code, the feed-forward net rounds the {letters} letter",
        addressing=_addressing(task, position_code, stream, tolerated),
    )


def _letters(name: str, symbols: int) -> Tensor:
    """One row a symbol: unit vectors, or the +-1 digits of its number."""
    if name not in LETTERS:
        raise ConfigError(f"Unknown letters {name!r}; choose one of {', '.join(LETTERS)}.")
    if name == "onehot":
        return torch.eye(symbols, dtype=torch.float64)
    return 2 * digit_table(symbols) - 1


def _round_onehot(model: SequenceForPrediction, stream: Stream) -> None:
    """v -> relu(2v - 1): above 0 for the one coordinate above 1/2, exactly 0 for all others."""
    size = stream.size("symbol")
    read_VD = stream.rows(size, symbol=torch.eye(size))
    wire_feed_forward(
        model,
        0,
        up_FD=torch.cat((2 * read_VD, read_VD)),
        thresholds_F=torch.cat((torch.ones(size), torch.zeros(size))),
        down_DF=torch.cat((read_VD, -read_VD)).T,
    )


def _round_signs(model: SequenceForPrediction, stream: Stream) -> None:
    """v -> sign v wherever |v| >= 1/2: relu(2v + 1) - relu(2v - 1) - 1, from which the residual v is taken away."""
    size = stream.size("symbol")
    read_VD = stream.rows(size, symbol=torch.eye(size))
    ones = torch.ones(size)
    wire_feed_forward(
        model,
        0,
        up_FD=torch.cat((2 * read_VD, 2 * read_VD, read_VD, -read_VD)),
        thresholds_F=torch.cat((-ones, ones, 0 * ones, 0 * ones)),
        down_DF=torch.cat((read_VD, -read_VD, -read_VD, read_VD)).T,
        offset_D=-stream.rows(1, symbol=1.0)[0],
    )


def _addressing(task: IndexLookup, code: PositionCode, stream: Stream, tolerated: float) -> Addressing:
    """Every index token at the last position, before it every position (symbols do not enter the scores)."""
    return Addressing(
        queries_ND=stream.rows(task.positions, query=code.queries_NK),
        keys_SD=torch.cat((stream.rows(task.positions, key=code.keys_NK), stream.rows(1))),
        targets_N=torch.arange(task.positions),
        sees_N=torch.full((task.positions,), task.positions),
        tolerated=tolerated,
    )
