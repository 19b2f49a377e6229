"""How many examples single a function out, found exhaustively, and whether a lesson does so (Goldman and Kearns 1995).

A class is a truth table here: ``(F, 2^n)`` bool, one row a function, points in the order of ``listing.all_points``.
"""

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.draws import signs
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.listing import all_points
from paribus.testbeds.incontext.prompts import Functions
from paribus.testbeds.incontext.teaching import Lesson


def truth_table(function_class: FunctionClass, functions: Functions | None = None) -> Tensor:
    """Labels of all points, ``(B, 2^n)`` bool: of ``functions``, or each different function of the class once."""
    listed = function_class.every() if functions is None else functions
    table = function_class.evaluate(listed, all_points(function_class.dimensions)) > 0
    return table.unique(dim=0) if functions is None else table


def teaching_dimensions(table: Tensor) -> Tensor:
    """The least number of labelled points that leave one function, ``(F,)`` int64; their maximum is the class's.

    A sequence teaches f if it holds, for every other function, a point on which they differ: the smallest set that hits
    all these difference sets. Searched exactly, so meant for tables of at most some hundred rows and 64 points.

    Raises:
        ConfigError: two rows are equal; no sequence can tell them apart.
    """
    if len(table.unique(dim=0)) < len(table):
        raise ConfigError("Two rows of the table are the same function, which nothing tells apart; give each once.")
    rows = [sum(1 << place for place in row.nonzero().flatten().tolist()) for row in table]
    return torch.tensor([_least_hit(_minimal([row ^ other for other in rows if other != row])) for row in rows])


def rivals_left(function_class: FunctionClass, functions: Functions, lesson: Lesson, table: Tensor) -> Tensor:
    """How many rows of ``table`` agree with each function on its lesson, ``(B,)`` int64; 1 = the lesson teaches it."""
    labels = function_class.evaluate(functions, lesson.x)
    places = _places(lesson.x)
    shown = torch.arange(lesson.x.shape[1]) < lesson.length.unsqueeze(1)
    wanted = torch.zeros((len(places), table.shape[1]))
    # A padding row may stand on a shown point; adding it with weight 0 leaves that point as it is.
    wanted.scatter_add_(1, places, torch.where(shown, labels, 0).float())
    agreement = wanted.sign() @ signs(table).float().T
    return (agreement == wanted.sign().abs().sum(1, keepdim=True)).sum(1)


def _places(x: Tensor) -> Tensor:
    """Positions of points ``(..., n)`` in ``all_points``."""
    powers = 2 ** torch.arange(x.shape[-1] - 1, -1, -1)
    return ((x > 0) * powers).sum(-1)


def _minimal(sets: list[int]) -> list[int]:
    """Sets (as bits) that contain no other of them: hitting these hits all."""
    kept: list[int] = []
    for candidate in sorted(set(sets), key=int.bit_count):
        if all(smaller & candidate != smaller for smaller in kept):
            kept.append(candidate)
    return kept


def _least_hit(sets: list[int]) -> int:
    size = 0
    while not _can_hit(sets, size):
        size += 1
    return size


def _can_hit(sets: list[int], size: int) -> bool:
    """Whether ``size`` points hit all sets; ``sets`` are ordered from small to large."""
    if _packed(sets) > size:
        return False
    if not sets:
        return True
    first = sets[0]
    points = (1 << place for place in range(first.bit_length()) if first >> place & 1)
    return any(_can_hit([other for other in sets if not other & point], size - 1) for point in points)


def _packed(sets: list[int]) -> int:
    """Sets without a common point, taken greedily: each needs a point of its own."""
    taken = count = 0
    for candidate in sets:
        if not candidate & taken:
            taken |= candidate
            count += 1
    return count
