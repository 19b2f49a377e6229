"""Quality against assertiveness: oracles, a planted difference at equal quality, and the released numbers."""

import numpy as np
import pytest
from annotation_released import COMMAND, LLAMA, needs_released, released_outputs, released_ratings
from sklearn.linear_model import LinearRegression

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import Outputs
from paribus.feedback.annotation.assertiveness import at_equal_quality, model_lines, style_correlations
from paribus.feedback.annotation.columns import Output, tables_of


def planted(seed: int = 0, *, louder: float = 0.4, inputs: int = 200) -> Outputs:
    """Two models of equal quality, of which ``b`` sounds ``louder`` by that many points; complexity follows."""
    rng = np.random.default_rng(seed)
    n = 2 * inputs
    keys = tuple(
        Output("d", str(row // 2), "en", "ab"[row % 2], ("normal", "complex_low")[row // 2 % 2]) for row in range(n)
    )
    quality = 3 + np.repeat(rng.normal(0, 0.4, inputs), 2) + rng.normal(0, 0.3, n)
    loud = 1 + 0.6 * quality + louder * (np.arange(n) % 2) + rng.normal(0, 0.3, n)
    scores = {"quality": quality, "assertiveness": loud, "complexity": 0.5 * loud + rng.normal(0, 0.3, n)}
    return Outputs(keys, {}, scores, np.full(n, np.nan), {})


def test_correlations_are_those_of_residuals() -> None:
    outputs = planted()
    found = style_correlations(outputs, resamples=200)
    a, c, q = (outputs.column(name) for name in ("assertiveness", "complexity", "quality"))
    assert found.assertiveness.estimate == pytest.approx(np.corrcoef(a, q)[0, 1])
    assert found.between.estimate == pytest.approx(np.corrcoef(a, c)[0, 1])
    left = [y - LinearRegression().fit(c[:, None], y).predict(c[:, None]) for y in (a, q)]
    assert found.assertiveness_given_complexity.estimate == pytest.approx(np.corrcoef(*left)[0, 1])
    # Complexity is made of assertiveness alone: nothing is left of it once that is fixed.
    assert found.complexity.low > 0 and found.complexity_given_assertiveness.contains(0.0)


def test_lines_are_straight_line_fits() -> None:
    outputs = planted()
    for line in model_lines(outputs, resamples=100):
        own = outputs.where(outputs.labels("model") == line.model)
        slope, constant = np.polyfit(own.column("assertiveness"), own.column("quality"), 1)
        assert (line.slope.estimate, line.intercept) == pytest.approx((slope, constant))
        assert line.r.estimate == pytest.approx(np.corrcoef(own.column("assertiveness"), own.column("quality"))[0, 1])
    assert [line.outputs for line in model_lines(outputs, preamble="normal", resamples=100)] == [100, 100]


def test_a_planted_difference_at_equal_quality_is_found_and_none_where_there_is_none() -> None:
    (found,) = at_equal_quality(planted(), "a", resamples=500)
    assert found.model == "b" and found.more_assertive.contains(0.4) and found.more_assertive.low > 0.2
    assert found.by_quality.contains(0.6) and found.better.high < 0
    (none,) = at_equal_quality(planted(louder=0.0), "a", resamples=500)
    assert none.more_assertive.contains(0.0)


def test_the_indicator_is_that_of_least_squares() -> None:
    outputs = planted(3)
    (found,) = at_equal_quality(outputs, "a", ["b"], resamples=100)
    indicator = (outputs.labels("model") == "b").astype(float)
    for target, predictor, weights, constant, r2 in (
        ("assertiveness", "quality", (found.more_assertive, found.by_quality), found.constants[0], found.r2s[0]),
        ("quality", "assertiveness", (found.better, found.by_assertiveness), found.constants[1], found.r2s[1]),
    ):
        x = np.column_stack([indicator, outputs.column(predictor)])
        oracle = LinearRegression().fit(x, outputs.column(target))
        assert [weight.estimate for weight in weights] == pytest.approx(oracle.coef_)
        assert (constant, r2) == pytest.approx((oracle.intercept_, oracle.score(x, outputs.column(target))))


def test_a_model_and_its_mirror_differ_by_the_sign() -> None:
    (one,), (other,) = (at_equal_quality(planted(4), name, resamples=100) for name in "ab")
    assert one.more_assertive.estimate == pytest.approx(-other.more_assertive.estimate)
    assert one.by_quality.estimate == pytest.approx(other.by_quality.estimate)


def test_style_that_does_not_vary_has_no_correlation() -> None:
    outputs = planted(5)
    outputs.scores["assertiveness"][:] = 3.0
    found = style_correlations(outputs, resamples=50)
    assert np.isnan(found.assertiveness.estimate) and np.isnan(found.complexity_given_assertiveness.estimate)
    assert all(
        np.isnan(line.slope.estimate) and np.isnan(line.r.estimate) for line in model_lines(outputs, resamples=50)
    )
    assert np.isnan(at_equal_quality(outputs, "a", resamples=50)[0].better.estimate)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="No output of 'c'"):
        at_equal_quality(planted(inputs=5), "c")
    with pytest.raises(DataError, match="No output has all of"):
        model_lines(planted(inputs=5), preamble="assertive_high")
    with pytest.raises(DataError, match="no 'overall'"):
        style_correlations(planted(inputs=5), "overall")


@needs_released
def test_the_published_correlations() -> None:
    found = style_correlations(released_outputs(), resamples=300)
    assert round(found.assertiveness.estimate, 3) == 0.683 and round(found.complexity.estimate, 3) == 0.413
    assert round(found.between.estimate, 3) == 0.529
    assert round(found.assertiveness_given_complexity.estimate, 3) == 0.601
    assert round(found.complexity_given_assertiveness.estimate, 3) == 0.083
    # Averaging over raters makes styles look more alike than one rater finds them.
    style = tables_of(released_ratings())["style"].columns
    assert np.corrcoef(style["assertiveness"], style["complexity"])[0, 1] == pytest.approx(0.343, abs=5e-4)


@needs_released
def test_the_published_comparison_of_two_models() -> None:
    outputs = released_outputs()
    lines = {line.model: line for line in model_lines(outputs, resamples=100)}
    assert (round(lines[LLAMA].r.estimate, 3), round(lines[COMMAND].r.estimate, 3)) == (0.631, 0.707)
    normal = {line.model: line for line in model_lines(outputs, preamble="normal", resamples=100)}
    assert [round(normal[name].quality.estimate, 2) for name in (LLAMA, COMMAND)] == [4.02, 3.86]
    assert [round(normal[name].assertiveness.estimate, 2) for name in (LLAMA, COMMAND)] == [3.85, 3.62]
    (found,) = at_equal_quality(outputs, COMMAND, [LLAMA], resamples=1000)
    assert (round(found.constants[0], 2), round(found.by_quality.estimate, 2)) == (1.15, 0.61)
    assert round(found.more_assertive.estimate, 2) == 0.29 and found.more_assertive.low > 0
    assert (round(found.constants[1], 2), round(found.by_assertiveness.estimate, 2)) == (1.23, 0.73)
    assert round(found.better.estimate, 2) == -0.32 and found.better.high < 0
