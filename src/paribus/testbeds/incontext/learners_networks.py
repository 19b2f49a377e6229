"""A feed-forward network trained by gradient descent on the examples of every prefix, as the release does it.

The release trains one network after another (64 prompts x 14 positions x 1000 steps take over an hour); here all
networks of a position train as one stack of matrix products. They share nothing but the time: the loss is a sum, and
Adam works on single numbers.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learner import asked_positions, guesses, settled
from paribus.testbeds.incontext.prompts import Prompts

Layers = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TrainedNetwork:
    """Two hidden ReLU layers, fresh for every prompt and position, trained by Adam (ICL-Discrete, "FFN-GD").

    Attributes:
        width: units of each hidden layer (Garg et al. 2022, whose baselines the release builds on, take 100).
        steps: of Adam, from the same start for all positions of a prompt.
        rate: learning rate, constant.
        batch: at most so many examples a step, drawn without replacement where there are more.
        every: ask at every so many positions; the others are NaN.
        seed: of the initial weights and the batches.

    The loss is the logistic one; the source of the other values is the release.
    """

    width: int = 100
    steps: int = 1_000
    rate: float = 5e-3
    batch: int = 100
    every: int = 5
    seed: int = 0
    name: str = "FFN-GD"

    def __post_init__(self) -> None:
        if min(self.width, self.steps, self.batch) < 1 or self.rate <= 0:
            raise ConfigError(
                f"width={self.width}, steps={self.steps}, batch={self.batch}, rate={self.rate}: all must be above 0."
            )

    def predict(self, prompts: Prompts) -> Tensor:
        """Logits at the queries, ``(B, m)``; NaN at positions not asked. A guess before the first example."""
        x, y = prompts.x.float(), prompts.y.float()
        scores = torch.full_like(y, float("nan"))
        scores[:, 0] = guesses(prompts)[:, 0]
        for i in asked_positions(x.shape[1], self.every)[1:]:
            # Seeded by position, so that no answer depends on which other positions are asked.
            generator = Generator().manual_seed(self.seed + i)
            layers = self.train(x[:, :i], y[:, :i], generator)
            scores[:, i] = logits(layers, x[:, i : i + 1])[:, 0]
        return settled(scores, prompts)

    def train(self, x: Tensor, y: Tensor, generator: Generator) -> Layers:
        """One network per prompt on points ``(B, i, n)`` and labels ``(B, i)``."""
        layers = initial_layers(len(x), (x.shape[-1], self.width, self.width, 1), generator)
        numbers = [tensor.requires_grad_() for layer in layers for tensor in layer]
        optimizer = torch.optim.Adam(numbers, lr=self.rate, fused=True)
        with torch.enable_grad():
            for _ in range(self.steps):
                points, labels = self._drawn(x, y, generator)
                # Mean over a network's own examples, sum over networks: each has the gradient it would have alone.
                loss = softplus(-labels * logits(layers, points)).mean(1).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return [(weight.detach(), bias.detach()) for weight, bias in layers]

    def _drawn(self, x: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        if x.shape[1] <= self.batch:
            return x, y
        chosen = torch.rand(y.shape, generator=generator).topk(self.batch, dim=1).indices
        return x.gather(1, chosen[..., None].expand(-1, -1, x.shape[-1])), y.gather(1, chosen)


def initial_layers(count: int, sizes: tuple[int, ...], generator: Generator) -> Layers:
    """``count`` stacked networks with layers of these sizes; uniform within 1/sqrt(inputs), as ``nn.Linear`` starts."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        weight = torch.rand((count, inputs, outputs), generator=generator) * 2 - 1
        bias = torch.rand((count, 1, outputs), generator=generator) * 2 - 1
        layers.append((weight / sqrt(inputs), bias / sqrt(inputs)))
    return layers


def logits(layers: Layers, x: Tensor) -> Tensor:
    """Outputs ``(B, i)`` of network b on its own points ``(B, i, n)``; ReLU between the layers."""
    for weight, bias in layers[:-1]:
        x = torch.baddbmm(bias, x, weight).relu()
    weight, bias = layers[-1]
    return torch.baddbmm(bias, x, weight).squeeze(-1)
