"""What a state must hold: communication bits of the tasks, and the sizes they force on recurrent and shallow models.

A recurrent model that has read a prefix knows of it what is in its state and nothing else. Two prefixes that some
suffix tells apart must leave different states, so the state has at least as many values as there are different rows in
the table of answers (prefix, suffix): ``distinct_states``, in closed form, and counted by brute force in
``row_counts``. The bounds bind every model that carries a state over the cut (Elman, LSTM, GRU, state spaces, linear
attention, windows); they do not bind models that keep the whole past (full attention, global convolutions).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from paribus.errors import ConfigError
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.pairwise import Disjointness, Equality
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import FormalTask

Bound = TypeVar("Bound")

_NUMBERS_PER_WIDTH = 3  # a head's partial sum has width numbers, a normaliser and a maximum: m + 2 <= 3m


class NoBound(ConfigError):
    """No bound, or no closed form of it, is known for a task."""


def known(bound: Callable[[], Bound]) -> Bound | None:
    """Return a bound of this module, or None where it raises ``NoBound``: ``known(lambda: recurrent_bits(task))``."""
    try:
        return bound()
    except NoBound:
        return None


def distinct_states(task: FormalTask) -> int:
    """Return how many states every exact recurrent solver of the task needs (an exact, possibly huge, integer).

    Index lookup: ``symbols ** length``. Equality and disjointness: ``2 ** bits``. Nearest neighbour: ``2`` to the
    number of different points, whose labels are free. Recall: the ways to give fixed keys different values. Bounded
    Dyck, at all lengths by one rule for every step: the stacks of depth up to D, and for membership one state more for
    what can no longer be mended. (A solver that counts its steps needs the stacks of odd or those of even depth only.)
    Raises ``NoBound`` for a task without a closed form.
    """
    if isinstance(task, IndexLookup):
        return int(task.symbols**task.length)
    if isinstance(task, Equality | Disjointness):
        return int(2**task.bits)
    if isinstance(task, NearestNeighbour):
        return int(2 ** _free_points(task))
    if isinstance(task, AssociativeRecall):
        return math.perm(task.values, task.pairs)
    if isinstance(task, BoundedDyck):
        return sum(task.pairs**height for height in range(task.depth + 1)) + (task.readout == "membership")
    raise NoBound(f"There is no closed form for {task.name}; count its rows with row_counts.count_rows.")


def _free_points(task: NearestNeighbour) -> int:
    if task.margin > (2.0 / task.dimension if task.space == "cube" else 0.0):
        raise NoBound(
            f"{task.name}: how many points fit with margin {task.margin} has no closed form; take a margin of 0, or of "
            "at most 2 / dimension on the cube."
        )
    finite = task.space == "cube" or task.dimension == 1  # on a line the sphere is the cube: two points
    return min(task.points, 2**task.dimension) if finite else task.points


def communication_bits(task: FormalTask) -> float:
    """Return log2 of ``distinct_states``: the one-way deterministic communication of the task, before rounding up."""
    return math.log2(distinct_states(task))


def recurrent_bits(task: FormalTask) -> int:
    """Return the bits that the state of an exact recurrent solver has at least, whatever its update rule.

    Worst case over inputs. Equality is the exception on average: fingerprints of O(log N) bits are right with high
    probability, so never conclude from it that a small state cannot do equality on random inputs. Index lookup and
    disjointness are linear even for randomised solvers.
    """
    return (distinct_states(task) - 1).bit_length()


def recurrent_width(task: FormalTask, bits_per_number: int) -> int:
    """Return how many state numbers of ``bits_per_number`` bits an exact recurrent solver has at least."""
    return -(-recurrent_bits(task) // _positive(bits_per_number, "bits_per_number"))


def require_capacity(task: FormalTask, numbers: int, bits_per_number: int) -> None:
    """Raise ``ConfigError`` where a state of ``numbers`` numbers cannot solve the task exactly."""
    have = _positive(numbers, "numbers") * _positive(bits_per_number, "bits_per_number")
    need = recurrent_bits(task)
    if have < need:
        raise ConfigError(
            f"A state of {numbers} numbers x {bits_per_number} bits = {have} bits cannot solve {task.name} exactly: it "
            f"needs {need} bits; take at least {recurrent_width(task, bits_per_number)} numbers or a smaller task."
        )


@dataclass(frozen=True)
class OneLayerBound:
    """Least width of a one-layer transformer, with everything that went into it.

    Attributes:
        width: m, the least model width (also of each head's values). bits: communication that the task needs.
        bits_per_unit: what one unit of width lets through: ``3 * heads * (bits per number + log2 tokens)``.
        assumes: what both parties know beforehand, and where the task is cut.
    """

    width: int
    bits: int
    bits_per_unit: float
    assumes: str


def one_layer_width(task: FormalTask, *, heads: int, bits_per_number: int) -> OneLayerBound:
    """Bound the width m of a one-layer transformer that solves the task exactly, from ``m >= bits / bits_per_unit``.

    The layer is a protocol: for each head Alice sends, about her tokens, the sum of the weighted values (m numbers),
    the sum of the weights and the largest score. A sum of T numbers of p bits takes p + log2 T bits, and m + 2 <= 3m,
    so ``3 * m * heads * (p + log2 T)`` bits suffice; they cannot be fewer than the task's communication. (The paper's
    own constant is not known to us; this one is derived here.) Worst case over inputs: see ``recurrent_bits``.

    Raises ``NoBound`` for tasks without such a bound: index lookup, which one layer solves at logarithmic width
    since the query is Bob's; nearest neighbour and recall, for which none is established.
    """
    bits, assumes = _split(task)
    carried = _NUMBERS_PER_WIDTH * _positive(heads, "heads") * (
        _positive(bits_per_number, "bits_per_number") + math.log2(task.tokens)
    )  # fmt: skip
    return OneLayerBound(math.ceil(bits / carried), bits, carried, assumes)


def _split(task: FormalTask) -> tuple[int, str]:
    """Bits of the two-party problem inside the task, and what its parties know."""
    if isinstance(task, Equality | Disjointness):
        return task.bits, "Alice holds x, Bob y; both know the token CLS, its position, and the weights of the model."
    if isinstance(task, BoundedDyck) and task.readout == "membership" and task.pairs > 1:
        return task.length // 2 - 1, (
            "Openers and closers alternate; Alice holds the openers, Bob the closers, whose types must be equal; both "
            "know the last pair, where the answer is read, and the weights of the model."
        )
    if isinstance(task, BoundedDyck):
        raise NoBound(
            f"{task.name}: the one-layer bound is on membership with at least two bracket types; take "
            "readout=membership and pairs=2."
        )
    if isinstance(task, IndexLookup):
        raise NoBound(f"{task.name} has no one-layer bound: one layer of logarithmic width solves it.")
    raise NoBound(f"No one-layer bound is established for {task.name}; ask for equality, disjointness or Dyck.")


def accuracy_ceiling(state_bits: float, length: int, symbols: int) -> float:
    """Return the best accuracy of index lookup that a state of ``state_bits`` bits allows, by Fano's inequality.

    N = ``length`` independent uniform symbols are stored and a uniform position is asked. The state leaves
    ``N log2 symbols - state_bits`` bits unknown, and a symbol named with error e leaves at most ``h2(e) + e
    log2(symbols - 1)`` bits of it unknown; both are concave, so the average error obeys the same inequality. 1 from
    ``N log2 symbols`` bits on, ``1 / symbols`` at 0 bits. Raises ``ConfigError`` for a negative number of bits, fewer
    than two symbols or no position.
    """
    _check_lookup(length, symbols)
    _check_bits(state_bits)
    return _best_accuracy(math.log2(symbols) - state_bits / length, symbols)


def bits_for_accuracy(accuracy: float, length: int, symbols: int) -> float:
    """Return the state bits below which index lookup cannot reach ``accuracy``: the inverse of ``accuracy_ceiling``.

    0 up to chance. Raises ``ConfigError`` for an accuracy outside [0, 1].
    """
    _check_lookup(length, symbols)
    if not 0.0 <= accuracy <= 1.0:
        raise ConfigError(f"accuracy is {accuracy}; give a share between 0 and 1.")
    if accuracy <= 1.0 / symbols:
        return 0.0
    return length * max(0.0, math.log2(symbols) - _unknown_bits(1.0 - accuracy, symbols))


def task_ceiling(task: FormalTask, state_bits: float) -> float:
    """Return the best token accuracy a state of ``state_bits`` bits allows on a task's own distribution.

    Index lookup: ``accuracy_ceiling``. Recall: the same inequality for values drawn without repetition; the keys count
    as known, so the true ceiling is lower still. Raises ``NoBound`` for other tasks, whose answers are not stored
    items, and ``ConfigError`` for a negative number of bits.
    """
    if isinstance(task, IndexLookup):
        return accuracy_ceiling(state_bits, task.length, task.symbols)
    if isinstance(task, AssociativeRecall):
        _check_bits(state_bits)
        return _best_accuracy((communication_bits(task) - state_bits) / task.pairs, task.values)
    raise NoBound(f"There is no accuracy ceiling for {task.name}; ask for index lookup or associative recall.")


def _best_accuracy(unknown: float, symbols: int) -> float:
    """Largest accuracy at which an item can still have ``unknown`` bits that the state does not tell."""
    if unknown <= 0.0:
        return 1.0
    if unknown >= math.log2(symbols):
        return 1.0 / symbols
    low, high = 1.0 / symbols, 1.0  # the unknown bits fall from log2 symbols to 0 in between
    while high - low > 1e-15 and low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _unknown_bits(1.0 - middle, symbols) >= unknown else (low, middle)
    return high


def _unknown_bits(error: float, symbols: int) -> float:
    """Fano: h2(error) + error log2(symbols - 1), the most bits of a symbol that a guess with that error leaves."""
    inside = 0.0 < error < 1.0
    binary = -error * math.log2(error) - (1.0 - error) * math.log2(1.0 - error) if inside else 0.0
    return binary + error * math.log2(symbols - 1)


def _check_lookup(length: int, symbols: int) -> None:
    _positive(length, "length")
    if symbols < 2:
        raise ConfigError(f"symbols is {symbols}; an alphabet has at least 2.")


def _check_bits(state_bits: float) -> None:
    if not state_bits >= 0:
        raise ConfigError(f"state_bits is {state_bits}; a state has 0 bits or more.")


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise ConfigError(f"{name} is {value}; give a whole number of at least 1.")
    return value
