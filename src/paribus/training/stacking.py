"""Several models of one architecture as one: their weights stacked, their forward passes and AdamW steps batched.

The weights of all members stand in one matrix per optimizer group, a row a member, so that an AdamW step and a gradient
norm are a few operations on matrices, however many tensors a model has. Groups, rates and decays are read off the
optimizer that a single run would have.

Shapes: A members, P weights of a group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from paribus.errors import ConfigError
from paribus.training.optimizers import build_optimizer
from paribus.training.preparation import frozen
from paribus.training.settings import TrainSettings


@dataclass
class Group:
    """Weights that AdamW treats alike: ``shapes`` by name, their values (A, P), and (A, 1) rates and decays."""

    shapes: dict[str, torch.Size]
    values: Tensor
    rates: Tensor
    decays: Tensor
    betas: tuple[float, float]
    eps: float
    first: Tensor = field(init=False)
    second: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.values = self.values.detach().requires_grad_()
        self.first, self.second = torch.zeros_like(self.values), torch.zeros_like(self.values)

    def named(self, values: Tensor) -> dict[str, Tensor]:
        """The columns of ``values`` (..., P) as tensors of a model, each with the leading dimensions before it."""
        parts = values.split([shape.numel() for shape in self.shapes.values()], dim=-1)
        pairs = zip(self.shapes.items(), parts, strict=True)
        return {name: part.unflatten(-1, shape) if shape else part[..., 0] for (name, shape), part in pairs}

    @torch.no_grad()
    def step(self, number: int, share: float, clip: Tensor) -> None:
        """AdamW's step ``number`` (from 1) at ``share`` of the rates, gradients (A, P) scaled by ``clip`` (A, 1)."""
        if self.values.grad is None:  # nothing of the group took part in the loss
            return
        gradient, rates = self.values.grad.mul_(clip), share * self.rates
        one, two = self.betas
        self.first.lerp_(gradient, 1 - one)
        self.second.mul_(two).addcmul_(gradient, gradient, value=1 - two)
        spread = self.second.sqrt().div_((1 - two**number) ** 0.5).add_(self.eps)
        self.values.mul_(1 - rates * self.decays).sub_(rates / (1 - one**number) * self.first / spread)
        self.values.grad = None

    def keep(self, rows: list[int]) -> None:
        """Drop all members but those of ``rows``."""
        self.values = self.values.detach()[rows].requires_grad_()
        self.rates, self.decays = self.rates[rows], self.decays[rows]
        self.first, self.second = self.first[rows], self.second[rows]


class Stack:
    """Models trained as one. ``places`` are the numbers of the members that are still in it, in order of their rows."""

    def __init__(self, models: Sequence[Any], settings: Sequence[TrainSettings]) -> None:
        self.models, self.places = list(models), list(range(len(models)))
        self.groups = _groups(self.models, settings)
        self.max_norm = settings[0].max_grad_norm
        learned = {name for group in self.groups for name in group.shapes}
        states = [dict(model.named_parameters()) | dict(model.named_buffers()) for model in self.models]
        self.constants = {
            name: torch.stack([state[name].detach() for state in states]) for name in states[0] if name not in learned
        }

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits (A, B, T, outputs) of inputs (A, B, T, ...), each member's of its own.

        Raises ``ConfigError`` for a model that uses something that torch cannot batch, such as its LSTM kernel.
        """
        weights = {name: part for group in self.groups for name, part in group.named(group.values).items()}
        try:
            return vmap(self._one, randomness="different")(weights, self.constants, dict(inputs))
        except RuntimeError as error:
            if not any(word in str(error) for word in ("atching rule", "vmap")):
                raise
            raise ConfigError(
                f"{type(self.models[0]).__name__} cannot be trained as one of several members: torch cannot batch it "
                f"({str(error).splitlines()[0]}); train one by one, or call set_kernel('steps') on a sequence model."
            ) from error

    def step(self, number: int, share: float) -> None:
        """One AdamW step of all members, each with its own gradient norm clipped."""
        clip = self._clip() if self.max_norm else torch.ones_like(self.groups[0].rates)
        for group in self.groups:
            group.step(number, share, clip)

    def _clip(self) -> Tensor:
        """What each member's gradient (A, 1) is multiplied by, as ``torch.nn.utils.clip_grad_norm_`` does."""
        gradients = [group.values.grad for group in self.groups]
        squares = [gradient.square().sum(1, keepdim=True) for gradient in gradients if gradient is not None]
        return (self.max_norm / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)

    @torch.no_grad()
    def settle(self, members: Sequence[int]) -> None:
        """Write the weights of these members into their models and take them out."""
        for member in members:
            own = dict(self.models[member].named_parameters())
            for group in self.groups:
                for name, value in group.named(group.values[self.places.index(member)]).items():
                    own[name].copy_(value)
        kept = [row for row, member in enumerate(self.places) if member not in members]
        if len(kept) == len(self.places):
            return
        self.places = [self.places[row] for row in kept]
        self.constants = {name: values[kept] for name, values in self.constants.items()}
        for group in self.groups:
            group.keep(kept)

    def _one(self, weights: dict[str, Tensor], constants: dict[str, Tensor], inputs: dict[str, Tensor]) -> Tensor:
        return functional_call(self.models[0], (weights, constants), (), inputs).logits


def _groups(models: Sequence[Any], settings: Sequence[TrainSettings]) -> list[Group]:
    """The groups of all models' optimizers, put together. Raises ``ConfigError`` when the models differ in shape."""
    named, optimizers = [], []
    for model, run in zip(models, settings, strict=True):
        with frozen(model, run.freeze):
            optimizers.append(build_optimizer(model, run))
        named.append({id(parameter): name for name, parameter in model.named_parameters()})
    return [
        _group([(names, optimizer.param_groups[place]) for names, optimizer in zip(named, optimizers, strict=True)])
        for place in range(len(optimizers[0].param_groups))
    ]


def _group(members: Sequence[tuple[dict[int, str], dict[str, Any]]]) -> Group:
    """One group, from each member's names (by the parameter's id) and its optimizer's group."""
    shapes = [{names[id(p)]: p.shape for p in group["params"]} for names, group in members]
    for number, own in enumerate(shapes):
        if own != shapes[0]:
            raise ConfigError(
                f"Member {number} has weights of other shapes than member 0 ({_difference(own, shapes[0])}); build all "
                "members with the same configuration."
            )
    first = members[0][1]
    values = torch.stack([torch.cat([p.detach().flatten() for p in group["params"]]) for _, group in members])
    rates, decays = (values.new_tensor([[group[key]] for _, group in members]) for key in ("lr", "weight_decay"))
    return Group(shapes[0], values, rates, decays, first["betas"], first["eps"])


def _difference(own: dict[str, torch.Size], other: dict[str, torch.Size]) -> str:
    name = next(name for name in [*own, *other] if own.get(name) != other.get(name))
    sides = (tuple(side[name]) if name in side else "absent" for side in (own, other))
    return "{}: {} against {}".format(name, *sides)
