"""Conjunctions and disjunctions of literals, and disjunctions of exactly k variables.

A disjunction is a conjunction seen in the mirror: ``or(x) = -and(-x)`` with the same literals (De Morgan). So both
share one implementation, with ``_side`` = +1 for "and" and -1 for "or".
"""

from math import comb
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from paribus.testbeds.incontext.draws import coins, inner, overwritten, random_literals, random_subsets, signs
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.listing import (
    all_literals,
    all_subsets,
    check_size,
    literal_log_prior,
    uniform_log_prior,
)
from paribus.testbeds.incontext.prompts import Functions
from paribus.testbeds.incontext.teaching import Lesson, conjunction_lesson


class _Term(FunctionClass):
    """One term over literals; functions: ``literals`` ``(B, n)`` int8 in {-1, 0, 1}."""

    _side: ClassVar[int]

    forcing: float = Field(default=0.3, ge=0, le=1)

    def evaluate(self, functions: Functions, x: Tensor) -> Tensor:
        """All literals hold (conjunction: +1), or all fail (disjunction: -1); a term without literals is constant."""
        literals = functions["literals"]
        size = (literals != 0).sum(1, keepdim=True)
        return self._side * signs(self._side * inner(x, literals) == size)

    def balanced(self, functions: Functions, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Each point with probability ``forcing``: all literals of a conjunction hold, all of a disjunction fail."""
        forced = coins(x.shape[:2], generator, self.forcing)
        return overwritten(x, self._side * functions["literals"].unsqueeze(1), forced), forced


class _Literals(_Term):
    """A term with independent literals."""

    density: float = Field(default=0.3, ge=0, le=1)
    monotone: bool = False
    dimensions: int = Field(default=28, ge=1)
    points: int = Field(default=70, ge=1)

    def draw(self, count: int, generator: Generator) -> Functions:
        """Each variable is in use with probability ``density``, as itself or (unless ``monotone``) negated as often."""
        return {"literals": random_literals((count, self.dimensions), generator, self.density, self.monotone)}

    def every(self) -> Functions:
        """All 3^n functions (2^n monotone ones)."""
        return {"literals": all_literals(self.dimensions, self.monotone)}

    def log_prior(self, functions: Functions) -> Tensor:
        """Sum over the independent literals."""
        return literal_log_prior(functions["literals"], self.density, self.monotone)

    def lesson(self, functions: Functions) -> Lesson:
        """See ``teaching.conjunction_lesson``; a disjunction's is its mirror image."""
        lesson = conjunction_lesson(functions["literals"], monotone=self.monotone)
        return lesson if self._side > 0 else lesson.negated()

    @property
    def longest_lesson(self) -> int:
        """n + 1, of a term with all variables in use (or, unless ``monotone``, all but one)."""
        return self.dimensions + 1


class Conjunction(_Literals):
    """+1 where all literals hold. Functions: ``literals`` ``(B, n)`` int8; -1 = the negated variable.

    Defaults are ICL-Discrete's: 28 dimensions, 70 points, 30% of the variables in use, and each point satisfies the
    conjunction outright with probability 0.3. ``monotone``: no negated variables, at the same density.
    """

    _side: ClassVar[int] = 1

    name: Literal["conjunction"] = "conjunction"


class Disjunction(_Literals):
    """+1 where some literal holds; forced points falsify all. Otherwise as ``Conjunction``."""

    _side: ClassVar[int] = -1

    name: Literal["disjunction"] = "disjunction"


class SparseDisjunction(_Term):
    """+1 where some of exactly ``size`` variables is +1. Functions: ``literals`` ``(B, n)`` int8 in {0, 1}.

    Defaults are ICL-Discrete's: 4 of 50 variables; points as for ``Disjunction``.
    """

    _side: ClassVar[int] = -1

    name: Literal["sparse_disjunction"] = "sparse_disjunction"
    dimensions: int = Field(default=50, ge=1)
    points: int = Field(default=70, ge=1)
    size: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _check_size(self) -> "SparseDisjunction":
        check_size(self.name, self.size, self.dimensions)
        return self

    def draw(self, count: int, generator: Generator) -> Functions:
        """Uniform subsets of ``size`` variables."""
        return {"literals": random_subsets(count, self.dimensions, self.size, generator)}

    def every(self) -> Functions:
        """All C(n, size) functions."""
        return {"literals": all_subsets(self.dimensions, self.size)}

    def log_prior(self, functions: Functions) -> Tensor:
        """Uniform."""
        return uniform_log_prior(len(functions["literals"]), comb(self.dimensions, self.size))

    def lesson(self, functions: Functions) -> Lesson:
        """One point: -1 on the variables in use, +1 elsewhere. Its label -1 leaves no other set of that size."""
        x = -signs(functions["literals"] != 0).unsqueeze(1)
        return Lesson(x, torch.ones(len(x), dtype=torch.int64))

    @property
    def longest_lesson(self) -> int:
        """Always one point."""
        return 1
