"""Simulated systems that answer requests under a preamble, with known rates of error and known style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any

from paribus.errors import ConfigError
from paribus.world.graded.answers import GradedAnswer, write_answer
from paribus.world.graded.plans import ERRORS, Plan, as_random
from paribus.world.graded.requests import GradedWorld, Request


@dataclass(frozen=True, slots=True)
class Shift:
    """What a preamble adds to a system's mean assertiveness and complexity, and to its rate of refusals."""

    assertiveness: float = 0.0
    complexity: float = 0.0
    refusal: float = 0.0


#: The five preambles. As in the data of "Human Feedback is not Gold Standard" (ICLR 2024, release, part 2), style moves
#: both ways together, and a system told to be unsure declines far more often (24% against 3.5%).
PREAMBLES: Mapping[str, Shift] = MappingProxyType(
    {
        "normal": Shift(),
        "assertive_high": Shift(assertiveness=1.2, complexity=0.1),
        "assertive_low": Shift(assertiveness=-1.8, complexity=-0.2, refusal=0.2),
        "complex_high": Shift(assertiveness=0.3, complexity=0.8),
        "complex_low": Shift(assertiveness=-0.6, complexity=-0.8),
    }
)


@dataclass(frozen=True)
class System:
    """A simulated system.

    ``error_rates``: how often an answer has each error (absent: never), independently, but a refusal has no other.
    ``assertiveness``, ``complexity`` and ``wordiness`` are means on the scales of ``Plan``; single answers vary about
    them by up to one step. Raises ConfigError for an unknown error or a rate off 0..1.
    """

    name: str
    error_rates: Mapping[str, float] = field(default_factory=dict)
    assertiveness: float = 0.0
    complexity: float = 0.0
    wordiness: float = 0.0

    def __post_init__(self) -> None:
        for error, rate in self.error_rates.items():
            if error not in ERRORS:
                raise ConfigError(f"System {self.name!r}: unknown error {error!r}; use some of {', '.join(ERRORS)}.")
            if not 0.0 <= rate <= 1.0:
                raise ConfigError(f"System {self.name!r}: the rate of {error!r} is {rate}; use 0 to 1.")


def system_answers(
    world: GradedWorld, request: Request, system: System, preamble: str, rng: Any, count: int = 1
) -> tuple[GradedAnswer, ...]:
    """Return ``count`` answers of a system to a request under a preamble (one of PREAMBLES; ConfigError otherwise).

    A preamble changes style and the rate of refusals; the other errors of answers that do not decline stay as likely.
    """
    if preamble not in PREAMBLES:
        raise ConfigError(f"Unknown preamble {preamble!r}; use one of {', '.join(PREAMBLES)}.")
    rng = as_random(rng)
    return tuple(write_answer(world, request, _plan(system, PREAMBLES[preamble], rng), rng) for _ in range(count))


def _plan(system: System, shift: Shift, rng: Random) -> Plan:
    refused = rng.random() < min(1.0, system.error_rates.get("refusal", 0.0) + shift.refusal)
    errors = {error for error in ERRORS if error != "refusal" and rng.random() < system.error_rates.get(error, 0.0)}
    return Plan(
        frozenset({"refusal"} if refused else errors),
        _about(system.assertiveness + shift.assertiveness, -2, 2, rng),
        _about(system.complexity + shift.complexity, -1, 1, rng),
        _about(system.wordiness, 0, 2, rng),
    )


def _about(mean: float, low: int, high: int, rng: Random) -> int:
    """Return a whole number near ``mean``: the mean moved evenly by up to one step, rounded, kept in range."""
    return max(low, min(high, round(mean + rng.uniform(-1.0, 1.0))))
