"""Pairs of answers of known order, with a spurious cue and label noise where asked for."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any, Literal, get_args

from paribus.errors import ConfigError
from paribus.records import PreferencePair
from paribus.world.graded.answers import GradedAnswer, quality, write_answer
from paribus.world.graded.plans import ERRORS, Plan, as_random, planned_quality
from paribus.world.graded.requests import GradedWorld, Request

#: A surface feature tied to the preferred answer: filler sentences, or boosters.
Cue = Literal["long", "booster"]

_ERROR_RATE = 0.25  # of each error in a drawn answer, one by one
_REFUSAL_RATE = 0.05


def draw_plan(rng: Any, *, error_rate: float = _ERROR_RATE, refusal_rate: float = _REFUSAL_RATE) -> Plan:
    """Draw a plan: a refusal, or each other error by itself at ``error_rate``; style evenly over its range."""
    rng = as_random(rng)
    errors = {error for error in ERRORS if error != "refusal" and rng.random() < error_rate}
    if rng.random() < refusal_rate:
        errors = {"refusal"}
    return Plan(frozenset(errors), rng.randint(-2, 2), rng.randint(-1, 1), rng.randint(0, 2))


def draw_pair(
    world: GradedWorld,
    request: Request,
    rng: Any,
    cue: Cue | None = None,
    cue_share: float = 0.8,
    label_noise: float = 0.0,
    error_rate: float = _ERROR_RATE,
    wrong_from: str = "train",
) -> tuple[GradedAnswer, GradedAnswer]:
    """Draw two answers to a request, the better first (the worse first with probability ``label_noise``).

    With a ``cue``, the answer labelled better carries it with probability ``cue_share``, else the other one does;
    exactly one of them carries it. "long" is two filler sentences against none, "booster" two boosters against none.
    Plans come from ``draw_plan`` at ``error_rate``. The order never hangs on the cue, although filler is a fault of
    style: the answers differ in something weightier. ``wrong_from`` as for ``write_answer``.

    Raises ConfigError for an unknown cue and for a share off 0..1.
    """
    if cue is not None and cue not in get_args(Cue):
        raise ConfigError(f"Unknown cue {cue!r}; use one of {', '.join(get_args(Cue))}.")
    for name, share in (("cue_share", cue_share), ("label_noise", label_noise), ("error_rate", error_rate)):
        if not 0.0 <= share <= 1.0:
            raise ConfigError(f"draw_pair: {name} is a probability, got {share}; use 0 to 1.")
    rng = as_random(rng)
    flipped, on_first = rng.random() < label_noise, rng.random() < cue_share
    plans = _ordered_plans(rng, len(request.parts), error_rate, cue, on_first != flipped)
    good, bad = (write_answer(world, request, plan, rng, wrong_from=wrong_from) for plan in plans)
    return (bad, good) if flipped else (good, bad)


def _ordered_plans(rng: Random, parts: int, error_rate: float, cue: Cue | None, on_better: bool) -> tuple[Plan, Plan]:
    """Return a better and a worse plan; ``on_better``: which of them carries the cue.

    Plans are compared without the cue; no cue outweighs what they then differ in.
    """
    while True:
        a, b = (_marked(draw_plan(rng, error_rate=error_rate), cue, False) for _ in range(2))
        if (first := planned_quality(a, parts)) != (second := planned_quality(b, parts)):
            good, bad = (a, b) if first > second else (b, a)
            return _marked(good, cue, on_better), _marked(bad, cue, not on_better)


def _marked(plan: Plan, cue: Cue | None, carries: bool) -> Plan:
    """Return the plan with the cue, or with none of it."""
    if cue == "long":
        return replace(plan, wordiness=2 if carries else 0)
    if cue == "booster":
        return replace(plan, assertiveness=2 if carries else 0)
    return plan


def to_pair(request: Request, id: str, chosen: GradedAnswer, rejected: GradedAnswer) -> PreferencePair:
    """Return two answers as a record; ``margin`` is the true difference in quality, negative under a wrong label."""
    prompt = request.to_prompt()
    return PreferencePair(
        id=id,
        prompt_id=request.id,
        language=request.language,
        prompt=prompt.messages,
        chosen=chosen.text,
        rejected=rejected.text,
        margin=round(quality(chosen) - quality(rejected), 9),
        source="graded",
        meta={"question_id": request.cluster},
    )
