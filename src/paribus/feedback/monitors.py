"""Watching an online preference run for reward hacking.

The signs: the arbiter's score rises and the gold score does not, answers grow longer, the policy drifts from its start,
the language is lost, samples become alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.feedback.arbiters import Gold, score_of
from paribus.records import Completion, Prompt

ErrorOf = Callable[[Prompt, str], str | None]
"""The checker's error kind of an answer, None when right."""


@dataclass(frozen=True)
class Monitor:
    """One round's signs, all means over the sampled answers.

    arbiter            raw arbiter score
    gold               gold score
    gap                arbiter minus gold, both standardised with the first round's mean and deviation (1 where that
                       is 0). An arbiter that is gold plus noise of its own never gains more than gold does, so a gap
                       that grows is a gain in something else
    length             characters an answer; ``drift`` relative to the first round
    kl                 log pi(y|x) - log reference(y|x), in nats an answer, over the policy's own samples
    wrong_language     share of answers in another language
    exact_match        share of right answers
    distinct           distinct answers a prompt, as a share of its samples
    """

    round: int
    arbiter: float
    gold: float
    gap: float
    length: float
    drift: float
    kl: float
    wrong_language: float
    exact_match: float
    distinct: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Scale:
    """Means and deviations of the first round, against which later rounds are read."""

    arbiter: tuple[float, float]
    gold: tuple[float, float]
    length: float


def scale_of(prompts: Mapping[str, Prompt], scored: Sequence[Completion], gold: Gold) -> Scale:
    """The yardstick of a run, from its first round's samples; errors as in ``monitor``."""
    marks, scores = _marks_and_scores(prompts, scored, gold)
    length = float(np.mean([len(row.text) for row in scored]))
    return Scale((scores.mean(), scores.std() or 1.0), (marks.mean(), marks.std() or 1.0), max(length, 1e-9))


def monitor(
    number: int,
    prompts: Mapping[str, Prompt],
    scored: Sequence[Completion],
    gold: Gold,
    error_of: ErrorOf,
    reference_logprobs: Sequence[float],
    scale: Scale,
) -> Monitor:
    """The signs of one round. ``reference_logprobs`` (n,) are of the same answers under the starting model; the
    policy's own must be in ``meta["logprob"]``.

    Raises ``DataError`` for no samples, one without a score or log-probability, or another number of references.
    """
    marks, scores = _marks_and_scores(prompts, scored, gold)
    errors = [error_of(prompts[row.prompt_id], row.text) for row in scored]
    length = float(np.mean([len(row.text) for row in scored]))
    drifts = _logprobs(scored) - _references(reference_logprobs, len(scored))
    z_arbiter = (scores.mean() - scale.arbiter[0]) / scale.arbiter[1]
    z_gold = (marks.mean() - scale.gold[0]) / scale.gold[1]
    return Monitor(
        round=number,
        arbiter=float(scores.mean()),
        gold=float(marks.mean()),
        gap=float(z_arbiter - z_gold),
        length=length,
        drift=length / scale.length - 1,
        kl=float(drifts.mean()),
        wrong_language=float(np.mean([error == "wrong_language" for error in errors])),
        exact_match=float(np.mean([error is None for error in errors])),
        distinct=_distinct(scored),
    )


def _marks_and_scores(
    prompts: Mapping[str, Prompt], scored: Sequence[Completion], gold: Gold
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not scored:
        raise DataError("The round has no samples, so there is nothing to watch; sample from its policy first.")
    marks = [gold(prompts[row.prompt_id], row.text) for row in scored]
    return np.array(marks, np.float64), np.array([score_of(row) for row in scored])


def _logprobs(scored: Sequence[Completion]) -> NDArray[np.float64]:
    for row in scored:
        if row.meta.get("logprob") is None:
            raise DataError(
                f"The sample {row.id!r} has no meta['logprob'], so its distance from the start is unknown; sample with "
                "an engine that gives log-probabilities."
            )
    return np.array([row.meta["logprob"] for row in scored], np.float64)


def _references(logprobs: Sequence[float], samples: int) -> NDArray[np.float64]:
    if len(logprobs) != samples:
        raise DataError(f"There are {samples} samples and {len(logprobs)} reference log-probabilities; give one each.")
    return np.asarray(logprobs, np.float64)


def _distinct(scored: Sequence[Completion]) -> float:
    texts: dict[str, list[str]] = {}
    for row in scored:
        texts.setdefault(row.prompt_id, []).append(row.text)
    return float(np.mean([len(set(rows)) / len(rows) for rows in texts.values()]))


def should_stop(
    history: Sequence[Monitor], *, gap: float = 1.0, drift: float = 0.5, wrong_language: float = 0.1
) -> str | None:
    """Why an online run should stop after its latest round, or None.

    Stops when the standardised gap passes ``gap``, answers have grown or shrunk by more than ``drift``, or the
    wrong-language share has risen by ``wrong_language`` since the first round. The papers give no rule; these are ours.
    """
    first, last = history[0], history[-1]
    if last.gap > gap:
        return f"the arbiter runs ahead of the truth by {last.gap:.2f} standard deviations (limit {gap:g})"
    if abs(last.drift) > drift:
        return f"answers changed in length by {last.drift:+.0%} (limit {drift:.0%})"
    if last.wrong_language - first.wrong_language > wrong_language:
        shares = f"{last.wrong_language:.0%} of the answers are in another language"
        return f"{shares} ({first.wrong_language:.0%} at the start, limit +{wrong_language:.0%})"
    return None


def beta_schedule(beta: float, rounds: int, growth: float = 1.0) -> list[float]:
    """DPO's beta of each round: ``beta * growth**round``. Growth 1 is constant; later rounds may need a higher beta."""
    return [beta * growth**number for number in range(rounds)]
