"""How fast are the samplers of the formal tasks, against a loop over examples and against Zoology's published figures?

The loops below draw the same distributions one example at a time in plain Python, as task scripts usually do. Recall is
also drawn the way Zoology draws it (every row shuffles a table of all keys with numpy), at the four shapes of which its
released generator was measured elsewhere; those figures are printed as they were written down, not run here. Times are
CPU seconds of this process, the best of several turns, so that a busy machine slows no side down.

Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_formal.py`` (about 20 seconds).
"""

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from paribus.testbeds.formal.tasks import (
    AssociativeRecall,
    BoundedDyck,
    Disjointness,
    Equality,
    FormalTask,
    IndexLookup,
    NearestNeighbour,
)

COUNT, LOOP_COUNT, TURNS = 1024, 200, 5
IGNORED = -100
# Examples a second of Zoology's released generator, measured on two contended cores.
ZOOLOGY = {
    AssociativeRecall(length=64, pairs=4, vocabulary=8192): 3958,
    AssociativeRecall(length=256, pairs=16, vocabulary=8192): 5393,
    AssociativeRecall(length=512, pairs=64, vocabulary=8192): 4124,
    AssociativeRecall(length=64, pairs=8, vocabulary=256): 11764,
}

Example = tuple[list[Any], list[Any]]


def lookup_example(task: IndexLookup) -> Example:
    """One example of index lookup."""
    symbols = [random.randrange(task.symbols) for _ in range(task.length)]
    place = random.randrange(task.length)
    return [*symbols, task.symbols + place], [IGNORED] * task.length + [symbols[place]]


def dyck_example(task: BoundedDyck) -> Example:
    """One member of the Dyck language with the next characters after each prefix."""
    tokens, labels, stack = [], [], []
    for t in range(task.length):
        bound = min(task.depth, task.length - t)
        if not stack or (len(stack) < bound and random.random() < 0.5):
            stack.append(random.randrange(task.pairs))
            tokens.append(stack[-1])
        else:
            tokens.append(task.pairs + stack.pop())
        following = [0.0] * task.outputs
        if len(stack) < task.depth:
            following[: task.pairs] = [1.0] * task.pairs
        following[task.pairs + stack[-1] if stack else -1] = 1.0
        labels.append(following)
    return tokens, labels


def equality_example(task: Equality) -> Example:
    """One pair of strings, equal or different in one place."""
    x = [random.randrange(2) for _ in range(task.bits)]
    y, equal = list(x), random.random() < 0.5
    if not equal:
        y[random.randrange(task.bits)] ^= 1
    return [*x, *y, 2], [IGNORED] * (2 * task.bits) + [int(equal)]


def disjointness_example(task: Disjointness) -> Example:
    """One pair of sets, disjoint or with one common element."""
    pairs = [random.choice(((0, 0), (0, 1), (1, 0))) for _ in range(task.bits)]
    disjoint = random.random() < 0.5
    if not disjoint:
        pairs[random.randrange(task.bits)] = (1, 1)
    x, y = zip(*pairs, strict=True)
    return [*x, *y, 2], [IGNORED] * (2 * task.bits) + [int(disjoint)]


def neighbour_example(task: NearestNeighbour) -> Example:
    """One prompt of nearest neighbour on the cube, ties to the earliest."""
    scale = task.dimension**-0.5
    points = [[random.choice((-scale, scale)) for _ in range(task.dimension)] for _ in range(task.points + 1)]
    labels = [random.randrange(2) for _ in range(task.points)]
    products = [sum(a * b for a, b in zip(point, points[-1], strict=True)) for point in points[:-1]]
    vectors = []
    for point, label in zip(points[:-1], labels, strict=True):
        vectors += [[*point, 0.0], [0.0] * task.dimension + [2.0 * label - 1.0]]
    return [*vectors, [*points[-1], 0.0]], [IGNORED] * (2 * task.points) + [labels[products.index(max(products))]]


