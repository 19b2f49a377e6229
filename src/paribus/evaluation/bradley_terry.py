"""Bradley-Terry ratings of many models from pairwise verdicts (Arena-Hard-Auto, arXiv 2406.11939; checklist 18).

P(i beats j) = 1 / (1 + 10^((R_j - R_i) / 400)), ties as half a win for each side. The likelihood depends on the
verdicts only through wins and games per pair of models, so a thousand bootstrap fits cost one batched Newton iteration
each few milliseconds. Against a single baseline the fitted win probability is the weighted mean score, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.games import (
    Question,
    Unparsed,
    codes,
    keep_parsed,
    question_of,
    scores_and_weights,
    strengths,
)
from paribus.records import Verdict
from paribus.statistics import Interval, cluster_weights, percentile_interval
from paribus.statistics.arrays import generator, positive_count

Weighting = Literal["half_ties", "strong_x3"]

POINTS_PER_NAT = 400.0 / np.log(10.0)
# A model that won (or lost) everything has no finite rating; ratings stop here, 2,606 points from the baseline.
LIMIT_NATS = 15.0


@dataclass(frozen=True)
class BradleyTerry:
    """Fitted ratings.

    Attributes:
        ratings: points per model (400 points = odds of ten to one), the baseline at the anchor.
        win_probability: chance to beat the baseline, 0.5 for the baseline itself.
        draws: bootstrap ratings in points, shape ``(resamples, models)``, columns in the order of ``models``; NaN where
            a model drew no game.
        unbounded: models whose rating ran into the limit because they won or lost everything.
    """

    models: tuple[str, ...]
    baseline: str
    weighting: Weighting
    ratings: dict[str, Interval]
    win_probability: dict[str, Interval]
    draws: NDArray[np.float64] = field(repr=False)
    unbounded: tuple[str, ...]
    unparsed: int
    dropped: int

    def beats(self, first: str, second: str) -> float:
        """Fitted chance that ``first`` beats ``second``."""
        return float(win_chance(self.ratings[first].estimate - self.ratings[second].estimate))


@dataclass(frozen=True)
class PairTotals:
    """Sufficient statistics: ``won`` (score of the first model) and ``played``, each ``(questions, pairs)``."""

    models: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    won: NDArray[np.float64]
    played: NDArray[np.float64]


def win_chance(points: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Chance to win at a rating difference in points, base 10 and scale 400."""
    from scipy.special import expit

    return np.asarray(expit(np.asarray(points) / POINTS_PER_NAT), dtype=np.float64)


def bradley_terry(
    verdicts: Sequence[Verdict],
    baseline: str,
    *,
    weighting: Weighting = "strong_x3",
    anchor: float = 1000.0,
    unparsed: Unparsed = "drop-prompt",
    resamples: int = 1_000,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
    question: Question = question_of,
) -> BradleyTerry:
    """Rate all models in ``verdicts``, the ``baseline`` at ``anchor`` points, with question-clustered intervals.

    ``weighting="strong_x3"`` counts strong verdicts three times, ``"half_ties"`` counts every game once.

    Raises:
        DataError: no parsed game, or models that no chain of games connects to the baseline.
        ConfigError: unknown baseline or weighting.
    """
    if weighting not in get_args(Weighting):
        raise ConfigError(
            f"weighting is {weighting!r}; use 'strong_x3' or 'half_ties' (ties apart has no rating model)."
        )
    positive_count(resamples, "resamples")
    kept = keep_parsed(verdicts, unparsed)
    totals = pair_totals(kept.verdicts, weighting=weighting, question=question)
    anchored = _anchor_index(totals, baseline)
    fit = fit_ratings(totals, totals.won.sum(0)[None], totals.played.sum(0)[None], anchored)[0]
    draws = _bootstrap(totals, anchored, resamples, rng)
    return _result(totals, baseline, weighting, anchor, fit, draws, level, kept.unparsed, kept.dropped)


def pair_totals(
    verdicts: Sequence[Verdict], *, weighting: Weighting = "strong_x3", question: Question = question_of
) -> PairTotals:
    """Sum parsed verdicts per question and pair of models."""
    if not verdicts:
        raise DataError("There is no parsed game to rate models from; look at Verdict.raw for what the judge replied.")
    models = tuple(sorted({name for v in verdicts for name in (v.a, v.b)}))
    index = {name: i for i, name in enumerate(models)}
    a, b = (np.array([index[getattr(v, side)] for v in verdicts]) for side in "ab")
    score, weight = scores_and_weights(strengths(verdicts), strong=3.0 if weighting == "strong_x3" else 1.0)
    score = np.where(a < b, score, 1.0 - score)
    pair, pairs = codes([(min(i, j), max(i, j)) for i, j in zip(a.tolist(), b.tolist(), strict=True)])
    asked, questions = codes([question(v) for v in verdicts])
    shape, cell = (len(questions), len(pairs)), asked * len(pairs) + pair
    won = np.bincount(cell, score * weight, minlength=shape[0] * shape[1]).reshape(shape)
    played = np.bincount(cell, weight, minlength=shape[0] * shape[1]).reshape(shape)
    first, second = np.array(pairs, dtype=np.int64).T
    return PairTotals(models, first, second, won.astype(np.float64), played.astype(np.float64))


