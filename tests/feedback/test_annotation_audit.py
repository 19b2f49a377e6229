"""The whole audit: a planted crowd is seen through, partial input is told instead of failing, the released numbers."""

import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from annotation_released import (
    COMMAND,
    LLAMA,
    needs_released,
    rating,
    released_experts,
    released_ratings,
)
from annotation_toy import inputs, outputs

from paribus.errors import DataError
from paribus.feedback.annotation.audit import ALL, Audit, AuditSettings, audit
from paribus.feedback.annotation.design import Design, assign, make_forms
from paribus.feedback.annotation.schema import SEVEN
from paribus.feedback.annotation.simulated import RaterModel, Truth, experts, simulate
from paribus.records import Rating

WEIGHTS = {"refusal": 1.2, "formatting": 0.8}
MANNER = {"assertive_high": 1.5, "assertive_low": -1.5}
QUICK = AuditSettings(resamples=200)


@cache
def planted(
    languages: tuple[str, ...] = ("en",), lazy: float = 0.0, halo: float = 0.0
) -> tuple[tuple[Rating, ...], tuple[Rating, ...]]:
    """Ratings of 60 inputs in all passes by raters who overlook factual errors in assertive text, and exact experts."""
    prompts = [
        prompt.model_copy(update={"language": languages[n % len(languages)]}) for n, prompt in enumerate(inputs(60))
    ]
    answers = [
        row.model_copy(update={"language": next(p.language for p in prompts if p.id == row.prompt_id)})
        for row in outputs(prompts)
    ]
    rng = np.random.default_rng(0)
    truths = {
        row.id: Truth(frozenset(name for name in SEVEN if rng.random() < 0.2), MANNER.get(row.meta["preamble"], 0.0))
        for row in answers
    }
    forms = make_forms(prompts, answers, Design(errors=SEVEN))
    pools = {name: [f"{name}{n}" for n in range(20)] for name in ("errors", "quality", "style")}
    crowd = RaterModel(
        weights=WEIGHTS, hiding={"factuality": 0.8}, noise=0.5, lazy=lazy, distractor_loss=3.0, halo=halo
    )
    return tuple(simulate(assign(forms, pools), truths, crowd)), tuple(experts(forms, truths))


@cache
def found() -> Audit:
    return audit(*planted(), QUICK)


def test_every_rating_is_accounted_for() -> None:
    for pool in found().pools:
        assert pool.given == pool.counted + pool.distractors + sum(pool.dropped.values())
        assert (pool.distractors > 0) == (pool.pass_ != "style")
        assert pool.raters == 20 and pool.outputs == 300 and pool.inputs == 60
        assert pool.ratings_an_output == pool.counted / 300
    assert found().experts == 300


def test_a_planted_crowd_is_seen_through() -> None:
    whole = found().of()
    fit = whole.regressions[0]
    assert fit.target == "quality"
    refusal, formatting = fit.weight("refusal").lasso, fit.weight("formatting").lasso
    assert refusal.low > formatting.high > formatting.low > 0
    assert fit.weight("contradiction").lasso.low <= 0
    assert whole.gaps is not None
    (hiding,) = (r for r in whole.gaps.contrasts if (r.error, r.group) == ("factuality", "assertive_high"))
    assert hiding.difference.high < 0
    (control,) = (r for r in whole.gaps.contrasts if (r.error, r.group) == ("formatting", "assertive_high"))
    assert control.difference.contains(0.0)
    # Assertiveness earns no points from these raters.
    assert whole.style[0].assertiveness_given_complexity.contains(0.0)


def test_the_same_ratings_give_the_same_audit() -> None:
    assert audit(*planted(), QUICK).as_dict() == found().as_dict()


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, float):
        yield value


def test_it_is_plain_values() -> None:
    text = json.dumps(found().as_dict(), allow_nan=False)
    content = json.loads(text)
    assert all(math.isfinite(number) for number in _numbers(content))
    assert content["pools"][0]["pass"] == "errors" and content["analyses"][0]["language"] == ALL
    assert content["analyses"][0]["regressions"][0]["weights"][0]["lasso"].keys() >= {"estimate", "low", "high"}


