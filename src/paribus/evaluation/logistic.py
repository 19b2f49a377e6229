"""Weighted logistic regression with soft labels, without intercept: the fit behind style control."""

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError

_MAX_STEPS = 100


def fit_logistic(
    features: NDArray[np.float64],
    labels: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    l2: float = 0.0,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Minimise sum_i w_i * BCE(sigmoid(x_i . c), y_i) + l2 / 2 * |c|^2 by Newton's method with step halving.

    Args:
        features: ``(n, p)``. labels: ``(n,)`` in [0, 1]. weights: ``(n,)``, not negative.
        l2: 0 for maximum likelihood; 1 is the default penalty of scikit-learn's ``LogisticRegression``.
        start: coefficients to start from, ``(p,)``.

    Returns:
        Coefficients, ``(p,)``.

    Raises:
        DataError: no finite solution is reached (a model or style feature that separates wins from losses perfectly).
    """
    coefficients = np.zeros(features.shape[1]) if start is None else start.copy()
    loss = _loss(features, labels, weights, l2, coefficients)
    for _ in range(_MAX_STEPS):
        step = _newton_step(features, labels, weights, l2, coefficients)
        size = 1.0
        while (trial := _loss(features, labels, weights, l2, coefficients + size * step)) > loss and size > 1e-6:
            size /= 2
        if trial > loss:
            return coefficients
        coefficients, loss = coefficients + size * step, trial
        if np.abs(size * step).max() < 1e-9:
            return coefficients
        if np.abs(coefficients).max() > 1e3:
            break
    raise DataError(
        "The style-controlled fit has no finite solution: some model or feature separates wins from losses perfectly; "
        "add games, leave that model out, or use the penalised features='v0.1'."
    )


def _loss(
    features: NDArray[np.float64],
    labels: NDArray[np.float64],
    weights: NDArray[np.float64],
    l2: float,
    coefficients: NDArray[np.float64],
) -> float:
    logits = features @ coefficients
    return float(weights @ (np.logaddexp(0.0, logits) - labels * logits) + l2 / 2 * coefficients @ coefficients)


def _newton_step(
    features: NDArray[np.float64],
    labels: NDArray[np.float64],
    weights: NDArray[np.float64],
    l2: float,
    coefficients: NDArray[np.float64],
) -> NDArray[np.float64]:
    from scipy.special import expit

    chance = expit(features @ coefficients)
    slope = features.T @ (weights * (labels - chance)) - l2 * coefficients
    curve = features.T @ (features * (weights * chance * (1 - chance))[:, None])
    curve[np.diag_indices_from(curve)] += l2 + 1e-12
    return np.asarray(np.linalg.solve(curve, slope), dtype=np.float64)
