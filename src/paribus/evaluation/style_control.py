"""Bradley-Terry with style features: how often would a model win if both answers looked alike?

Both published variants (papers/aya-expanse.md section 3.1) z-score the features. Their controlled score therefore
stands at the *average* style gap of the battles: a baseline that always writes shorter answers keeps that handicap. The
score at *zero* gap, both answers equally long and equally marked up, is usually what is meant. Both are given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.evaluation.bradley_terry import POINTS_PER_NAT, BradleyTerry, Weighting, bradley_terry, win_chance
from paribus.evaluation.games import (
    Question,
    Unparsed,
    codes,
    keep_parsed,
    question_of,
    scores_and_weights,
    strengths,
)
from paribus.evaluation.logistic import fit_logistic
from paribus.evaluation.style import FEATURES, FeatureSet, Style, StyleKey, style_gaps
from paribus.records import Verdict
from paribus.statistics import Interval, cluster_weights, percentile_interval
from paribus.statistics.arrays import generator


@dataclass(frozen=True)
class Coefficient:
    """One row of the coefficient table.

    ``per_sd``: change in log odds per standard deviation of the gap; ``per_unit``: per unit of the raw gap.
    ``mean_gap`` and ``sd_gap`` describe the raw gap over the games. A feature that never differs has ``sd_gap`` 0 and
    is left out of the fit (its coefficients are 0).
    """

    feature: str
    per_sd: Interval
    per_unit: float
    mean_gap: float
    sd_gap: float


@dataclass(frozen=True)
class StyleControlled:
    """Chances to beat the baseline, by model: without control, at the average style gap and at zero gap.

    ``failed_resamples`` counts bootstrap refits without a finite solution, which the intervals leave out.
    """

    baseline: str
    features: FeatureSet
    weighting: Weighting
    plain: dict[str, Interval]
    at_mean_gap: dict[str, Interval]
    at_zero_gap: dict[str, Interval]
    coefficients: tuple[Coefficient, ...]
    failed_resamples: int
    unparsed: int
    dropped: int


@dataclass(frozen=True)
class _Design:
    """Games as regression rows, n of them, turned so that the baseline is the second side.

    columns: (n, models + used features); the model columns carry +unit and -unit, the rest are standardised gaps.
    """

    models: tuple[str, ...]
    baseline: int
    columns: NDArray[np.float64]
    unit: float
    score: NDArray[np.float64]
    weight: NDArray[np.float64]
    question: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    l2: float

    @property
    def used(self) -> NDArray[np.bool_]:
        """Features that differ in some game, ``(4,)``."""
        return self.sd > 1e-12

    @property
    def questions(self) -> int:
        return int(self.question.max()) + 1


def style_control(
    verdicts: Sequence[Verdict],
    styles: Mapping[StyleKey, Style],
    baseline: str,
    *,
    features: FeatureSet = "v2.0",
    weighting: Weighting = "strong_x3",
    unparsed: Unparsed = "drop-prompt",
    resamples: int = 200,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
    question: Question = question_of,
) -> StyleControlled:
    """Fit win chances with style features and without, on the same games, with question-clustered intervals.

    Args:
        verdicts: games by one judge; games against the baseline are turned so that the baseline is the second side.
        styles: by (model, prompt id, language); see ``style.completion_styles``.
        features: ``"v0.1"`` (with its L2 penalty on all coefficients) or ``"v2.0"`` (maximum likelihood). The gaps are
            standardised once, on all games, as published; the plain fit has no penalty in either.

    Raises:
        DataError: no parsed game, a missing style, or a fit without a finite solution.
        ConfigError: unknown baseline or feature set.
    """
    plain = bradley_terry(
        verdicts,
        baseline,
        weighting=weighting,
        unparsed=unparsed,
        resamples=resamples,
        level=level,
        rng=rng,
        question=question,
    )
    kept = keep_parsed(verdicts, unparsed).verdicts
    design = _design(kept, styles, plain.models, baseline, features, weighting, question)
    fit = _fit(design, np.ones(design.questions))
    draws = _bootstrap(design, fit, resamples, generator(rng))
    return _report(design, plain, features, fit, draws, level)


def _design(
    verdicts: Sequence[Verdict],
    styles: Mapping[StyleKey, Style],
    models: tuple[str, ...],
    baseline: str,
    features: FeatureSet,
    weighting: Weighting,
    question: Question,
) -> _Design:
    score, weight = scores_and_weights(strengths(verdicts), strong=3.0 if weighting == "strong_x3" else 1.0)
    turned = np.array([v.a == baseline for v in verdicts])
    sides = [(v.b, v.a) if v.a == baseline else (v.a, v.b) for v in verdicts]
    gaps = style_gaps(*_counts(verdicts, sides, styles), features)
    mean = np.average(gaps, axis=0, weights=weight)
    sd = np.sqrt(np.average(np.square(gaps - mean), axis=0, weights=weight))
    # v0.1 gives its model columns ln 10, so that its penalty acts on ratings in units of 400 points, and lists every
    # game twice (a tie being one win and one loss), which halves the penalty per game.
    unit, copies, l2 = (float(np.log(10.0)), 2.0, 1.0) if features == "v0.1" else (1.0, 1.0, 0.0)
    one_hot = _one_hot(sides, models) * unit
    if features == "v2.0":
        one_hot[:, models.index(baseline)] = 0.0
    used = sd > 1e-12
    return _Design(
        models=models,
        baseline=models.index(baseline),
        columns=np.concatenate([one_hot, (gaps - mean)[:, used] / sd[used]], axis=1),
        unit=unit,
        score=np.where(turned, 1.0 - score, score),
        weight=weight * copies,
        question=codes([question(v) for v in verdicts])[0],
        mean=mean,
        sd=np.where(used, sd, 0.0),
        l2=l2,
    )


def _one_hot(sides: Sequence[tuple[str, str]], models: tuple[str, ...]) -> NDArray[np.float64]:
    index = {name: i for i, name in enumerate(models)}
    table = np.zeros((len(sides), len(models)))
    for row, (first, second) in enumerate(sides):
        table[row, index[first]] = 1.0
        table[row, index[second]] = -1.0
    return table


def _counts(
    verdicts: Sequence[Verdict], sides: Sequence[tuple[str, str]], styles: Mapping[StyleKey, Style]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        first = [styles[a, v.prompt_id, v.language] for v, (a, _) in zip(verdicts, sides, strict=True)]
        second = [styles[b, v.prompt_id, v.language] for v, (_, b) in zip(verdicts, sides, strict=True)]
    except KeyError as error:
        raise DataError(
            f"No style is given for (model, prompt id, language) = {error.args[0]}; count all answers."
        ) from error
    return np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)


def _fit(
    design: _Design, weights: NDArray[np.float64], start: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Coefficients (models, then used features) with questions weighted; NaN for a model that has no game."""
    row_weights = design.weight * weights[design.question]
    fit = fit_logistic(design.columns, design.score, row_weights, l2=design.l2, start=start)
    played = np.abs(design.columns[:, : len(design.models)]).T @ row_weights
    played[design.baseline] = 1.0
    fit[: len(design.models)][played == 0.0] = np.nan
    return fit


