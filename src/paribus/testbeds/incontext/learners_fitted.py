"""Linear learners fitted anew on every prefix by coordinate descent: Lasso, and the separator of largest margin.

All prefixes of all prompts are solved side by side, one coordinate at a time. Each stops when it no longer moves, so
that no answer depends on how long other prefixes take.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learner import settled
from paribus.testbeds.incontext.learners_linear import with_intercept
from paribus.testbeds.incontext.prompts import Prompts

# Cells of the largest array of one chunk of prompts: 64 MiB of float32.
CHUNK_CELLS = 16_000_000


@dataclass(frozen=True)
class Lasso:
    """Least squares with a penalty on the weights: argmin of |y - Xw|^2 / (2i) + alpha |w|_1 (Tibshirani 1996).

    Attributes:
        alpha: the penalty, above 0; scikit-learn's definition. No intercept.
        tolerance: stop when no weight moved by more in a sweep over all of them.
        sweeps: give up after so many sweeps with a ``ConfigError``.
    """

    alpha: float = 0.01
    tolerance: float = 1e-4
    sweeps: int = 2_000
    name: str = "Lasso"

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise ConfigError(f"alpha is {self.alpha}; Lasso needs a penalty above 0 (LeastSquares has none).")

    def predict(self, prompts: Prompts) -> Tensor:
        """Fitted values at the queries, ``(B, m)``."""
        _, m, n = prompts.x.shape
        size = max(1, CHUNK_CELLS // (m * n * n))
        parts = zip(prompts.x.float().split(size), prompts.y.float().split(size), strict=True)
        return settled(torch.cat([(self.fit(x, y) * x).sum(-1) for x, y in parts]), prompts)

    def fit(self, x: Tensor, y: Tensor) -> Tensor:
        """Weights for every prefix: points ``(B, m, n)`` and labels ``(B, m)`` to ``(B, m, n)``."""
        products, slopes = _prefix_moments(x, y)
        weights, moving = torch.zeros_like(slopes), torch.ones_like(y)
        for _ in range(self.sweeps):
            moving *= self._sweep(weights, products, slopes, moving) > self.tolerance
            if not moving.any():
                return weights
        raise ConfigError(f"Lasso still moves after {self.sweeps} sweeps at alpha={self.alpha}; raise one of them.")

    def _sweep(self, weights: Tensor, products: Tensor, slopes: Tensor, moving: Tensor) -> Tensor:
        """Minimise over one weight after another, in place; the largest change of each prefix, ``(B, m)``."""
        largest = torch.zeros_like(moving)
        for k in range(weights.shape[-1]):
            # Points of +-1 have second moments of 1, so the minimum is one step away.
            moved = softshrink(weights[..., k] + slopes[..., k], self.alpha)
            change = (moved - weights[..., k]) * moving
            weights[..., k] += change
            slopes.addcmul_(products[:, :, k], change[..., None], value=-1.0)
            torch.maximum(largest, change.abs(), out=largest)
        return largest


@dataclass(frozen=True)
class MaxMargin:
    """The halfspace that separates the earlier points with the largest margin (a support vector machine).

    It finds a consistent halfspace wherever there is one, as a linear program for feasibility would, but of all of them
    the one that is best placed. Minimises |w|^2 / 2 + cost * sum of max(0, 1 - y w.x) by dual coordinate descent
    (Hsieh et al. 2008), with a constant input as bias.

    Attributes:
        cost: of a violated margin; large enough here that separable points are separated.
        tolerance: stop when no dual variable moved by more in a pass over the points.
        passes: stop after so many in any case: points that no halfspace separates may never settle.
    """

    cost: float = 100.0
    tolerance: float = 1e-3
    passes: int = 300
    name: str = "max margin"

    def predict(self, prompts: Prompts) -> Tensor:
        """Signed margins of the queries, ``(B, m)``."""
        x = with_intercept(prompts.x.float(), True)
        return settled((self.fit(x, prompts.y.float()) * x).sum(-1), prompts)

    def fit(self, x: Tensor, y: Tensor) -> Tensor:
        """Weights for every prefix: points ``(B, m, d)`` and labels ``(B, m)`` to ``(B, m, d)``."""
        labelled = x * y[..., None]
        weights, moving = torch.zeros_like(x), torch.ones_like(y)
        duals = x.new_zeros((*y.shape, y.shape[1]))
        for _ in range(self.passes):
            moving *= self._pass(labelled, weights, duals, moving) > self.tolerance
            if not moving.any():
                break
        return weights

    def _pass(self, labelled: Tensor, weights: Tensor, duals: Tensor, moving: Tensor) -> Tensor:
        """Move the dual variable of one point after another, for all longer prefixes; their largest changes."""
        largest, square = torch.zeros_like(moving), labelled.shape[-1]
        for j in range(labelled.shape[1] - 1):
            point, later = labelled[:, j, :, None], weights[:, j + 1 :]
            dual = duals[:, j + 1 :, j]
            moved = (dual + (1 - (later @ point).squeeze(-1)) / square).clamp_(0, self.cost)
            change = (moved - dual) * moving[:, j + 1 :]
            dual += change
            later += change[..., None] * point.mT
            largest[:, j + 1 :] = torch.maximum(largest[:, j + 1 :], change.abs())
        return largest


def _prefix_moments(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of x x^T ``(B, m, n, n)`` and of y x ``(B, m, n)`` over the points before each; zero before the first."""
    shown = torch.arange(x.shape[1]).clamp(min=1)[:, None]
    outer = x[..., :, None] * x[..., None, :]
    products = (outer.cumsum(1) - outer) / shown[..., None]
    labelled = x * y[..., None]
    return products, (labelled.cumsum(1) - labelled) / shown
