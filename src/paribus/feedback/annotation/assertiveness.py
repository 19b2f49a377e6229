"""Does a model score well because it is good, or because it sounds sure? Quality against assertiveness.

Three views: correlations of the style scores with quality over outputs, plain and with the other style held fixed; a
line and a correlation for each model; and how much more assertive one model is than another at equal quality. Source:
arXiv 2309.16349, section 4. Two models differ in more than their training method, so a difference between them is no
effect of that method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import Outputs, present
from paribus.feedback.annotation.groups import in_order
from paribus.statistics import Interval, bootstrap_of_sums
from paribus.statistics.arrays import Rng
from paribus.statistics.least_squares import (
    correlations,
    intercept,
    least_squares,
    moments,
    partial_correlations,
    product_terms,
    r_squared,
)
from paribus.statistics.sums import Floats

ASSERTIVE, COMPLEX, QUALITY = "assertiveness", "complexity", "quality"


@dataclass(frozen=True)
class StyleCorrelations:
    """Pearson correlations over outputs, and partial ones that hold the third score fixed (NaN without complexity)."""

    target: str
    outputs: int
    inputs: int
    assertiveness: Interval
    complexity: Interval
    between: Interval
    assertiveness_given_complexity: Interval
    complexity_given_assertiveness: Interval


@dataclass(frozen=True)
class ModelLine:
    """One model's outputs: means, and the straight line of quality on assertiveness with Pearson's r.

    ``preamble`` is ``""`` where outputs under all preambles count.
    """

    model: str
    preamble: str
    outputs: int
    assertiveness: Interval
    quality: Interval
    slope: Interval
    intercept: float
    r: Interval


@dataclass(frozen=True)
class EqualQuality:
    """One model against another, from the outputs of these two.

    Attributes:
        more_assertive: the model's indicator in ``assertiveness = constant + by_quality * quality + indicator``: how
            much more assertive it is at equal quality.
        better: its indicator in ``quality = constant + by_assertiveness * assertiveness + indicator``.
        constants, r2s: of the two regressions, in this order.
    """

    model: str
    reference: str
    outputs: int
    inputs: int
    more_assertive: Interval
    by_quality: Interval
    better: Interval
    by_assertiveness: Interval
    constants: tuple[float, float]
    r2s: tuple[float, float]


def style_correlations(
    outputs: Outputs, target: str = QUALITY, *, resamples: int = 1_000, level: float = 0.95, rng: Rng = 0
) -> StyleCorrelations:
    """Correlate assertiveness and complexity with a score over outputs that have all three.

    Raises ``DataError`` where no output has, or one of the scores was not rated.
    """
    kept = _with(outputs, [ASSERTIVE, COMPLEX, target])
    terms = product_terms([kept.column(name) for name in (ASSERTIVE, COMPLEX, target)])
    found = bootstrap_of_sums(terms, _related, kept.clusters, resamples=resamples, level=level, rng=rng)
    return StyleCorrelations(target, len(kept), found[0].n, *found)


def _related(sums: Floats) -> Floats:
    covariance = moments(sums)[1]
    plain, partial = correlations(covariance), partial_correlations(covariance)
    of = [plain[..., 0, 2], plain[..., 1, 2], plain[..., 0, 1], partial[..., 0, 2], partial[..., 1, 2]]
    return np.stack(of, axis=-1)


def model_lines(
    outputs: Outputs,
    *,
    preamble: str = "",
    target: str = QUALITY,
    resamples: int = 1_000,
    level: float = 0.95,
    rng: Rng = 0,
) -> tuple[ModelLine, ...]:
    """A line of quality on assertiveness for each model, over all preambles or one.

    Raises ``DataError`` where no output (under the preamble) has both scores.
    """
    kept = _with(outputs, [ASSERTIVE, target])
    if preamble:
        kept = _with(kept.where(kept.labels("preamble") == preamble), [ASSERTIVE, target])
    models = in_order(set(kept.labels("model").tolist()))
    return tuple(_line(kept, model, preamble, target, (resamples, level, rng)) for model in models)


def _line(outputs: Outputs, model: str, preamble: str, target: str, drawing: tuple[int, float, Rng]) -> ModelLine:
    own = outputs.where(outputs.labels("model") == model)
    resamples, level, rng = drawing
    terms = product_terms([own.column(ASSERTIVE), own.column(target)])
    found = bootstrap_of_sums(terms, _slope, own.clusters, resamples=resamples, level=level, rng=rng)
    mean, covariance = moments(terms.sum(axis=0))
    constant = float(intercept(mean, least_squares(covariance)))
    return ModelLine(model, preamble, len(own), found[0], found[1], found[2], constant, found[3])


def _slope(sums: Floats) -> Floats:
    mean, covariance = moments(sums)
    related = correlations(covariance)[..., :1, 1]
    slope = np.where(np.isfinite(related), least_squares(covariance), np.nan)
    return np.concatenate([mean, slope, related], axis=-1)


def at_equal_quality(
    outputs: Outputs,
    reference: str,
    models: Sequence[str] | None = None,
    *,
    target: str = QUALITY,
    resamples: int = 1_000,
    level: float = 0.95,
    rng: Rng = 0,
) -> tuple[EqualQuality, ...]:
    """How much more assertive each model is than ``reference`` at equal quality, and how much better at equal style.

    Args:
        outputs: aggregated ratings of the passes ``quality`` and ``style``.
        reference: the model to compare with. models: the others, ``None`` for all.

    Raises:
        DataError: an unknown model, or no output with both scores.
    """
    kept = _with(outputs, [ASSERTIVE, target])
    known = in_order(set(kept.labels("model").tolist()))
    for name in (reference, *(models or ())):
        if name not in known:
            raise DataError(f"No output of {name!r} has quality and style; the models are {', '.join(known)}.")
    others = [name for name in (known if models is None else models) if name != reference]
    return tuple(_compared(kept, name, reference, target, (resamples, level, rng)) for name in others)


def _compared(
    outputs: Outputs, model: str, reference: str, target: str, drawing: tuple[int, float, Rng]
) -> EqualQuality:
    labels = outputs.labels("model")
    two = outputs.where((labels == model) | (labels == reference))
    resamples, level, rng = drawing
    columns = [(two.labels("model") == model).astype(np.float64), two.column(target), two.column(ASSERTIVE)]
    terms = product_terms(columns)
    found = bootstrap_of_sums(terms, _both_ways, two.clusters, resamples=resamples, level=level, rng=rng)
    constants, r2s = zip(*(_fit(terms.sum(axis=0), order) for order in ORDERS), strict=True)
    more, by_quality, better, by_style = found
    inputs = more.n
    return EqualQuality(model, reference, len(two), inputs, more, by_quality, better, by_style, constants, r2s)


# Indicator, then predictor, then what is predicted; columns are (indicator, quality, assertiveness).
ORDERS = ([0, 1, 2], [0, 2, 1])


def _both_ways(sums: Floats) -> Floats:
    covariance = moments(sums)[1]
    moving = np.diagonal(covariance, axis1=-2, axis2=-1).min(axis=-1, keepdims=True) > 0
    parts = [least_squares(covariance[..., order, :][..., order]) for order in ORDERS]
    return np.where(moving, np.concatenate(parts, axis=-1), np.nan)


def _fit(sums: Floats, order: Sequence[int]) -> tuple[float, float]:
    mean, covariance = moments(sums)
    chosen = covariance[np.ix_(order, order)]
    weights = least_squares(chosen)
    return float(intercept(mean[list(order)], weights)), float(r_squared(chosen, weights))


def _with(outputs: Outputs, names: Sequence[str]) -> Outputs:
    usable = present(outputs, names)
    if not usable.any():
        raise DataError(f"No output has all of {', '.join(names)}; are the passes of the same outputs?")
    return outputs.where(usable)