def _bootstrap(
    design: _Design, fit: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Refits, ``(resamples, coefficients)``; a row of NaN where a resample has no finite solution."""
    draws = []
    for chunk in cluster_weights(design.questions, resamples, rng):
        for weights in chunk:
            try:
                draws.append(_fit(design, weights, fit))
            except DataError:
                draws.append(np.full_like(fit, np.nan))
    return np.stack(draws)


def _report(
    design: _Design,
    plain: BradleyTerry,
    features: FeatureSet,
    fit: NDArray[np.float64],
    draws: NDArray[np.float64],
    level: float,
) -> StyleControlled:
    m = len(design.models)

    def chances(coefficients: NDArray[np.float64], *, zero_gap: bool) -> NDArray[np.float64]:
        """(rows, models): chance to beat the baseline, from (rows, coefficients)."""
        nats = (coefficients[:, :m] - coefficients[:, [design.baseline]]) * design.unit
        if zero_gap:
            shift = coefficients[:, m:] @ (design.mean[design.used] / design.sd[design.used])
            nats = nats - np.where(np.arange(m) == design.baseline, 0.0, shift[:, None])
        return win_chance(nats * POINTS_PER_NAT)

    def intervals(*, zero_gap: bool) -> dict[str, Interval]:
        points, resampled = chances(fit[None], zero_gap=zero_gap)[0], chances(draws, zero_gap=zero_gap)
        n = design.questions
        return {
            name: percentile_interval(resampled[:, i], points[i], n=n, level=level)
            for i, name in enumerate(design.models)
        }

    return StyleControlled(
        baseline=plain.baseline,
        features=features,
        weighting=plain.weighting,
        plain=plain.win_probability,
        at_mean_gap=intervals(zero_gap=False),
        at_zero_gap=intervals(zero_gap=True),
        coefficients=_coefficients(design, fit[m:], draws[:, m:], level),
        failed_resamples=int(np.isnan(draws).all(axis=1).sum()),
        unparsed=plain.unparsed,
        dropped=plain.dropped,
    )


def _coefficients(
    design: _Design, fit: NDArray[np.float64], draws: NDArray[np.float64], level: float
) -> tuple[Coefficient, ...]:
    rows, position = [], 0
    for name, mean, sd in zip(FEATURES, design.mean, design.sd, strict=True):
        if sd == 0.0:
            none = Interval(0.0, 0.0, 0.0, level, design.questions, ("items",))
            rows.append(Coefficient(name, none, 0.0, float(mean), 0.0))
            continue
        per_sd = percentile_interval(draws[:, position], fit[position], n=design.questions, level=level)
        rows.append(Coefficient(name, per_sd, per_sd.estimate / float(sd), float(mean), float(sd)))
        position += 1
    return tuple(rows)
