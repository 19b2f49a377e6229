"""Linear learners fitted in closed form on every prefix: averaging and least squares."""

from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.testbeds.incontext.learner import exclusive_sum, settled
from paribus.testbeds.incontext.prompts import Prompts


@dataclass(frozen=True)
class Averaging:
    """Scores a query by its inner product with the mean of the earlier points times their labels.

    ``released``: abstain where that is 0, as the release does (always at the first point), instead of guessing.
    """

    released: bool = False
    name: str = "averaging"

    def predict(self, prompts: Prompts) -> Tensor:
        """Inner products in [-n, n], ``(B, m)``."""
        x = prompts.x.float()
        sums = exclusive_sum(x * prompts.y[:, :, None])
        shown = torch.arange(x.shape[1], device=x.device).clamp(min=1)
        scores = (sums * x).sum(-1) / shown
        return scores if self.released else settled(scores, prompts)


@dataclass(frozen=True)
class LeastSquares:
    """Linear regression on the labels; the solution of least norm while the points do not determine one.

    ``intercept`` adds a constant input (the baseline of the release has none); ``released``: abstain at a score of 0.
    """

    intercept: bool = False
    released: bool = False
    name: str = "least squares"

    def predict(self, prompts: Prompts) -> Tensor:
        """Fitted values at the queries, ``(B, m)``.

        The fit follows the points one by one (Albert & Sittler 1965): a point outside the span of the earlier ones is
        fitted exactly along its new direction, one inside it by recursive least squares. That is exact for every prefix
        and needs no decomposition; float64 because it decides what lies in the span.
        """
        x = with_intercept(prompts.x.double(), self.intercept)
        y, (count, m, n) = prompts.y.double(), x.shape
        weights = x.new_zeros((count, n))
        outside = torch.eye(n, dtype=x.dtype, device=x.device).repeat(count, 1, 1)
        inverse = torch.zeros_like(outside)
        scores = x.new_zeros((count, m))
        for i in range(m):
            scores[:, i] = (weights * x[:, i]).sum(-1)
            gain = _absorb(x[:, i], outside, inverse)
            weights = weights + gain * (y[:, i] - scores[:, i])[:, None]
        # Sums of +-1 that cancel leave rounding noise, whose sign must not decide.
        scores = scores.masked_fill(scores.abs() < 1e-9, 0.0).float()
        return scores if self.released else settled(scores, prompts)


def with_intercept(x: Tensor, intercept: bool) -> Tensor:
    """Points ``(B, m, n)`` with a constant 1 as their last coordinate if ``intercept``."""
    return torch.cat([x, torch.ones_like(x[..., :1])], -1) if intercept else x


def _absorb(x: Tensor, outside: Tensor, inverse: Tensor) -> Tensor:
    """Add a point ``(B, n)`` to the projectors away from the span and the pseudo-inverses of X^T X, both ``(B, n, n)``.

    Changes both in place; returns the gains ``(B, n)``, by which the residual at the point moves the weights.
    """
    fresh, known = _apply(outside, x), _apply(inverse, x)
    length, spread = (fresh * x).sum(-1, keepdim=True), (known * x).sum(-1, keepdim=True)
    new = length > 1e-6
    along = fresh / length.masked_fill(~new, 1.0)
    gain = torch.where(new, along, known / (1 + spread))
    outside -= torch.where(new, 1.0, 0.0)[:, :, None] * _outer(fresh, along)
    grown = (1 + spread)[:, :, None] * _outer(along, along) - _outer(known, along) - _outer(along, known)
    inverse += torch.where(new[:, :, None], grown, -_outer(known, known / (1 + spread)))
    return gain


def _apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[:, :, None]).squeeze(-1)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return a[:, :, None] * b[:, None, :]
