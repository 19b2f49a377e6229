"""Bounds: closed forms against rows counted by brute force, known figures, Fano's ceiling, refusals."""

import math
from collections.abc import Callable, Iterator
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError
from paribus.testbeds.formal import row_counts
from paribus.testbeds.formal.bounds import (
    NoBound,
    accuracy_ceiling,
    bits_for_accuracy,
    communication_bits,
    distinct_states,
    known,
    one_layer_width,
    recurrent_bits,
    recurrent_width,
    require_capacity,
    task_ceiling,
)
from paribus.testbeds.formal.row_counts import count_rows
from paribus.testbeds.formal.task import FormalTask
from paribus.testbeds.formal.tasks import (
    AssociativeRecall,
    BoundedDyck,
    Disjointness,
    Equality,
    IndexLookup,
    NearestNeighbour,
)

SMALL: list[FormalTask] = [
    *(IndexLookup(length=n, symbols=s) for n in range(1, 7) for s in (2, 3)),
    *(Equality(bits=n) for n in range(1, 7)),
    *(Disjointness(bits=n) for n in range(1, 7)),
    *(NearestNeighbour(points=m, dimension=d) for m in range(1, 7) for d in (1, 2, 3)),
    *(NearestNeighbour(points=m, dimension=3, space="sphere") for m in range(1, 7)),
    *(NearestNeighbour(points=m, dimension=1, space="sphere") for m in range(1, 4)),
    *(AssociativeRecall(length=24, pairs=p, vocabulary=v) for p in (1, 2, 3) for v in (8, 12)),
    *(
        BoundedDyck(pairs=k, depth=d, readout=readout)
        for k, d in [(1, 1), (1, 4), (2, 1), (2, 2), (2, 3), (3, 2), (4, 1)] for readout in ("next", "membership")
    ),
]  # fmt: skip


@pytest.mark.parametrize("task", SMALL, ids=lambda task: task.name)
def test_closed_forms_equal_counted_rows(task: FormalTask) -> None:
    assert count_rows(task) == distinct_states(task)


def test_the_row_count_sees_a_wrong_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_counts, "_equal", lambda x, y: x[0] == y[0])
    assert count_rows(Equality(bits=4)) == 2


@pytest.mark.parametrize(("pairs", "depth"), [(2, 2), (2, 3), (3, 2)])
def test_dyck_states_are_a_geometric_series_and_a_sink(pairs: int, depth: int) -> None:
    task = BoundedDyck(pairs=pairs, depth=depth, readout="membership")
    assert distinct_states(task) == (pairs ** (depth + 1) - 1) // (pairs - 1) + 1


@pytest.mark.parametrize(
    ("task", "bits"),
    [
        (IndexLookup(length=1024, symbols=64), 6144),
        (IndexLookup(length=20, symbols=16), 80),
        (IndexLookup(length=3, symbols=3), 5),
        (Equality(bits=100), 100),
        (BoundedDyck(pairs=2, depth=2, readout="membership"), 3),
        (BoundedDyck(pairs=3, depth=2, readout="membership"), 4),
        (NearestNeighbour(points=100, dimension=10), 100),
        (NearestNeighbour(points=100, dimension=5), 32),
        (AssociativeRecall(length=4, pairs=1, vocabulary=8), 2),
    ],
    ids=lambda value: value.name if isinstance(value, FormalTask) else "",
)
def test_known_figures(task: FormalTask, bits: int) -> None:
    assert recurrent_bits(task) == bits
    assert bits - 1 < communication_bits(task) <= bits


def test_widths_at_two_precisions() -> None:
    task = IndexLookup(length=1024, symbols=64)
    assert (recurrent_width(task, 32), recurrent_width(task, 16), recurrent_width(task, 7)) == (192, 384, 878)


