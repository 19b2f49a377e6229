"""Every formal task by its name."""

from __future__ import annotations

from typing import Any

from paribus.errors import ConfigError
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.pairwise import Disjointness, Equality
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import FormalTask, validated

_FAMILIES: tuple[type[FormalTask], ...] = (
    IndexLookup,
    BoundedDyck,
    Equality,
    Disjointness,
    NearestNeighbour,
    AssociativeRecall,
)
TASKS: dict[str, type[FormalTask]] = {family.model_fields["task"].default: family for family in _FAMILIES}

__all__ = [
    "TASKS",
    "AssociativeRecall",
    "BoundedDyck",
    "Disjointness",
    "Equality",
    "FormalTask",
    "IndexLookup",
    "NearestNeighbour",
    "parse_task",
]


def parse_task(name: str, **settings: Any) -> FormalTask:
    """Make a task of ``TASKS``, as ``parse_task("index-lookup", length=50)``; values may be strings, as on a terminal.

    Raises ``ConfigError`` for an unknown name, an unknown field, or a value that does not fit.
    """
    if name not in TASKS:
        raise ConfigError(f"There is no formal task {name!r}; take one of {', '.join(TASKS)}.")
    return validated(TASKS[name], settings)
