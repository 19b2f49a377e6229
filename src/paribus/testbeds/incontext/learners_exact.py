"""Learners that keep to one class and are exact for it: literal elimination and Gaussian elimination over GF(2).

Elimination (Valiant 1984) keeps the longest conjunction that the positive examples allow. It never errs on a negative
example, and is NOT the best learner: it says "no" until it is sure. The best one is in ``learners_bayes``.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learner import exclusive_sum, settled
from paribus.testbeds.incontext.prompts import Prompts

Target = Literal["conjunction", "disjunction"]
# Points are packed into the bits of an int64, one more holds the label, and the sign bit stays unused.
MOST_BITS = 62


@dataclass(frozen=True)
class Elimination:
    """Starts with all literals and drops those that an example contradicts.

    Attributes:
        target: ``"conjunction"`` learns from positive examples; ``"disjunction"`` is its mirror image (negate points
            and labels) and learns from negative ones.
        monotone: only the n plain variables are literals; otherwise also their negations, 2n in all.
    """

    target: Target = "conjunction"
    monotone: bool = False

    def __post_init__(self) -> None:
        if self.target not in get_args(Target):
            raise ConfigError(f"target is {self.target!r}; elimination learns a 'conjunction' or a 'disjunction'.")

    @property
    def name(self) -> str:
        """``"elimination"``, or ``"monotone elimination"``."""
        return "monotone elimination" if self.monotone else "elimination"

    def predict(self, prompts: Prompts) -> Tensor:
        """+1 or -1, ``(B, m)``.

        A literal is kept while no teaching example falsifies it, so the hypothesis holds at a query exactly when every
        bit of the query has been seen with this value in an earlier example; a monotone one asks only of the 0 bits.
        """
        side = 1 if self.target == "conjunction" else -1
        x, teaches = prompts.x * side, (prompts.y * side > 0)[:, :, None]
        seen = {sign: exclusive_sum(((x == sign) & teaches).float()) > 0 for sign in (1, -1)}
        allowed = torch.where(x > 0, seen[1] | self.monotone, seen[-1])
        return torch.where(allowed.all(-1), side, -side).float()


@dataclass(frozen=True)
class ParityElimination:
    """Solves the linear equations over GF(2) that the labels of a parity give (n up to ``MOST_BITS``).

    A query in the span of the earlier points has a known label; any other is a fair coin when all parities are equally
    likely. Equations that contradict the earlier ones (label noise) are ignored.

    Attributes:
        abstain: give 0 (wrong) at queries that are not determined, instead of a guess that is right half the time.
    """

    abstain: bool = False
    name: str = "GF(2) elimination"

    def predict(self, prompts: Prompts) -> Tensor:
        """+1 or -1 where the label is determined, ``(B, m)``."""
        count, m, n = prompts.x.shape
        if n > MOST_BITS:
            raise ConfigError(f"GF(2) elimination packs a point into one word and n is {n}; use at most {MOST_BITS}.")
        rows = packed(prompts)
        basis = rows.new_zeros((count, n))
        scores = torch.zeros((count, m), device=rows.device)
        for i in range(m):
            # Reduced with its own label: what is left above the points is the label XOR the predicted one.
            left = _reduced(rows[:, i], basis)
            known, differs = (left & ((1 << n) - 1)) == 0, left >> n
            predicted = prompts.y[:, i] * (1 - 2 * differs)
            scores[:, i] = predicted * known
            _insert(left, basis)
        return scores if self.abstain else settled(scores, prompts)


def packed(prompts: Prompts) -> Tensor:
    """Points as the low n bits of a word (bit k is 1 where x_k = +1) with the label as bit n, ``(B, m)`` int64."""
    n = prompts.x.shape[-1]
    powers = 1 << torch.arange(n, device=prompts.x.device)
    return ((prompts.x > 0) * powers).sum(-1) + ((prompts.y > 0).long() << n)


def _reduced(rows: Tensor, basis: Tensor) -> Tensor:
    """Rows ``(B,)`` minus the basis vectors ``(B, n)``; the vector at k has its lowest bit at k, or is 0 if absent."""
    for k in range(basis.shape[1]):
        rows = rows ^ (basis[:, k] * (rows >> k & 1))
    return rows


def _insert(rows: Tensor, basis: Tensor) -> None:
    """Put every reduced row into the place of its lowest bit; rows without a bit among the points add nothing."""
    n = basis.shape[1]
    points = rows & ((1 << n) - 1)
    lowest = points & -points
    places = (lowest[:, None] >> torch.arange(n, device=rows.device)) & 1
    basis += places * rows[:, None]
