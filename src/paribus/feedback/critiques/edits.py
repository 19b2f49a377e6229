"""Counterfactual critiques: one claim turned around, everything else byte for byte as it was.

What a reward model's scores do then is measured by ``evaluation.counterfactuals`` (papers/reward-critiques.md section
5). Only critiques whose claims are known sentence by sentence can be edited: those of ``RuleCritic``.
"""

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from paribus.errors import DataError
from paribus.feedback.critiques.critics import Claim, Stated, Voice
from paribus.records import Critique


@dataclass(frozen=True)
class Edit:
    """A critique in which ``claim`` stands turned around. ``direction``: +1 if the edited one speaks better of the
    answer, -1 if worse."""

    claim: Stated
    direction: Literal[1, -1]
    critique: Critique


def claims_of(critique: Critique) -> list[Stated]:
    """The claims that a rule critic made, in the order of its text; none for a free text."""
    return [Stated(aspect, row["target"], row["holds"]) for aspect, row in _sentences(critique)]


def edit_claim(critique: Critique, claim: Claim, voice: Voice, *, seed: int = 0) -> Critique:
    """The critique that says ``claim`` in the place of what it says about the same aspect and target.

    A claim that is made already leaves the critique as it is. Raises ``DataError`` for a critique that says nothing
    about it, or whose text is not that of its claims.
    """
    row = _find(critique, claim)
    if row["holds"] == claim.holds:
        return critique
    language = str(critique.meta.get("language", ""))
    dice = random.Random(f"edit\x1f{seed}\x1f{critique.text}\x1f{claim.aspect}\x1f{claim.target}")
    stated = Stated(claim.aspect, claim.target, claim.holds)
    return _replaced(critique, row, stated, voice.say(stated, language, dice))


def edits(critique: Critique, voice: Voice, *, seed: int = 0) -> list[Edit]:
    """Every single claim of the critique turned around, one at a time."""
    out = []
    for claim in claims_of(critique):
        turned = Stated(claim.aspect, claim.target, not claim.holds)
        direction: Literal[1, -1] = 1 if turned.holds else -1
        out.append(Edit(turned, direction, edit_claim(critique, turned, voice, seed=seed)))
    return out


def _sentences(critique: Critique) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = [(aspect, row) for aspect, said in critique.aspects.items() if isinstance(said, list) for row in said]
    yield from sorted(rows, key=lambda pair: pair[1]["at"])


def _find(critique: Critique, claim: Claim) -> dict[str, Any]:
    for aspect, row in _sentences(critique):
        if (aspect, row["target"]) != (claim.aspect, claim.target):
            continue
        if critique.text[row["at"] : row["at"] + len(row["said"])] == row["said"]:
            return row
        raise DataError(
            f"The critique of {critique.completion_id!r} does not say {row['said']!r} at letter {row['at']}: its text "
            "was changed after it was written; edit the critic's own critique."
        )
    raise DataError(
        f"The critique of {critique.completion_id!r} says nothing about {claim.aspect} {claim.target!r}; it speaks of "
        f"{[(said.aspect, said.target) for said in claims_of(critique)]}."
    )


def _replaced(critique: Critique, row: dict[str, Any], claim: Stated, said: str) -> Critique:
    at, end = row["at"], row["at"] + len(row["said"])
    aspects = deepcopy(critique.aspects)
    for other in (entry for rows in aspects.values() for entry in rows):
        if other["at"] == at:
            other.update(holds=claim.holds, said=said)
        elif other["at"] > at:
            other["at"] += len(said) - (end - at)
    return critique.model_copy(
        update={
            "text": critique.text[:at] + said + critique.text[end:],
            "aspects": aspects,
            "meta": {**critique.meta, "edited": [claim.aspect, claim.target]},
        }
    )
