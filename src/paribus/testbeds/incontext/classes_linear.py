"""Classes that compare a weighted sum with a threshold: majority of a subset, 0-1 threshold, integer halfspace."""

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from paribus.testbeds.incontext.draws import inner, random_literals, signs
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.listing import (
    all_literals,
    all_weights,
    check_listed,
    literal_log_prior,
    uniform_log_prior,
)
from paribus.testbeds.incontext.prompts import Functions


class Majority(FunctionClass):
    """+1 where most variables of a subset are +1 (a tie is -1). Functions: ``weights`` ``(B, n)`` int8 in {0, 1}.

    Defaults are ICL-Discrete's: 30% of 28 variables, 100 points.
    """

    name: Literal["majority"] = "majority"
    dimensions: int = Field(default=28, ge=1)
    points: int = Field(default=100, ge=1)
    density: float = Field(default=0.3, ge=0, le=1)

    def draw(self, count: int, generator: Generator) -> Functions:
        """Each variable is in the subset with probability ``density``."""
        return {"weights": random_literals((count, self.dimensions), generator, self.density, monotone=True)}

    def evaluate(self, functions: Functions, x: Tensor) -> Tensor:
        """The sign of w.x - 1/2; the empty subset is constant -1."""
        return signs(inner(x, functions["weights"]) > 0.5)

    def every(self) -> Functions:
        """All 2^n functions."""
        return {"weights": all_literals(self.dimensions, monotone=True)}

    def log_prior(self, functions: Functions) -> Tensor:
        """Sum over the independent variables."""
        return literal_log_prior(functions["weights"], self.density, monotone=True)


class Threshold(FunctionClass):
    """+1 where w.x exceeds a bias. Functions: ``weights`` ``(B, n)`` int8 in {-1, 0, 1}, ``bias`` ``(B,)`` float32.

    Defaults are ICL-Discrete's: 30% of 28 variables, 70 points, the bias uniform in {-2.5, -1.5, ..., 2.5}.
    """

    identified: ClassVar[bool] = False

    name: Literal["threshold"] = "threshold"
    dimensions: int = Field(default=28, ge=1)
    points: int = Field(default=70, ge=1)
    density: float = Field(default=0.3, ge=0, le=1)
    largest_bias: float = Field(default=2.5, gt=0)

    @model_validator(mode="after")
    def _check_bias(self) -> "Threshold":
        if self.largest_bias % 1 != 0.5:
            raise ValueError(f"largest_bias={self.largest_bias} allows ties; take 0.5, 1.5, 2.5, ...")
        return self

    def draw(self, count: int, generator: Generator) -> Functions:
        """Independent literals as for ``Conjunction``, and a uniform bias."""
        weights = random_literals((count, self.dimensions), generator, self.density, monotone=False)
        return {
            "weights": weights,
            "bias": self._biases[torch.randint(len(self._biases), (count,), generator=generator)],
        }

    def evaluate(self, functions: Functions, x: Tensor) -> Tensor:
        """The sign of w.x - bias."""
        return signs(inner(x, functions["weights"]) > functions["bias"].unsqueeze(1))

    def every(self) -> Functions:
        """All pairs of weights and bias; one function can be listed several times."""
        weights, biases = all_literals(self.dimensions, monotone=False), self._biases
        check_listed(len(weights) * len(biases), "pairs of weights and bias", self.dimensions)
        return {"weights": weights.repeat_interleave(len(biases), 0), "bias": biases.repeat(len(weights))}

    def log_prior(self, functions: Functions) -> Tensor:
        """Independent literals and a uniform bias."""
        weights = literal_log_prior(functions["weights"], self.density, monotone=False)
        return weights + uniform_log_prior(len(weights), len(self._biases))

    @property
    def _biases(self) -> Tensor:
        return torch.arange(-self.largest_bias, self.largest_bias + 1)


class Halfspace(FunctionClass):
    """The sign of w.x - 1/2 with integer weights. Functions: ``weights`` ``(B, n)`` int8 in {-largest, ..., largest}.

    Defaults are ICL-Discrete's: 20 dimensions, 70 points, weights uniform in {-3, ..., 3}.
    """

    identified: ClassVar[bool] = False

    name: Literal["halfspace"] = "halfspace"
    dimensions: int = Field(default=20, ge=1)
    points: int = Field(default=70, ge=1)
    largest: int = Field(default=3, ge=1, le=127)

    def draw(self, count: int, generator: Generator) -> Functions:
        """Independent uniform weights."""
        shape = (count, self.dimensions)
        return {"weights": torch.randint(-self.largest, self.largest + 1, shape, generator=generator, dtype=torch.int8)}

    def evaluate(self, functions: Functions, x: Tensor) -> Tensor:
        """The sign of w.x - 1/2; w.x = 0 is -1."""
        return signs(inner(x, functions["weights"]) > 0.5)

    def every(self) -> Functions:
        """All weight vectors; one function can be listed several times."""
        return {"weights": all_weights(self.dimensions, self.largest)}

    def log_prior(self, functions: Functions) -> Tensor:
        """Uniform over weight vectors."""
        return uniform_log_prior(len(functions["weights"]), (2 * self.largest + 1) ** self.dimensions)
