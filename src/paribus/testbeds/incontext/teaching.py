"""Teaching sequences: points after which one function of the class is left (ICL-Discrete; Goldman and Kearns 1995).

A ``Lesson`` holds points only; the class's own ``evaluate`` labels them, so a lesson can never teach a wrong label. The
builders are checked for uniqueness over all functions of small classes in the tests; ``teaching_dimension`` says how
short a lesson could be.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from paribus.testbeds.incontext.draws import coins

Order = Literal["built", "reversed", "shuffled"]


@dataclass(frozen=True)
class Lesson:
    """Points that teach B functions: ``x`` is ``(B, L, n)`` int8, of which the first ``length[b]`` (int64) count."""

    x: Tensor
    length: Tensor

    def negated(self) -> "Lesson":
        """The lesson of the dual function (De Morgan: the dual of f is -f(-x))."""
        return Lesson(-self.x, self.length)


def conjunction_lesson(literals: Tensor, *, monotone: bool) -> Lesson:
    """The lesson of conjunctions ``(B, n)`` in {-1, 0, 1}.

    First a point that satisfies the conjunction and has -1 elsewhere; then, unless the class is monotone, the same with
    +1 elsewhere (no variable outside can matter); then the first point with one literal broken, for each literal.
    Length: literals + 2, or literals + 1 where all variables are in use (both first points are one) or in a monotone
    class. That is the least possible but for the full conjunctions of a single variable; see ``teaching_dimension``.
    """
    count, dimensions = literals.shape
    used = literals != 0
    size = used.sum(1)
    twice = torch.zeros_like(used[:, 0]) if monotone else size < dimensions
    row = torch.arange(dimensions + 1).expand(count, -1)
    base = torch.where(used, literals, -1).unsqueeze(1).repeat(1, dimensions + 1, 1)
    opposite = (row == 1) & twice.unsqueeze(1)
    base = torch.where(opposite.unsqueeze(2) & ~used.unsqueeze(1), 1, base)
    broken = row - 1 - twice.unsqueeze(1).long()
    return Lesson(_broken(base, used, broken), size + 1 + twice.long())


def formula_lesson(terms: Tensor) -> Lesson:
    """The lesson of monotone DNFs ``(B, t, n)`` in {0, 1} whose terms form an antichain (none contains another).

    For each term the least point that satisfies it, then that point with each variable of the term dropped: sum of
    (variables + 1) points. Among DNFs of at most t terms nothing else fits: each least point needs a term inside of it,
    no term inside of it but the term itself survives the dropped variables, and t different terms use up all t.
    """
    count, parts, dimensions = terms.shape
    used = terms.flatten(0, 1) != 0
    base = torch.where(used, 1, -1).to(torch.int8).unsqueeze(1).repeat(1, dimensions + 1, 1)
    broken = torch.arange(-1, dimensions).expand(count * parts, -1)
    rows = _broken(base, used, broken).view(count, parts * (dimensions + 1), dimensions)
    counts = (broken < used.sum(1, keepdim=True)).view(count, -1)
    places = counts.long().argsort(dim=1, descending=True, stable=True)
    return Lesson(rows.gather(1, places.unsqueeze(2).expand_as(rows)), counts.sum(1))


def with_lesson(
    x: Tensor, lesson: Lesson, generator: Generator, *, share: float, order: Order, kept: float
) -> tuple[Tensor, Tensor]:
    """Prompts' points ``(B, m, n)`` with lessons at their front, and how many points of each are taught, ``(B,)``.

    Args:
        x: points to write over; prompts without a lesson keep theirs.
        lesson: no longer than m points.
        generator: decides which prompts are taught, and shuffles.
        share: probability that a prompt is taught.
        order: of the lesson.
        kept: share of the ordered lesson that is shown, from its front, rounded up.
    """
    rows = _ordered(lesson, order, generator)[:, : x.shape[1]]
    shown = torch.ceil(kept * lesson.length.double()).long()
    taught = torch.where(coins((len(x),), generator, share), shown, 0)
    place = torch.arange(rows.shape[1]) < taught.unsqueeze(1)
    front = torch.where(place.unsqueeze(2), rows, x[:, : rows.shape[1]])
    return torch.cat([front, x[:, rows.shape[1] :]], dim=1), taught


def corrupted(y: Tensor, taught: Tensor, generator: Generator, probability: float) -> Tensor:
    """Labels ``(B, m)`` of which those within the lesson are flipped with ``probability``."""
    within = torch.arange(y.shape[1]) < taught.unsqueeze(1)
    return torch.where(within & coins(y.shape, generator, probability), -y, y)


def _broken(base: Tensor, used: Tensor, number: Tensor) -> Tensor:
    """Rows ``(B, L, n)`` with used variable ``number`` (``(B, L)``, counted from 0; none when out of range) flipped."""
    order = (~used).to(torch.int8).argsort(dim=1, stable=True)
    valid = (number >= 0) & (number < used.sum(1, keepdim=True))
    variable = order.gather(1, number.clamp(0, used.shape[1] - 1)).unsqueeze(2)
    flipped = torch.where(valid.unsqueeze(2), -base.gather(2, variable), base.gather(2, variable))
    return base.scatter_(2, variable, flipped)


def _ordered(lesson: Lesson, order: Order, generator: Generator) -> Tensor:
    if order == "built":
        return lesson.x
    row = torch.arange(lesson.x.shape[1])
    rank = -row.double() if order == "reversed" else torch.rand(lesson.x.shape[:2], generator=generator).double()
    # Padding sorts behind every row that counts.
    keys = torch.where(row < lesson.length.unsqueeze(1), rank, torch.inf)
    places = keys.argsort(dim=1, stable=True)
    return lesson.x.gather(1, places.unsqueeze(2).expand_as(lesson.x))
