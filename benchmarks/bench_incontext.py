"""How fast are prompts of Boolean functions drawn?

Batches of 64 prompts at the paper's sizes, against a loop over prompts and points in plain Python with the same
distribution (written below, one prompt at a time), and against the released code of ICL-Discrete as it was measured
once on a machine of the same kind (CPU milliseconds a batch; the release is not run here). CPU time, one thread, the
median of seven turns in rotation.

Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_incontext.py`` (about half a minute).
"""

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.function_class import FunctionClass

BATCH, TURNS, REPEATS = 64, 7, 10
Point = list[int]
Prompt = tuple[list[Point], list[int]]

CASES: list[tuple[FunctionClass, float, float]] = [
    (parse_class("conjunction"), 0, 83.9),
    (parse_class("disjunction"), 0, 88.4),
    (parse_class("sparse_disjunction"), 0, 101.8),
    (parse_class("dnf"), 0, 97.2),
    (parse_class("cnf"), 0, 96.3),
    (parse_class("majority"), 0, 1.1),
    (parse_class("threshold"), 0, 0.7),
    (parse_class("halfspace"), 0, 0.4),
    (parse_class("parity", dimensions=10), 0, 2.1),
    (parse_class("sparse_parity"), 0, 1.1),
    (parse_class("nearest_neighbour"), 0, 54.8),
    (parse_class("conjunction"), 1, 148.9),
    (parse_class("conjunction", monotone=True), 1, 86.9),
    (parse_class("dnf", monotone=True, points=90), 1, 137.1),
]
"""Class, share of taught prompts, CPU ms of the release (which vectorises majority to sparse_parity, too)."""


