"""Cleaning with counts, distractor pass rates, and raters that cannot be trusted."""

from math import comb
from pathlib import Path
from typing import Any

import pytest
from annotation_toy import inputs, outputs
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import ConfigError, DataError
from paribus.feedback.annotation.checks import (
    attention_result,
    binomial_tail,
    clean,
    distractor_rates,
    rater_checks,
    untrusted,
)
from paribus.feedback.annotation.design import Design, assign, make_forms
from paribus.feedback.annotation.schema import DISTRACTOR, EXPERT
from paribus.feedback.annotation.simulated import RaterModel, Truth, experts, simulate
from paribus.feedback.annotation.tables import read_ratings
from paribus.records import Rating

RELEASED = Path("/work/shared/data/human-feedback")


def rating(model: str = "m", rater: str = "r", score: int = 3, pass_: str = "quality", **meta: Any) -> Rating:
    scores = {"quality" if pass_ == "quality" else "overall": score}
    about = {"dataset": "d", "input": "1", "model": model, "preamble": "normal", **meta}
    return Rating.model_validate(
        {"item": f"d/1/{model}/normal", "rater": rater, "pass": pass_, "scores": scores, "meta": about}
    )


def form(genuine: int, stray: int, rater: str = "r", number: int = 0, pass_: str = "quality") -> list[Rating]:
    about = {"distractor": True, "form": f"f{number}"}
    return [rating("m", rater, genuine, pass_, **about), rating(DISTRACTOR, rater, stray, pass_, **about)]


def test_each_rating_is_dropped_once_for_the_first_reason() -> None:
    good = [rating(form="f1"), rating("n", form="f1"), rating(form="f2"), rating(rater="s", form="f1")]
    bad = [
        rating(form="f1", score=4),  # a duplicate, whatever it says now
        rating(form="f3", attention="failed"),
        rating("x", rater="lazy", attention="failed"),
        rating("n", form="f4").model_copy(update={"scores": {}, "meta": {"error": "no JSON"}}),
    ]
    found = clean([*good, *bad], untrusted={"lazy"})
    assert found.kept == tuple(good)
    assert found.dropped == {"rater": 1, "unread": 1, "attention": 1, "duplicate": 1}
    assert clean(found.kept).kept == found.kept and not any(clean(found.kept).dropped.values())


def test_a_failed_rating_does_not_make_a_later_one_a_duplicate() -> None:
    rows = [rating(form="f1", attention="failed"), rating(form="f1", attention="passed")]
    assert clean(rows).kept == (rows[1],)


def test_without_forms_the_output_beside_it_tells_ratings_apart() -> None:
    rows = [rating(other_model="a"), rating(other_model="b"), rating(other_model="a")]
    assert clean(rows).dropped["duplicate"] == 1


@pytest.mark.parametrize(
    ("told", "said", "result"),
    [
        (("yes", "no"), ("yes", "no"), "passed"),
        (("yes", "no"), ("yes", "yes"), "passed"),
        (("yes", "no"), ("no", "yes"), "failed"),
        (("4",), ("3",), "failed"),
        ((), (), None),
    ],
)
def test_a_form_fails_when_every_check_is_wrong(told: tuple[str, ...], said: tuple[str, ...], result: Any) -> None:
    assert attention_result(told, said) == result


def test_a_missing_reply_is_refused() -> None:
    with pytest.raises(DataError, match="1 replies to 2"):
        attention_result(("yes", "no"), ("yes",))


def test_pass_rates_count_ties_as_published_and_apart() -> None:
    rows = [row for n, scores in enumerate([(4, 1), (3, 3), (2, 5), (5, 1)]) for row in form(*scores, number=n)]
    rows += form(4, 2, number=9, pass_="errors") + form(1, 5, number=10)[:1] + [rating()]
    by_errors, by_quality = distractor_rates(rows)
    assert (by_errors.pass_, by_errors.pairs, by_errors.below.estimate, by_errors.unpaired) == ("errors", 1, 1.0, 0)
    assert (by_quality.pairs, by_quality.unpaired) == (4, 1)
    assert by_quality.not_above.estimate == 0.75 and by_quality.below.estimate == 0.5
    assert by_quality.below.low < 0.5 < by_quality.below.high


