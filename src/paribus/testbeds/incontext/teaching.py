"""Teaching sequences: points after which one function of the class is left (ICL-Discrete; Goldman and Kearns 1995).

A ``Lesson`` holds points only; the class's own ``evaluate`` labels them, so a lesson can never teach a wrong label. The
builders are checked for uniqueness over all functions of small classes in the tests; ``teaching_dimension`` says how
short a lesson could be.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from paribus.testbeds.incontext.draws import coins, overwritten, signs

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
    Length: literals + 2, or literals + 1 in a monotone class and where all variables are in use (both first points are
    one then). For n > 1 that is the least possible, but that a full monotone conjunction needs no first point.
    """
    count, dimensions = literals.shape
    used = literals != 0
    size = used.sum(1)
    both = (size < dimensions) & (not monotone)
    length = size + 1 + both
    row = torch.arange(int(length.max()))
    base = torch.where(used, literals, -1)
    term = torch.arange(count).unsqueeze(1).expand(-1, len(row))
    x = _broken(base, used, term, row - 1 - both.long().unsqueeze(1))
    if not monotone:
        x[:, 1] = torch.where(both.unsqueeze(1) & ~used, 1, x[:, 1])
    return Lesson(x, length)


def formula_lesson(terms: Tensor) -> Lesson:
    """The lesson of monotone DNFs ``(B, t, n)`` in {0, 1} whose terms form an antichain (none contains another).

    For each term the least point that satisfies it, then that point with each variable of the term dropped: sum of
    (variables + 1) points. Among DNFs of at most t terms nothing else fits: each least point needs a term inside of it,
    no term inside of it but the term itself survives the dropped variables, and t different terms use up all t.
    Not always the shortest lesson: two terms may drop to the same point.
    """
    count, parts, _ = terms.shape
    used = (terms != 0).flatten(0, 1)
    ends = (used.sum(1) + 1).view(count, parts).cumsum(1)
    row = torch.arange(int(ends.max())).repeat(count, 1)
    # Row r belongs to the first term that ends behind it; padding rows count to the last one.
    part = torch.searchsorted(ends, row, right=True).clamp_(max=parts - 1)
    start = torch.cat([ends.new_zeros(count, 1), ends[:, :-1]], dim=1).gather(1, part)
    term = part + parts * torch.arange(count).unsqueeze(1)
    return Lesson(_broken(signs(used), used, term, row - start - 1), ends[:, -1])


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
    front = overwritten(x[:, : rows.shape[1]], rows, place)
    return torch.cat([front, x[:, rows.shape[1] :]], dim=1), taught


def corrupted(y: Tensor, taught: Tensor, generator: Generator, probability: float) -> Tensor:
    """Labels ``(B, m)`` of which those within the lesson are flipped with ``probability``."""
    within = torch.arange(y.shape[1]) < taught.unsqueeze(1)
    return torch.where(within & coins(y.shape, generator, probability), -y, y)


def _broken(base: Tensor, used: Tensor, term: Tensor, number: Tensor) -> Tensor:
    """Rows of lessons ``(B, L, n)``: satisfying points, each with one literal broken.

    Args:
        base: per term, a point that satisfies it, ``(R, n)``.
        used: the variables of each term, ``(R, n)`` bool.
        term: which term a row belongs to, ``(B, L)``.
        number: which of the term's variables is broken, counted from 0; negative = none, ``(B, L)``.
    """
    dimensions = base.shape[1]
    order = (~used).to(torch.int8).argsort(dim=1, stable=True)
    variable = order.view(-1)[term * dimensions + number.clamp(0, dimensions - 1)].unsqueeze(2)
    x = base.index_select(0, term.reshape(-1)).view(*term.shape, dimensions)
    value = x.gather(2, variable)
    return x.scatter_(2, variable, torch.where(number.unsqueeze(2) >= 0, -value, value))


def _ordered(lesson: Lesson, order: Order, generator: Generator) -> Tensor:
    if order == "built":
        return lesson.x
    row = torch.arange(lesson.x.shape[1])
    rank = -row.double() if order == "reversed" else torch.rand(lesson.x.shape[:2], generator=generator).double()
    # Padding sorts behind every row that counts.
    keys = torch.where(row < lesson.length.unsqueeze(1), rank, torch.inf)
    places = keys.argsort(dim=1, stable=True)
    return lesson.x.gather(1, places.unsqueeze(2).expand_as(lesson.x))
