"""Bounded Dyck by recurrent nets of constant size, exact at every length: h' = relu(W x + U h + b), integers only.

(Bhattamishra et al. 2024, arXiv 2406.09347: bounded Dyck needs a recurrent model of constant size, and a one-layer
transformer of size linear in the length. The compact form is in the spirit of Hewitt et al. 2020.)

Token embeddings carry what a token adds to every unit, so W is the identity. Every weight and every unit is a small
integer in every precision, and h = 0 is the empty stack.

``one_hot``: one unit for each (state before, token read); exactly one of them is 1. The states are the stacks of depth
up to D and a sink for strings that are lost.

``compact``: D stack slots, each an "occupied" flag and the binary digits of a bracket type, twice: one unit says "this
was so, and an opener was read", the other "this was so, and a closer was read". So the next step sees a slot's new
value as a plain sum, of the slot above if an opener was read, of the slot below if a closer was: the stack moves
without any product. Further units notice a violation, and two remember that there was one: in all
(2D - 1)(1 + log2 k) + 2 log2 k + 4 units.

Shapes: U units, V tokens, O outputs, k bracket types, D depth bound.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.models.sequence import SequenceForPrediction
from paribus.testbeds.formal.constructions.codes import digit_table
from paribus.testbeds.formal.constructions.codes import digits as code_digits
from paribus.testbeds.formal.constructions.construction import Construction
from paribus.testbeds.formal.constructions.wiring import Stream, blank_model, wire_ends
from paribus.testbeds.formal.dyck import BoundedDyck

Stack = tuple[int, ...]
MOST_UNITS = 2048
"""One-hot units up to which ``dyck_one_hot`` builds: its square matrix has 4 million entries there."""


def dyck_one_hot(task: BoundedDyck, *, dtype: torch.dtype = torch.float32) -> Construction:
    """|states| * 2k units for |states| = (k^(D+1) - 1) / (k - 1) + 1, all 0 or 1, exactly one of them 1.

    Raises ``ConfigError`` above ``MOST_UNITS`` units.
    """
    units = one_hot_units(task)
    if units > MOST_UNITS:
        raise ConfigError(f"{task.name} has {units} one-hot units, above {MOST_UNITS}; use dyck_compact.")
    states = [stack for depth in range(task.depth + 1) for stack in product(range(task.pairs), repeat=depth)]
    after_U = torch.tensor(_successors(task, states))
    before_U = torch.arange(len(states) + 1).repeat_interleave(2 * task.pairs)
    token_U = torch.arange(2 * task.pairs).repeat(len(states) + 1)
    # Of the units that lead to the state before, exactly one was 1. For the empty stack ask instead that none of the
    # others was: at the start, with no unit at 1, that is true as well.
    recurrent_UU = (before_U[:, None] == after_U).double()
    from_empty_U = before_U == 0
    recurrent_UU[from_empty_U] -= 1
    tokens_VU = (torch.arange(2 * task.pairs)[:, None] == token_U).double() - 1 + from_empty_U.double()
    model = _recurrent(task, recurrent_UU, torch.zeros(units), dtype)
    answers_SO = torch.stack([_answers(task, stack) for stack in [*states, None]])
    wire_ends(model, tokens_VD=tokens_VU, head_OD=answers_SO[after_U].T)
    return Construction(
        name=f"dyck-one-hot-{task.readout}",
        task=task,
        model=model,
        margin=2.0 if task.readout == "membership" else 1.0,
        description=f"a rectified Elman net, a unit for each of {len(states) + 1} states and {2 * task.pairs} tokens",
    )


def one_hot_units(task: BoundedDyck) -> int:
    """States, the sink among them, times tokens."""
    return (sum(task.pairs**depth for depth in range(task.depth + 1)) + 1) * 2 * task.pairs


def dyck_compact(task: BoundedDyck, *, dtype: torch.dtype = torch.float32) -> Construction:
    """(2D - 1)(1 + digits) + 2 digits + 4 units for digits = ceil(log2 k), at least 1: O(D log k), for any length."""
    digits = code_digits(task.pairs)
    moved = (task.depth - 1) * (1 + digits)
    units = Stream(
        entered=1 + digits, pushed=moved, popped=moved, overflow=1, underflow=1, extra=digits, missing=digits, lost=2
    )
    slots = _slots(units, task.depth, 1 + digits)
    lost_1U = units.rows(1, overflow=1.0, underflow=1.0, extra=1.0, missing=1.0, lost=torch.tensor([1.0, -1.0]))
    tokens_VU = _compact_tokens(task, units)
    recurrent_UU = _compact_recurrence(units, slots, lost_1U)
    offset_U = units.rows(1, pushed=-1.0, popped=-1.0, overflow=-1.0, extra=-1.0, lost=torch.tensor([0.0, -1.0]))[0]
    model = _recurrent(task, recurrent_UU, offset_U, dtype)
    read_OU, offset_O = _compact_answers(task, slots, lost_1U)
    wire_ends(model, tokens_VD=tokens_VU, head_OD=read_OU, head_offset_O=offset_O)
    return Construction(
        name=f"dyck-compact-{task.readout}",
        task=task,
        model=model,
        margin=2.0 if task.readout == "membership" else 1.0,
        description=f"a rectified Elman net that keeps {task.depth} stack slots of a flag and {digits} digits",
    )


def _successors(task: BoundedDyck, states: list[Stack]) -> list[int]:
    """Number of the state after every (state, token), in the order of the units; the sink comes last."""
    number: dict[Stack | None, int] = {stack: place for place, stack in enumerate(states)}
    sink = len(states)
    after = [number.get(_next(task, stack, token), sink) for stack in states for token in range(2 * task.pairs)]
    return after + [sink] * (2 * task.pairs)


def _next(task: BoundedDyck, stack: Stack, token: int) -> Stack | None:
    """The stack after a token, top last; None if the string is lost. An opener above the bound gives no known stack."""
    if token < task.pairs:
        return (*stack, token)
    return stack[:-1] if stack and stack[-1] == token - task.pairs else None


def _answers(task: BoundedDyck, stack: Stack | None) -> Tensor:
    """+1 and -1 for the outputs in a state: what may come next, or (not a member, member)."""
    if task.readout == "membership":
        return torch.tensor([-1.0, 1.0] if stack == () else [1.0, -1.0], dtype=torch.float64)
    opens = [stack is not None and len(stack) < task.depth] * task.pairs
    closes = [bool(stack) and stack is not None and stack[-1] == kind for kind in range(task.pairs)]
    return 2 * torch.tensor([*opens, *closes, stack == ()], dtype=torch.float64) - 1


def _recurrent(task: BoundedDyck, recurrent_UU: Tensor, offset_U: Tensor, dtype: torch.dtype) -> SequenceForPrediction:
    """A plain Elman net with the given weights; the caller wires its ends."""
    plain: dict[str, Any] = {"mixer": "elman", "residual": False, "ffn_size": 0, "positions": "none"}
    units = len(recurrent_UU)
    model = blank_model(task, Stream(units=units), dtype=dtype, **plain)
    net: Any = model.model.layers[0].mixer.net
    with torch.no_grad():
        net.weight_ih_l0.copy_(torch.eye(units))
        net.weight_hh_l0.copy_(recurrent_UU)
        net.bias_hh_l0.copy_(offset_U)
    return model


def _slots(units: Stream, depth: int, size: int) -> list[Tensor]:
    """For every slot, top first, how its value (flag, digits) is read from the units: (1 + digits, U) each.

    ``pushed`` i holds what was in slot i when an opener was read, so it is slot i + 1 now; ``popped`` i what was in
    slot i + 1 when a closer was read.
    """
    slots = []
    for slot in range(depth):
        read = torch.zeros(size, units.width, dtype=torch.float64)
        from_above = units["entered"].start if slot == 0 else units["pushed"].start + (slot - 1) * size
        read[:, from_above : from_above + size] = torch.eye(size)
        if slot < depth - 1:
            from_below = units["popped"].start + slot * size
            read[:, from_below : from_below + size] = torch.eye(size)
        slots.append(read)
    return slots


def _compact_tokens(task: BoundedDyck, units: Stream) -> Tensor:
    """What a token adds to every unit: an opener enters and pushes, a closer pops and is compared with the top."""
    digits_kd = digit_table(task.pairs)
    entered = torch.cat((torch.ones(task.pairs, 1), digits_kd), dim=1)
    openers = units.rows(task.pairs, entered=entered, pushed=1.0, overflow=1.0)
    closers = units.rows(task.pairs, popped=1.0, underflow=1.0, extra=1 - digits_kd, missing=digits_kd)
    return torch.cat((openers, closers))


def _compact_recurrence(units: Stream, slots: list[Tensor], lost_1U: Tensor) -> Tensor:
    """What the units before add to every unit.

    ``extra``: the top has a digit that the closer lacks; ``missing``: the closer has one that the top lacks. ``lost``
    counts what is wrong, z, as relu(z) and relu(z - 1), whose difference is 1 ever after.
    """
    recurrent_UU = torch.zeros(units.width, units.width, dtype=torch.float64)
    if len(slots) > 1:
        recurrent_UU[units["pushed"]] = torch.cat(slots[:-1])
        recurrent_UU[units["popped"]] = torch.cat(slots[1:])
    recurrent_UU[units["overflow"]] = slots[-1][:1]
    recurrent_UU[units["underflow"]] = -slots[0][:1]
    recurrent_UU[units["extra"]] = slots[0][1:]
    recurrent_UU[units["missing"]] = -slots[0][1:]
    recurrent_UU[units["lost"]] = lost_1U
    return recurrent_UU


def _compact_answers(task: BoundedDyck, slots: list[Tensor], lost_1U: Tensor) -> tuple[Tensor, Tensor]:
    """The head's matrix (O, U) and offset (O,): 1 where the answer is yes, -1 and below where it is no.

    A closer fits if the top is occupied and all of its digits agree; whatever is lost outweighs all of that.
    """
    end_1U = -2 * slots[0][:1] - 2 * lost_1U
    if task.readout == "membership":
        return torch.cat((-end_1U, end_1U)), torch.tensor([-1.0, 1.0], dtype=torch.float64)
    digits_kd = digit_table(task.pairs)
    digits = digits_kd.shape[1]
    opens_1U = -2 * slots[-1][:1] - 2 * lost_1U
    closes_kU = 2 * (slots[0][:1] + (2 * digits_kd - 1) @ slots[0][1:]) - 2 * (digits + 2) * lost_1U
    # Digits at 0 agree if the top's are 0: they start from 1 each and lose it.
    closes_k = 2 * ((1 - digits_kd).sum(dim=1) - digits - 1) + 1
    ones = torch.ones(1, dtype=torch.float64)
    read_OU = torch.cat((opens_1U.expand(task.pairs, -1), closes_kU, end_1U))
    return read_OU, torch.cat((ones.expand(task.pairs), closes_k, ones))