@pytest.mark.parametrize(
    ("passes", "missing"),
    [
        (("errors",), {"quality", "style"}),
        (("quality",), {"errors", "style"}),
        (("style",), {"errors", "quality"}),
        (("errors", "style"), {"quality"}),
    ],
)
def test_some_of_the_passes_will_do(passes: tuple[str, ...], missing: set[str]) -> None:
    result = audit([row for row in planted()[0] if row.pass_ in passes], settings=QUICK)
    assert {note.part for note in result.notices if note.code == "missing-pass"} == missing
    assert any(note.code == "missing-experts" for note in result.notices)
    whole = result.of()
    assert [fit.target for fit in whole.regressions] == (["overall"] if "errors" in passes else [])
    assert whole.gaps is None and whole.detection == () and whole.equal_quality == ()
    assert [style.target for style in whole.style] == (["overall"] if passes == ("errors", "style") else [])
    assert {mean for group in whole.by_preamble for mean in group.means}


def test_one_rating_an_output_and_nameless_raters_are_told() -> None:
    rows = [rating(source=str(n), rater="unnamed:x:1", errors=("refusal",) * (n % 2)) for n in range(6)]
    codes = {note.code for note in audit(rows, settings=QUICK).notices}
    assert codes >= {"single-rater", "unnamed-raters", "missing-distractors", "missing-attention"}
    assert audit(rows, settings=QUICK).of().agreement == ()


def test_empty_cells_of_the_design_are_told() -> None:
    rows = [
        rating(source=str(n), model=model, preamble=preamble)
        for n in range(3)
        for model, preamble in (("a", "normal"), ("b", "normal"), ("b", "assertive_low"))
    ]
    (note,) = (note for note in audit(rows, settings=QUICK).notices if note.code == "empty-cells")
    assert "1 of 4 cells" in note.text and "a / assertive_low" in note.text


def test_what_fails_a_check_is_dropped_and_counted() -> None:
    good = [rating(source=str(n), rater="r") for n in range(4)]
    bad = [rating(source="0", rater="r"), rating(source="9", rater="s", attention="failed")]
    (pool,) = audit([*good, *bad], settings=QUICK).pools
    assert pool.dropped["duplicate"] == 1 and pool.dropped["attention"] == 1 and pool.counted == 4


def test_a_pass_of_which_nothing_counts_is_still_accounted_for() -> None:
    unread = [
        row.model_copy(update={"meta": {**row.meta, "error": "?"}}) for row in planted()[0] if row.pass_ == "errors"
    ]
    result = audit([*unread, *(row for row in planted()[0] if row.pass_ == "quality")], settings=QUICK)
    errors, quality = result.pools
    assert (errors.pass_, errors.given, errors.counted) == ("errors", len(unread), 0) and quality.counted > 0
    assert errors.dropped["unread"] == len(unread)
    (notice,) = (row for row in result.notices if (row.code, row.part) == ("missing-pass", "errors"))
    assert notice.text.startswith(f"None of {len(unread):,} ratings of the pass errors counts")


def test_careless_raters_are_named_and_left_out_on_demand() -> None:
    ratings, truth = planted(lazy=0.2)
    kept = audit(ratings, truth, QUICK)
    named = {check.rater for check in kept.distrusted}
    assert named and all(pool.dropped["rater"] == 0 for pool in kept.pools)
    without = audit(ratings, truth, AuditSettings(resamples=200, drop_untrusted=True))
    dropped = sum(pool.dropped["rater"] for pool in without.pools)
    assert dropped == sum(row.rater in named for row in ratings)


def test_languages_with_enough_inputs_have_their_own_analysis() -> None:
    ratings, truth = planted(("en", "sw"))
    result = audit(ratings, truth, QUICK)
    assert [each.language for each in result.analyses] == [ALL, "en", "sw"]
    own = result.of("sw")
    assert own.inputs == 30 and own.agreement and own.gaps is not None and own.detection
    few = audit(ratings, truth, AuditSettings(resamples=100, language_inputs=31))
    assert [each.language for each in few.analyses] == [ALL]
    (note,) = (note for note in few.notices if note.code == "small-languages")
    assert "fewer than 31" in note.text and "en (30), sw (30)" in note.text
    with pytest.raises(DataError, match="no analysis of 'de'"):
        result.of("de")


