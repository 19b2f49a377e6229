"""Style control: a judge that likes length is seen through; oracle parity with the published design."""

import numpy as np
import pytest
from simulated_games import game, turned
from sklearn.linear_model import LogisticRegression

from paribus.errors import ConfigError, DataError
from paribus.evaluation.style import FEATURES, Style, StyleKey, style_gaps
from paribus.evaluation.style_control import style_control
from paribus.records import Verdict

SKILL = {"m1": 0.5, "m2": -0.4}
TYPICAL = {"base": 100, "m1": 60, "m2": 250}


def _judged(
    rng: np.random.Generator, questions: int = 400, length_taste: float = 2.0, strong: float = 0.0
) -> tuple[list[Verdict], dict[StyleKey, Style]]:
    """Log odds = skill + taste * raw v2.0 length gap. m2 is worse and long-winded, m1 better and terse."""
    styles: dict[StyleKey, Style] = {}
    for q in range(questions):
        for name, typical in TYPICAL.items():
            tokens = int(typical * np.exp(rng.normal(0, 0.5))) + 1
            styles[name, f"q{q}", "en"] = Style(tokens, *rng.integers(0, 5, 3).tolist())
    verdicts = []
    for name, skill in SKILL.items():
        for q in range(questions):
            a, b = styles[name, f"q{q}", "en"], styles["base", f"q{q}", "en"]
            gap = (a.tokens - b.tokens) / (a.tokens + b.tokens)
            for order in ("ab", "ba"):
                won = rng.random() < 1 / (1 + np.exp(-(skill + length_taste * gap)))
                label = ("A" if won else "B") + (">>" if rng.random() < strong else ">") + ("B" if won else "A")
                verdicts.append(game(label, order, f"q{q}", a=name))
    return verdicts, styles


def test_a_taste_for_length_is_seen_and_taken_out() -> None:
    verdicts, styles = _judged(np.random.default_rng(0), questions=1_500)
    result = style_control(verdicts, styles, "base", weighting="half_ties", resamples=60)
    # Uncontrolled, the long-winded worse model wins.
    assert result.plain["m2"].estimate > 0.5 > result.plain["m1"].estimate
    # At zero gap the planted skill comes back.
    for name, skill in SKILL.items():
        assert result.at_zero_gap[name].estimate == pytest.approx(1 / (1 + np.exp(-skill)), abs=0.045)
    table = {row.feature: row for row in result.coefficients}
    assert tuple(table) == FEATURES
    assert table["length"].per_unit == pytest.approx(2.0, abs=0.3)
    assert table["length"].per_sd.estimate == pytest.approx(table["length"].per_unit * table["length"].sd_gap)
    for name in ("headers", "lists", "bold"):
        assert abs(table[name].per_sd.estimate) < 0.12
    assert result.failed_resamples == 0


def test_mean_gap_and_zero_gap_differ_by_the_gap_times_the_taste() -> None:
    verdicts, styles = _judged(np.random.default_rng(1), questions=200)
    result = style_control(verdicts, styles, "base", resamples=10)
    shift = sum(row.per_unit * row.mean_gap for row in result.coefficients)

    def logit(share: float) -> float:
        return float(np.log(share / (1 - share)))

    for name in SKILL:
        at_mean, at_zero = result.at_mean_gap[name].estimate, result.at_zero_gap[name].estimate
        assert logit(at_mean) - logit(at_zero) == pytest.approx(shift)
    assert abs(shift) > 0.01
    assert (result.at_mean_gap["base"].estimate, result.at_zero_gap["base"].estimate) == (0.5, 0.5)


def test_intervals_cover_the_planted_skill() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(25):
        verdicts, styles = _judged(rng, questions=120)
        result = style_control(verdicts, styles, "base", weighting="half_ties", resamples=50, rng=rng)
        hits += sum(result.at_zero_gap[m].contains(1 / (1 + np.exp(-s))) for m, s in SKILL.items())
    assert hits / 50 >= 0.84


@pytest.mark.parametrize(("features", "unit", "copies", "c"), [("v0.1", np.log(10), 2, 1.0), ("v2.0", 1.0, 1, np.inf)])
def test_scikit_learn_parity_on_the_published_design(features: str, unit: float, copies: int, c: float) -> None:
    verdicts, styles = _judged(np.random.default_rng(3), questions=80, strong=0.4)
    models = ["base", "m1", "m2"]
    a = np.array([styles[v.a, v.prompt_id, "en"] for v in verdicts], dtype=float)
    b = np.array([styles[v.b, v.prompt_id, "en"] for v in verdicts], dtype=float)
    repeats = np.array([3 if ">>" in v.label else 1 for v in verdicts]) * copies
    gaps = np.repeat(style_gaps(a, b, features), repeats, axis=0)
    hot = np.zeros((len(verdicts), 3))
    for row, v in enumerate(verdicts):
        hot[row, models.index(v.a)], hot[row, 0] = unit, -unit
    hot = np.repeat(hot, repeats, axis=0)
    labels = np.repeat([v.label.startswith("A") for v in verdicts], repeats)
    design = np.concatenate([hot[:, 1:] if features == "v2.0" else hot, (gaps - gaps.mean(0)) / gaps.std(0)], axis=1)
    theirs = LogisticRegression(fit_intercept=False, C=c, tol=1e-10, max_iter=5_000).fit(design, labels).coef_[0]
    nats = theirs[:-4] * unit
    nats = nats - nats[0] if features == "v0.1" else np.insert(nats, 0, 0.0)

    ours = style_control(verdicts, styles, "base", features=features, resamples=5)
    assert [row.per_sd.estimate for row in ours.coefficients] == pytest.approx(theirs[-4:], abs=1e-4)
    expected = dict(zip(models, 1 / (1 + np.exp(-nats)), strict=True))
    assert {m: i.estimate for m, i in ours.at_mean_gap.items()} == pytest.approx(expected, abs=1e-4)


def test_the_recorded_side_does_not_matter() -> None:
    verdicts, styles = _judged(np.random.default_rng(4), questions=60)
    mixed = [turned(v) if i % 2 else v for i, v in enumerate(verdicts)]
    plain, swapped = (style_control(v, styles, "base", resamples=5) for v in (verdicts, mixed))
    for name in SKILL:
        assert plain.at_zero_gap[name].estimate == pytest.approx(swapped.at_zero_gap[name].estimate)


def test_answers_of_one_style_change_nothing() -> None:
    verdicts, styles = _judged(np.random.default_rng(5), questions=60)
    same = dict.fromkeys(styles, Style(10, 1, 1, 1))
    result = style_control(verdicts, same, "base", resamples=20)
    assert all(row.sd_gap == 0 and row.per_unit == 0 for row in result.coefficients)
    for name in SKILL:
        assert result.at_zero_gap[name].estimate == pytest.approx(result.plain[name].estimate, abs=1e-6)


def test_what_cannot_be_fitted_is_refused() -> None:
    verdicts, styles = _judged(np.random.default_rng(6), questions=20)
    del styles["m1", "q3", "en"]
    with pytest.raises(DataError, match=r"\('m1', 'q3', 'en'\)"):
        style_control(verdicts, styles, "base", resamples=5)
    with pytest.raises(ConfigError, match="'nobody'"):
        style_control(verdicts, styles, "nobody", resamples=5)