def test_a_state_just_large_enough_passes_and_one_bit_less_does_not() -> None:
    task = IndexLookup(length=20, symbols=16)
    require_capacity(task, 5, 16)
    with pytest.raises(
        ConfigError, match=r"4 numbers x 16 bits = 64 bits cannot solve index-lookup.*needs 80 bits.*5 numbers"
    ):
        require_capacity(task, 4, 16)


@pytest.mark.parametrize("call", [
    lambda task: require_capacity(task, 0, 16),
    lambda task: require_capacity(task, 4, 0),
    lambda task: recurrent_width(task, -3),
    lambda task: one_layer_width(task, heads=0, bits_per_number=16),
    lambda task: one_layer_width(task, heads=1, bits_per_number=0),
])  # fmt: skip
def test_sizes_below_one_are_refused(call: Callable[[FormalTask], object]) -> None:
    with pytest.raises(ConfigError, match="give a whole number of at least 1"):
        call(Equality(bits=8))


def test_a_margin_without_a_closed_form_is_refused() -> None:
    assert distinct_states(NearestNeighbour(points=3, dimension=4, margin=0.5)) == 8
    for task in (NearestNeighbour(dimension=4, margin=0.6), NearestNeighbour(space="sphere", margin=0.1)):
        with pytest.raises(ConfigError, match="no closed form; take a margin of 0"):
            distinct_states(task)


def test_only_small_tasks_are_counted() -> None:
    with pytest.raises(ConfigError, match="17 bits of state, too many to count rows"):
        count_rows(Equality(bits=17))
    with pytest.raises(ConfigError, match="4 corners of a cube; take a larger dimension"):
        count_rows(NearestNeighbour(points=5, dimension=2, space="sphere"))


# --- one layer ---


def test_one_layer_bound_by_hand() -> None:
    bound = one_layer_width(Equality(bits=4096), heads=4, bits_per_number=16)
    per_unit = 3 * 4 * (16 + math.log2(8193))
    assert bound.bits_per_unit == pytest.approx(per_unit) and bound.bits == 4096
    assert bound.width == math.ceil(4096 / per_unit) and "Alice holds x" in bound.assumes


def test_one_layer_bound_grows_linearly_up_to_the_logarithm() -> None:
    widths = [one_layer_width(Disjointness(bits=n), heads=1, bits_per_number=16).width for n in (2**10, 2**14, 2**18)]
    assert 12 < widths[1] / widths[0] < 16 and 12 < widths[2] / widths[1] < 16


def test_one_layer_bound_of_dyck_goes_through_equality() -> None:
    bound = one_layer_width(BoundedDyck(length=400, readout="membership"), heads=2, bits_per_number=16)
    assert bound.bits == 199 and "last pair" in bound.assumes


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (IndexLookup(), "one layer of logarithmic width solves it"),
        (AssociativeRecall(), "No one-layer bound is established"),
        (NearestNeighbour(), "No one-layer bound is established"),
        (BoundedDyck(), "take readout=membership and pairs=2"),
        (BoundedDyck(pairs=1, readout="membership"), "take readout=membership and pairs=2"),
    ],
    ids=lambda value: value.name if isinstance(value, FormalTask) else "",
)
def test_tasks_without_a_one_layer_bound_say_why(task: FormalTask, message: str) -> None:
    with pytest.raises(NoBound, match=message):
        one_layer_width(task, heads=1, bits_per_number=16)
    assert known(lambda: one_layer_width(task, heads=1, bits_per_number=16)) is None


def test_a_bound_is_unknown_for_want_of_a_proof_and_never_for_a_wrong_argument() -> None:
    assert known(lambda: recurrent_bits(Equality(bits=5))) == 5
    with pytest.raises(ConfigError, match="heads is 0"):
        known(lambda: one_layer_width(Equality(), heads=0, bits_per_number=32))
    with pytest.raises(ConfigError, match="state_bits is -1"):
        known(lambda: task_ceiling(IndexLookup(), -1))


