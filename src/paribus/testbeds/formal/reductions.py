"""Reductions: inputs of one task rewritten as inputs of another with the same answer.

A reduction carries a lower bound over: whatever solves the second task solves the first at the cost of the rewriting,
in which each party of the communication protocol rewrites its own tokens alone.
"""

from __future__ import annotations

from paribus.errors import ConfigError
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.pairwise import Equality
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import IGNORED, Batch, last_label


def equality_to_dyck(task: Equality, batch: Batch) -> tuple[BoundedDyck, Batch]:
    """x = y iff ``opener(x_1) closer(y_1) opener(x_2) closer(y_2) ..`` is in Dyck-(2, 1). Labels stay as they are."""
    import torch

    tokens_BT = batch["input_ids"]
    x_BN, y_BN = tokens_BT[:, : task.bits], tokens_BT[:, task.bits : 2 * task.bits]
    target = BoundedDyck(length=2 * task.bits, pairs=2, depth=1, readout="membership")
    input_ids_BT = torch.stack([x_BN, target.pairs + y_BN], dim=2).flatten(1)
    return target, {"input_ids": input_ids_BT, "labels": last_label(batch["labels"][:, -1], target.tokens)}


def lookup_to_neighbour(task: IndexLookup, batch: Batch) -> tuple[NearestNeighbour, Batch]:
    """Position p becomes a cube point (the bits of p), its symbol the point's label; the query is the asked position.

    The asked point is met with inner product 1 and every other with at most 1 - 2/d, so no query is ambiguous. Labels
    stay as they are. Raises ``ConfigError`` unless there are two symbols.
    """
    import torch

    from paribus.testbeds.formal.constructions.codes import digit_table

    if task.symbols != 2:
        raise ConfigError(f"{task.name} has {task.symbols} symbols, but a neighbour's label is binary; take symbols=2.")
    bits_Nd = digit_table(task.length).float()
    target = NearestNeighbour(points=task.length, dimension=bits_Nd.shape[1])
    codes_Nd = (2.0 * bits_Nd - 1.0) / target.dimension**0.5
    symbols_BN, index_B = batch["input_ids"][:, :-1], batch["input_ids"][:, -1] - task.symbols
    inputs_BTE = torch.zeros(len(index_B), target.tokens, target.input_size)
    inputs_BTE[:, 0:-1:2, :-1] = codes_Nd
    inputs_BTE[:, 1::2, -1] = 2.0 * symbols_BN - 1.0
    inputs_BTE[:, -1, :-1] = codes_Nd[index_B]
    return target, {"inputs_embeds": inputs_BTE, "labels": last_label(batch["labels"][:, -1], target.tokens)}


def lookup_to_recall(task: IndexLookup, batch: Batch) -> tuple[AssociativeRecall, Batch]:
    """Position p becomes key p + 1 with its symbol as value; the one scored query is the asked position's key.

    The label of symbol s is the value ``vocabulary / 2 + s``. Unlike in sampled sequences, values may repeat, and keys
    that nobody asks for are not queried: their places hold filler (id 0).
    """
    import torch

    half = max(task.length + 1, task.symbols)
    target = AssociativeRecall(length=4 * task.length, pairs=task.length, vocabulary=2 * half, filler="zero")
    symbols_BN, index_B = batch["input_ids"][:, :-1], batch["input_ids"][:, -1] - task.symbols
    query = 2 * task.length  # right behind the pairs
    input_ids_BT = torch.zeros(len(index_B), target.tokens, dtype=torch.int64)
    input_ids_BT[:, 0:query:2] = 1 + torch.arange(task.length)
    input_ids_BT[:, 1:query:2] = half + symbols_BN
    input_ids_BT[:, query] = 1 + index_B
    labels_BT = torch.full_like(input_ids_BT, IGNORED)
    labels_BT[:, query] = half + batch["labels"][:, -1]
    return target, {"input_ids": input_ids_BT, "labels": labels_BT}
