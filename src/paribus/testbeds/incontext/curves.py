"""Accuracy against the number of examples in the context, with the numbers read off such a curve.

Outcomes are what ``learner.correct`` gives: ``(B, m)``, 1 right, 0 wrong, NaN not asked. Position i of a curve is the
accuracy after i examples (ICL-Discrete, section 2: mean, deviation and a bootstrap band of 5-95% at every position).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paribus.errors import ConfigError, DataError
from paribus.statistics import percentile_interval, resampled_means


@dataclass(frozen=True)
class Curve:
    """Accuracy at each position that was asked; all tuples are alike in length.

    Attributes:
        examples: how many examples were shown before the query.
        mean: accuracy; ``std``: standard deviation of the outcomes over prompts (not of the mean).
        low, high: bootstrap band of the mean over prompts. Resamples of prompts are shared by all positions.
        prompts: how many prompts were asked at each position.
    """

    examples: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    prompts: tuple[int, ...]

    @property
    def area(self) -> float:
        """Mean accuracy over the examples shown (area under the curve by the trapezoid rule, over its width)."""
        if len(self.examples) == 1:
            return self.mean[0]
        return float(np.trapezoid(self.mean, self.examples) / (self.examples[-1] - self.examples[0]))

    def examples_to(self, accuracy: float, *, hold: int = 3) -> int | None:
        """Fewest examples after which the mean is at least ``accuracy`` there and at the next ``hold - 1`` positions.

        None when that never happens. ``hold`` keeps one lucky position from deciding; positions that the end of the
        prompt cuts off are not asked for.
        """
        if not 0 < accuracy <= 1 or hold < 1:
            raise ConfigError(f"accuracy={accuracy}, hold={hold}: give an accuracy in (0, 1] and at least 1 position.")
        reached = np.array(self.mean) >= accuracy
        stays = (at for i, at in enumerate(self.examples) if reached[i : i + hold].all())
        return next(stays, None)

    def at(self, examples: int) -> float:
        """Accuracy after ``examples`` examples; ``ConfigError`` if that position was not asked."""
        if examples not in self.examples:
            raise ConfigError(f"The curve was not asked after {examples} examples; it has {list(self.examples)}.")
        return self.mean[self.examples.index(examples)]

    def rows(self) -> list[dict[str, Any]]:
        """One dict a position, for tables and JSON lines: examples, mean, std, low, high, prompts."""
        names = ("examples", "mean", "std", "low", "high", "prompts")
        columns = zip(*(getattr(self, name) for name in names), strict=True)
        return [dict(zip(names, row, strict=True)) for row in columns]


def curve(outcomes: Tensor, *, resamples: int = 1_000, level: float = 0.9, rng: np.random.Generator | int = 0) -> Curve:
    """The curve of ``outcomes`` ``(B, m)``; positions where no prompt was asked are left out.

    Args:
        resamples, level, rng: of the bootstrap over prompts; 0.9 gives the band from 5% to 95%.

    Raises:
        DataError: outcomes of another shape, or NaN everywhere.
    """
    table = _checked(outcomes)
    asked = ~np.isnan(table)
    kept = np.flatnonzero(asked.any(0))
    table, asked = np.nan_to_num(table[:, kept]), asked[:, kept].astype(float)
    counts = asked.sum(0)
    mean = table.sum(0) / counts
    squares = (asked * (table - mean) ** 2).sum(0)
    draws = resampled_means(table, asked, resamples=resamples, rng=rng)
    bands = [
        percentile_interval(
            draws[:, i], mean[i], n=int(counts[i]), level=level, covers=("prompts",), method="percentile"
        )
        for i in range(len(kept))
    ]
    return Curve(
        examples=tuple(kept.tolist()),
        mean=tuple(mean.tolist()),
        std=tuple(np.sqrt(squares / np.maximum(counts - 1, 1)).tolist()),
        low=tuple(band.low for band in bands),
        high=tuple(band.high for band in bands),
        prompts=tuple(int(count) for count in counts),
    )


def where(outcomes: Tensor, chosen: Tensor) -> Tensor:
    """``outcomes`` with NaN wherever ``chosen`` (both ``(B, m)``) is False, so that a curve counts only the chosen.

    The nearest-neighbour class is reported twice: ``where(outcomes, ambiguous(prompts))`` and its complement.
    """
    return outcomes.masked_fill(~chosen, float("nan"))


def accuracy(outcomes: Tensor, positions: Sequence[int] | slice = slice(None)) -> float:
    """Share of right outcomes at the given positions (all by default), over what was asked there; NaN if nothing."""
    return float(outcomes[:, positions].nanmean())


def _checked(outcomes: Tensor) -> np.ndarray:
    if outcomes.dim() != 2 or not outcomes.numel() or bool(torch.isnan(outcomes).all()):
        raise DataError(
            f"The outcomes have shape {tuple(outcomes.shape)}; a curve needs (prompts, points) with an answer."
        )
    return outcomes.detach().cpu().double().numpy()
