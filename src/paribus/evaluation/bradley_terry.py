"""Bradley-Terry ratings of many models from pairwise verdicts (Arena-Hard-Auto, arXiv 2406.11939; checklist 18).

P(i beats j) = 1 / (1 + 10^((R_j - R_i) / 400)), ties as half a win for each side. The likelihood depends on the
verdicts only through wins and games per pair of models, so a bootstrap refit is a few Newton steps on those sums,
batched over resamples: a thousand refits of 100 models on 100,000 games take seconds (bench_bradley_terry.py).
Against a single baseline the fitted win probability is the weighted mean score, exactly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

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
from paribus.statistics.interval import Method

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Resample = Literal["question", "row"]
Weighting = Literal["half_ties", "strong_x3"]

POINTS_PER_NAT = 400.0 / np.log(10.0)
# A model that won (or lost) everything has no finite rating; ratings stop here, 2,606 points from the baseline.
LIMIT_NATS = 15.0
_LIMITS = (-LIMIT_NATS, LIMIT_NATS)
# What a batch of refits holds at a time, in float64 cells: 4 MiB stay in a core's cache, 32 MiB ran half as fast.
_BATCH_CELLS = 500_000


@dataclass(frozen=True)
class BradleyTerry:
    """Fitted ratings.

    Attributes:
        ratings: points per model (400 points = odds of ten to one), the baseline at the anchor.
        win_probability: chance to beat the baseline, 0.5 for the baseline itself.
        draws: bootstrap ratings in points, shape ``(resamples, models)``, columns in the order of ``models``; NaN where
            a model drew no game that connects it to the baseline.
        unbounded: models whose rating ran into the limit because they won or lost everything.
        resample: what was drawn for the intervals, whole questions or single rows.
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
    resample: Resample = "question"

    def beats(self, first: str, second: str) -> float:
        """Fitted chance that ``first`` beats ``second``."""
        return float(win_chance(self.ratings[first].estimate - self.ratings[second].estimate))


@dataclass(frozen=True)
class PairTotals:
    """Sufficient statistics: ``won`` (score of the first model) and ``played``, each ``(questions, pairs)`` and sparse,
    for among many models a question is played by few pairs. ``outcomes`` counts rows by pair and score, ``(pairs, 3)``:
    lost, tied and won by the first model, a strong verdict being as many rows as it weighs.
    """

    models: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    won: "csr_array"
    played: "csr_array"
    outcomes: NDArray[np.float64]

    @cached_property
    def sides(self) -> "tuple[csr_array, csr_array]":
        """Two tables ``(pairs, models)`` with a one at the pair's first model, and at its second."""
        from scipy.sparse import csr_array

        rows = np.arange(len(self.first))
        shape = (len(rows), len(self.models))
        return tuple(csr_array((np.ones(len(rows)), (rows, side)), shape=shape) for side in (self.first, self.second))


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
    resample: Resample = "question",
    resamples: int = 1_000,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
    question: Question = question_of,
) -> BradleyTerry:
    """Rate all models in ``verdicts``, the ``baseline`` at ``anchor`` points, with question-clustered intervals.

    ``weighting="strong_x3"`` counts strong verdicts three times, ``"half_ties"`` counts every game once.
    ``resample="row"`` draws single rows from all games, a strong verdict being three of them: the bootstrap of
    Arena-Hard v0.1, whose intervals are about half as wide as they should be.

    Raises:
        DataError: no parsed game, or models that no chain of games connects to the baseline.
        ConfigError: unknown baseline, weighting or resampling.
    """
    if resample not in get_args(Resample):
        raise ConfigError(f"resample is {resample!r}; use 'question' or 'row'.")
    if weighting not in get_args(Weighting):
        raise ConfigError(
            f"weighting is {weighting!r}; use 'strong_x3' or 'half_ties' (ties apart has no rating model)."
        )
    positive_count(resamples, "resamples")
    kept = keep_parsed(verdicts, unparsed)
    totals = pair_totals(kept.verdicts, weighting=weighting, question=question)
    anchored = _anchor_index(totals, baseline)
    fit = fit_ratings(totals, totals.won.sum(axis=0)[None], totals.played.sum(axis=0)[None], anchored)[0]
    draws = _bootstrap(totals, anchored, fit, resample, resamples, rng)
    return _result(totals, baseline, weighting, anchor, fit, draws, resample, level, kept.unparsed, kept.dropped)


