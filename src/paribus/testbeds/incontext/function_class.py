"""What a class of Boolean functions must offer, and how its prompts are drawn.

A family (``classes_terms``, ``classes_formulas``, ``classes_linear``, ``classes_parity``, ``classes_neighbour``) says
how functions are drawn, how points are moved to balance the labels, and how points are labelled; the rest is here.
"""

from typing import ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.draws import coins, random_signs
from paribus.testbeds.incontext.pools import from_pool, outside_pool
from paribus.testbeds.incontext.prompts import Functions, Prompts
from paribus.testbeds.incontext.teaching import Lesson, Order, corrupted, with_lesson


class FunctionClass(BaseModel):
    """Functions from {-1, 1}^n to {-1, 1} with a distribution over them and over the points of a prompt.

    Args:
        dimensions: n, coordinates of a point.
        points: m, labelled points in a prompt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Equal functions have equal parameters, so parameters can stand for the function when a pool is left out.
    identified: ClassVar[bool] = True

    name: str
    dimensions: int = Field(ge=1)
    points: int = Field(ge=1)

    def at(self, points: int) -> Self:
        """The same class with prompts of another length, for tests beyond the length of training."""
        if points < 1:
            raise ConfigError(f"points={points} cannot be used; a prompt has at least 1.")
        return self.model_copy(update={"points": points})

    def draw(self, count: int, generator: Generator) -> Functions:
        """``count`` independent functions of the class."""
        raise NotImplementedError

    def evaluate(self, functions: Functions, x: Tensor) -> Tensor:
        """Labels without noise, ``(B, m)`` int8 in {-1, 1}, of points ``(B, m, n)`` or of ``(m, n)`` shared by all."""
        raise NotImplementedError

    def balanced(self, functions: Functions, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Points after some were moved to one side of their function, and which they are; here: none."""
        return x, torch.zeros(x.shape[:2], dtype=torch.bool)

    def every(self) -> Functions:
        """All functions of the class, for exhaustive work at small n. Raises ``ConfigError`` when they are too many."""
        raise ConfigError(f"The class {self.name!r} has no list of all its functions; use a class that has one.")

    def log_prior(self, functions: Functions) -> Tensor:
        """Natural logarithm of the probability that ``draw`` gives each function, ``(B,)`` float64."""
        raise ConfigError(f"The class {self.name!r} has no closed form for the probability of a function.")

    def lesson(self, functions: Functions) -> Lesson:
        """Per function, points that only it labels as it does (see ``teaching``)."""
        raise ConfigError(
            f"No short sequence teaches a function of the class {self.name!r}; set teaching=0, or take a class "
            "with teaching sequences (conjunction, disjunction, sparse_disjunction, parity, sparse_parity, "
            "monotone dnf and cnf)."
        )

    @property
    def longest_lesson(self) -> int:
        """Points of the longest teaching sequence that any function of the class needs (0 = the class has none)."""
        return 0

    def llm(self) -> Self:
        """The class as language models are asked about it: half of the variables in use when n <= 7 (released code)."""
        if "density" not in type(self).model_fields or self.dimensions > 7:
            return self
        return self.model_copy(update={"density": 0.5})

    def sample(
        self,
        count: int,
        generator: Generator,
        *,
        bit_probability: float = 0.5,
        label_noise: float = 0.0,
        pool: int = 0,
        pool_seed: int = 0,
        held_out: bool = False,
        teaching: float = 0.0,
        order: Order = "built",
        kept: float = 1.0,
        corruption: float = 0.0,
    ) -> Prompts:
        """``count`` prompts, each with its own function.

        Args:
            count: prompts.
            generator: of the CPU; equal states give equal prompts.
            bit_probability: of +1 in a coordinate, before points are balanced (0.5 = the paper's; else a shift).
            label_noise: probability that a shown label is flipped.
            pool: functions come from a fixed pool of this many draws (0 = a fresh function per prompt).
            pool_seed: of the pool.
            held_out: functions come from outside of that pool instead; no function equals one of the pool.
            teaching: probability that a prompt begins with its function's teaching sequence.
            order: of the teaching sequence: as built, reversed, or shuffled per prompt.
            kept: share of the teaching sequence shown, from its front, rounded up; random points fill the rest.
            corruption: probability that a label within the teaching sequence is flipped.

        Raises:
            ConfigError: a probability outside of [0, 1], a generator of another device, a class without teaching
                sequences, a sequence longer than the prompt, or a pool that leaves nothing out.
        """
        _check(count, generator, pool, held_out)
        _check_shares(
            bit_probability=bit_probability,
            label_noise=label_noise,
            teaching=teaching,
            kept=kept,
            corruption=corruption,
        )
        functions = self._functions(count, generator, pool, pool_seed, held_out)
        x = random_signs((count, self.points, self.dimensions), generator, bit_probability)
        x, forced = self.balanced(functions, x, generator)
        taught = torch.zeros(count, dtype=torch.int64)
        if teaching:
            lesson = self._fitting_lesson(functions)
            x, taught = with_lesson(x, lesson, generator, share=teaching, order=order, kept=kept)
            forced &= torch.arange(self.points) >= taught.unsqueeze(1)
        y = self.evaluate(functions, x)
        if corruption:
            y = corrupted(y, taught, generator, corruption)
        if label_noise:
            y = torch.where(coins(y.shape, generator, label_noise), -y, y)
        return Prompts(x=x, y=y, functions=functions, forced=forced, taught=taught)

    def _functions(self, count: int, generator: Generator, pool: int, seed: int, held_out: bool) -> Functions:
        if not pool:
            return self.draw(count, generator)
        return (outside_pool if held_out else from_pool)(self, count, generator, pool, seed)

    def _fitting_lesson(self, functions: Functions) -> Lesson:
        if self.longest_lesson > self.points:
            raise ConfigError(
                f"A teaching sequence of {self.name!r} at dimensions={self.dimensions} can take {self.longest_lesson} "
                f"points, but a prompt has points={self.points}; raise points or lower dimensions."
            )
        return self.lesson(functions)


def _check(count: int, generator: Generator, pool: int, held_out: bool) -> None:
    if count < 1 or pool < 0:
        raise ConfigError(f"count={count}, pool={pool} cannot be used; give count >= 1 and pool >= 0.")
    if held_out and not pool:
        raise ConfigError("held_out=True needs the pool to keep out of; give pool >= 1.")
    if generator.device.type != "cpu":
        raise ConfigError(
            f"The generator is on {generator.device}; sample with a CPU generator and move the prompts with "
            ".to(device), so that a seed gives the same prompts everywhere."
        )


def _check_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"{name}={value} cannot be used; it must lie between 0 and 1.")
