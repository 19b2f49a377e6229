"""Every formal task by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from paribus.errors import ConfigError
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.pairwise import Disjointness, Equality
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import Batch, FormalTask, validated

if TYPE_CHECKING:
    import torch

_Family = IndexLookup | BoundedDyck | Equality | Disjointness | NearestNeighbour | AssociativeRecall
TASKS: dict[str, type[FormalTask]] = {family.model_fields["task"].default: family for family in get_args(_Family)}
# The type of a field of settings that holds any one of them, told apart by its ``task``.
AnyTask = Annotated[_Family, Field(discriminator="task")]

__all__ = [
    "TASKS",
    "AnyTask",
    "AssociativeRecall",
    "BoundedDyck",
    "Disjointness",
    "Equality",
    "FormalTask",
    "IndexLookup",
    "NearestNeighbour",
    "mixed_sizes",
    "parse_task",
]


def parse_task(name: str, **settings: Any) -> FormalTask:
    """Make a task of ``TASKS``, as ``parse_task("index-lookup", length=50)``; values may be strings, as on a terminal.

    Raises ``ConfigError`` for an unknown name, an unknown field, or a value that does not fit.
    """
    if name not in TASKS:
        raise ConfigError(f"There is no formal task {name!r}; take one of {', '.join(TASKS)}.")
    return validated(TASKS[name], settings)


def mixed_sizes(task: FormalTask, sizes: Sequence[int]) -> Callable[[int, torch.Generator], Batch]:
    """Return a sampler like ``task.sample`` whose every batch is at one of the ``sizes``, each equally likely.

    Raises ``ConfigError`` for no sizes, or for one that the task cannot have.
    """
    import torch

    if not sizes:
        raise ConfigError(f"{task.name} was given no sizes to mix; give at least one.")
    tasks = [task.at(size) for size in sizes]

    def sample(count: int, generator: torch.Generator) -> Batch:
        return tasks[int(torch.randint(len(tasks), (), generator=generator))].sample(count, generator)

    return sample
