"""What a single score reflects: the Lasso of quality on labelled errors, how sure it is, and what it hides.

The target is regressed on the negated errors, so that a positive weight is what an error costs. Weights of correlated
errors depend on the penalty and on each other; the result therefore carries ordinary least squares, the path over
penalties, every fit with one error left out, variance inflation, and intervals that resample whole inputs. Source:
arXiv 2309.16349, section 2 (Figure 1); scikit-learn's ``Lasso`` without scaling, alpha 0.01.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import Outputs, present
from paribus.feedback.annotation.notices import Notice
from paribus.statistics import Interval, cluster_sums
from paribus.statistics.arrays import Rng
from paribus.statistics.least_squares import (
    correlations,
    inflation,
    intercept,
    lasso,
    least_squares,
    moments,
    product_terms,
    r_squared,
)
from paribus.statistics.sums import intervals_from, resampled_statistic

Floats = NDArray[np.float64]

ALPHA = 0.01
PATH = tuple(round(float(alpha), 6) for alpha in np.geomspace(0.001, 0.1, 21))
"""Penalties of the path, of which the eleventh is the paper's."""

INFLATED = 10.0
"""Variance inflation above which an error's weight is said to be shared with others."""


@dataclass(frozen=True)
class ErrorWeight:
    """What one error costs the target, in points of its scale, others held fixed.

    Attributes:
        rate: mean share of outputs with the error.
        lasso, ols: weights with intervals over inputs. correlation: Pearson's r of the target with the negated error.
        inflation: variance inflation by the other errors; NaN if the error does not vary, infinite if they fix it.
        kept: share of resamples in which the Lasso's weight is not zero.
    """

    error: str
    rate: float
    lasso: Interval
    ols: Interval
    correlation: Interval
    inflation: float
    kept: float


@dataclass(frozen=True)
class PathPoint:
    """The Lasso at one penalty: weights in the order of the errors."""

    alpha: float
    weights: tuple[float, ...]
    intercept: float
    r2: float


@dataclass(frozen=True)
class WithoutError:
    """The Lasso with one error left out; its own weight is NaN."""

    dropped: str
    weights: tuple[float, ...]
    r2: float


@dataclass(frozen=True)
class ErrorRegression:
    """A score regressed on errors.

    Attributes:
        target: the score. alpha: the Lasso's penalty. errors: names, in the order of all lists of weights.
        outputs, inputs: rows and independent units. left_out: outputs without the score or without error labels.
        weights: one an error. intercept, r2: of the Lasso; ols_intercept, ols_r2: of ordinary least squares.
        path: the Lasso over penalties. without: with each error left out.
        notices: what to beware of.
    """

    target: str
    alpha: float
    errors: tuple[str, ...]
    outputs: int
    inputs: int
    left_out: int
    weights: tuple[ErrorWeight, ...]
    intercept: float
    r2: Interval
    ols_intercept: float
    ols_r2: float
    path: tuple[PathPoint, ...]
    without: tuple[WithoutError, ...]
    notices: tuple[Notice, ...]

    def weight(self, error: str) -> ErrorWeight:
        """The row of an error. Raises ``DataError`` if it was not among them."""
        for row in self.weights:
            if row.error == error:
                return row
        raise DataError(f"The regression has no error {error!r}; it has {', '.join(self.errors)}.")


