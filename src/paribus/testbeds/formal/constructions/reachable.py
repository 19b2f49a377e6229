"""A proof for every length at once: all states a recurrent net can ever be in, each with every token that can come.

Where the units of a net are integers, the states it reaches are finitely many vectors, known to the last bit. Walk
through them side by side with the stack of the language: if every state that pairs with a stack answers right, and
every token leads from pairs to pairs already seen, then the net is right on every string of every length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.models.sequence import SequenceState
from paribus.testbeds.formal.constructions.construction import Construction
from paribus.testbeds.formal.dyck import BoundedDyck

Stack = tuple[int, ...] | None
"""Bracket types, bottom first; None once the string is lost."""

_Place = tuple[Tensor, Stack]  # the units (U,) of the net, and the stack at the same time
_MOST_STATES = 200_000


@dataclass(frozen=True)
class Reach:
    """What the walk found.

    ``states``: vectors of units that occur; ``largest``: the largest unit; ``steps``: pairs of a state and a token that
    were tried; ``errors``: those after which the answer was wrong; ``margin``: the least distance of a logit from 0 on
    its right side.
    """

    states: int
    largest: int
    steps: int
    errors: int
    margin: float

    @property
    def proves(self) -> bool:
        """Whether the net is right on every string of every length."""
        return self.errors == 0


@torch.no_grad()
def walk_states(construction: Construction) -> Reach:
    """Walk through everything a Dyck construction can reach; strings that are lost are followed if they are scored.

    Raises ``ConfigError`` for another task, for a model that is no Elman net, for units that are no integers, and above
    200 000 states.
    """
    task, model = construction.task, construction.model
    if not isinstance(task, BoundedDyck) or model.config.mixer != "elman":
        raise ConfigError(f"{construction.name} is no Elman net for bounded Dyck; use verify.")
    frontier: list[_Place] = [(torch.zeros(construction.width, dtype=model.dtype), ())]
    seen: set[tuple[bytes, Stack]] = set()
    gaps: list[Tensor] = []
    largest = 0
    while frontier:
        places = [place for place in _onwards(construction, task, frontier) if place[1] is not None or _ends(task)]
        units_BU = torch.stack([units_U for units_U, _ in places])
        gaps.append(_gaps(model.head(units_BU), [_answers(task, stack) for _, stack in places]))
        largest = max(largest, int(units_BU.max()))
        frontier = []
        for units_U, stack in places:
            key = (_exactly(units_U, construction), stack)
            if key not in seen:
                seen.add(key)
                frontier.append((units_U, stack))
        if len(seen) > _MOST_STATES:
            raise ConfigError(f"{construction.name} reaches more than {_MOST_STATES} states; use verify.")
    gaps_S = torch.cat(gaps)
    states = len({units for units, _ in seen})
    return Reach(states, largest, len(gaps_S), int((gaps_S <= 0).sum()), gaps_S.min().item())


def _ends(task: BoundedDyck) -> bool:
    """Whether the answer is asked for at the end alone, of lost strings too."""
    return task.readout == "membership"


def _onwards(construction: Construction, task: BoundedDyck, frontier: list[_Place]) -> list[_Place]:
    """Where every token leads from every place."""
    tokens = 2 * task.pairs
    units_BU = torch.stack([units_U for units_U, _ in frontier]).repeat_interleave(tokens, dim=0)
    token_B = torch.arange(tokens).repeat(len(frontier))
    # The model's own step, which adds the embedding; the position counts for nothing without a table of positions.
    after_BU, _ = construction.model.model.step(token_B, SequenceState(0, ((units_BU,),)))
    stacks = [_read(task, stack, token) for _, stack in frontier for token in range(tokens)]
    return list(zip(after_BU, stacks, strict=True))


def _read(task: BoundedDyck, stack: Stack, token: int) -> Stack:
    """The stack after a token."""
    if stack is None:
        return None
    if token < task.pairs:
        return (*stack, token) if len(stack) < task.depth else None
    return stack[:-1] if stack[-1:] == (token - task.pairs,) else None


def _answers(task: BoundedDyck, stack: Stack) -> list[bool]:
    """By definition: a token may come if it does not lose the string, and the string may end on an empty stack."""
    if _ends(task):
        return [stack != (), stack == ()]
    return [*(_read(task, stack, token) is not None for token in range(2 * task.pairs)), stack == ()]


def _gaps(logits_BO: Tensor, answers: list[list[bool]]) -> Tensor:
    """(B,) least distance of a logit from 0 on its right side; the two logits of membership are opposite."""
    return (logits_BO * (2 * torch.tensor(answers, dtype=logits_BO.dtype) - 1)).amin(dim=1)


def _exactly(units_U: Tensor, construction: Construction) -> bytes:
    """The units as a key of a set."""
    whole_U = units_U.round()
    if not torch.equal(whole_U, units_U):
        raise ConfigError(
            f"{construction.name} has a unit at {units_U[whole_U != units_U][0]}, no integer; use verify."
        )
    return whole_U.to(torch.int32).numpy().tobytes()
