"""How good is a critic, measured apart from any reward model that reads it?

Two ways (papers/reward-critiques.md section 5): whether a reader who sees the critiques alone prefers the right answer,
and whether each claim of a critique agrees with the known truth. Both come out as item rows, so critics compare by
language and aspect with clustered intervals, and ``benchmark_quality.rank_correlation`` relates their means to the
accuracy of the reward models that read them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from paribus.errors import DataError
from paribus.evaluation.items import ItemRow
from paribus.evaluation.prompts import cluster_of
from paribus.evaluation.reward_models import Outcomes
from paribus.records import Completion, Critique, PreferencePair, Prompt

Reader = Callable[[str, str], float]
"""How positive a critique (text, language) sounds; higher is better. A rule, a sentiment model, a judge."""


class ClaimLike(Protocol):
    """A statement about an answer; two are about the same thing when aspect and target are equal."""

    @property
    def aspect(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def holds(self) -> bool: ...


ReadClaims = Callable[[str, str], Sequence[ClaimLike]]
"""The claims that a text makes, from text and language: ``paribus.world.graded.read`` is one."""

WEIGHTS: Mapping[str, float] = {"correctness": 100.0, "instruction": 10.0, "style": 1.0}
"""Aspects in the graded world's order of importance; a hundredfold, so that no number of claims turns the order."""


def claim_reader(read: ReadClaims, weights: Mapping[str, float] = WEIGHTS) -> Reader:
    """A reader that adds up the claims it finds, weighted by aspect: + where one holds, - where not, 0 where unsaid."""

    def score(text: str, language: str) -> float:
        return sum(weights.get(claim.aspect, 0.0) * (1.0 if claim.holds else -1.0) for claim in read(text, language))

    return score


def reading_outcomes(
    pairs: Sequence[PreferencePair], chosen: Sequence[Critique], rejected: Sequence[Critique], reader: Reader
) -> Outcomes:
    """Does the reader, who sees the critiques and neither answer, prefer the preferred answer's? A tie is a half.

    ``chosen`` and ``rejected`` are the critiques of both sides in the order of the pairs, by one critic. Raises
    ``DataError`` where they do not fit the pairs.
    """
    _check_fit(pairs, chosen, rejected)
    marks = np.array(
        [
            [reader(a.text, pair.language), reader(b.text, pair.language)]
            for pair, a, b in zip(pairs, chosen, rejected, strict=True)
        ],
        dtype=np.float64,
    )
    gap = marks[:, 0] - marks[:, 1]
    value = (np.sign(gap) + 1.0) / 2.0
    return Outcomes(f"reader of {chosen[0].critic}", tuple(pairs), value, tied=int(np.count_nonzero(gap == 0.0)))


def _check_fit(pairs: Sequence[PreferencePair], chosen: Sequence[Critique], rejected: Sequence[Critique]) -> None:
    if not pairs or not len(pairs) == len(chosen) == len(rejected):
        raise DataError(
            f"There are {len(pairs)} pairs, {len(chosen)} critiques of preferred and {len(rejected)} of other answers; "
            "give one critique for every answer."
        )
    for pair, *critiques in zip(pairs, chosen, rejected, strict=True):
        wrong = [row.prompt_id for row in critiques if row.prompt_id != pair.prompt_id]
        if wrong:
            raise DataError(
                f"A critique of the pair {pair.id!r} is on the prompt {wrong[0]!r}, not {pair.prompt_id!r}; sort them."
            )
    critics = sorted({row.critic for row in (*chosen, *rejected)})
    if len(critics) > 1:
        raise DataError(f"The critiques are by {len(critics)} critics ({', '.join(critics[:5])}); give those of one.")


@dataclass(frozen=True)
class ClaimCheck:
    """Claims against the truth. ``rows`` have two measures, both grouped by aspect:

    ``claim_accuracy``: for every claim made about something the truth knows, 1 if it agrees. ``claim_recall``: for
    every true claim, 1 if the critique speaks about its target at all (rightly or not). ``unknown`` counts claims about
    things that the truth is silent on, ``repeated`` those made twice in one critique (the first one counts).
    """

    rows: tuple[ItemRow, ...]
    unknown: int
    repeated: int


def check_claims(
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    critiques: Sequence[Critique],
    read: ReadClaims,
    truth: Callable[[Prompt, str], Sequence[ClaimLike]],
) -> ClaimCheck:
    """Check every claim of every critique; the three sequences belong together one to one.

    ``truth`` gives the true claims about an answer: ``paribus.world.graded.claims_about`` on prompt and text.
    """
    if not len(prompts) == len(completions) == len(critiques):
        raise DataError(
            f"There are {len(prompts)} prompts, {len(completions)} completions and {len(critiques)} critiques; they "
            "must belong together one to one."
        )
    rows, counts = list[ItemRow](), Counter[str]()
    for number, (prompt, completion, critique) in enumerate(zip(prompts, completions, critiques, strict=True)):
        known = {(claim.aspect, claim.target): claim.holds for claim in truth(prompt, completion.text)}
        said: dict[tuple[str, str], bool] = {}
        for claim in read(critique.text, prompt.language):
            counts["repeated"] += (claim.aspect, claim.target) in said
            said.setdefault((claim.aspect, claim.target), claim.holds)
        counts["unknown"] += len(said.keys() - known.keys())
        rows += _claim_rows(f"{number}/{completion.id}", prompt, known, said)
    return ClaimCheck(tuple(rows), counts["unknown"], counts["repeated"])


def _claim_rows(
    name: str, prompt: Prompt, known: Mapping[tuple[str, str], bool], said: Mapping[tuple[str, str], bool]
) -> list[ItemRow]:
    place = (cluster_of(prompt), prompt.language)
    recalled = [
        ItemRow("claim_recall", f"{name}/{aspect}/{target}", *place, float((aspect, target) in said), aspect)
        for aspect, target in known
    ]
    agreeing = [
        ItemRow("claim_accuracy", f"{name}/{aspect}/{target}", *place, float(said[aspect, target] == holds), aspect)
        for (aspect, target), holds in known.items()
        if (aspect, target) in said
    ]
    return recalled + agreeing
