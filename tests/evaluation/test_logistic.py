"""The weighted logistic fit against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from paribus.errors import DataError
from paribus.evaluation.logistic import fit_logistic


def _data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features = rng.normal(size=(300, 4))
    labels = (rng.random(300) < 1 / (1 + np.exp(-features @ [1.0, -0.5, 0.0, 2.0]))).astype(float)
    return features, labels, rng.integers(1, 4, 300).astype(float)


@pytest.mark.parametrize(("l2", "c"), [(0.0, np.inf), (1.0, 1.0), (10.0, 0.1)])
def test_scikit_learn_parity(l2: float, c: float) -> None:
    features, labels, weights = _data(np.random.default_rng(0))
    theirs = LogisticRegression(fit_intercept=False, C=c, tol=1e-10, max_iter=2_000)
    theirs.fit(features, labels, sample_weight=weights)
    assert fit_logistic(features, labels, weights, l2=l2) == pytest.approx(theirs.coef_[0], abs=1e-5)


def test_a_soft_label_is_a_split_row() -> None:
    features, labels, weights = _data(np.random.default_rng(1))
    labels[:100] = 0.5
    split = np.concatenate([features, features[:100]])
    halves = np.concatenate([weights[:100] / 2, weights[100:], weights[:100] / 2])
    hard = np.concatenate([np.ones(100), labels[100:], np.zeros(100)])
    assert fit_logistic(features, labels, weights) == pytest.approx(fit_logistic(split, hard, halves), abs=1e-8)


def test_the_start_does_not_matter() -> None:
    features, labels, weights = _data(np.random.default_rng(2))
    far = fit_logistic(features, labels, weights, start=np.full(4, 8.0))
    assert far == pytest.approx(fit_logistic(features, labels, weights), abs=1e-7)


def test_perfect_separation_is_an_error_without_a_penalty() -> None:
    features = np.linspace(-1, 1, 20)[:, None]
    labels = (features[:, 0] > 0).astype(float)
    with pytest.raises(DataError, match="separates wins from losses"):
        fit_logistic(features, labels, np.ones(20))
    assert np.isfinite(fit_logistic(features, labels, np.ones(20), l2=1.0)).all()
