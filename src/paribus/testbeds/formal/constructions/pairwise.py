"""Equality, disjointness, and every question "is there an i with phi(x_i, y_i)?" over two bit strings, in two layers.

(Bhattamishra et al. 2024, arXiv 2406.09347: two layers of width O(log N) suffice; one layer, or a recurrent model,
needs size linear in N.)

    stream     "bit"; "code": the code of i at x_i and at y_i; "is_y"; "is_cls"; "fetched" and "violation" start at 0
    layer 1    y_i finds x_i by its code and copies its bit: fetched = x_i up to the mass that goes astray. Tokens of y
               would find themselves, so their keys are lowered by as much as their own code is worth
    FFN 1      violation = sum over the pairs (a, b) in phi of relu([fetched = a] + [bit = b] + is_y - 2 - 2 slack):
               EXACTLY 0 where nothing is violated, above 1 - 3 slack where something is, and 0 at all other tokens
    layer 2    the token at the end gathers violations: "mean" attends to all alike (signal about 1 / (2N + 1)), "sharp"
               by a score on the violation itself (signal at least 0.3, whatever N)

The counterpart of y_i stands before it, so the same weights work causally and in both directions. ``attend=False`` and
``compare=False`` leave out layer 1 and FFN 1: negative controls that must fail.

Shapes: N bits, T = 2N + 1 tokens, D width, F feed-forward units.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.models.sequence import SequenceForPrediction
from paribus.testbeds.formal.constructions.codes import PositionCode, make_code
from paribus.testbeds.formal.constructions.construction import Addressing, Construction
from paribus.testbeds.formal.constructions.wiring import (
    Stream,
    blank_model,
    wire_attention,
    wire_ends,
    wire_feed_forward,
)
from paribus.testbeds.formal.pairwise import Disjointness, Equality, PairwiseTask

Pairs = frozenset[tuple[int, int]]
"""A predicate phi over two bits: the pairs for which it holds."""

UNEQUAL: Pairs = frozenset({(0, 1), (1, 0)})
BOTH: Pairs = frozenset({(1, 1)})

Gather = Literal["mean", "sharp"]
GATHERS: tuple[Gather, ...] = ("mean", "sharp")
_SIGNAL = 4.0  # a violation weighs this many times all other tokens together in the sharp variant
_STREAM = {"bit": 1, "is_y": 1, "is_cls": 1, "fetched": 1, "violation": 1}


def equality(task: Equality, **choices: Any) -> Construction:
    """x = y iff no place has unequal bits; ``choices`` as for ``no_violation``."""
    return no_violation(task, UNEQUAL, name="equality", **choices)


def disjointness(task: Disjointness, **choices: Any) -> Construction:
    """x and y are disjoint iff no place has both bits; ``choices`` as for ``no_violation``."""
    return no_violation(task, BOTH, name="disjointness", **choices)


def no_violation(
    task: PairwiseTask,
    violating: Pairs,
    *,
    name: str = "no-violation",
    code: str = "sign",
    gather: Gather = "sharp",
    causal: bool = True,
    slack: float = 0.05,
    attend: bool = True,
    compare: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Construction:
    """Answers yes iff there is no place i with (x_i, y_i) in ``violating``; width 5 + code width.

    ``code``: "sign" or "binary". ``slack``: attention of layer 1 that may miss, which FFN 1 forgives. Raises
    ``ConfigError`` for an empty predicate, pairs that are not bits, an unknown code or gathering, or a slack from 0.1.
    """
    _check(violating, gather, slack)
    position_code = make_code(code, task.bits, unit=True)
    stream = Stream(**_STREAM, code=position_code.width)
    model = blank_model(
        task,
        stream,
        num_hidden_layers=2,
        head_dim=position_code.width + 1,
        ffn_size=len(violating),
        max_positions=task.tokens,
        causal=causal,
        dtype=dtype,
    )
    _wire_ends(model, stream, position_code, _threshold(task, gather, slack))
    if attend:
        _wire_fetching(model, stream, position_code.temperature(slack / 2, task.tokens - 1))
    if compare:
        _wire_comparing(model, stream, violating, slack)
    sharpness = math.log(_SIGNAL * task.tokens) if gather == "sharp" else 0.0
    wire_attention(model, 1, stream, scores=[("is_cls", "violation", sharpness)], copy=("violation", "violation"))
    return Construction(
        name=f"{name}-{code}-{gather}",
        task=task,
        model=model,
        margin=2 * _threshold(task, gather, slack),
        description="layer 1 fetches the counterpart of every bit of y, its feed-forward net compares, layer 2 gathers",
        addressing=_addressing(task, stream, position_code, slack, causal),
    )


def least_signal(tokens: int, gather: Gather, slack: float) -> float:
    """What reaches the last token when a single place violates, at the least.

    A violation is at least u = 1 - 3 slack. The mean gathers u / T. The sharp variant gathers u * w / (w + T - 1) with
    w = exp(sharpness * u) = (4T)^u; more violations raise both.
    """
    violation = 1 - 3 * slack
    if gather == "mean":
        return violation / tokens
    weight = (_SIGNAL * tokens) ** violation
    return violation * weight / (weight + tokens - 1)


def _threshold(task: PairwiseTask, gather: Gather, slack: float) -> float:
    """Half of the least signal: silence is exactly 0, so both answers keep this distance."""
    return least_signal(task.tokens, gather, slack) / 2


def _check(violating: Pairs, gather: str, slack: float) -> None:
    if not violating or any(bit not in (0, 1) for pair in violating for bit in pair):
        raise ConfigError(f"The predicate {sorted(violating)} must name pairs of bits, at least one, like (0, 1).")
    if gather not in GATHERS:
        raise ConfigError(f"Unknown gathering {gather!r}; choose {' or '.join(GATHERS)}.")
    if not 0 < slack < 0.1:
        raise ConfigError(f"slack {slack} is not between 0 and 0.1; a larger one drowns the violation.")


def _wire_ends(model: SequenceForPrediction, stream: Stream, code: PositionCode, threshold: float) -> None:
    """Bits and the end token come from the embedding, codes and halves from the positions."""
    tokens_VD = stream.rows(3, bit=torch.tensor([[0.0], [1.0], [0.0]]), is_cls=torch.tensor([[0.0], [0.0], [1.0]]))
    head_OD = torch.cat((stream.rows(1, violation=1.0), stream.rows(1, violation=-1.0)))
    offset_O = torch.tensor([-threshold, threshold], dtype=torch.float64)
    wire_ends(
        model, tokens_VD=tokens_VD, positions_TD=_positions(stream, code), head_OD=head_OD, head_offset_O=offset_O
    )


def _positions(stream: Stream, code: PositionCode) -> Tensor:
    x_ND = stream.rows(code.positions, code=code.keys_NK)
    return torch.cat((x_ND, x_ND + stream.rows(code.positions, is_y=1.0), stream.rows(1)))


def _wire_fetching(model: SequenceForPrediction, stream: Stream, temperature: float) -> None:
    # A token of y scores with itself what it scores with its counterpart; the second term takes that away from it.
    scores = [("code", "code", temperature), ("is_y", "is_y", -temperature)]
    wire_attention(model, 0, stream, scores=scores, copy=("bit", "fetched"))


def _wire_comparing(model: SequenceForPrediction, stream: Stream, violating: Pairs, slack: float) -> None:
    """One unit a violating pair (a, b); [v = 1] is v and [v = 0] is 1 - v, whose 1 goes into the threshold."""
    pairs = torch.tensor(sorted(violating), dtype=torch.float64)
    count = len(pairs)
    units_FD = stream.rows(count, fetched=2 * pairs[:, :1] - 1, bit=2 * pairs[:, 1:] - 1, is_y=1.0)
    zeros_F = (1 - pairs).sum(dim=1)
    wire_feed_forward(
        model,
        0,
        up_FD=units_FD,
        thresholds_F=2 + 2 * slack - zeros_F,
        down_DF=stream.rows(count, violation=1.0).T,
    )


def _addressing(task: PairwiseTask, stream: Stream, code: PositionCode, slack: float, causal: bool) -> Addressing:
    """Every token of y looks for its counterpart; bits do not enter the scores."""
    positions_TD = _positions(stream, code)
    y_N = torch.arange(task.bits) + task.bits
    return Addressing(
        queries_ND=positions_TD[y_N],
        keys_SD=positions_TD,
        targets_N=y_N - task.bits,
        sees_N=y_N if causal else torch.full_like(y_N, task.tokens - 1),
        tolerated=slack,
    )
