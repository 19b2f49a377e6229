"""Correlation, least squares and the Lasso from cross-products, on one data set or on all its resamples at once.

Everything here takes sums of products of columns. With a column of ones among them these sums hold n, the means and
the covariances, so 1,000 resampled regressions are 1,000 small matrices solved together.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import ConfigError, DataError
from paribus.statistics.sums import Floats

# Coordinate descent stops when no weight moves by more than this; weights are of the order of the target's unit.
TOLERANCE = 1e-9
MOST_ROUNDS = 10_000
# A column whose variance is below this share of its mean square is constant but for rounding.
CONSTANT = 1e-12
# Columns whose smallest eigenvalue of correlation, or unexplained share, is below this determine each other.
SINGULAR = 1e-10


def product_terms(columns: Sequence[ArrayLike]) -> Floats:
    """Products of all pairs of a column of ones and the given m columns, flat: shape ``(n, (m + 1) ** 2)``.

    Adding them over rows gives what the other functions of this module take. Raises ``DataError`` for columns of
    different length.
    """
    table = [np.asarray(column, dtype=np.float64) for column in columns]
    if len({column.shape for column in table}) != 1 or table[0].ndim != 1:
        raise DataError(f"The columns have shapes {[column.shape for column in table]}; give lists of equal length.")
    design = np.column_stack([np.ones(len(table[0])), *table])
    return (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)


def moments(sums: Floats) -> tuple[Floats, Floats]:
    """Means, shape ``(..., m)``, and covariances (divided by n), ``(..., m, m)``, of the columns behind ``sums``."""
    m = round(sums.shape[-1] ** 0.5)
    products = sums.reshape(*sums.shape[:-1], m, m)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = products[..., 0, 1:] / products[..., :1, 0]
        square = products[..., 1:, 1:] / products[..., :1, :1]
    covariance = square - mean[..., :, None] * mean[..., None, :]
    # Rounding must not turn a constant column into one that varies a little.
    size = np.diagonal(square, axis1=-2, axis2=-1)
    flat: NDArray[np.bool_] = np.asarray(np.diagonal(covariance, axis1=-2, axis2=-1) <= CONSTANT * size)
    return mean, np.where(flat[..., :, None] | flat[..., None, :], 0.0, covariance)


def correlations(covariance: Floats) -> Floats:
    """Pearson correlations, shape ``(..., m, m)``; NaN for a column that does not vary."""
    spread = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return covariance / (spread[..., :, None] * spread[..., None, :])


def partial_correlations(covariance: Floats) -> Floats:
    """Correlation of each two columns with all the others held fixed, ``(..., m, m)``; 1 on the diagonal.

    NaN where the covariance cannot be inverted: a constant column, or one that the others determine.
    """
    precision = _inverse(correlations(covariance))
    scale = np.sqrt(np.diagonal(precision, axis1=-2, axis2=-1))
    found = -precision / (scale[..., :, None] * scale[..., None, :])
    return np.where(np.eye(found.shape[-1], dtype=bool), -found, found)


def inflation(covariance: Floats) -> Floats:
    """Variance inflation of each column by the others, shape ``(..., m)``: 1 / (1 - R2 of the column on the others).

    1 is a column of its own; above 10 its weight can hardly be told from the others'. Infinite where the others
    determine it, NaN where it does not vary (such columns are ignored by the others).
    """
    return np.stack([_inflation(covariance, j) for j in range(covariance.shape[-1])], axis=-1)


def _inflation(covariance: Floats, j: int) -> Floats:
    last = [*(other for other in range(covariance.shape[-1]) if other != j), j]
    ordered = covariance[..., last, :][..., last]
    unexplained = 1 - r_squared(ordered, least_squares(ordered))
    return np.divide(1.0, unexplained, out=np.full_like(unexplained, np.inf), where=~(unexplained <= SINGULAR))


def _inverse(matrix: Floats) -> Floats:
    """Inverse of correlation matrices, NaN where they have none."""
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(matrix).all(axis=(-1, -2)))
    filled = np.where(usable[..., None, None], matrix, np.eye(matrix.shape[-1]))
    singular: NDArray[np.bool_] = np.asarray(~usable | np.less(np.linalg.eigvalsh(filled)[..., 0], SINGULAR))
    inverse = np.linalg.inv(np.where(singular[..., None, None], np.eye(matrix.shape[-1]), filled))
    return np.where(singular[..., None, None], np.nan, inverse)


def least_squares(covariance: Floats) -> Floats:
    """Weights of all columns but the last for the last, shape ``(..., m - 1)``: ordinary least squares.

    Columns that determine each other share the weight (the smallest solution); a constant column has weight 0.
    """
    inner, target = covariance[..., :-1, :-1], covariance[..., :-1, -1]
    return (np.linalg.pinv(inner, rcond=SINGULAR, hermitian=True) @ target[..., None])[..., 0]


def lasso(covariance: Floats, alpha: float) -> Floats:
    """Weights w of all columns but the last for the last, ``(..., m - 1)``, by coordinate descent.

    They minimise ``sum((y - b - X w) ** 2) / (2 n) + alpha * sum(abs(w))``: scikit-learn's ``Lasso`` with an intercept
    and no scaling of the columns (Tibshirani 1996). ``alpha`` is in the unit of y times that of x.

    Raises:
        ConfigError: an alpha that is not a number of at least 0.
    """
    if not 0 <= alpha < np.inf:
        raise ConfigError(f"The Lasso's alpha is {alpha!r}; give a number of at least 0, such as 0.01.")
    inner, target = covariance[..., :-1, :-1], covariance[..., :-1, -1]
    variance = np.diagonal(inner, axis1=-2, axis2=-1)
    weights = np.zeros_like(target)
    for _ in range(MOST_ROUNDS):
        before = weights.copy()
        for j in range(weights.shape[-1]):
            pull = target[..., j] - (inner[..., j, :] * weights).sum(axis=-1) + variance[..., j] * weights[..., j]
            shrunk = np.sign(pull) * np.maximum(np.abs(pull) - alpha, 0.0)
            weights[..., j] = np.divide(shrunk, variance[..., j], out=np.zeros_like(pull), where=variance[..., j] > 0)
        if np.abs(weights - before).max(initial=0.0) <= TOLERANCE:
            break
    return weights


def intercept(mean: Floats, weights: Floats) -> Floats:
    """The constant b that goes with ``weights``, shape ``(...)``."""
    return mean[..., -1] - (weights * mean[..., :-1]).sum(axis=-1)


def r_squared(covariance: Floats, weights: Floats) -> Floats:
    """Share of the last column's variance that ``weights`` explain, shape ``(...)``; NaN where it does not vary."""
    inner, target, total = covariance[..., :-1, :-1], covariance[..., :-1, -1], covariance[..., -1, -1]
    explained = 2 * (weights * target).sum(axis=-1) - (weights * (inner @ weights[..., None])[..., 0]).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return explained / total
