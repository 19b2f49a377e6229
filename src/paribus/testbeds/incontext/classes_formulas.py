"""DNFs (a disjunction of few conjunctions) and CNFs (a conjunction of few disjunctions).

A CNF is a DNF seen in the mirror, with the same literals: ``cnf(x) = -dnf(-x)`` (De Morgan). Both share one
implementation, with ``_side`` = +1 for DNF and -1 for CNF.
"""

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.draws import coins, inner, overwritten, random_literals, signs
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.listing import all_literals, check_listed, literal_log_prior
from paribus.testbeds.incontext.prompts import Functions
from paribus.testbeds.incontext.teaching import Lesson, formula_lesson

_ROUNDS = 1000


class _Formula(FunctionClass):
    """``terms`` terms (clauses of a CNF) of independent literals."""

    identified: ClassVar[bool] = False
    _side: ClassVar[int]

    dimensions: int = Field(default=28, ge=1)
    points: int = Field(default=80, ge=1)
    terms: int = Field(default=3, ge=1)
    density: float = Field(default=0.2, ge=0, le=1)
    forcing: float = Field(ge=0, le=1)
    forced_term: Literal["prompt", "point"] = "prompt"
    monotone: bool = False

    @model_validator(mode="after")
    def _check_antichain(self) -> Self:
        if self.monotone and self.terms > 1 and not 0 < self.density < 1:
            raise ValueError(f"monotone with density={self.density} makes all terms equal; take one between 0 and 1")
        return self

    def draw(self, count: int, generator: Generator) -> Functions:
        """Independent literals; monotone formulas are drawn again until no term contains another.

        Raises:
            ConfigError: formulas without such terms do not turn up (too few dimensions for so many terms).
        """
        terms = self._literals(count, generator)
        return {"terms": self._untangled(terms, generator) if self.monotone else terms}

    def evaluate(self, functions: Functions, x: Tensor) -> Tensor:
        """Some term has all its literals (DNF: +1), or some clause has none (CNF: -1)."""
        terms = functions["terms"]
        size = (terms != 0).sum(2, keepdim=True)
        return self._side * signs((self._side * inner(x, terms) == size).any(1))

    def balanced(self, functions: Functions, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Each point with probability ``forcing`` satisfies (CNF: falsifies) one term.

        The term is chosen per prompt, as in the released code, or per point (``forced_term``).
        """
        count, points = x.shape[:2]
        forced = coins((count, points), generator, self.forcing)
        choices = points if self.forced_term == "point" else 1
        chosen = torch.randint(self.terms, (count, choices), generator=generator)
        terms = functions["terms"].gather(1, chosen.unsqueeze(2).expand(-1, -1, self.dimensions))
        return overwritten(x, self._side * terms, forced), forced

    def every(self) -> Functions:
        """All ordered choices of terms, so one function can be listed many times."""
        literals = all_literals(self.dimensions, self.monotone)
        check_listed(len(literals) ** self.terms, "choices of terms", self.dimensions)
        choices = torch.cartesian_prod(*[torch.arange(len(literals))] * self.terms).view(-1, self.terms)
        terms = literals[choices]
        return {"terms": terms[antichains(terms)] if self.monotone else terms}

    def log_prior(self, functions: Functions) -> Tensor:
        """Sum over the literals; of monotone formulas given that no term contains another (small n only)."""
        weight = self._weight(functions["terms"])
        if not self.monotone:
            return weight
        fits = torch.where(antichains(functions["terms"]), weight, -torch.inf)
        return fits - self._weight(self.every()["terms"]).logsumexp(0)

    def lesson(self, functions: Functions) -> Lesson:
        """See ``teaching.formula_lesson``; monotone formulas only."""
        if not self.monotone or not antichains(functions["terms"]).all():
            raise ConfigError(
                f"A teaching sequence of a {self.name} needs monotone terms of which none contains another; set "
                "monotone=True and take functions from draw()."
            )
        lesson = formula_lesson(functions["terms"])
        return lesson if self._side > 0 else lesson.negated()

    @property
    def longest_lesson(self) -> int:
        """terms * n (terms of an antichain leave a variable out); a single term: n + 1; 0 when not monotone."""
        if not self.monotone:
            return 0
        return self.dimensions + 1 if self.terms == 1 else self.terms * self.dimensions

    def _untangled(self, terms: Tensor, generator: Generator) -> Tensor:
        for _ in range(_ROUNDS):
            again = ~antichains(terms)
            if not again.any():
                return terms
            terms[again] = self._literals(int(again.sum()), generator)
        raise ConfigError(
            f"No {self.terms} terms of which none contains another turn up at dimensions={self.dimensions} and "
            f"density={self.density}; raise dimensions or lower terms."
        )

    def _literals(self, count: int, generator: Generator) -> Tensor:
        return random_literals((count, self.terms, self.dimensions), generator, self.density, self.monotone)

    def _weight(self, terms: Tensor) -> Tensor:
        each = literal_log_prior(terms.flatten(0, 1), self.density, self.monotone)
        return each.view(terms.shape[:2]).sum(1)


class DNF(_Formula):
    """+1 where some term has all its literals. Functions: ``terms`` ``(B, terms, n)`` int8 in {-1, 0, 1}.

    Defaults are ICL-Discrete's: 3 terms over 28 variables, each in use with probability 0.2; one term per prompt is
    satisfied by 35% of the points. ``monotone``: no negated variables, and no term contains another.
    """

    _side: ClassVar[int] = 1

    name: Literal["dnf"] = "dnf"
    forcing: float = Field(default=0.35, ge=0, le=1)


class CNF(_Formula):
    """+1 where every clause has one of its literals; ``terms`` holds the clauses. Forcing 0.3, otherwise as ``DNF``."""

    _side: ClassVar[int] = -1

    name: Literal["cnf"] = "cnf"
    forcing: float = Field(default=0.3, ge=0, le=1)


def antichains(terms: Tensor) -> Tensor:
    """Whether no term of a monotone formula contains another: ``(B, t, n)`` in {0, 1} to ``(B,)`` bool."""
    shared = torch.matmul(terms.float(), terms.float().transpose(1, 2))
    contained = shared == terms.float().sum(2, keepdim=True)
    return ~(contained & ~torch.eye(terms.shape[1], dtype=torch.bool)).flatten(1).any(1)
