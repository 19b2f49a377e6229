"""How long does it take to verify the constructions of the formal test-bed, all inputs of all small sizes included?

The suite: index lookup over every sequence, position and length, equality and disjointness over all
inputs up to 9 bits in both variants, nearest neighbour exhaustively and at d = 16, M = 500, bounded Dyck over every
string and every state, and certificates up to 8192 positions in four precisions. It is set against the 155 CPU seconds
that an unbatched first version took elsewhere, without the walk and the certificates (goal: below 60), and against the
same models run one input at a time.

Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_constructions.py`` (about a minute).
"""

import time
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any

import torch

from paribus.testbeds.formal.constructions.certificates import certify_code
from paribus.testbeds.formal.constructions.codes import make_code
from paribus.testbeds.formal.constructions.construction import Construction
from paribus.testbeds.formal.constructions.dyck import dyck_compact, dyck_one_hot
from paribus.testbeds.formal.constructions.inputs import every_input
from paribus.testbeds.formal.constructions.lookup import index_lookup
from paribus.testbeds.formal.constructions.neighbour import associative_recall, nearest_neighbour
from paribus.testbeds.formal.constructions.pairwise import disjointness, equality
from paribus.testbeds.formal.constructions.precision import PRECISIONS
from paribus.testbeds.formal.constructions.reachable import walk_states
from paribus.testbeds.formal.constructions.verifying import Verification, verify
from paribus.testbeds.formal.tasks import (
    AssociativeRecall,
    BoundedDyck,
    Disjointness,
    Equality,
    FormalTask,
    IndexLookup,
    NearestNeighbour,
)

ONE_BY_ONE = 300
FIRST_VERSION = {"index lookup": 13, "equality and disjointness": 59, "nearest neighbour": 78, "bounded Dyck": 4}
GATHERS, CODES = ("mean", "sharp"), ("sign", "binary")


def lookups() -> Iterable[Verification]:
    """Every sequence with every position; the largest also at every shorter length."""
    for length, symbols in ((6, 2), (8, 2), (10, 2), (12, 2), (5, 3), (6, 4)):
        task = IndexLookup(length=length, symbols=symbols)
        for code in CODES:
            built = index_lookup(task, code=code)
            shorter = range(1, length) if length == 12 else ()
            yield from (verify(built, task=task.at(size), exhaustive=True) for size in (*shorter, length))


def pairs() -> Iterable[Verification]:
    """All inputs of 1 to 9 bits, both ways of gathering."""
    for bits in range(1, 10):
        for gather in GATHERS:
            yield verify(equality(Equality(bits=bits), code="binary", gather=gather), exhaustive=True)
            yield verify(disjointness(Disjointness(bits=bits), code="binary", gather=gather), exhaustive=True)


def neighbours() -> Iterable[Verification]:
    """All prompts of the small sizes, samples of the large ones, both rules for ties."""
    for ties in ("redrawn", "earliest"):
        for dimension, points in ((2, 2), (2, 3), (3, 2), (3, 3), (10, 100), (16, 500)):
            task = NearestNeighbour(dimension=dimension, points=points, ties=ties)
            yield verify(nearest_neighbour(task), samples=2000 if points == 100 else 200)


def recalls() -> Iterable[Verification]:
    """All sequences of a tiny vocabulary, samples of published sizes."""
    yield verify(associative_recall(AssociativeRecall(length=8, pairs=2, vocabulary=6)), exhaustive=True)
    yield verify(associative_recall(AssociativeRecall(length=64, pairs=8, vocabulary=256)), samples=2000)
    yield verify(associative_recall(AssociativeRecall(length=64, pairs=4, vocabulary=8192)), samples=200)


def brackets() -> Iterable[Verification]:
    """Every string of even length, members or not."""
    for types, depth, longest in ((1, 2, 12), (2, 2, 8), (2, 3, 8), (3, 2, 6)):
        for length in range(2, longest + 1, 2):
            task = BoundedDyck(pairs=types, depth=depth, length=length, readout="membership")
            yield from (verify(build(task), exhaustive=True) for build in (dyck_one_hot, dyck_compact))