def pair_totals(
    verdicts: Sequence[Verdict], *, weighting: Weighting = "strong_x3", question: Question = question_of
) -> PairTotals:
    """Sum parsed verdicts per question and pair of models."""
    from scipy.sparse import csr_array

    if not verdicts:
        raise DataError("There is no parsed game to rate models from; look at Verdict.raw for what the judge replied.")
    models = tuple(sorted({name for v in verdicts for name in (v.a, v.b)}))
    index = {name: i for i, name in enumerate(models)}
    a, b = (np.array([index[getattr(v, side)] for v in verdicts]) for side in "ab")
    score, weight = scores_and_weights(strengths(verdicts), strong=3.0 if weighting == "strong_x3" else 1.0)
    score = np.where(a < b, score, 1.0 - score)
    pair, pairs = codes([(min(i, j), max(i, j)) for i, j in zip(a.tolist(), b.tolist(), strict=True)])
    asked, questions = codes([question(v) for v in verdicts])
    shape = (len(questions), len(pairs))
    # Sparse entries at the same place add up.
    won, played = (csr_array((values, (asked, pair)), shape=shape) for values in (score * weight, weight))
    outcomes = np.bincount(3 * pair + np.rint(2 * score).astype(np.int64), weight, minlength=3 * len(pairs))
    first, second = np.array(pairs, dtype=np.int64).T
    return PairTotals(models, first, second, won, played, outcomes.reshape(-1, 3).astype(np.float64))


def fit_ratings(
    totals: PairTotals,
    won: NDArray[np.float64],
    played: NDArray[np.float64],
    anchor: int,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Maximum-likelihood ratings in nats for a batch of ``won`` and ``played``, both ``(batch, pairs)``.

    Newton's method with steps of at most one nat (without a cap it can overshoot and cycle); the model ``anchor`` stays
    at 0, others within ``LIMIT_NATS``. ``start``, ``(models,)``, is where every row begins: a resample is two or three
    steps from the fit of the whole. Returns ``(batch, models)``; NaN for a model that no chain of games
    connects to the anchor in its row.
    """
    theta = _newton(totals, won, played, anchor, start)
    if start is not None:
        # Between models at opposite limits the likelihood is flat, and where Newton stops depends on where it began:
        # such rows begin at zero, as the fit of the whole does.
        flat = np.abs(theta).max(axis=1) >= LIMIT_NATS - 1e-9
        theta[flat] = _newton(totals, won[flat], played[flat], anchor, None)
    theta[~_reached(totals, played, anchor)] = np.nan
    return theta


def _newton(
    totals: PairTotals,
    won: NDArray[np.float64],
    played: NDArray[np.float64],
    anchor: int,
    start: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Ratings ``(batch, models)``; a row rests as soon as it has converged."""
    theta = np.zeros((len(won), len(totals.models))) + (0.0 if start is None else start)
    moving = np.arange(len(won))
    for _ in range(200):
        if not moving.size:
            break
        moved = np.clip(theta[moving] + _step(totals, won[moving], played[moving], theta[moving], anchor), *_LIMITS)
        still = np.abs(moved - theta[moving]).max(axis=1) >= 1e-10
        theta[moving] = moved
        moving = moving[still]
    return theta


def _step(
    totals: PairTotals,
    won: NDArray[np.float64],
    played: NDArray[np.float64],
    theta: NDArray[np.float64],
    anchor: int,
) -> NDArray[np.float64]:
    """One capped Newton step, ``(batch, models)``; the curvature is the Laplacian of the graph of games."""
    from scipy.special import expit

    batch, m = theta.shape
    chance = expit(theta[:, totals.first] - theta[:, totals.second])
    missed, tension = won - played * chance, played * chance * (1 - chance)
    slope = _per_model(totals, missed, -missed)
    curve = np.zeros((batch, m, m))
    curve[:, totals.first, totals.second] = curve[:, totals.second, totals.first] = -tension
    # The tiny ridge keeps the system solvable for a model that drew no game, whose slope is zero.
    curve[:, np.arange(m), np.arange(m)] = _per_model(totals, tension, tension) + 1e-12
    # The anchor's equation becomes "do not move".
    curve[:, anchor, :] = curve[:, :, anchor] = slope[:, anchor] = 0.0
    curve[:, anchor, anchor] = 1.0
    step = np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
    return step / np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True))


