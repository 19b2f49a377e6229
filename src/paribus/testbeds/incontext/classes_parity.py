"""Parities: of a uniform subset of the variables, and of exactly k of them."""

from math import comb
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from paribus.testbeds.incontext.draws import inner, random_subsets, signs
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.listing import all_literals, all_subsets, check_size, uniform_log_prior
from paribus.testbeds.incontext.prompts import Functions
from paribus.testbeds.incontext.teaching import Lesson


class _Parity(FunctionClass):
    """+1 where an odd number of the subset's variables are +1. Functions: ``subset`` ``(B, n)`` int8 in {0, 1}."""

    def evaluate(self, functions: Functions, x: Tensor) -> Tensor:
        """Exclusive or of the subset's variables, with +1 for true; the empty subset is constant -1."""
        subset = functions["subset"]
        # subset.x = (ones - zeros), so ones = (subset.x + size) / 2: no copy of the points as bits is needed.
        ones = (inner(x, subset) + subset.sum(1, keepdim=True)) / 2
        return signs(ones % 2 == 1)


class Parity(_Parity):
    """Exclusive or of a uniform subset of the variables. Functions: ``subset`` ``(B, n)`` int8 in {0, 1}.

    Defaults: 20 dimensions (ICL-Discrete also has 10), 140 points. All 2^n subsets are equally likely, drawn directly.
    """

    name: Literal["parity"] = "parity"
    dimensions: int = Field(default=20, ge=1)
    points: int = Field(default=140, ge=1)

    def draw(self, count: int, generator: Generator) -> Functions:
        """Uniform subsets: a fair coin per variable."""
        return {"subset": torch.randint(2, (count, self.dimensions), generator=generator, dtype=torch.int8)}

    def every(self) -> Functions:
        """All 2^n functions."""
        return {"subset": all_literals(self.dimensions, monotone=True)}

    def log_prior(self, functions: Functions) -> Tensor:
        """Uniform."""
        return uniform_log_prior(len(functions["subset"]), 2**self.dimensions)

    def lesson(self, functions: Functions) -> Lesson:
        """The n points with a single +1: each label says whether that variable is in the subset."""
        count, dimensions = functions["subset"].shape
        x = signs(torch.eye(dimensions, dtype=torch.bool)).expand(count, -1, -1)
        return Lesson(x, torch.full((count,), dimensions))

    @property
    def longest_lesson(self) -> int:
        """n points; n linearly independent ones are needed to single out a parity."""
        return self.dimensions


class SparseParity(_Parity):
    """Exclusive or of exactly ``size`` variables. Functions: ``subset`` ``(B, n)`` int8 in {0, 1}.

    Defaults are ICL-Discrete's: 2 of 10 variables, 140 points.
    """

    name: Literal["sparse_parity"] = "sparse_parity"
    dimensions: int = Field(default=10, ge=1)
    points: int = Field(default=140, ge=1)
    size: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _check_size(self) -> "SparseParity":
        check_size(self.name, self.size, self.dimensions)
        return self

    def draw(self, count: int, generator: Generator) -> Functions:
        """Uniform subsets of ``size`` variables."""
        return {"subset": random_subsets(count, self.dimensions, self.size, generator)}

    def every(self) -> Functions:
        """All C(n, size) functions."""
        return {"subset": all_subsets(self.dimensions, self.size)}

    def log_prior(self, functions: Functions) -> Tensor:
        """Uniform."""
        return uniform_log_prior(len(functions["subset"]), comb(self.dimensions, self.size))

    def lesson(self, functions: Functions) -> Lesson:
        """For each variable of the subset, the point with its only +1 there: ``size`` labels +1 name the subset."""
        subset = functions["subset"]
        variables = subset.topk(self.size, dim=1).indices.sort(dim=1).values
        x = torch.full((*variables.shape, self.dimensions), -1, dtype=torch.int8)
        return Lesson(x.scatter_(2, variables.unsqueeze(2), 1), torch.full((len(subset),), self.size))

    @property
    def longest_lesson(self) -> int:
        """One point per variable."""
        return self.size
