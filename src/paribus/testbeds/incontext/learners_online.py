"""Learners that see each example once and correct themselves on mistakes: perceptron (Rosenblatt 1958), Winnow."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learner import settled
from paribus.testbeds.incontext.learners_exact import Target
from paribus.testbeds.incontext.learners_linear import with_intercept
from paribus.testbeds.incontext.prompts import Prompts


@dataclass(frozen=True)
class Perceptron:
    """Adds the labelled point to its weights at every mistake; a constant input is its bias.

    At most (R / margin)^2 mistakes on separable points (Novikoff 1962), R^2 = n + 1 here.
    """

    name: str = "perceptron"

    def predict(self, prompts: Prompts) -> Tensor:
        """Weighted sums at the queries, ``(B, m)``."""
        x = with_intercept(prompts.x.float(), True)

        def learn(weights: Tensor, point: Tensor, label: Tensor, score: Tensor) -> Tensor:
            return weights + point * (label * (label * score <= 0))[:, None]

        return settled(_online(x, prompts.y.float(), torch.zeros_like(x[:, 0]), learn), prompts)


@dataclass(frozen=True)
class Winnow:
    """Littlestone's Winnow2 (1988): weights of the true literals double or halve at a mistake.

    Says +1 where the weights of the literals that are true reach N, the number of literals. On a disjunction of k
    literals it makes at most 3k(log2 N + 1) + 2 mistakes, however many variables do not matter.

    Attributes:
        target: ``"disjunction"``, or ``"conjunction"`` (its mirror image: negate points and labels).
        monotone: only plain variables are literals (N = n); otherwise their negations, too (N = 2n).
    """

    target: Target = "disjunction"
    monotone: bool = False
    name: str = "Winnow"

    def __post_init__(self) -> None:
        if self.target not in ("conjunction", "disjunction"):
            raise ConfigError(f"target is {self.target!r}; Winnow learns a 'conjunction' or a 'disjunction'.")

    def predict(self, prompts: Prompts) -> Tensor:
        """Summed weight over the threshold, minus 1 (its sign is the prediction), ``(B, m)``."""
        side = 1 if self.target == "disjunction" else -1
        plain = prompts.x * side > 0
        literals = (plain if self.monotone else torch.cat([plain, ~plain], -1)).float()
        start = torch.full_like(literals[:, 0], 1 / literals.shape[-1])

        def learn(weights: Tensor, point: Tensor, label: Tensor, score: Tensor) -> Tensor:
            mistaken = label * _reached(score) < 0
            return weights * torch.exp2(point * (label * mistaken)[:, None])

        sums = _online(literals, side * prompts.y.float(), start, learn)
        return side * _reached(sums) * (sums - 1).abs().clamp(min=1e-6)


def _reached(sums: Tensor) -> Tensor:
    """+1 where the sum reaches the threshold, which the starting weights scale to 1."""
    return torch.where(sums >= 1, 1.0, -1.0)


def _online(x: Tensor, y: Tensor, weights: Tensor, learn: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """Score each point ``(B, m, n)`` by the weights ``(B, n)``, then let ``learn`` change them; scores ``(B, m)``."""
    scores = torch.zeros_like(y)
    for i in range(y.shape[1]):
        scores[:, i] = (weights * x[:, i]).sum(-1)
        weights = learn(weights, x[:, i], y[:, i], scores[:, i])
    return scores
