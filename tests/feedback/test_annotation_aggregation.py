"""Many ratings to one row an output: modes, ties, joins; agreement on repeated forms; the released numbers."""

import csv

import numpy as np
import pytest
from annotation_released import FOLDER, needs_released, rating, released_outputs, released_ratings
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import aggregate, agreements, present
from paribus.feedback.annotation.columns import tables_of
from paribus.records import Rating
from paribus.statistics import gwet_ac1


def _rated(flags: list[bool], scores: list[int]) -> list[Rating]:
    return [
        rating(errors=("refusal",) if flag else (), scores={"overall": float(score)}, rater=f"r{n}")
        for n, (flag, score) in enumerate(zip(flags, scores, strict=True))
    ]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), min_size=1, max_size=8))
def test_errors_are_the_mean_of_the_modes_and_scores_the_mean(given_: list[tuple[bool, int]]) -> None:
    flags, scores = [flag for flag, _ in given_], [score for _, score in given_]
    outputs = aggregate(tables_of(_rated(flags, scores)).values())
    share = np.mean(flags)
    assert outputs.errors["refusal"].tolist() == [0.5 if share == 0.5 else float(share > 0.5)]
    assert outputs.scores["overall"][0] == pytest.approx(np.mean(scores))
    counts = np.bincount(scores, minlength=6)
    modes = aggregate(tables_of(_rated(flags, scores)).values(), scores="mode")
    assert modes.scores["overall"][0] == pytest.approx(np.flatnonzero(counts == counts.max()).mean())


def test_passes_are_joined_on_the_output_and_gaps_stay_gaps() -> None:
    rows = [rating("quality", source="1", scores={"quality": 5.0}), rating("style", source="2", words=40)]
    outputs = aggregate(tables_of([*rows, rating("errors", source="2")]).values())
    place = [key.input for key in outputs.keys]
    quality, words = outputs.column("quality"), outputs.words
    assert quality[place.index("1")] == 5.0 and np.isnan(quality[place.index("2")])
    assert words[place.index("2")] == 40 and outputs.raters["quality"].sum() == 1
    assert present(outputs, ["quality"]).sum() == 1 and not present(outputs, ["quality", "refusal"]).any()
    assert outputs.has("quality", "assertiveness") and not outputs.has("scope")
    kept = outputs.where(outputs.labels("model") == "a")
    assert len(kept) == 2 and kept.clusters == outputs.clusters


def test_what_was_not_rated_is_named() -> None:
    outputs = aggregate(tables_of([rating("quality")]).values())
    with pytest.raises(DataError, match="no 'complexity'; they hold quality"):
        outputs.column("complexity")
    table = tables_of([rating("quality")])["quality"]
    with pytest.raises(DataError, match="one a pass"):
        aggregate([table, table])
    with pytest.raises(DataError, match="at least one"):
        aggregate([])


def _forms(times: int, flags: list[bool], other: str = "b") -> list[Rating]:
    return [
        rating(errors=("refusal",) if flag else (), rater=f"{other}{n}", other_model=other, asked=["refusal"])
        for n, flag in enumerate(flags[:times])
    ]


def test_agreement_is_that_of_repeated_forms_where_there_are_any() -> None:
    """The output beside b was rated three times, beside c and d once: the latter do not repeat anything."""
    rows = [*_forms(3, [True, True, False]), *_forms(1, [False], "c"), *_forms(1, [False], "d")]
    refusal = next(row for row in agreements(tables_of(rows), resamples=100) if row.question == "refusal")
    assert (refusal.unit, refusal.items, refusal.ratings) == ("form", 1, 3)
    assert refusal.ac1.estimate == pytest.approx(gwet_ac1([[1, 1, 0]]))


def test_agreement_is_over_outputs_where_no_form_was_repeated() -> None:
    rows = [*_forms(1, [True]), *_forms(1, [False], "c"), rating(source="2", rater="x", other_model="b")]
    refusal = next(row for row in agreements(tables_of(rows), resamples=100) if row.question == "refusal")
    assert (refusal.unit, refusal.items, refusal.ratings) == ("output", 1, 2)
    assert agreements(tables_of(_forms(1, [True]))) == ()


@needs_released
def test_raw_ratings_aggregate_to_the_released_outputs() -> None:
    """Errors, quality, style and length exactly; the released overall is the mode, rounded to five decimals."""
    ours = released_outputs()
    modes = aggregate([tables_of(released_ratings())["errors"]], scores="mode")
    overall = dict(zip(modes.keys, modes.scores["overall"], strict=True))
    theirs = {}
    names = {"complexity_low": "complex_low", "complexity_high": "complex_high"}
    names |= {"confidence_low": "assertive_low", "confidence_high": "assertive_high", "normal": "normal"}
    with (FOLDER / "part2_outputs.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            theirs[row["dataset"], row["sample_ix"], "", row["model"], names[row["preamble_type"]]] = row
    assert set(theirs) == {tuple(key) for key in ours.keys}
    columns = {**ours.errors, "unbiased": ours.scores["quality"], "assertive": ours.scores["assertiveness"]}
    columns |= {"complexity": ours.scores["complexity"], "length": ours.words}
    for number, key in enumerate(ours.keys):
        row = theirs[tuple(key)]
        for name, values in columns.items():
            assert values[number] == pytest.approx(float(row[name]), abs=1e-9), (key, name)
        assert overall[key] == pytest.approx(float(row["overall"]), abs=1e-5)


@needs_released
def test_the_released_agreement() -> None:
    """AC1 of the 75 forms shown five times (150 outputs, 750 ratings), to three decimals."""
    found = {row.question: row for row in agreements(tables_of(released_ratings()), resamples=200)}
    for question, value in {"factuality": 0.689, "contradiction": 0.924, "refusal": 0.904, "overall": 0.164}.items():
        assert round(found[question].ac1.estimate, 3) == value
        assert found[question].ac1.contains(value)
    assert {(row.unit, row.items, row.ratings) for row in found.values()} == {("form", 150, 750)}
    # The prevalence paradox on real data: raters agree on factuality far beyond what alpha says.
    assert found["factuality"].alpha.estimate < 0.1


@needs_released
def test_ties_are_rare_in_the_released_labels() -> None:
    shares = np.stack(list(released_outputs().errors.values()))
    assert np.isin(shares, (0.0, 0.5, 1.0)).all()
    assert (shares == 0.5).mean() == pytest.approx(0.0437, abs=1e-4)