def test_style_has_no_distractors_to_pass() -> None:
    row = rating(distractor=True).model_copy(update={"pass_": "style", "scores": {"assertiveness": 3, "complexity": 3}})
    assert distractor_rates([row]) == ()


@pytest.mark.skipif(not RELEASED.is_dir(), reason="the released tables of human feedback are not on this machine")
def test_pass_rates_of_the_released_tables() -> None:
    rates = {}
    for name in ("error", "quality"):
        ratings = read_ratings(RELEASED / f"part2_{name}_annotations.csv")
        assert not any(clean(ratings).dropped.values())
        rates[name] = distractor_rates(ratings)[0]
    assert all(rate.pairs == 300 and rate.unpaired == 0 for rate in rates.values())
    assert rates["quality"].not_above.estimate == pytest.approx(0.937, abs=5e-4)
    assert rates["error"].not_above.estimate == pytest.approx(0.95, abs=5e-4)


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.01, 0.99))
def test_binomial_tail_is_a_tail(k: int, n: int, p: float) -> None:
    tail = binomial_tail(k, n, p)
    assert 0 <= tail <= 1
    assert binomial_tail(0, n, p) == pytest.approx(1)
    if 0 < k <= n:
        point = comb(n, k - 1) * p ** (k - 1) * (1 - p) ** (n - k + 1)
        assert binomial_tail(k - 1, n, p) == pytest.approx(tail + point)


def crowd(lazy: float, seed: int = 0) -> tuple[RaterModel, list[Rating]]:
    prompts = inputs(80)
    rows = outputs(prompts)
    forms = make_forms(prompts, rows, Design(distractors=4, passes=("errors", "quality")))
    model = RaterModel(lazy=lazy, seed=seed, leniency=0.2, noise=0.5)
    pools = {"errors": [f"e{n}" for n in range(16)], "quality": [f"q{n}" for n in range(16)]}
    truths = {row.id: Truth() for row in rows}
    return model, simulate(assign(forms, pools), truths, model)


def test_distractors_find_the_lazy_raters_and_no_others() -> None:
    model, ratings = crowd(0.25)
    checks = rater_checks(ratings)
    lazy = {check.rater for check in checks if model.habit(check.rater) != "careful"}
    assert 4 <= len(lazy) <= 14 and {model.habit(name) for name in lazy} == {"random", "straight"}
    assert untrusted(checks) == lazy
    for check in checks[: len(lazy)]:
        assert "distractors" in check.reasons and 15 <= check.distractors <= 25
        assert ("straight line" in check.reasons) == (model.habit(check.rater) == "straight")
    found = clean(ratings, untrusted=untrusted(checks))
    assert found.dropped["rater"] == sum(row.rater in lazy for row in ratings)
    assert distractor_rates(found.kept)[0].below.low > distractor_rates(ratings)[0].below.high


def test_nobody_is_suspected_where_all_are_careful() -> None:
    _, ratings = crowd(0.0, seed=1)
    checks = rater_checks(ratings)
    assert len(checks) == 32 and untrusted(checks) == frozenset()


def test_inattention_is_a_reason() -> None:
    rows = [rating(form=f"f{n}", score=1 + n % 5, attention="failed" if n < 7 else "passed") for n in range(12)]
    (check,) = rater_checks(rows)
    assert check.reasons == ("attention",) and check.attention_failed == 7
    assert rater_checks(rows[:9])[0].reasons == ()  # too few to tell


def test_experts_are_not_suspected_and_probabilities_are_checked() -> None:
    prompts = inputs(12)
    rows = outputs(prompts)
    labels = experts(make_forms(prompts, rows), {row.id: Truth() for row in rows})
    assert {row.rater for row in labels} == {EXPERT} and rater_checks(labels) == []
    for bad in ({"careful": 0.0}, {"level": 1.0}):
        with pytest.raises(ConfigError, match="probability"):
            rater_checks(labels, **bad)
