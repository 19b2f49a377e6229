"""Every input of a formal task, labelled by its definition: what exhaustive verification runs through.

An input is a row of digits in mixed radix (a bit, a symbol, a position, ...), and the inputs are counted through.
Labels are computed here from the definition of the task and share no code with its sampler: each checks the other.

Shapes: B inputs, N digits of one, T tokens; others as in the tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.pairwise import CLS, Disjointness, Equality, PairwiseTask
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import IGNORED, Batch, FormalTask, last_label

_CHUNK = 16384


def input_count(task: FormalTask) -> int | None:
    """How many inputs are gone through, those included that the task excludes (repeated keys, ambiguous prompts).

    None where there is no end of them (points on a sphere).
    """
    if isinstance(task, NearestNeighbour) and task.space == "sphere":
        return None
    return math.prod(_radices(task))


def every_input(task: FormalTask, *, chunk: int = _CHUNK) -> Iterator[Batch]:
    """Every input of the task exactly once, in batches of up to ``chunk`` labelled as ``task.sample`` labels them.

    For Dyck that is every string, also those that the sampler never draws; with readout "next" they are scored up to
    their first violation. Raises ``ConfigError`` for a task without enumeration.
    """
    total = input_count(task)
    if total is None:
        raise ConfigError(f"{task.name} has endlessly many inputs; verify it on samples (exhaustive=False).")
    build = _builder(task)
    for first in range(0, total, chunk):
        batch = build(task, _digits(torch.arange(first, min(first + chunk, total)), _radices(task)))
        if len(batch["labels"]):
            yield batch


def _digits(numbers_B: Tensor, radices: list[int]) -> Tensor:
    """The mixed-radix digits (B, N) of whole numbers, least significant first."""
    digits = []
    for radix in radices:
        digits.append(numbers_B % radix)
        numbers_B = numbers_B // radix
    return torch.stack(digits, dim=1)


def _radices(task: FormalTask) -> list[int]:
    match task:
        case IndexLookup():
            return [task.symbols] * task.length + [task.length]
        case PairwiseTask():
            return [2] * (2 * task.bits)
        case BoundedDyck():
            return [2 * task.pairs] * task.length
        case NearestNeighbour():
            return [2] * (task.dimension * (task.points + 1) + task.points)
        case AssociativeRecall():
            fillers = task.length - 3 * task.pairs if task.filler == "random" else 0
            return (
                [task.keys] * task.pairs
                + [task.values] * task.pairs
                + [task.slots] * task.pairs
                + [task.vocabulary] * fillers
            )
    raise _unknown(task)


def _builder(task: FormalTask) -> Callable[[Any, Tensor], Batch]:
    for family, build in _BUILDERS.items():
        if isinstance(task, family):
            return build
    raise _unknown(task)


def _unknown(task: FormalTask) -> ConfigError:
    return ConfigError(f"The inputs of {task.name} cannot be gone through; verify it on samples (exhaustive=False).")


def _index_lookup(task: IndexLookup, digits_BN: Tensor) -> Batch:
    symbols_BN, place_B1 = digits_BN[:, :-1], digits_BN[:, -1:]
    input_ids_BT = torch.cat((symbols_BN, task.symbols + place_B1), dim=1)
    return {"input_ids": input_ids_BT, "labels": last_label(symbols_BN.gather(1, place_B1)[:, 0], task.tokens)}


def _pairwise(violated: Callable[[Tensor, Tensor], Tensor]) -> Callable[[PairwiseTask, Tensor], Batch]:
    def build(task: PairwiseTask, digits_BN: Tensor) -> Batch:
        x_BN, y_BN = digits_BN.split(task.bits, dim=1)
        labels_B = (~violated(x_BN, y_BN).any(dim=1)).long()
        input_ids_BT = torch.cat((digits_BN, torch.full_like(digits_BN[:, :1], CLS)), dim=1)
        return {"input_ids": input_ids_BT, "labels": last_label(labels_B, task.tokens)}

    return build


def _dyck(task: BoundedDyck, tokens_BT: Tensor) -> Batch:
    """A stack machine that reads all strings at once: ``stack_BD`` holds bracket types, bottom first."""
    count, pairs, depth = len(tokens_BT), task.pairs, task.depth
    height_B = torch.zeros(count, dtype=torch.long)
    stack_BD = torch.zeros(count, depth + 1, dtype=torch.long)
    alive_B = torch.ones(count, dtype=torch.bool)
    allowed, alive = [], []
    for token_B in tokens_BT.unbind(1):
        opens_B = token_B < pairs
        top_B = _top(stack_BD, height_B)
        alive_B = alive_B & torch.where(opens_B, height_B < depth, (height_B > 0) & (top_B == token_B - pairs))
        pushed_BD = (torch.arange(depth + 1) == height_B[:, None]) & opens_B[:, None]
        stack_BD = torch.where(pushed_BD, token_B[:, None], stack_BD)
        height_B = (height_B + torch.where(opens_B, 1, -1)).clamp(0, depth)
        allowed.append(_allowed(task, _top(stack_BD, height_B), height_B))
        alive.append(alive_B)
    if task.readout == "membership":
        return {"input_ids": tokens_BT, "labels": last_label((alive_B & (height_B == 0)).long(), task.tokens)}
    return {"input_ids": tokens_BT, "labels": torch.stack(allowed, 1).float(), "label_mask": torch.stack(alive, 1)}


def _top(stack_BD: Tensor, height_B: Tensor) -> Tensor:
    """Type of the innermost open bracket; anything at height 0."""
    return stack_BD.gather(1, (height_B - 1).clamp(min=0)[:, None])[:, 0]


def _allowed(task: BoundedDyck, top_B: Tensor, height_B: Tensor) -> Tensor:
    """(B, 2k + 1): openers below the bound, the closer of the top, the end at height 0."""
    opens_Bk = (height_B < task.depth)[:, None].expand(-1, task.pairs)
    closes_Bk = (height_B > 0)[:, None] & (torch.arange(task.pairs) == top_B[:, None])
    return torch.cat((opens_Bk, closes_Bk, (height_B == 0)[:, None]), dim=1)


def _nearest_neighbour(task: NearestNeighbour, digits_BN: Tensor) -> Batch:
    """All prompts, or with ties="redrawn" those whose nearest points of either label are apart by the margin."""
    signs_BPd = (2 * digits_BN[:, task.points :] - 1).unflatten(1, (task.points + 1, task.dimension))
    labels_BM = digits_BN[:, : task.points]
    distance_BM = (signs_BPd[:, :-1] != signs_BPd[:, -1:]).sum(dim=2)
    if task.ties == "redrawn":
        far = task.dimension + 1
        of_0_B, of_1_B = (distance_BM.masked_fill(labels_BM != label, far).amin(dim=1) for label in (0, 1))
        # One differing coordinate is 2/d of inner product; a prompt with one label only is never ambiguous.
        apart_B = (of_0_B - of_1_B).abs() * 2 / task.dimension
        kept_B = (apart_B > 0) & ((apart_B >= task.margin - 1e-9) | (of_0_B == far) | (of_1_B == far))
        signs_BPd, labels_BM, distance_BM = signs_BPd[kept_B], labels_BM[kept_B], distance_BM[kept_B]
    earliest_BM = distance_BM * task.points + torch.arange(task.points)
    inputs_BTE = torch.zeros(len(labels_BM), task.tokens, task.input_size)
    inputs_BTE[:, 0::2, :-1] = signs_BPd / task.dimension**0.5
    inputs_BTE[:, 1::2, -1] = 2.0 * labels_BM - 1
    nearest_B1 = earliest_BM.argmin(dim=1, keepdim=True)
    return {"inputs_embeds": inputs_BTE, "labels": last_label(labels_BM.gather(1, nearest_B1)[:, 0], task.tokens)}


def _recall(task: AssociativeRecall, digits_BN: Tensor) -> Batch:
    """Keys, values and slots without repetition; each query's label is looked up in the context."""
    pairs = task.pairs
    distinct_B = torch.stack([_distinct(digits_BN[:, i * pairs : (i + 1) * pairs]) for i in range(3)]).all(dim=0)
    digits_BN = digits_BN[distinct_B]
    keys_BP, values_BP, slots_BP = (digits_BN[:, i * pairs : (i + 1) * pairs] for i in range(3))
    keys_BP, values_BP, places_BP = keys_BP + 1, values_BP + task.vocabulary // 2, 2 * (pairs + slots_BP)
    input_ids_BT = torch.zeros(len(digits_BN), task.length, dtype=torch.long)
    input_ids_BT[:, 0 : 2 * pairs : 2], input_ids_BT[:, 1 : 2 * pairs : 2] = keys_BP, values_BP
    free_BT = torch.ones_like(input_ids_BT, dtype=torch.bool).scatter(1, places_BP, False)
    free_BT[:, : 2 * pairs] = False
    if task.filler == "random":
        input_ids_BT[free_BT] = digits_BN[:, 3 * pairs :].flatten()
    input_ids_BT.scatter_(1, places_BP, keys_BP)
    labels_BT = torch.full_like(input_ids_BT, IGNORED).scatter(1, places_BP, values_BP)
    return {"input_ids": input_ids_BT, "labels": labels_BT}


def _distinct(values_BP: Tensor) -> Tensor:
    """Rows (B,) without repetition."""
    ordered = values_BP.sort(dim=1).values
    return (ordered[:, 1:] != ordered[:, :-1]).all(dim=1)


_BUILDERS: dict[type[FormalTask], Callable[[Any, Tensor], Batch]] = {
    IndexLookup: _index_lookup,
    Equality: _pairwise(lambda x_BN, y_BN: x_BN != y_BN),
    Disjointness: _pairwise(lambda x_BN, y_BN: (x_BN == 1) & (y_BN == 1)),
    BoundedDyck: _dyck,
    NearestNeighbour: _nearest_neighbour,
    AssociativeRecall: _recall,
}
