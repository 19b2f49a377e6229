"""Sign tests by hand, planted readers, and no finding where the critique is not read."""

import numpy as np
import pytest
from scipy.stats import binomtest

from paribus.errors import DataError
from paribus.evaluation.counterfactuals import Flip, by_language, sensitivity


def flips(kind: str, changes, *, per_cluster: int = 1, language: str = "de") -> list[Flip]:
    return [
        Flip(kind, f"q{n // per_cluster}", language, 1 if n % 2 else -1, 0.5, 0.5 + change * (1 if n % 2 else -1))
        for n, change in enumerate(changes)
    ]


def test_by_hand() -> None:
    rows = flips("correctness", [1.0] * 8 + [-1.0] * 2) + flips("style", [0.0, 0.0, 0.5])
    found = {row.kind: row for row in sensitivity(rows, resamples=200)}
    assert list(found) == ["all", "correctness", "style"]
    correct, style = found["correctness"], found["style"]
    assert correct.right.estimate == 0.8 and correct.change.estimate == pytest.approx(0.6)
    assert correct.p_value == pytest.approx(binomtest(8, 10).pvalue) and correct.votes == 10
    assert correct.adjusted == pytest.approx(2 * correct.p_value)
    assert (style.unmoved, style.votes, style.p_value) == (2, 1, 1.0)
    assert style.right.estimate == pytest.approx(1 / 3)


def test_a_question_votes_once() -> None:
    found = sensitivity(flips("style", [1.0] * 40, per_cluster=20), resamples=200)[1]
    assert found.votes == 2 and found.p_value == 0.5 and found.flips == 40
    split = sensitivity(flips("style", [1.0, -1.0] * 3, per_cluster=2), resamples=200)[1]
    assert split.votes == 0 and split.p_value == 1.0


def test_a_model_that_reads_is_told_from_one_that_does_not() -> None:
    random = np.random.default_rng(0)
    found = {
        row.kind: row
        for row in sensitivity(
            flips("correctness", random.normal(0.8, 1.0, 120)) + flips("style", random.normal(0.0, 1.0, 120)),
            resamples=400,
        )
    }
    assert found["correctness"].adjusted < 1e-4 and found["correctness"].change.low > 0.4
    assert found["style"].adjusted > 0.05 and found["style"].change.contains(0.0)


def test_no_effect_is_rejected_at_its_rate() -> None:
    random = np.random.default_rng(1)
    p = [sensitivity(flips("x", random.normal(size=50)), resamples=100)[1].p_value for _ in range(200)]
    assert np.mean(np.array(p) < 0.05) < 0.09


def test_all_right_is_not_certainty() -> None:
    found = sensitivity(flips("x", [1.0] * 12), resamples=100)[0]
    assert found.right.estimate == 1.0 and 0.7 < found.right.low < 0.8


def test_languages_and_refusals() -> None:
    rows = flips("x", [1.0] * 6) + flips("x", [-1.0] * 6, language="sw")
    found = by_language(rows, resamples=100)
    assert found["de"][0].right.estimate == 1.0 and found["sw"][0].right.estimate == 0.0
    with pytest.raises(DataError, match="no edit"):
        sensitivity([])
    with pytest.raises(DataError, match="direction 0"):
        sensitivity([Flip("x", "q", "de", 0, 1.0, 2.0)])
    with pytest.raises(DataError, match="finite"):
        sensitivity([Flip("x", "q", "de", 1, float("nan"), 2.0)])