# --- Fano's ceiling ---


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 500), symbols=st.integers(2, 300), share=st.floats(0, 1), more=st.floats(0, 1))
def test_the_ceiling_rises_with_the_state_and_its_inverse_undoes_it(
    length: int, symbols: int, share: float, more: float
) -> None:
    full = length * math.log2(symbols)
    bits = share * full
    ceiling = accuracy_ceiling(bits, length, symbols)
    assert 1 / symbols <= ceiling <= 1.0
    assert ceiling <= accuracy_ceiling(bits + more * full, length, symbols)
    assert bits_for_accuracy(ceiling, length, symbols) == pytest.approx(bits, abs=1e-6 * full)


@pytest.mark.parametrize(("length", "symbols"), [(1, 2), (20, 16), (7, 3), (1000, 64)])
def test_the_ends_of_the_ceiling(length: int, symbols: int) -> None:
    full = length * math.log2(symbols)
    assert accuracy_ceiling(0, length, symbols) == 1 / symbols
    assert accuracy_ceiling(full, length, symbols) == accuracy_ceiling(10 * full, length, symbols) == 1.0
    assert accuracy_ceiling(0.999 * full, length, symbols) < 1.0
    assert bits_for_accuracy(1.0, length, symbols) == pytest.approx(full)
    assert bits_for_accuracy(1 / symbols, length, symbols) == bits_for_accuracy(0.0, length, symbols) == 0.0


@pytest.mark.parametrize(
    ("length", "symbols", "bits"), [(3, 2, 1), (3, 2, 2), (4, 2, 1), (2, 3, 1), (3, 3, 2), (2, 4, 2)]
)
def test_no_encoder_of_a_small_lookup_beats_the_ceiling(length: int, symbols: int, bits: int) -> None:
    """The best encoder there is, by search: choose 2^bits codewords, encode each string as the closest one."""
    strings = list(product(range(symbols), repeat=length))
    states = 2**bits
    best = 0.0
    # For fixed states the best decoder names one symbol a place: a codeword; the best encoder takes the closest one.
    for words in _word_sets(strings, states):
        agree = sum(max(sum(a == b for a, b in zip(string, word, strict=True)) for word in words) for string in strings)
        best = max(best, agree / (length * len(strings)))
    ceiling = accuracy_ceiling(bits, length, symbols)
    assert 1 / symbols < best <= ceiling < 1.0


def _word_sets(strings: list[tuple[int, ...]], states: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    first, *rest = strings  # renaming the symbols of each place makes any word the first
    for others in combinations(rest, states - 1):
        yield (first, *others)


def test_recall_stores_values_without_repetition() -> None:
    task = AssociativeRecall(length=64, pairs=4, vocabulary=16)
    bits = math.log2(8 * 7 * 6 * 5)
    assert communication_bits(task) == pytest.approx(bits)
    assert task_ceiling(task, bits) == 1.0 and task_ceiling(task, 0.9 * bits) < 1.0
    # Even without a state, different values are known a little: the ceiling is above chance and below all of it.
    assert 1 / 8 < task_ceiling(task, 0) < 0.5
    assert task_ceiling(IndexLookup(length=20, symbols=16), 40) == accuracy_ceiling(40, 20, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy_ceiling(-1, 20, 16), "state_bits is -1"),
        (lambda: accuracy_ceiling(math.nan, 20, 16), "state_bits is nan"),
        (lambda: accuracy_ceiling(1, 0, 16), "length is 0"),
        (lambda: accuracy_ceiling(1, 20, 1), "symbols is 1"),
        (lambda: bits_for_accuracy(1.1, 20, 16), "accuracy is 1.1"),
        (lambda: task_ceiling(AssociativeRecall(), -2), "state_bits is -2"),
        (lambda: task_ceiling(Equality(), 3), "no accuracy ceiling for equality"),
    ],
)
def test_impossible_requests_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()
