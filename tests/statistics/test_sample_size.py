"""Power, minimal detectable effect and sample size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paribus.errors import ConfigError
from paribus.statistics import minimal_detectable_effect, power, required_n


def test_textbook_value() -> None:
    # Cohen's d = 0.5, 34 pairs, two-sided 5%: power .8078 (G*Power manual's paired example family).
    assert power(0.5, 1.0, 34) == pytest.approx(0.8078, abs=5e-4)
    assert required_n(0.5, 1.0) == 34


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_power_is_the_rejection_rate(alternative: str) -> None:
    rng = np.random.default_rng(1)
    effect = -0.4 if alternative == "less" else 0.4
    samples = rng.normal(effect, 1.0, (6_000, 20))
    rate = np.mean(stats.ttest_1samp(samples, 0.0, axis=1, alternative=alternative).pvalue <= 0.05)
    ours = power(effect, 1.0, 20, alternative=alternative)
    assert ours == pytest.approx(rate, abs=3.5 * np.sqrt(0.25 / 6_000))


def test_no_effect_has_the_power_alpha() -> None:
    assert power(0.0, 2.0, 15, alpha=0.03) == pytest.approx(0.03)
    assert power(0.0, 2.0, 15, alpha=0.03, alternative="less") == pytest.approx(0.03)


@settings(max_examples=50, deadline=None)
@given(
    st.floats(0.01, 100),
    st.floats(2, 5_000),
    st.sampled_from([0.01, 0.05]),
    st.sampled_from([0.5, 0.8, 0.95]),
    st.sampled_from(["two-sided", "greater", "less"]),
)
def test_detectable_effect_inverts_power(sd: float, n: float, alpha: float, target: float, alternative: str) -> None:
    effect = minimal_detectable_effect(sd, n, alpha=alpha, power=target, alternative=alternative)
    signed = -effect if alternative == "less" else effect
    assert power(signed, sd, n, alpha=alpha, alternative=alternative) == pytest.approx(target, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 3), st.floats(0.1, 2))
def test_required_n_is_the_smallest(effect: float, sd: float) -> None:
    n = required_n(effect, sd)
    assert power(effect, sd, n) >= 0.8
    assert n == 2 or power(effect, sd, n - 1) < 0.8


def test_detectable_effect_approaches_the_normal_formula() -> None:
    expected = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / np.sqrt(10_000)
    assert minimal_detectable_effect(1.0, 10_000) == pytest.approx(expected, rel=1e-3)


def test_far_effects_have_power_one_and_no_noise_detects_everything() -> None:
    assert power(50.0, 1.0, 400) == 1.0
    assert power(-50.0, 1.0, 400, alternative="greater") == 0.0
    assert minimal_detectable_effect(0.0, 10) == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: power(0.1, 0.0, 10), "sd is 0"),
        (lambda: power(0.1, 1.0, 1), "n is 1"),
        (lambda: power(0.1, 1.0, 10, alpha=1.0), "alpha is 1"),
        (lambda: power(0.1, 1.0, 10, alternative="up"), "'up'"),
        (lambda: minimal_detectable_effect(1.0, 10, power=0.01), r"power is 0\.01"),
        (lambda: required_n(0.0, 1.0), "effect is 0"),
    ],
)
def test_bad_settings_are_named(call: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        call()
