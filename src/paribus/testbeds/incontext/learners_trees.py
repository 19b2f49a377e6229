"""Decision trees: one greedy tree, and gradient boosting of small ones, fitted anew on every prefix.

Points have two values per coordinate, so a split is a coordinate. Ties between splits go to the first coordinate.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learner import asked_positions, settled
from paribus.testbeds.incontext.prompts import Prompts


@dataclass(frozen=True)
class GreedyTree:
    """A tree grown until its leaves are pure, each split the one that lowers the Gini impurity most (CART).

    Only the branch that a query falls into is grown: splits depend on nothing outside of it, so the answer is that of
    the whole tree, at the cost of one path a query.

    ``depth``: most splits on a path (None = as many as there are coordinates).
    """

    depth: int | None = None
    name: str = "greedy tree"

    def __post_init__(self) -> None:
        if self.depth is not None and self.depth < 1:
            raise ConfigError(f"depth is {self.depth}; give at least 1 split, or None for no limit.")

    def predict(self, prompts: Prompts) -> Tensor:
        """Mean label of the query's leaf, ``(B, m)``."""
        x, y = prompts.x.float(), prompts.y.float()
        m, n = x.shape[1:]
        members = torch.ones(m, m).tril(-1).expand(len(x), m, m)
        for _ in range(n if self.depth is None else min(self.depth, n)):
            split, useful = _best_split(members, x, y)
            if not useful.any():
                break
            agrees = _agreement(split, x)
            members = torch.where(useful[..., None], members * agrees, members)
        counts = members.sum(-1)
        return settled((members @ y[..., None]).squeeze(-1) / counts.clamp(min=1), prompts)


def _best_split(members: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The coordinate that best splits each set, and whether the set wants a split at all.

    ``members`` ``(B, m, m)`` in {0, 1}: the points j in the leaf of query i. Both results are ``(B, m)``.
    """
    labels = y[..., None]
    count, total = members.sum(-1, keepdim=True), members @ labels
    # Sums over the points whose coordinate is +1, from sums over all of them.
    high_count = (count + members @ x) / 2
    high_total = (total + members @ (labels * x)) / 2
    low_count, low_total = count - high_count, total - high_total
    possible = (high_count > 0) & (low_count > 0)
    # Labels are +-1, so Gini and squared error both fall by what these squares rise.
    gain = high_total.square() / high_count.clamp(min=1) + low_total.square() / low_count.clamp(min=1)
    # Equal gains differ in rounding; whole steps of 1e-5 make them equal again, and the first of them is taken.
    gain = torch.where(possible, (gain * 1e5).round(), -1.0)
    impure = total.abs().squeeze(-1) < count.squeeze(-1)
    return _first_largest(gain), impure & possible.any(-1)


def _agreement(split: Tensor, x: Tensor) -> Tensor:
    """Whether point j is on the side of query i of its split coordinate, ``(B, m, m)`` in {0, 1}."""
    own = x.gather(2, split[..., None])
    others = x.mT.gather(1, split[..., None].expand(-1, -1, x.shape[1]))
    return (own == others).float()


def _first_largest(values: Tensor) -> Tensor:
    """Index of the first largest value in the last dimension (``argmax`` may give any of several)."""
    return (values == values.amax(-1, keepdim=True)).to(torch.int8).argmax(-1)


@dataclass(frozen=True)
class BoostedTrees:
    """Gradient boosting of squared error (Friedman 2001; regularised as in XGBoost, Chen & Guestrin 2016).

    The release takes its library's defaults; here they are stated.

    Attributes:
        rounds: trees.
        depth: splits on every path of a tree.
        rate: share of a tree's leaf values that is added.
        penalty: added to the number of points of a leaf when its value is their mean residual (0 = plain boosting).
        every: ask only at every so many positions (the others are NaN): this learner takes about a second of one core
            for 64 prompts x 14 positions.
    """

    rounds: int = 100
    depth: int = 3
    rate: float = 0.3
    penalty: float = 1.0
    every: int = 1
    name: str = "boosted trees"

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.depth < 1 or not 0 < self.rate <= 1 or self.penalty < 0:
            raise ConfigError(
                f"rounds={self.rounds}, depth={self.depth}, rate={self.rate}, penalty={self.penalty}: give at least "
                "one round and split, a rate in (0, 1] and a penalty of at least 0."
            )

    def predict(self, prompts: Prompts) -> Tensor:
        """Fitted values at the queries, ``(B, m)``; NaN at positions not asked."""
        x, y = prompts.x.float(), prompts.y.float()
        asked = asked_positions(x.shape[1], self.every)
        scores = torch.full_like(y, float("nan"))
        shown = torch.ones(x.shape[1], x.shape[1]).tril(-1)[asked].expand(len(x), -1, -1)
        scores[:, asked] = self._fitted(shown, x, y)[:, torch.arange(len(asked)), asked]
        return settled(scores, prompts)

    def _fitted(self, shown: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Values of each boosted model at all m points, ``(B, Q, m)``; model q is fitted on ``shown`` ``(B, Q, m)``."""
        labels = y[:, None] * shown
        start = labels.sum(-1, keepdim=True) / shown.sum(-1, keepdim=True).clamp(min=1)
        values = start.expand_as(labels).clone()
        for _ in range(self.rounds):
            values += self.rate * self._tree((y[:, None] - values) * shown, shown, x)
        return values

    def _tree(self, residuals: Tensor, shown: Tensor, x: Tensor) -> Tensor:
        """Values of a tree fitted to residuals, at all m points, ``(B, Q, m)``; grown level by level."""
        leaf = torch.zeros(residuals.shape, dtype=torch.int64)
        for level in range(self.depth):
            places = torch.nn.functional.one_hot(leaf, 2**level).mT.float()
            split, useful = self._splits(places * residuals[:, :, None], places * shown[:, :, None], x)
            own = split.gather(2, leaf)
            high = x.gather(2, own.mT).mT > 0
            leaf = 2 * leaf + (high & useful.gather(2, leaf))
        places = torch.nn.functional.one_hot(leaf, 2**self.depth).mT.float()
        sums, counts = (places @ part[..., None] for part in (residuals, shown))
        return (sums / (counts + self.penalty).clamp(min=1e-9)).squeeze(-1).gather(2, leaf)

    def _splits(self, residuals: Tensor, shown: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Best coordinate of every leaf and whether it gains anything, ``(B, Q, L)``, from parts ``(B, Q, L, m)``."""
        shape = (*residuals.shape[:3], x.shape[-1])
        total, count = residuals.sum(-1, keepdim=True), shown.sum(-1, keepdim=True)
        high_total = (total + (residuals.flatten(1, 2) @ x).view(shape)) / 2
        high_count = (count + (shown.flatten(1, 2) @ x).view(shape)) / 2
        gain = self._score(high_total, high_count) + self._score(total - high_total, count - high_count)
        possible = (high_count > 0.5) & (count - high_count > 0.5)
        gain = torch.where(possible, ((gain - self._score(total, count)) * 1e5).round(), -1.0)
        return _first_largest(gain), gain.amax(-1) > 0

    def _score(self, total: Tensor, count: Tensor) -> Tensor:
        return total.square() / (count + self.penalty).clamp(min=1e-9)