def test_files_without_language_meet_those_with_one() -> None:
    ratings, truth = planted(("en", "sw"))
    bare = [row.model_copy(update={"meta": row.meta | {"language": ""}}) for row in truth]
    quiet = [
        row if row.pass_ != "style" else row.model_copy(update={"meta": row.meta | {"language": ""}}) for row in ratings
    ]
    assert audit(quiet, bare, QUICK).as_dict() == audit(ratings, truth, QUICK).as_dict()


def test_a_planted_halo_is_found_and_none_without_it() -> None:
    """Raters see a stray answer as off topic; those with a halo charge it with other errors as well."""
    assert {row.question for row in found().halo} == {*SEVEN, "overall"}
    none = {row.question: row.difference for row in found().halo}
    assert none["relevance"].low > 0.3 and none["overall"].high < -1 and none["formatting"].contains(0.0)
    ratings, _ = planted(halo=0.5)
    some = {row.question: row.difference for row in audit(ratings, settings=QUICK).halo}
    assert some["formatting"].low > 0


def test_experts_among_the_ratings_are_experts() -> None:
    ratings, truth = planted()
    assert audit([*ratings, *truth], settings=QUICK).as_dict() == found().as_dict()
    renamed = [row.model_copy(update={"rater": "me"}) for row in truth]
    assert audit(ratings, renamed, QUICK).experts == 300


def test_experts_that_pass_for_the_crowd_are_told() -> None:
    ratings, truth = planted()
    strangers = [row.model_copy(update={"rater": "me"}) for row in truth]
    (notice,) = (row for row in audit([*ratings, *strangers], settings=QUICK).notices if row.code == "two-kinds")
    assert notice.text.startswith("300 of ") and "--experts" in notice.text
    assert not [row for row in found().notices if row.code == "two-kinds"]


def test_nothing_to_count_and_an_unknown_reference_are_refused() -> None:
    with pytest.raises(DataError, match="no rating to audit"):
        audit(planted()[1])
    with pytest.raises(DataError, match="None of the 1 ratings counts"):
        audit([rating(attention="failed")])
    with pytest.raises(DataError, match="No rating is of the reference 'gpt'; the models are a"):
        audit([rating()], settings=AuditSettings(reference="gpt"))


@needs_released
def test_the_released_part_2_through_one_call() -> None:
    result = audit(released_ratings(), released_experts(), AuditSettings(reference=COMMAND, resamples=200))
    rates = {row.pass_: row for row in result.distractors}
    assert round(rates["quality"].not_above.estimate, 3) == 0.937 and rates["errors"].not_above.estimate == 0.95
    assert {pool.counted for pool in result.pools} == {6600} and {pool.distractors for pool in result.pools} == {600}
    assert {sum(pool.dropped.values()) for pool in result.pools} == {0}
    whole = result.of()
    assert (
        whole.gaps is not None
        and round(100 * whole.gaps.of("factuality", "assertive_high").difference.estimate, 1) == -22.3
    )
    (llama,) = (row for row in whole.equal_quality if row.model == LLAMA)
    assert round(llama.more_assertive.estimate, 2) == 0.29
    assert {note.code for note in result.notices} == {"missing-attention", "unnamed-raters"} and whole.notices == ()
    # An answer to another prompt is called false and self-contradictory as well, as in part 1.
    strays = {row.question: round(row.difference.estimate, 2) for row in result.halo}
    assert strays["relevance"] == 0.77 and strays["factuality"] == 0.21 and strays["contradiction"] == 0.12
    # On these tables the factual errors that assertive text hides more than cautious text: 17 points.
    (hidden,) = (row for row in whole.gaps.contrasts if (row.error, row.group) == ("factuality", "assertive_high"))
    assert round(100 * hidden.difference.estimate, 1) == -17.0
    assert whole.by_length[0].means["quality"].estimate < 2.4 and whole.by_length[2].means["quality"].estimate > 3.7
