"""Choosing merge weights (or any merge setting) by score on a development split, and on nothing else.

Mix Data or Merge Models (arXiv 2410.10801) searched blend ratios over {0, 0.3, 0.5, 0.7, 1}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum
from typing import Generic, TypeVar

from paribus.errors import ConfigError

C = TypeVar("C")

GRID = (0.0, 0.3, 0.5, 0.7, 1.0)


@dataclass(frozen=True)
class DevScorer(Generic[C]):
    """A score to be maximised, and the split it is measured on, which must be called ``dev``."""

    score: Callable[[C], float]
    split: str = "dev"

    def __post_init__(self) -> None:
        if self.split != "dev":
            raise ConfigError(
                f"Merge weights were to be searched on the split {self.split!r}; search on 'dev', measure once on test."
            )


@dataclass(frozen=True)
class SearchResult(Generic[C]):
    """The best candidate and every score, in the order tried. Of equal scores the first candidate wins."""

    best: C
    score: float
    tried: tuple[tuple[C, float], ...]


def search_weights(candidates: Iterable[C], evaluate: DevScorer[C]) -> SearchResult[C]:
    """Score every candidate (weights of ``weight_grid``, values of t, settings) and return the best.

    Raises ``ConfigError`` if there is no candidate or ``evaluate`` does not say that it scores the dev split.
    """
    if not isinstance(evaluate, DevScorer):
        raise ConfigError(
            f"evaluate is {type(evaluate).__name__}; wrap it as DevScorer(score), which vouches for the split."
        )
    tried = tuple((candidate, float(evaluate.score(candidate))) for candidate in candidates)
    if not tried:
        raise ConfigError("There is no candidate to search over; give at least one.")
    best, score = max(tried, key=lambda row: row[1])
    return SearchResult(best, score, tried)


def weight_grid(models: int, grid: Sequence[float] = GRID) -> list[tuple[float, ...]]:
    """All weight vectors with entries from ``grid``, divided by their sum; proportional ones once, zero left out.

    Grows fast: 2 models 15 vectors (with the published grid), 3 models 103, 5 models 3,031. From 4 models on, use
    ``coordinate_search``.
    """
    seen: dict[tuple[float, ...], None] = {}
    for row in product(grid, repeat=models):
        total = fsum(row)
        if total > 0:
            seen.setdefault(tuple(round(value / total, 9) for value in row))
    return list(seen)


def coordinate_search(
    models: int, evaluate: DevScorer[tuple[float, ...]], *, grid: Sequence[float] = GRID, rounds: int = 2
) -> SearchResult[tuple[float, ...]]:
    """Start from equal weights; let one raw weight after another take each grid value while the others stay.

    At most ``rounds * models * len(grid) + 1`` scores. Finds a local optimum, not always the grid's best.
    """
    raw, scores = [1.0] * models, dict[tuple[float, ...], float]()

    def score(values: Sequence[float]) -> float:
        weights = tuple(round(value / fsum(values), 9) for value in values)
        if weights not in scores:
            scores[weights] = float(evaluate.score(weights))
        return scores[weights]

    score(raw)
    for place in list(range(models)) * rounds:
        options = [[*raw[:place], value, *raw[place + 1 :]] for value in (raw[place], *grid)]
        raw = max((option for option in options if fsum(option) > 0), key=score)
    best = tuple(round(value / fsum(raw), 9) for value in raw)
    return SearchResult(best, scores[best], tuple(scores.items()))
