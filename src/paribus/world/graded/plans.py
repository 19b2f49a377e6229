"""What an answer is to be like: its errors and its style, and how good that is."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from paribus.errors import ConfigError

#: The errors that can be planted, named as in released tables of human error ratings.
ERRORS: tuple[str, ...] = (
    "factuality",
    "inconsistent",
    "contradiction",
    "relevance",
    "formatting",
    "refusal",
    "repetition",
)

#: What each aspect of quality is made of; aspects in the order in which they count.
ASPECTS: dict[str, tuple[str, ...]] = {
    "correctness": ("factuality", "inconsistent", "contradiction"),
    "instruction": ("relevance", "formatting", "refusal"),
    "style": ("repetition", "wordiness"),
}

_STYLE_RANGES = {"assertiveness": (-2, 2), "complexity": (-1, 1), "wordiness": (0, 2)}


@dataclass(frozen=True, slots=True)
class Plan:
    """Errors and style of an answer.

    Errors combine freely, but a refusal excludes all others: who declines says nothing that could be wrong. Style is
    surface only: ``assertiveness`` -2 (two hedges) .. 2 (two boosters), ``complexity`` -1 (plain) .. 1 (elevated),
    ``wordiness`` 0..2 filler sentences. Raises ConfigError for an unknown error or combination, or a style off range.
    """

    errors: frozenset[str] = frozenset()
    assertiveness: int = 0
    complexity: int = 0
    wordiness: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(self.errors - set(ERRORS))
        if unknown:
            raise ConfigError(f"Plan.errors has no {unknown[0]!r}; use some of {', '.join(ERRORS)}.")
        if "refusal" in self.errors and len(self.errors) > 1:
            raise ConfigError(f"A refusal excludes other errors, got {sorted(self.errors)}; plan one or the other.")
        for name, (low, high) in _STYLE_RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"Plan.{name} is {getattr(self, name)}; use {low} to {high}.")


def quality_of(errors: Collection[str], parts_right: Collection[bool], wordiness: int) -> float:
    """Return quality in 0..1: correctness first, then instruction, then style.

    Each is in 0..1: the share of right parts; the share of instructions kept (none by a refusal); and 1 less 0.6 for a
    repetition and 0.2 for each filler sentence. The weights .80, .16, .04 make one step of an aspect outweigh all that
    comes after it, for up to three parts.
    """
    correctness = sum(parts_right) / len(parts_right)
    broken = sum(error in errors for error in ASPECTS["instruction"])
    instruction = 0.0 if "refusal" in errors else 1 - broken / 3
    style = 1 - 0.6 * ("repetition" in errors) - 0.2 * min(wordiness, 2)
    return round(0.8 * correctness + 0.16 * instruction + 0.04 * style, 9)


def planned_quality(plan: Plan, parts: int) -> float:
    """Return the quality of any answer written by a plan: each error of correctness costs a part while there are."""
    wrong = parts if "refusal" in plan.errors else len(plan.errors.intersection(ASPECTS["correctness"]))
    return quality_of(plan.errors, [number >= wrong for number in range(parts)], plan.wordiness)


def as_random(rng: Any) -> random.Random:
    """Return ``rng`` itself if it is a ``random.Random``, or one seeded by the next draw of a numpy Generator."""
    if isinstance(rng, random.Random):
        return rng
    if hasattr(rng, "integers"):
        return random.Random(int(rng.integers(2**63)))
    raise ConfigError(f"Draws need a random.Random or a numpy Generator, got {type(rng).__name__}; pass one of them.")
