"""The nearest-neighbour task: random labels first, then every point repeats the label of its nearest earlier point."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.draws import random_signs
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.prompts import Functions


class NearestNeighbour(FunctionClass):
    """``start`` random labels; then each is that of the most similar earlier point, the earliest of several.

    Functions: ``labels`` ``(B, start)`` int8, the random labels by position; the function of a prompt is these and the
    prompt's own points. A random-label point that repeats an earlier point repeats its label too. Defaults are
    ICL-Discrete's: 10 dimensions, 100 points, start 30 (20 with a frozen GPT-2).
    """

    identified: ClassVar[bool] = False

    name: Literal["nearest_neighbour"] = "nearest_neighbour"
    dimensions: int = Field(default=10, ge=1)
    points: int = Field(default=100, ge=1)
    start: int = Field(default=30, ge=1)

    def draw(self, count: int, generator: Generator) -> Functions:
        """Fair labels for the first points."""
        return {"labels": random_signs((count, self.start), generator)}

    def evaluate(self, functions: Functions, x: Tensor) -> Tensor:
        """Labels in the order of the points: unlike in other classes, they depend on the points before."""
        labels = functions["labels"]
        x = x.expand(len(labels), *x.shape[-2:])
        return labels.gather(1, label_sources(x, self.start))

    def _functions(self, count: int, generator: Generator, pool: int, seed: int, held_out: bool) -> Functions:
        if pool:
            raise ConfigError(
                f"pool={pool} means nothing for {self.name!r}, whose function is its own prompt; set pool=0."
            )
        return self.draw(count, generator)


def nearest_earlier(x: Tensor) -> tuple[Tensor, Tensor]:
    """Per point ``(B, m, n)`` the most similar earlier one (inner product; ties to the earliest), and the similarity.

    Returns:
        ``(B, m)`` int64 positions and ``(B, m)`` float32 inner products; position 0 has none: it gets itself and n.
    """
    points = x.shape[1]
    position = torch.arange(points, dtype=torch.float32, device=x.device)
    later = torch.full((points, points), -torch.inf, device=x.device).triu_()
    # One whole number per pair, similarity * points - position, so that a plain maximum also settles ties. Whole
    # numbers below 2^24 are exact in float32.
    keys = torch.baddbmm(later - position, x.float() * points, x.float().transpose(1, 2)).amax(2)
    keys[:, 0] = x.shape[2] * points
    nearest = (-keys) % points
    return nearest.long(), (keys + nearest) / points


def label_sources(x: Tensor, start: int) -> Tensor:
    """Per point ``(B, m, n)`` the position (below ``start``) whose random label it carries, ``(B, m)`` int64."""
    nearest, similarity = nearest_earlier(x)
    position = torch.arange(x.shape[1], device=x.device)
    copies = (position >= start) | (similarity == x.shape[2])
    sources = torch.where(copies, nearest, position)
    # Chains of copies: following the source of the source doubles the reach each time.
    for _ in range(max(1, x.shape[1] - 1).bit_length()):
        sources = sources.gather(1, sources)
    return sources
