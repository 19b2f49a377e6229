"""What a learner is: a rule that labels each point of a prompt from the points before it.

Learners are the yardsticks of ICL-Discrete (section 2, "baselines"): a model that only matches nearest neighbours has
learned little, one that matches the exact learner of its class has learned all there is. All of them answer every
position of every prompt at once, and never look at a later point or at the label they predict. They work on prompts
where they were drawn, on the CPU.

Shapes: B prompts, m points, n dimensions.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.prompts import Prompts

# A guess is far below any vote, so that it decides only where there is nothing else to decide by.
GUESS = 1e-6


class Learner(Protocol):
    """A rule with a name for tables and charts."""

    @property
    def name(self) -> str:
        """Short name, as it stands in a legend."""
        ...

    def predict(self, prompts: Prompts) -> Tensor:
        """Scores, ``(B, m)`` float: their sign is the label predicted for point i from the points before it and x_i.

        0 abstains, which counts as wrong. NaN says that the learner was not asked at this position (see ``every`` of
        the costly ones); curves leave such positions out.
        """
        ...


@dataclass(frozen=True)
class Null:
    """The same label always, whatever the prompt shows: the share of the commoner label is what it gets right."""

    label: int = -1
    name: str = "null"

    def predict(self, prompts: Prompts) -> Tensor:
        """``label`` everywhere, ``(B, m)``."""
        return torch.full(prompts.y.shape, float(self.label), device=prompts.y.device)


def correct(scores: Tensor, prompts: Prompts) -> Tensor:
    """1 where the sign of a score is the label, 0 where not (or abstained), NaN where not asked; ``(B, m)`` float32.

    Also reads a model's logits: those at the positions of the points, ``model(**batch).logits[:, ::2, 0]``.
    """
    if scores.shape != prompts.y.shape:
        raise ConfigError(
            f"The scores have shape {tuple(scores.shape)} and the labels {tuple(prompts.y.shape)}; give one score a "
            "point (of a model's logits take every second position, logits[:, ::2, 0])."
        )
    right = (scores * prompts.y > 0).float()
    return right.masked_fill(torch.isnan(scores), float("nan"))


def guesses(prompts: Prompts) -> Tensor:
    """What to say when the points say nothing: the commoner label so far, -1 when there is none; +-``GUESS``."""
    before = exclusive_sum(prompts.y.float())
    return torch.where(before > 0, GUESS, -GUESS)


def settled(scores: Tensor, prompts: Prompts) -> Tensor:
    """``scores`` with every 0 replaced by a guess, so that the learner never abstains."""
    return torch.where(scores == 0, guesses(prompts).to(scores.dtype), scores)


def exclusive_sum(values: Tensor, dim: int = 1) -> Tensor:
    """Entry i is the sum of the entries before i. For whole numbers only: rounding would let entry i itself show."""
    return values.cumsum(dim) - values


def asked_positions(points: int, every: int) -> list[int]:
    """Positions 0, every, 2 every, ... below ``points``; ``ConfigError`` unless ``every`` is at least 1."""
    if every < 1:
        raise ConfigError(f"every is {every}; ask at every position (1), or at every fifth (5), and so on.")
    return list(range(0, points, every))