SUITE: dict[str, tuple[Callable[[], Iterable[Verification]], Construction]] = {
    "index lookup": (lookups, index_lookup(IndexLookup(length=12, symbols=2))),
    "equality and disjointness": (pairs, equality(Equality(bits=9), code="binary")),
    "nearest neighbour": (neighbours, nearest_neighbour(NearestNeighbour(dimension=3, points=3))),
    "associative recall": (recalls, associative_recall(AssociativeRecall(length=8, pairs=2, vocabulary=6))),
    "bounded Dyck": (brackets, dyck_one_hot(BoundedDyck(pairs=2, depth=3, length=8))),
}
"""For each part its checks, and the construction whose batched check is compared with one input at a time."""


def one_by_one(built: Construction) -> float:
    """Inputs a CPU second without batches."""
    batches = islice(every_input(built.task, chunk=1), ONE_BY_ONE)
    start = time.process_time()
    with torch.no_grad():
        for batch in batches:
            built.model(**{name: batch[name] for name in ("input_ids", "inputs_embeds") if name in batch})
    return ONE_BY_ONE / (time.process_time() - start)


def batched(built: Construction) -> float:
    """Inputs a CPU second of an exhaustive check of the same construction."""
    start = time.process_time()
    found = verify(built, exhaustive=True)
    return found.checked / (time.process_time() - start)


def all_states() -> int:
    """Steps walked through to prove the Dyck nets for every length; raises if one is wrong."""
    tasks: list[FormalTask] = [
        BoundedDyck(pairs=types, depth=depth, readout=readout)
        for types, depth in ((1, 2), (2, 2), (2, 3), (3, 2), (2, 7))
        for readout in ("next", "membership")
    ]
    reached = [walk_states(build(task)) for task in tasks for build in (dyck_one_hot, dyck_compact)]
    assert all(reach.proves for reach in reached)
    return sum(reach.steps for reach in reached)


def certificates() -> int:
    """Certificates computed; raises if one does not hold."""
    codes = [make_code(name, count) for name in CODES for count in (64, 256, 1024, 4096, 8192)]
    found = [certify_code(code, dtype=dtype) for code in codes for dtype in PRECISIONS]
    assert all(certificate.holds for certificate in found)
    return len(found)


def measure() -> list[dict[str, Any]]:
    """Rows: part, checks, inputs, errors, CPU seconds, those of the first version, gain over one input at a time."""
    rows = []
    for name, (checks, example) in SUITE.items():
        start = time.process_time()
        found = list(checks())
        seconds = time.process_time() - start
        inputs = sum(check.checked for check in found)
        errors = sum(check.errors for check in found)
        gain = batched(example) / one_by_one(example)
        row = {"part": name, "checks": len(found), "inputs": inputs, "errors": errors, "CPU s": seconds}
        rows.append(row | {"first version": FIRST_VERSION.get(name), "over one by one": gain})
    for name, run in (("all states of Dyck nets", all_states), ("certificates", certificates)):
        start = time.process_time()
        count = run()
        rows.append({"part": name, "checks": count, "errors": 0, "CPU s": time.process_time() - start})
    return rows


def main() -> list[dict[str, Any]]:
    """Print the table and return its rows."""
    torch.set_num_threads(1)
    rows = measure()
    columns = list(dict.fromkeys(chain.from_iterable(rows)))
    print(f"| {' | '.join(columns)} |\n| --- |{' ---: |' * (len(columns) - 1)}")
    for row in rows:
        cells = [row.get(column) for column in columns]
        print(f"| {' | '.join(f'{c:,.1f}' if isinstance(c, float) else '' if c is None else str(c) for c in cells)} |")
    print(f"\nIn all {sum(row['CPU s'] for row in rows):.0f} CPU seconds.")
    return rows


if __name__ == "__main__":
    main()
