"""The state count of a small task by brute force: the distinct rows of its table of answers, prefix by suffix.

An oracle for ``bounds.distinct_states``: it plays every prefix against every suffix with the definition of the task,
shares no formula with the bounds, and is exponentially slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

from paribus.errors import ConfigError
from paribus.testbeds.formal.bounds import distinct_states
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.pairwise import Disjointness, Equality
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import FormalTask

_MOST_STATES = 1 << 16

String = tuple[int, ...]


@dataclass(frozen=True)
class _Table:
    """What is read before the cut, what after it, and the answer to both together."""

    prefixes: Iterable[Any]
    suffixes: Sequence[Any]
    answer: Callable[[Any, Any], Any]


def count_rows(task: FormalTask) -> int:
    """Count the prefixes that some suffix tells apart (index lookup, equality, disjointness, membership in Dyck).

    Where the answer is defined for some pairs only, the prefixes are those that a fooling set takes: nearest neighbour
    with its points fixed and all labels, recall with its keys fixed and all assignments of different values, and next
    characters with the prefixes that can be completed. Raises ``ConfigError`` for a task with more than 65536 states.
    """
    states = distinct_states(task)
    if states > _MOST_STATES:
        raise ConfigError(
            f"{task.name} has {states.bit_length() - 1} bits of state, too many to count rows; take a smaller task."
        )
    table = _table(task)
    return len({tuple(table.answer(prefix, suffix) for suffix in table.suffixes) for prefix in table.prefixes})


def _table(task: FormalTask) -> _Table:
    if isinstance(task, IndexLookup):
        return _Table(product(range(task.symbols), repeat=task.length), range(task.length), _entry)
    if isinstance(task, Equality | Disjointness):
        strings = list(product(range(2), repeat=task.bits))
        return _Table(strings, strings, _equal if isinstance(task, Equality) else _disjoint)
    if isinstance(task, NearestNeighbour):
        return _neighbours(task)
    if isinstance(task, AssociativeRecall):
        return _Table(permutations(range(task.values), task.pairs), range(task.pairs), _entry)
    assert isinstance(task, BoundedDyck), task.name
    return _brackets(task)


def _entry(prefix: String, place: int) -> int:
    return prefix[place]


def _equal(x: String, y: String) -> bool:
    return x == y


def _disjoint(x: String, y: String) -> bool:
    return not any(a and b for a, b in zip(x, y, strict=True))


def _neighbours(task: NearestNeighbour) -> _Table:
    """Fixed points and every labelling; the suffixes are the points. Corners of the cube are points of the sphere."""
    corners = list(product((-1, 1), repeat=task.dimension))
    points = corners[: task.points]
    if task.space == "sphere" and task.dimension > 1 and len(points) < task.points:
        raise ConfigError(f"{task.name}: rows are counted on {len(points)} corners of a cube; take a larger dimension.")

    def answer(labels: String, query: String) -> int:
        products = [sum(a * b for a, b in zip(point, query, strict=True)) for point in points]
        return labels[products.index(max(products))]

    return _Table(product(range(2), repeat=len(points)), points, answer)


def _brackets(task: BoundedDyck) -> _Table:
    """Prefixes up to one bracket over the depth reach every stack and the sink; suffixes up to the depth empty them."""

    def accepts(prefix: String, suffix: String) -> bool:
        return _stack(prefix + suffix, task) == ()

    prefixes: Iterable[String] = _strings(task, task.depth + 1)
    if task.readout == "next":
        prefixes = (prefix for prefix in prefixes if _stack(prefix, task) is not None)
    return _Table(prefixes, list(_strings(task, task.depth)), accepts)


def _strings(task: BoundedDyck, longest: int) -> Iterator[String]:
    for length in range(longest + 1):
        yield from product(range(2 * task.pairs), repeat=length)


def _stack(string: String, task: BoundedDyck) -> String | None:
    """The open brackets after a string, None once it can no longer be completed."""
    stack: String = ()
    for token in string:
        if token < task.pairs:
            stack = (*stack, token)
        elif stack and stack[-1] == token - task.pairs:
            stack = stack[:-1]
        else:
            return None
        if len(stack) > task.depth:
            return None
    return stack
