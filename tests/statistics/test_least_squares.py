"""Least squares, the Lasso and correlations from cross-products: oracles, closed forms, planted weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, LinearRegression

from paribus.errors import ConfigError, DataError
from paribus.statistics import bootstrap_of_sums, clustered_bootstrap
from paribus.statistics.least_squares import (
    correlations,
    inflation,
    intercept,
    lasso,
    least_squares,
    moments,
    partial_correlations,
    product_terms,
    r_squared,
)


def _covariance(*columns: np.ndarray) -> np.ndarray:
    return moments(product_terms(columns).sum(axis=0))[1]


def _data(seed: int = 0, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = (rng.random((n, 5)) < [0.3, 0.1, 0.2, 0.05, 0.2]).astype(float)
    x[:, 4] = np.where(rng.random(n) < 0.5, x[:, 0], x[:, 4])
    return x, 3.7 + x @ [-0.9, -0.6, -0.3, 0.0, 0.2] + rng.normal(0, 0.5, n)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.3])
def test_the_lasso_is_that_of_scikit_learn(alpha: float) -> None:
    x, y = _data()
    mean, covariance = moments(product_terms([*x.T, y]).sum(axis=0))
    weights, oracle = lasso(covariance, alpha), Lasso(alpha=alpha, tol=1e-12).fit(x, y)
    assert weights == pytest.approx(oracle.coef_, abs=1e-7)
    assert intercept(mean, weights) == pytest.approx(oracle.intercept_)
    assert r_squared(covariance, weights) == pytest.approx(oracle.score(x, y))


@given(st.floats(0.0, 1.0), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_one_column_is_shrunk_by_alpha_over_its_variance(alpha: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=50)
    y = x * rng.normal() + rng.normal(size=50)
    c, v = np.cov(x, y, bias=True)[0, 1], x.var()
    assert lasso(_covariance(x, y), alpha)[0] == pytest.approx(np.sign(c) * max(abs(c) - alpha, 0) / v, abs=1e-8)


def test_least_squares_and_correlations_are_those_of_the_field() -> None:
    x, y = _data(1)
    covariance = _covariance(*x.T, y)
    oracle = LinearRegression().fit(x, y)
    assert least_squares(covariance) == pytest.approx(oracle.coef_)
    assert lasso(covariance, 0.0) == pytest.approx(oracle.coef_, abs=1e-6)
    assert r_squared(covariance, least_squares(covariance)) == pytest.approx(oracle.score(x, y))
    assert correlations(covariance) == pytest.approx(np.corrcoef(np.column_stack([x, y]).T))


def test_a_partial_correlation_is_that_of_the_residuals() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(size=(300, 1))
    a, b = z[:, 0] + rng.normal(size=300), z[:, 0] - 0.5 * rng.normal(size=300)
    residuals = [column - LinearRegression().fit(z, column).predict(z) for column in (a, b)]
    found = partial_correlations(_covariance(a, b, z[:, 0]))
    assert found[0, 1] == pytest.approx(np.corrcoef(*residuals)[0, 1])
    assert np.diag(found) == pytest.approx([1.0, 1.0, 1.0])


def test_inflation_is_what_the_other_columns_explain() -> None:
    x, _ = _data(3)
    scores = [LinearRegression().fit(np.delete(x, j, 1), x[:, j]).score(np.delete(x, j, 1), x[:, j]) for j in range(5)]
    assert inflation(_covariance(*x.T)) == pytest.approx([1 / (1 - score) for score in scores])


def test_twins_and_constants_are_told_and_do_no_harm() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=200)
    y = 2 * x + rng.normal(0, 0.1, 200)
    alone = rng.normal(size=200)
    covariance = _covariance(x, x, np.full(200, 0.1), y)
    weights = least_squares(covariance)
    assert weights[0] == pytest.approx(weights[1]) and weights[:2].sum() == pytest.approx(2.0, abs=0.05)
    assert weights[2] == 0.0 and lasso(covariance, 0.01)[2] == 0.0
    twins = inflation(_covariance(x, x, np.full(200, 0.1), alone))
    assert np.isinf(twins[:2]).all() and np.isnan(twins[2]) and 1 <= twins[3] < 1.1
    assert np.isnan(partial_correlations(covariance)).any()


def test_resamples_together_are_resamples_one_by_one() -> None:
    """A weighted cross-product is the cross-product of the repeated rows."""
    x, y = _data(5, n=60)
    weights = np.random.default_rng(0).integers(0, 4, (7, 60)).astype(float)
    together = lasso(moments(weights @ product_terms([*x.T, y]))[1], 0.01)
    for row, found in zip(weights, together, strict=True):
        rows = np.repeat(np.arange(60), row.astype(int))
        assert found == pytest.approx(Lasso(alpha=0.01, tol=1e-12).fit(x[rows], y[rows]).coef_, abs=1e-6)


def test_an_interval_of_a_mean_is_the_clustered_bootstrap() -> None:
    rng = np.random.default_rng(6)
    values, clusters = rng.normal(size=90), rng.integers(0, 20, 90)
    terms = np.column_stack([values, np.ones(90)])
    (found,) = bootstrap_of_sums(terms, lambda s: s[..., :1] / s[..., 1:], clusters, resamples=300, rng=5)
    oracle = clustered_bootstrap(values, clusters, resamples=300, rng=5)
    assert (found.estimate, found.low, found.high) == pytest.approx((oracle.estimate, oracle.low, oracle.high))
    assert (found.n, found.level, found.covers) == (oracle.n, oracle.level, oracle.covers)


def test_intervals_of_a_slope_hold_the_truth_at_their_level() -> None:
    """Errors shared within clusters: the interval over clusters covers, one over rows does not."""
    held = {"clusters": 0, "rows": 0}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        inputs = np.repeat(np.arange(40), 5)
        x = np.repeat(rng.normal(size=40), 5)
        y = x + np.repeat(rng.normal(size=40), 5) + 0.3 * rng.normal(size=200)
        terms = product_terms([x, y])
        for name, ids in (("clusters", inputs), ("rows", None)):
            (slope,) = bootstrap_of_sums(terms, lambda s: least_squares(moments(s)[1]), ids, resamples=200, rng=seed)
            held[name] += slope.contains(1.0)
    assert held["clusters"] >= 128  # 142 expected, a few less since the bootstrap is short of degrees of freedom
    assert held["rows"] < 110


def test_bad_input_is_refused_with_its_value() -> None:
    with pytest.raises(ConfigError, match=r"-0\.1"):
        lasso(np.eye(2), -0.1)
    with pytest.raises(DataError, match="equal length"):
        product_terms([[1.0, 2.0], [1.0]])
    with pytest.raises(DataError, match="row 1, column 0"):
        bootstrap_of_sums([[1.0], [np.nan]], lambda s: s)
    with pytest.raises(DataError, match="shape"):
        bootstrap_of_sums([1.0], lambda s: s)
