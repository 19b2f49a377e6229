"""Which constructions there are for a task."""

from __future__ import annotations

from collections.abc import Callable

import torch

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions import dyck, lookup, neighbour, pairwise
from paribus.testbeds.formal.constructions.codes import CODES
from paribus.testbeds.formal.constructions.construction import Construction
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.pairwise import Disjointness, Equality
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import FormalTask
from paribus.testbeds.formal.tasks import TASKS


def constructions_for(task: FormalTask, *, dtype: torch.dtype = torch.float32) -> list[Construction]:
    """Every construction for a task that is worth a row of a table, the paper's own form first.

    Left out are the quadratic code, which float32 does not bear at larger sizes (see ``lookups``), and the one-hot
    net of a Dyck language where it is too large. Raises ``ConfigError`` for a task without a construction, and for a
    nearest-neighbour task without a margin.
    """
    match task:
        case IndexLookup():
            forms = (("sign", "onehot"), ("binary", "onehot"), ("binary", "binary"))
            return [lookup.index_lookup(task, code=code, letters=letters, dtype=dtype) for code, letters in forms]
        case Equality() | Disjointness():
            build: Callable[..., Construction] = (
                pairwise.equality if isinstance(task, Equality) else pairwise.disjointness
            )
            return [
                build(task, code=code, gather=gather, dtype=dtype)
                for code in ("sign", "binary")
                for gather in pairwise.GATHERS
            ]
        case NearestNeighbour():
            return [neighbour.nearest_neighbour(task, code=code, dtype=dtype) for code in ("sign", "binary")]
        case AssociativeRecall():
            return [neighbour.associative_recall(task, code=code, dtype=dtype) for code in ("sign", "binary")]
        case BoundedDyck():
            small = dyck.one_hot_units(task) <= dyck.MOST_UNITS
            return [build(task, dtype=dtype) for build in (dyck.dyck_one_hot,) * small + (dyck.dyck_compact,)]
    raise ConfigError(f"There is no construction for {task.name}; take one of {', '.join(TASKS)}.")


def lookups(task: IndexLookup, *, dtype: torch.dtype = torch.float32) -> list[Construction]:
    """Index lookup by every position code, the quadratic one too: what a table of precisions compares.

    Unit codes hold in every number format, and the quadratic one shows where a construction breaks.
    """
    return [lookup.index_lookup(task, code=code, dtype=dtype) for code in CODES]