def fit_ratings(
    totals: PairTotals, won: NDArray[np.float64], played: NDArray[np.float64], anchor: int
) -> NDArray[np.float64]:
    """Maximum-likelihood ratings in nats for a batch of ``won`` and ``played``, both ``(batch, pairs)``.

    Newton's method with steps of at most one nat (without a cap it can overshoot and cycle); the model ``anchor`` stays
    at 0, others within ``LIMIT_NATS``. Returns ``(batch, models)``; NaN for a model without games.
    """
    from scipy.special import expit

    m, pairs = len(totals.models), len(totals.first)
    incidence = np.zeros((pairs, m))
    incidence[np.arange(pairs), totals.first] = 1.0
    incidence[np.arange(pairs), totals.second] = -1.0
    free = np.arange(m) != anchor
    incidence = incidence[:, free]
    outer = (incidence[:, :, None] * incidence[:, None, :]).reshape(pairs, -1)
    theta = np.zeros((len(won), m - 1))
    for _ in range(200):
        chance = expit(theta @ incidence.T)
        slope = (won - played * chance) @ incidence
        # The tiny ridge keeps the system solvable for a model that drew no game, whose slope is zero.
        curve = ((played * chance * (1 - chance)) @ outer).reshape(-1, m - 1, m - 1) + 1e-12 * np.eye(m - 1)
        step = np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
        step /= np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True))
        moved = np.clip(theta + step, -LIMIT_NATS, LIMIT_NATS)
        done = np.abs(moved - theta).max() < 1e-10
        theta = moved
        if done:
            break
    theta[(played @ np.abs(incidence)) == 0] = np.nan
    return np.insert(theta, anchor, 0.0, axis=1)


def _anchor_index(totals: PairTotals, baseline: str) -> int:
    if baseline not in totals.models:
        raise ConfigError(f"The baseline {baseline!r} played no game; the models are {', '.join(totals.models)}.")
    reached = np.zeros(len(totals.models), dtype=bool)
    reached[totals.models.index(baseline)] = True
    for _ in totals.models:
        touching = reached[totals.first] | reached[totals.second]
        reached[totals.first[touching]] = reached[totals.second[touching]] = True
    if not reached.all():
        stranded = [name for name, known in zip(totals.models, reached, strict=True) if not known]
        raise DataError(
            f"No chain of games connects {', '.join(stranded)} to the baseline {baseline!r}; judge them against a "
            "model that is connected, or rate them apart."
        )
    return totals.models.index(baseline)


def _bootstrap(
    totals: PairTotals, anchored: int, resamples: int, rng: np.random.Generator | int
) -> NDArray[np.float64]:
    draws = []
    # Newton holds (rows, models, models); a few hundred rows at a time keep that small for fifty models.
    for weights in cluster_weights(len(totals.won), resamples, generator(rng)):
        for part in np.array_split(weights, max(1, len(weights) // 500)):
            draws.append(fit_ratings(totals, part @ totals.won, part @ totals.played, anchored))
    return np.concatenate(draws)


def _result(
    totals: PairTotals,
    baseline: str,
    weighting: Weighting,
    anchor: float,
    fit: NDArray[np.float64],
    draws: NDArray[np.float64],
    level: float,
    unparsed: int,
    dropped: int,
) -> BradleyTerry:
    n = len(totals.won)
    points, point_draws = fit * POINTS_PER_NAT, draws * POINTS_PER_NAT
    chances, chance_draws = win_chance(points), win_chance(point_draws)
    ratings, probabilities = {}, {}
    for i, name in enumerate(totals.models):
        ratings[name] = percentile_interval(point_draws[:, i] + anchor, points[i] + anchor, n=n, level=level)
        probabilities[name] = percentile_interval(chance_draws[:, i], chances[i], n=n, level=level)
    at_limit = np.abs(fit) >= LIMIT_NATS - 1e-9
    unbounded = tuple(name for name, stuck in zip(totals.models, at_limit, strict=True) if stuck)
    return BradleyTerry(
        models=totals.models,
        baseline=baseline,
        weighting=weighting,
        ratings=ratings,
        win_probability=probabilities,
        draws=point_draws + anchor,
        unbounded=unbounded,
        unparsed=unparsed,
        dropped=dropped,
    )
