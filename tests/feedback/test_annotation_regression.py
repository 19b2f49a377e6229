"""Quality regressed on errors: scikit-learn's Lasso, planted weights, what cannot be told, and the released table."""

from collections.abc import Sequence

import numpy as np
import pytest
from annotation_released import needs_released, released_outputs
from sklearn.linear_model import Lasso, LinearRegression

from paribus.errors import ConfigError, DataError
from paribus.feedback.annotation.aggregation import Outputs
from paribus.feedback.annotation.columns import Output
from paribus.feedback.annotation.regression import regress

NAMES = ("factuality", "relevance", "refusal", "scope")
WEIGHTS = (0.3, 0.6, 1.2, 0.0)


def planted(
    seed: int = 0,
    *,
    inputs: int = 150,
    weights: Sequence[float] = WEIGHTS,
    rates: Sequence[float] = (0.2, 0.15, 0.1, 0.1),
    noise: float = 0.4,
    shared: float = 0.3,
) -> Outputs:
    """Five outputs an input whose quality is 4 minus weighted errors; inputs have a level of their own."""
    rng = np.random.default_rng(seed)
    n = 5 * inputs
    keys = tuple(Output("d", str(row // 5), "en", f"m{row % 5}", "normal") for row in range(n))
    errors = {name: (rng.random(n) < rate).astype(float) for name, rate in zip(NAMES, rates, strict=True)}
    quality = 4 - sum(weight * errors[name] for name, weight in zip(NAMES, weights, strict=True))
    quality = quality + np.repeat(rng.normal(0, shared, inputs), 5) + rng.normal(0, noise, n)
    return Outputs(keys, errors, {"quality": quality}, np.full(n, np.nan), {})


def _design(outputs: Outputs) -> np.ndarray:
    return -np.column_stack(list(outputs.errors.values()))


def test_the_fit_is_that_of_scikit_learn() -> None:
    outputs = planted()
    fit = regress(outputs, resamples=50)
    x, y = _design(outputs), outputs.column("quality")
    lasso, ols = Lasso(alpha=0.01, tol=1e-12).fit(x, y), LinearRegression().fit(x, y)
    assert [row.lasso.estimate for row in fit.weights] == pytest.approx(lasso.coef_, abs=1e-6)
    assert [row.ols.estimate for row in fit.weights] == pytest.approx(ols.coef_)
    assert (fit.intercept, fit.r2.estimate) == pytest.approx((lasso.intercept_, lasso.score(x, y)))
    assert (fit.ols_intercept, fit.ols_r2) == pytest.approx((ols.intercept_, ols.score(x, y)))
    assert fit.weight("refusal").correlation.estimate == pytest.approx(np.corrcoef(x[:, 2], y)[0, 1])
    assert fit.weight("refusal").rate == pytest.approx(outputs.errors["refusal"].mean())


def test_the_path_and_the_fits_with_one_error_left_out_are_those_of_scikit_learn() -> None:
    outputs = planted(1)
    fit = regress(outputs, path=(0.002, 0.05), resamples=50)
    x, y = _design(outputs), outputs.column("quality")
    for point in fit.path:
        assert point.weights == pytest.approx(Lasso(alpha=point.alpha, tol=1e-12).fit(x, y).coef_, abs=1e-6)
    for j, row in enumerate(fit.without):
        smaller = np.delete(x, j, axis=1)
        oracle = Lasso(alpha=0.01, tol=1e-12).fit(smaller, y)
        assert np.delete(row.weights, j) == pytest.approx(oracle.coef_, abs=1e-6) and np.isnan(row.weights[j])
        assert row.r2 == pytest.approx(oracle.score(smaller, y)) and row.dropped == NAMES[j]


def test_planted_weights_are_found_in_their_order_and_what_costs_nothing_gets_none() -> None:
    fit = regress(planted(2), resamples=400)
    lasso = {row.error: row.lasso for row in fit.weights}
    assert lasso["scope"].estimate == 0 and lasso["scope"].low <= 0
    assert 0 < lasso["factuality"].estimate < lasso["relevance"].estimate < lasso["refusal"].estimate
    for name, truth in zip(NAMES, WEIGHTS, strict=True):
        assert fit.weight(name).ols.contains(truth)
    assert fit.weight("refusal").kept == 1.0 and fit.weight("scope").kept < 0.8
    assert fit.notices == () and fit.inputs == 150


def test_intervals_hold_the_planted_weight_at_their_level_under_shared_noise() -> None:
    held = 0
    for seed in range(120):
        fit = regress(planted(seed, inputs=60, rates=(0.3, 0.3, 0.3, 0.3)), resamples=200, rng=seed, path=())
        held += sum(fit.weight(name).ols.contains(truth) for name, truth in zip(NAMES, WEIGHTS, strict=True))
    assert 440 <= held <= 474  # 456 of 480 expected; outside lies 0.1% on either side if inputs are independent


def test_what_cannot_be_told_is_said() -> None:
    outputs = planted(3, inputs=10)
    outputs.errors["scope"][:] = 0.0
    outputs.errors["relevance"][:] = outputs.errors["refusal"]
    fit = regress(outputs, resamples=50)
    assert [(note.code, note.text.split()[0]) for note in fit.notices] == [
        ("collinear-errors", "relevance"),
        ("collinear-errors", "refusal"),
        ("constant-error", "scope"),
        ("few-inputs", "The"),
    ]
    assert np.isinf(fit.weight("relevance").inflation) and np.isnan(fit.weight("scope").inflation)
    assert fit.weight("scope").lasso.estimate == 0 and np.isnan(fit.weight("scope").correlation.estimate)
    outputs.scores["quality"][:] = 3.0
    assert regress(outputs, resamples=50).notices[0].code == "constant-score"


def test_outputs_without_a_score_are_left_out_and_counted() -> None:
    outputs = planted(4)
    outputs.scores["quality"][:7] = np.nan
    outputs.errors["scope"][7] = np.nan
    fit = regress(outputs, resamples=50)
    assert (fit.outputs, fit.left_out) == (742, 8)
    only = regress(outputs, errors=("refusal",), resamples=50)
    assert only.left_out == 7 and only.without == () and only.errors == ("refusal",)


def test_what_is_not_there_is_named() -> None:
    outputs = planted(5, inputs=3)
    with pytest.raises(DataError, match="no 'overall'"):
        regress(outputs, "overall")
    with pytest.raises(ConfigError, match="alpha"):
        regress(outputs, alpha=-1)
    with pytest.raises(DataError, match="no error 'harmful'"):
        regress(outputs, resamples=50).weight("harmful")
    outputs.scores["quality"][:] = np.nan
    with pytest.raises(DataError, match="No output has both"):
        regress(outputs)
    with pytest.raises(DataError, match="no errors"):
        regress(Outputs(outputs.keys, {}, outputs.scores, outputs.words, {}))


@needs_released
def test_the_released_part_2() -> None:
    """The paper's own figure is of part 1, whose tables are not released as such; this is the same fit on part 2."""
    outputs = released_outputs()
    x = -np.column_stack(list(outputs.errors.values()))
    for target, expected, r2 in (
        ("quality", {"refusal": 1.287, "formatting": 0.852, "relevance": 0.530, "inconsistent": 0.319}, 0.324),
        ("overall", {"refusal": 1.460, "formatting": 0.834, "inconsistent": 0.651, "relevance": 0.619}, 0.455),
    ):
        fit = regress(outputs, target, resamples=300)
        oracle = Lasso(alpha=0.01, tol=1e-12).fit(x, outputs.column(target))
        assert [row.lasso.estimate for row in fit.weights] == pytest.approx(oracle.coef_, abs=1e-6)
        assert fit.intercept == pytest.approx(oracle.intercept_)
        assert {name: round(fit.weight(name).lasso.estimate, 3) for name in expected} == expected
        assert round(fit.r2.estimate, 3) == r2 and (fit.outputs, fit.inputs) == (1500, 300)
        # As in part 1: refusal costs most, contradiction nothing that the Lasso keeps.
        assert fit.weight("contradiction").lasso.estimate == 0
    quality = regress(outputs, resamples=300)
    assert quality.weight("factuality").lasso.estimate == 0 and quality.weight("factuality").ols.low < 0
    signs = {
        name: round(quality.weight(name).correlation.estimate, 3) for name in ("refusal", "relevance", "factuality")
    }
    assert signs == {"refusal": 0.483, "relevance": 0.378, "factuality": 0.130}
