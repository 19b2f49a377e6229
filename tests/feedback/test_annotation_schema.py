"""What a rating may say, and what the message names when it says something else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import ConfigError, DataError
from paribus.feedback.annotation.schema import (
    ERROR_TYPES,
    ERRORS,
    PASSES,
    SCALES,
    SCORES_OF,
    SEVEN,
    error_type,
    the_pass,
    validate,
)
from paribus.records import Rating
from paribus.world.graded import ERRORS as PLANTED


def rating(pass_: str = "errors", errors: tuple[str, ...] = (), **more: Any) -> Rating:
    row = {"item": "d/1/m/normal", "rater": "r", "pass": pass_, "errors": errors, "scores": {}, "meta": {}, **more}
    return Rating.model_validate(row)


def test_ten_errors_of_which_seven_can_be_planted() -> None:
    assert len(ERRORS) == 10 and len(set(ERRORS)) == 10
    assert set(SEVEN) == set(PLANTED) and set(ERRORS) - set(SEVEN) == {"scope", "fluency", "harmful"}
    for error in ERROR_TYPES:
        assert error.definition.endswith(".") and error.definition[0].islower()
        assert error_type(error.name) is error


def test_each_score_belongs_to_one_pass() -> None:
    names = [name for pass_ in PASSES for name in SCORES_OF[pass_]]
    assert sorted(names) == sorted(SCALES)


@pytest.mark.parametrize(
    "good",
    [
        rating(errors=("factuality", "harmful"), scores={"overall": 3}),
        rating(),
        rating("quality", scores={"quality": 5}),
        rating("style", scores={"assertiveness": 1, "complexity": 5.0}),
        rating(meta={"distractor": True, "attention": "failed", "words": 12, "mine": [1]}),
        rating("quality", meta={"error": "no JSON"}),
    ],
)
def test_good_ratings_are_given_back(good: Rating) -> None:
    assert validate(good) is good


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        (rating("quantity"), "pass = 'quantity'"),
        (rating("quality", ("factuality",), scores={"quality": 3}), "errors = .*must be empty"),
        (rating(errors=("spelling",)), "'spelling'; it must be one of contradiction"),
        (rating(errors=("refusal", "refusal")), "name each error once"),
        (rating(scores={"quality": 3}), "must be overall on the pass errors"),
        (rating("quality"), "must have quality"),
        (rating("style", scores={"assertiveness": 3}), "must have complexity"),
        (rating("quality", scores={"quality": 0}), r"scores.quality = 0.0.*1 to 5"),
        (rating("quality", scores={"quality": 3.5}), "3.5"),
        (rating("quality", scores={"quality": float("nan")}), "nan"),
        (rating(meta={"distractor": "yes"}), r"meta.distractor = 'yes'.*bool"),
        (rating(meta={"words": True}), r"meta.words = True.*int"),
        (rating(meta={"attention": "no"}), r"meta.attention = 'no'"),
    ],
)
def test_bad_ratings_are_refused_with_field_and_value(bad: Rating, names: str) -> None:
    with pytest.raises(DataError, match=names) as caught:
        validate(bad)
    assert "'d/1/m/normal' by 'r'" in str(caught.value)


def test_fewer_errors_may_be_asked_for() -> None:
    with pytest.raises(DataError, match="'harmful'"):
        validate(rating(errors=("harmful",)), errors=SEVEN)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'taste'.*errors, quality, style"):
        the_pass("taste")
    with pytest.raises(ConfigError, match="'spelling'"):
        error_type("spelling")


@given(
    st.sampled_from(PASSES),
    st.lists(st.sampled_from([*ERRORS, "other"]), max_size=4),
    st.dictionaries(st.sampled_from([*SCALES]), st.integers(0, 6)),
)
def test_what_is_accepted_is_what_the_pass_asks(pass_: str, errors: list[str], scores: dict[str, int]) -> None:
    given_rating = rating(pass_, tuple(errors), scores=scores)
    named = set(errors) <= set(ERRORS) and len(set(errors)) == len(errors) and (not errors or pass_ == "errors")
    scored = set(scores) <= set(SCORES_OF[the_pass(pass_)]) and all(1 <= value <= 5 for value in scores.values())
    whole = pass_ == "errors" or set(scores) == set(SCORES_OF[the_pass(pass_)])
    if named and scored and whole:
        assert validate(given_rating) is given_rating
    else:
        with pytest.raises(DataError):
            validate(given_rating)