def recall_example(task: AssociativeRecall) -> Example:
    """One example of recall."""
    keys = random.sample(range(1, task.keys + 1), task.pairs)
    values = random.sample(range(task.values, task.vocabulary), task.pairs)
    tokens = [random.randrange(task.vocabulary) for _ in range(task.length)]
    labels, weights = [IGNORED] * task.length, [(slot + 1) ** (task.power - 1) for slot in range(task.slots)]
    for place, (key, value) in enumerate(zip(keys, values, strict=True)):
        tokens[2 * place : 2 * place + 2] = key, value
        slot = random.choices(range(task.slots), weights)[0]
        weights[slot] = 0.0
        tokens[2 * (task.pairs + slot)], labels[2 * (task.pairs + slot)] = key, value
    return tokens, labels


def recall_rows(task: AssociativeRecall, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Recall with one numpy choice a row over all keys, all values and all slots."""
    rng = np.random.RandomState(0)
    weights = np.arange(1, task.slots + 1) ** (task.power - 1)
    tokens = rng.randint(task.vocabulary, size=(count, task.length))
    labels = np.full((count, task.length), IGNORED)
    for row in range(count):
        keys = rng.choice(np.arange(1, task.keys + 1), task.pairs, replace=False)
        values = rng.choice(np.arange(task.values, task.vocabulary), task.pairs, replace=False)
        slots = rng.choice(task.slots, task.pairs, replace=False, p=weights / weights.sum())
        tokens[row, 0 : 2 * task.pairs : 2], tokens[row, 1 : 2 * task.pairs : 2] = keys, values
        tokens[row, 2 * (task.pairs + slots)], labels[row, 2 * (task.pairs + slots)] = keys, values
    return torch.from_numpy(tokens), torch.from_numpy(labels)


LOOPS: list[tuple[FormalTask, Callable[[Any], Example]]] = [
    (IndexLookup(length=100), lookup_example),
    (BoundedDyck(length=64, pairs=2, depth=4), dyck_example),
    (BoundedDyck(length=100, pairs=2, depth=10), dyck_example),
    (Equality(bits=20), equality_example),
    (Disjointness(bits=20), disjointness_example),
    (NearestNeighbour(points=100, dimension=10, ties="earliest"), neighbour_example),
    *((task, recall_example) for task in ZOOLOGY),
]


def per_second(draw: Callable[[], Any], count: int) -> float:
    """Examples a CPU second, best of the turns."""
    draw()
    best = float("inf")
    for _ in range(TURNS):
        start = time.process_time()
        draw()
        best = min(best, time.process_time() - start)
    return count / best


def looped(example: Callable[[Any], Example], task: FormalTask) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of ``LOOP_COUNT`` examples, drawn one by one."""
    inputs, labels = zip(*(example(task) for _ in range(LOOP_COUNT)), strict=True)
    return torch.tensor(inputs), torch.tensor(labels)


def measure() -> list[dict[str, Any]]:
    """Rows: task, examples a second of the sampler (batches of 1024, of 64), of the loop, of numpy rows, published."""
    generator, rows = torch.Generator().manual_seed(0), []
    for task, example in LOOPS:
        ours = per_second(lambda task=task: task.sample(COUNT, generator), COUNT)
        row = {"task": task.name, "batch of 1024": ours}
        row["batch of 64"] = per_second(lambda task=task: task.sample(64, generator), 64)
        row["loop"] = per_second(lambda task=task, example=example: looped(example, task), LOOP_COUNT)
        if task in ZOOLOGY:
            row["numpy rows"] = per_second(lambda task=task: recall_rows(task, LOOP_COUNT), LOOP_COUNT)
            row["published"] = float(ZOOLOGY[task])
        rows.append(row)
    return rows


def main() -> list[dict[str, Any]]:
    """Print the table and return its rows."""
    torch.set_num_threads(1)
    rows = measure()
    columns = ["batch of 1024", "batch of 64", "loop", "numpy rows", "published"]
    print("Examples a CPU second, one thread; in brackets how many times faster a batch of 1024 is\n")
    print(f"| task | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    for row in rows:
        cells = [f"{row[c]:,.0f}" + (f" ({row[columns[0]] / row[c]:.0f}x)" if c in columns[2:] else "")
                 if c in row else "" for c in columns]  # fmt: skip
        print(f"| {row['task']} | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    main()
