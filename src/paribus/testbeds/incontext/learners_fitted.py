"""Linear learners fitted on every prefix by coordinate descent: Lasso, and the separator of largest margin.

All prompts are solved side by side. Each prefix starts from the solution of the one before, and always the coordinate
that has farthest to go moves (Gauss-Southwell): most new points change little, so few moves are needed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learner import settled
from paribus.testbeds.incontext.learners_linear import with_intercept
from paribus.testbeds.incontext.prompts import Prompts


@dataclass(frozen=True)
class Lasso:
    """Least squares with a penalty on the weights: argmin of |y - Xw|^2 / (2i) + alpha |w|_1 (Tibshirani 1996).

    Attributes:
        alpha: the penalty, above 0; scikit-learn's definition. No intercept. The default is near the best for the
            classes of ICL-Discrete that are linear.
        tolerance: a prefix is solved when no weight would move by more.
        moves: a prefix that is not solved after so many raises ``ConfigError``.
    """

    alpha: float = 0.03
    tolerance: float = 1e-3
    moves: int = 20_000
    name: str = "Lasso"

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise ConfigError(f"alpha is {self.alpha}; Lasso needs a penalty above 0 (LeastSquares has none).")

    def predict(self, prompts: Prompts) -> Tensor:
        """Fitted values at the queries, ``(B, m)``."""
        x = prompts.x.double()
        return settled((self.fit(x, prompts.y.double()) * x).sum(-1).float(), prompts)

    def fit(self, x: Tensor, y: Tensor) -> Tensor:
        """Weights for every prefix: points of +-1 ``(B, m, n)`` and labels ``(B, m)``, float64, to ``(B, m, n)``."""
        count, points, n = x.shape
        weights, slopes = x.new_zeros((count, n)), x.new_zeros((count, n))
        products = x.new_zeros((count, n, n))
        fits = []
        for i in range(points):
            if i:
                self._solve(i, weights, slopes, products)
            fits.append(weights.clone())
            residual = y[:, i] - (x[:, i] * weights).sum(-1)
            slopes += x[:, i] * residual[:, None]
            products += x[:, i, :, None] * x[:, i, None, :]
        return torch.stack(fits, 1)

    def _solve(self, shown: int, weights: Tensor, slopes: Tensor, products: Tensor) -> None:
        """Solve the prefix of ``shown`` points in place; slopes are X^T (y - Xw), products X^T X."""
        for _ in range(self.moves):
            # A coordinate of +-1 has second moment ``shown``, so its own minimum is one step away.
            steps = softshrink(weights + slopes / shown, self.alpha) - weights
            place, change = _farthest(steps, self.tolerance)
            if not change.any():
                return
            weights.scatter_add_(1, place, change)
            slopes.sub_(change * _row(products, place))
        raise ConfigError(f"Lasso is not solved after {self.moves} moves at alpha={self.alpha}; raise one of them.")


@dataclass(frozen=True)
class MaxMargin:
    """The halfspace that separates the earlier points with the largest margin (a support vector machine).

    It finds a consistent halfspace wherever there is one, as a linear program for feasibility would, but of all of them
    the one that is best placed. Minimises |w|^2 / 2 + cost * sum of max(0, 1 - y w.x) with a constant input as bias, in
    the dual (Hsieh et al. 2008).

    Attributes:
        cost: of a violated margin; large enough here that separable points are separated.
        tolerance: a prefix is solved when no margin is farther from where it should be (1, or beyond) than this; below
            1, so that separable points end up on their sides.
        moves: most moves for a prefix; points that no halfspace separates may take long, and then those suffice.
    """

    cost: float = 100.0
    tolerance: float = 0.2
    moves: int = 2_000
    name: str = "max margin"

    def predict(self, prompts: Prompts) -> Tensor:
        """Signed margins of the queries, ``(B, m)``."""
        x = with_intercept(prompts.x.double(), True)
        return settled((self.fit(x, prompts.y.double()) * x).sum(-1).float(), prompts)

    def fit(self, x: Tensor, y: Tensor) -> Tensor:
        """Weights for every prefix: points of +-1 ``(B, m, d)`` and labels ``(B, m)``, float64, to ``(B, m, d)``."""
        labelled = x * y[..., None]
        products = labelled @ labelled.mT
        duals, margins = torch.zeros_like(y), torch.zeros_like(y)
        fits = [duals.clone()]
        for shown in range(1, y.shape[1]):
            self._solve(shown, x.shape[-1], duals, margins, products)
            fits.append(duals.clone())
        return torch.stack(fits, 1) @ labelled

    def _solve(self, shown: int, square: int, duals: Tensor, margins: Tensor, products: Tensor) -> None:
        """Solve the prefix of ``shown`` points of this squared length in place; margins are y w.x of all points."""
        for _ in range(self.moves):
            now = duals[:, :shown]
            steps = (now + (1 - margins[:, :shown]) / square).clamp(0, self.cost) - now
            place, change = _farthest(steps, self.tolerance / square)
            if not change.any():
                return
            duals.scatter_add_(1, place, change)
            margins.add_(change * _row(products, place))


def _farthest(steps: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """For every row the place of its largest step and that step, 0 if within the tolerance; both ``(B, 1)``."""
    place = steps.abs().argmax(1, keepdim=True)
    change = steps.gather(1, place)
    return place, change.masked_fill(change.abs() <= tolerance, 0.0)


def _row(matrices: Tensor, place: Tensor) -> Tensor:
    """Row ``place`` ``(B, 1)`` of each matrix ``(B, n, n)``, ``(B, n)``."""
    return matrices[torch.arange(len(matrices), device=matrices.device), place[:, 0]]
