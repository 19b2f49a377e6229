"""Nearest neighbour and associative recall by the same two heads: copy what stands before, then match and read.

(Bhattamishra et al. 2024, arXiv 2406.09347: two layers of width O(log) suffice, while a recurrent model needs a state
linear in the number of stored points.)

    stream     "point" (a vector, or the letter of a key), "label" (+-1, or the letter of a value), "code": the code of
               pair i at both of its tokens; "first" and "second": which of the two a token is; "lowered"
    layer 1    the second token of pair i finds the first by the code and copies its point into "copied"
    layer 2    the query scores <its point, copied> * temperature, less "lowered", and takes the label into "label"

"lowered" keeps everything but second tokens out of the second match: all inner products lie in [-1, 1], so 2 and the
margin suffices. With ties="earliest" it also grows along the pairs, by little enough to lose against the least
difference of two inner products and by enough to decide between equal ones.

The copy of layer 1 misses by a mass e, which moves a difference of two scores by 4 e at most: e is set to a 16th of the
margin, which leaves 3/4 of it to layer 2.

Shapes: P pairs, T tokens, D width, V tokens of a vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.models.sequence import SequenceForPrediction
from paribus.testbeds.formal.constructions.codes import PositionCode, binary_code, digits, make_code
from paribus.testbeds.formal.constructions.construction import Addressing, Construction
from paribus.testbeds.formal.constructions.wiring import Stream, blank_model, wire_attention, wire_ends
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import FormalTask


def nearest_neighbour(
    task: NearestNeighbour,
    *,
    code: str = "sign",
    leak: float = 0.01,
    causal: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Construction:
    """Width 2 dimension + 4 + code width; no feed-forward nets.

    ``code``: "sign" or "binary". ``leak``: attention of layer 2 that may reach points of the wrong label. Raises
    ``ConfigError`` for a task without a margin: on the sphere it must be part of the task, on the cube inner products
    differ by 2 / dimension by themselves.
    """
    margin, step = _margins(task)
    position_code = make_code(code, task.points, unit=True)
    stream = _stream(position_code, point=task.dimension, label=1)
    model = _blank(task, stream, causal, dtype)
    positions_TD = _positions(task.tokens, stream, position_code, margin, step)
    read_ED = torch.cat((stream.rows(task.dimension, point=torch.eye(task.dimension)), stream.rows(1, label=1.0)))
    head_OD = torch.cat((stream.rows(1, label=-1.0), stream.rows(1, label=1.0)))
    wire_ends(model, vectors_ED=read_ED, positions_TD=positions_TD, head_OD=head_OD)
    _wire_layers(model, stream, position_code, margin, leak)
    return Construction(
        name=f"nearest-neighbour-{code}",
        task=task,
        model=model,
        margin=2 * (1 - 2 * leak),
        description="layer 1 copies every point to its label, layer 2 matches the query with the copies",
        addressing=_addressing(positions_TD, position_code, margin, causal),
    )


def associative_recall(
    task: AssociativeRecall,
    *,
    code: str = "sign",
    leak: float = 0.01,
    causal: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Construction:
    """Keys and values as +-1 digits: width 2 log2(keys) + log2(values) + 3 + code width; no feed-forward nets.

    ``code`` and ``leak`` as for ``nearest_neighbour``. Right at every shorter length with the same weights.
    """
    keys_VK, values_VK = _letters(task)
    position_code = make_code(code, task.pairs, unit=True)
    stream = _stream(position_code, point=keys_VK.shape[1], label=values_VK.shape[1])
    model = _blank(task, stream, causal, dtype)
    margin = 2 / keys_VK.shape[1]  # two keys differ in a digit
    positions_TD = _positions(task.tokens, stream, position_code, margin, step=0.0)
    tokens_VD = stream.rows(task.vocabulary, point=keys_VK, label=values_VK)
    wire_ends(
        model,
        tokens_VD=tokens_VD,
        positions_TD=positions_TD,
        head_OD=stream.rows(task.vocabulary, label=values_VK),
    )
    _wire_layers(model, stream, position_code, margin, leak)
    return Construction(
        name=f"associative-recall-{code}",
        task=task,
        model=model,
        margin=(1 - 2 * leak) * min(2, stream.size("label")),
        description="layer 1 copies every key to its value, layer 2 matches the key that comes again",
        addressing=_addressing(positions_TD, position_code, margin, causal),
    )


def _margins(task: NearestNeighbour) -> tuple[float, float]:
    """The least difference of scores that must be told apart, and how much "lowered" grows from pair to pair.

    Steps of (2/d) / P over P pairs leave at least one step between points that differ and between points that tie.
    """
    if task.space == "cube":
        least = 2 / task.dimension
        if task.ties == "earliest":
            return least / task.points, least / task.points
        return max(least, task.margin), 0.0
    if not task.margin or task.ties == "earliest":
        raise ConfigError(
            f"{task.name} lets points be arbitrarily close to a tie, which no finite weights decide; give it "
            "ties='redrawn' and a margin, or take space='cube'."
        )
    return task.margin, 0.0


def _letters(task: AssociativeRecall) -> tuple[Tensor, Tensor]:
    """Unit letters of the keys and +-1 letters of the values, a row for every token; zeros where a token is none."""
    half = task.vocabulary // 2
    keys_VK = torch.zeros(task.vocabulary, digits(task.keys), dtype=torch.float64)
    keys_VK[1:half] = binary_code(task.keys).keys_NK
    values_VK = torch.zeros(task.vocabulary, digits(half), dtype=torch.float64)
    values_VK[half:] = binary_code(half).keys_NK * math.sqrt(digits(half))
    return keys_VK, values_VK


def _stream(code: PositionCode, *, point: int, label: int) -> Stream:
    return Stream(point=point, label=label, copied=point, first=1, second=1, lowered=1, code=code.width)


def _blank(task: FormalTask, stream: Stream, causal: bool, dtype: torch.dtype) -> SequenceForPrediction:
    head = max(stream.size("code"), stream.size("point"), stream.size("label")) + 1
    return blank_model(
        task,
        stream,
        num_hidden_layers=2,
        head_dim=head,
        ffn_size=0,
        max_positions=task.tokens,
        causal=causal,
        dtype=dtype,
    )


def _positions(tokens: int, stream: Stream, code: PositionCode, margin: float, step: float) -> Tensor:
    """Pairs of a first and a second token; what comes after them counts as first tokens without a code."""
    pairs = code.positions
    out_of_reach = 2 + margin + step * pairs
    first_PD = stream.rows(pairs, code=code.keys_NK, first=1.0, lowered=out_of_reach)
    second_PD = stream.rows(
        pairs, code=code.keys_NK, second=1.0, lowered=step * torch.arange(pairs, dtype=torch.float64)[:, None]
    )
    after_TD = stream.rows(tokens - 2 * pairs, first=1.0, lowered=out_of_reach)
    return torch.cat((torch.stack((first_PD, second_PD), dim=1).flatten(0, 1), after_TD))


def _wire_layers(model: SequenceForPrediction, stream: Stream, code: PositionCode, margin: float, leak: float) -> None:
    others = model.config.max_positions - 1
    found = code.temperature(_copy_leak(margin) / 2, others)
    # A second token scores with itself what it scores with its first; the second term takes that away from it.
    scores = [("code", "code", found), ("second", "second", -found)]
    wire_attention(model, 0, stream, scores=scores, copy=("point", "copied"))
    matched = (math.log(max(others, 1)) - math.log(leak)) / (margin - 4 * _copy_leak(margin))
    scores = [("point", "copied", matched), ("first", "lowered", -matched)]
    wire_attention(model, 1, stream, scores=scores, copy=("label", "label"))


def _copy_leak(margin: float) -> float:
    """Attention of layer 1 that may miss; below 0.1 also where the margin is as large as inner products get."""
    return min(margin / 16, 0.1)


def _addressing(positions_TD: Tensor, code: PositionCode, margin: float, causal: bool) -> Addressing:
    """Every second token looks for its first; points and labels do not enter the scores."""
    second_P = 2 * torch.arange(code.positions) + 1
    last = len(positions_TD) - 1
    return Addressing(
        queries_ND=positions_TD[second_P],
        keys_SD=positions_TD,
        targets_N=second_P - 1,
        sees_N=second_P if causal else torch.full_like(second_P, last),
        tolerated=_copy_leak(margin),
    )