def regress(
    outputs: Outputs,
    target: str = "quality",
    *,
    errors: Sequence[str] | None = None,
    alpha: float = ALPHA,
    path: Sequence[float] = PATH,
    resamples: int = 1_000,
    level: float = 0.95,
    rng: Rng = 0,
) -> ErrorRegression:
    """Regress a score on errors.

    Args:
        outputs: aggregated ratings.
        target: ``"quality"`` (rated apart from errors) or ``"overall"`` (rated after them, so primed by them).
        errors: which, ``None`` for all that were asked.
        alpha, path: penalties of the main fit and of the sensitivity table.
        resamples, level, rng: of the intervals, which resample inputs.

    Raises:
        DataError: no output with both, or a name that was not rated. ConfigError: a negative alpha.
    """
    names = tuple(outputs.errors if errors is None else errors)
    if not names:
        raise DataError("There are no errors to regress on; add the pass 'errors'.")
    usable = present(outputs, [*names, target])
    if not usable.any():
        raise DataError(f"No output has both {target!r} and error labels; are the passes of the same outputs?")
    kept = outputs.where(usable)
    columns = [-kept.column(name) for name in names] + [kept.column(target)]
    sums = cluster_sums(product_terms(columns), kept.clusters)
    weights, r2 = _Fit(names, alpha, sums).intervals(resamples, level, rng)
    mean, covariance = moments(sums.sum(axis=0))
    main, ols = lasso(covariance, alpha), least_squares(covariance)
    return ErrorRegression(
        target=target,
        alpha=alpha,
        errors=names,
        outputs=len(kept),
        inputs=len(sums),
        left_out=len(outputs) - len(kept),
        weights=weights,
        intercept=float(intercept(mean, main)),
        r2=r2,
        ols_intercept=float(intercept(mean, ols)),
        ols_r2=float(r_squared(covariance, ols)),
        path=tuple(_point(mean, covariance, penalty) for penalty in path),
        without=tuple(_without(covariance, j, names, alpha) for j in range(len(names))) if len(names) > 1 else (),
        notices=tuple(_notices(covariance, weights, target, len(sums))),
    )


@dataclass(frozen=True)
class _Fit:
    """The sums by input behind a regression, and its statistics as functions of them."""

    names: tuple[str, ...]
    alpha: float
    sums: Floats

    def statistic(self, sums: Floats) -> Floats:
        """Weights of the Lasso and of least squares, correlations with the target, and the R2 of the Lasso."""
        covariance = moments(sums)[1]
        weights = lasso(covariance, self.alpha)
        related = correlations(covariance)[..., :-1, -1]
        parts = [weights, least_squares(covariance), related, r_squared(covariance, weights)[..., None]]
        return np.concatenate(parts, axis=-1)

    def intervals(self, resamples: int, level: float, rng: Rng) -> tuple[tuple[ErrorWeight, ...], Interval]:
        """A row of weights an error, and the R2 of the Lasso."""
        total, m = self.sums.sum(axis=0), len(self.names)
        draws = resampled_statistic(self.sums, self.statistic, resamples=resamples, rng=rng)
        found = intervals_from(draws, self.statistic(total), n=len(self.sums), level=level)
        mean, covariance = moments(total)
        spread, kept = inflation(covariance[:-1, :-1]), (draws[:, :m] != 0).mean(axis=0)
        rows = [
            ErrorWeight(
                name, float(-mean[j]), found[j], found[m + j], found[2 * m + j], float(spread[j]), float(kept[j])
            )
            for j, name in enumerate(self.names)
        ]
        return tuple(rows), found[-1]


def _point(mean: Floats, covariance: Floats, alpha: float) -> PathPoint:
    weights = lasso(covariance, alpha)
    return PathPoint(
        alpha,
        tuple(weights.tolist()),
        float(intercept(mean, weights)),
        float(r_squared(covariance, weights)),
    )


def _without(covariance: Floats, dropped: int, names: Sequence[str], alpha: float) -> WithoutError:
    others = np.delete(np.arange(len(covariance)), dropped)
    smaller = covariance[np.ix_(others, others)]
    weights = lasso(smaller, alpha)
    return WithoutError(
        names[dropped], tuple(np.insert(weights, dropped, np.nan).tolist()), float(r_squared(smaller, weights))
    )


def _notices(covariance: Floats, weights: Sequence[ErrorWeight], target: str, inputs: int) -> list[Notice]:
    part = f"errors and {target}"
    found = []
    if covariance[-1, -1] == 0:
        found.append(Notice("constant-score", part, f"Every output has the same {target}; nothing can explain it."))
    for row in weights:
        if np.isnan(row.inflation):
            said = "never" if row.rate == 0 else "always" if row.rate == 1 else f"at one rate ({row.rate:g})"
            found.append(Notice("constant-error", part, f"{row.error} is {said} seen, so it has no weight."))
        elif row.inflation > INFLATED:
            text = f"{row.error} goes with other errors (variance inflation {row.inflation:.3g}); they share a weight."
            found.append(Notice("collinear-errors", part, text))
    if inputs < 20:
        text = f"The intervals rest on {inputs} inputs; below 20 they are too narrow and may jump."
        found.append(Notice("few-inputs", part, text))
    return found