class Loop:
    """One prompt after the other, one point after the other."""

    def __init__(self, function_class: FunctionClass, teaching: float) -> None:
        self.of: Any = function_class
        self.teaching, self.rng = teaching, random.Random(0)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch as ``FunctionClass.sample`` gives it."""
        prompts = [self.prompt() for _ in range(BATCH)]
        x = torch.tensor([points for points, _ in prompts], dtype=torch.int8)
        return x, torch.tensor([labels for _, labels in prompts], dtype=torch.int8)

    def prompt(self) -> Prompt:
        """The points and labels of a fresh function."""
        if self.of.name == "nearest_neighbour":
            return self._neighbours()
        function = FUNCTIONS[self.of.name](self)
        label, force = LABELS[self.of.name], getattr(self.of, "forcing", 0.0)
        side = -1 if self.of.name in ("disjunction", "sparse_disjunction", "cnf") else 1
        terms = function if self.of.name in ("dnf", "cnf") else [function]
        chosen = self.rng.choice(terms)
        points = _lesson(terms) if self.teaching else []
        while len(points) < self.of.points:
            x = self._point()
            if self.rng.random() < force:
                x = [side * w if w else bit for w, bit in zip(chosen, x, strict=True)]
            points.append(x)
        return points, [label(function, x) for x in points]

    def literals(self) -> Point:
        """Independent literals."""
        signs = (1,) if getattr(self.of, "monotone", False) else (-1, 1)
        used = (self.rng.random() < self.of.density for _ in range(self.of.dimensions))
        return [self.rng.choice(signs) if one else 0 for one in used]

    def formula(self) -> list[Point]:
        """Terms of literals; monotone ones until none contains another."""
        terms = [self.literals() for _ in range(self.of.terms)]
        while self.of.monotone and any(_contains(a, b) for a in terms for b in terms if a is not b):
            terms = [self.literals() for _ in range(self.of.terms)]
        return terms

    def subset(self, size: int) -> Point:
        """A subset of variables."""
        chosen = set(self.rng.sample(range(self.of.dimensions), size))
        return [int(place in chosen) for place in range(self.of.dimensions)]

    def _point(self) -> Point:
        return [self.rng.choice((-1, 1)) for _ in range(self.of.dimensions)]

    def _neighbours(self) -> Prompt:
        points = [self._point() for _ in range(self.of.points)]
        labels: list[int] = []
        for place, x in enumerate(points):
            similar = [_product(x, other) for other in points[:place]]
            best = max(similar, default=-len(x))
            copies = place >= self.of.start or best == len(x)
            labels.append(labels[similar.index(best)] if copies and similar else self.rng.choice((-1, 1)))
        return points, labels


def _product(w: Point, x: Point) -> int:
    return sum(a * b for a, b in zip(w, x, strict=True))


def _contains(inner: Point, outer: Point) -> bool:
    return all(b for a, b in zip(inner, outer, strict=True) if a)


def _holds(w: Point, x: Point) -> bool:
    return all(a == 0 or a == b for a, b in zip(w, x, strict=True))


def _some(w: Point, x: Point) -> bool:
    return any(a and a == b for a, b in zip(w, x, strict=True))


def _flipped(x: Point, place: int) -> Point:
    return [-bit if here == place else bit for here, bit in enumerate(x)]


def _lesson(terms: list[Point]) -> list[Point]:
    """Per term a point that satisfies it and its broken neighbours; of a single term both such points."""
    rows: list[Point] = []
    for term in terms:
        base = [w or -1 for w in term]
        rows.append(base)
        if len(terms) == 1 and any(w < 0 for w in term) and not all(term):
            rows.append([w or 1 for w in term])
        rows.extend(_flipped(base, place) for place, w in enumerate(term) if w)
    return rows


def _sign(positive: bool) -> int:
    return 1 if positive else -1


FUNCTIONS: dict[str, Callable[[Loop], list]] = {
    "conjunction": Loop.literals,
    "disjunction": Loop.literals,
    "sparse_disjunction": lambda loop: loop.subset(loop.of.size),
    "dnf": Loop.formula,
    "cnf": Loop.formula,
    "majority": lambda loop: [abs(w) for w in loop.literals()],
    "threshold": lambda loop: [*loop.literals(), loop.rng.choice((-2.5, -1.5, -0.5, 0.5, 1.5, 2.5))],
    "halfspace": lambda loop: [loop.rng.randint(-3, 3) for _ in range(loop.of.dimensions)],
    "parity": lambda loop: [loop.rng.choice((0, 1)) for _ in range(loop.of.dimensions)],
    "sparse_parity": lambda loop: loop.subset(loop.of.size),
}
LABELS: dict[str, Callable[[list, Point], int]] = {
    "conjunction": lambda w, x: _sign(_holds(w, x)),
    "disjunction": lambda w, x: _sign(_some(w, x)),
    "sparse_disjunction": lambda w, x: _sign(_some(w, x)),
    "dnf": lambda terms, x: _sign(any(_holds(w, x) for w in terms)),
    "cnf": lambda terms, x: _sign(all(_some(w, x) for w in terms)),
    "majority": lambda w, x: _sign(_product(w, x) > 0),
    "threshold": lambda w, x: _sign(_product(w[:-1], x) > w[-1]),
    "halfspace": lambda w, x: _sign(_product(w, x) > 0),
    "parity": lambda w, x: _sign(sum(1 for a, b in zip(w, x, strict=True) if a and b > 0) % 2 == 1),
    "sparse_parity": lambda w, x: _sign(sum(1 for a, b in zip(w, x, strict=True) if a and b > 0) % 2 == 1),
}


def _milliseconds(work: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) * 1e3 / repeats


def measure(function_class: FunctionClass, teaching: float) -> tuple[float, float]:
    """CPU milliseconds a batch: ours, and the loop's."""
    generator, loop = torch.Generator().manual_seed(0), Loop(function_class, teaching)

    def ours() -> object:
        return function_class.sample(BATCH, generator, teaching=teaching)

    ours()
    turns = [(_milliseconds(ours, REPEATS), _milliseconds(loop.batch, 1)) for _ in range(TURNS)]
    mine, theirs = zip(*turns, strict=True)
    return statistics.median(mine), statistics.median(theirs)


def main() -> None:
    """A row a case."""
    torch.set_num_threads(1)
    columns = "class | n x m | taught | ours ms | prompts/s | plain loop ms | times | release ms | times"
    print(f"| {columns} |\n|{' --- |' * (columns.count('|') + 1)}")
    for function_class, teaching, release in CASES:
        mine, loop = measure(function_class, teaching)
        name = f"{'monotone ' if getattr(function_class, 'monotone', False) else ''}{function_class.name}"
        size = f"{function_class.dimensions} x {function_class.points}"
        print(
            f"| {name} | {size} | {'yes' if teaching else '-'} | {mine:.2f} | {BATCH / mine * 1e3:,.0f} | {loop:.1f} "
            f"| {loop / mine:.0f} | {release} | {release / mine:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