def _per_model(
    totals: PairTotals, to_first: NDArray[np.float64], to_second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum values of pairs, ``(batch, pairs)``, over the pairs of each model: ``(batch, models)``."""
    first, second = totals.sides
    return np.asarray(to_first @ first + to_second @ second, dtype=np.float64)


def _reached(totals: PairTotals, played: NDArray[np.float64], anchor: int) -> NDArray[np.bool_]:
    """Which models a chain of games connects to the anchor, ``(batch, models)``."""
    reached = np.zeros((len(played), len(totals.models)), dtype=bool)
    reached[:, anchor] = True
    met, count = played > 0, 0
    while reached.sum() > count:
        count = int(reached.sum())
        touching = (met & (reached[:, totals.first] | reached[:, totals.second])).astype(np.float64)
        reached |= _per_model(totals, touching, touching) > 0
    return reached


def _anchor_index(totals: PairTotals, baseline: str) -> int:
    if baseline not in totals.models:
        raise ConfigError(f"The baseline {baseline!r} played no game; the models are {', '.join(totals.models)}.")
    anchor = totals.models.index(baseline)
    reached = _reached(totals, np.ones((1, len(totals.first))), anchor)[0]
    if not reached.all():
        stranded = [name for name, known in zip(totals.models, reached, strict=True) if not known]
        raise DataError(
            f"No chain of games connects {', '.join(stranded)} to the baseline {baseline!r}; judge them against a "
            "model that is connected, or rate them apart."
        )
    return anchor


def _bootstrap(
    totals: PairTotals,
    anchored: int,
    fit: NDArray[np.float64],
    resample: Resample,
    resamples: int,
    rng: np.random.Generator | int,
) -> NDArray[np.float64]:
    """Refits, ``(resamples, models)`` in nats."""
    # Newton holds a matrix of the models and a few rows of pairs for every resample of a batch.
    batch = max(1, _BATCH_CELLS // (len(totals.models) ** 2 + 8 * len(totals.first)))
    draw = _question_draws if resample == "question" else _row_draws
    draws = []
    for won, played in draw(totals, resamples, batch, generator(rng)):
        draws.append(fit_ratings(totals, won, played, anchored, fit))
    return np.concatenate(draws)


Sums = Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]


def _question_draws(totals: PairTotals, resamples: int, batch: int, rng: np.random.Generator) -> Sums:
    """``won`` and ``played`` of resampled questions, some ``(rows, pairs)`` at a time."""
    for weights in cluster_weights(totals.won.shape[0], resamples, rng):
        for part in np.split(weights, range(batch, len(weights), batch)):
            yield part @ totals.won, part @ totals.played


def _row_draws(totals: PairTotals, resamples: int, batch: int, rng: np.random.Generator) -> Sums:
    """The same for resampled rows, of which there are three kinds for each pair of models."""
    counts = totals.outcomes.ravel()
    n = round(counts.sum())
    for start in range(0, resamples, batch):
        drawn = rng.multinomial(n, counts / n, size=min(batch, resamples - start)).reshape(-1, *totals.outcomes.shape)
        yield drawn @ np.array([0.0, 0.5, 1.0]), drawn.sum(axis=2).astype(np.float64)


def _result(
    totals: PairTotals,
    baseline: str,
    weighting: Weighting,
    anchor: float,
    fit: NDArray[np.float64],
    draws: NDArray[np.float64],
    resample: Resample,
    level: float,
    unparsed: int,
    dropped: int,
) -> BradleyTerry:
    rows = resample == "row"
    n = round(totals.outcomes.sum()) if rows else totals.won.shape[0]
    method: Method = "percentile" if rows else "expanded"
    points, point_draws = fit * POINTS_PER_NAT, draws * POINTS_PER_NAT
    chances, chance_draws = win_chance(points), win_chance(point_draws)
    ratings, probabilities = {}, {}
    for i, name in enumerate(totals.models):
        ratings[name] = percentile_interval(
            point_draws[:, i] + anchor, points[i] + anchor, n=n, level=level, method=method
        )
        probabilities[name] = percentile_interval(chance_draws[:, i], chances[i], n=n, level=level, method=method)
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
        resample=resample,
    )
