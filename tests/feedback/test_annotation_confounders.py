"""Crowd against experts: planted blindness, the negative control, both populations, and the released table."""

import numpy as np
import pytest
from annotation_released import needs_released, released_outputs, released_truth

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import Outputs
from paribus.feedback.annotation.columns import Output
from paribus.feedback.annotation.confounders import crowd_minus_expert, detection
from paribus.feedback.annotation.groups import group_means, rating_bins, word_bins
from paribus.feedback.annotation.schema import PREAMBLES

MANNERS = {"normal": 0.0, "assertive_high": 1.0, "assertive_low": -1.0}


def _outputs(keys: tuple[Output, ...], **errors: np.ndarray) -> Outputs:
    return Outputs(keys, errors, {}, np.full(len(keys), np.nan), {})


def planted(seed: int, hiding: float, inputs: int = 300) -> tuple[Outputs, Outputs]:
    """Crowd and exact experts; the crowd sees 60% of factual errors, times ``exp(-hiding)`` under assertive text."""
    rng = np.random.default_rng(seed)
    keys = tuple(Output("d", str(n), "en", "m", name) for n in range(inputs) for name in MANNERS)
    manner = np.array([MANNERS[key.preamble] for key in keys])
    truth = (rng.random(len(keys)) < 0.3).astype(float)
    seen = truth * (rng.random(len(keys)) < 0.6 * np.exp(-hiding * np.maximum(manner, 0)))
    refusal = (rng.random(len(keys)) < 0.05).astype(float)
    return _outputs(keys, factuality=seen, refusal=refusal), _outputs(keys, factuality=truth, refusal=refusal)


def test_a_gap_by_hand() -> None:
    keys = tuple(Output("d", str(n), "", "m", "normal") for n in range(4))
    crowd = _outputs(keys, factuality=np.array([1.0, 0, 0, 0.5]), refusal=np.array([0.0, 0, 1, 0]))
    experts = _outputs(keys[1:], factuality=np.array([1.0, 1, 0]), refusal=np.array([0.0, 0, 1]))
    gap = crowd_minus_expert(crowd, experts, resamples=100).of("factuality", "normal")
    # The crowd without its refusal (the third): (1 + 0 + 0.5) / 3; the experts without theirs (the fourth): 2 / 2.
    assert (gap.crowd, gap.expert, gap.crowd_outputs, gap.expert_outputs) == (0.5, 1.0, 3, 2)
    assert gap.difference.estimate == pytest.approx(-0.5)
    everything = crowd_minus_expert(crowd, experts, without_refusals=False, resamples=100)
    assert everything.of("factuality", "normal").difference.estimate == pytest.approx(1.5 / 4 - 2 / 3)
    same = crowd_minus_expert(crowd, experts, population="labelled", without_refusals=False, resamples=100)
    assert same.of("factuality", "normal").crowd == pytest.approx(0.5 / 3)


def test_planted_hiding_is_found_and_none_where_there_is_none() -> None:
    hidden = crowd_minus_expert(*planted(0, 1.5), resamples=500).contrasts
    (factuality,) = (row for row in hidden if row.error == "factuality")
    assert (factuality.group, factuality.baseline) == ("assertive_high", "assertive_low")
    assert factuality.difference.high < 0  # misses about 0.3 * 0.6 * (1 - exp(-1.5)) = 14 points more
    assert factuality.difference.contains(-0.3 * 0.6 * (1 - np.exp(-1.5)))
    flat = crowd_minus_expert(*planted(0, 0.0), resamples=500).contrasts
    assert next(row for row in flat if row.error == "factuality").difference.contains(0.0)


def test_intervals_of_no_effect_exclude_it_at_their_rate() -> None:
    wrong = 0
    for seed in range(150):
        rows = crowd_minus_expert(*planted(seed, 0.0, inputs=80), resamples=200, rng=seed).contrasts
        wrong += not next(row for row in rows if row.error == "factuality").difference.contains(0.0)
    assert wrong <= 16  # 7.5 expected


def test_a_gap_of_two_zeros_has_no_interval() -> None:
    crowd, experts = planted(1, 0.0)
    crowd.errors["factuality"][:] = 0.0
    experts.errors["factuality"][:] = 0.0
    gap = crowd_minus_expert(crowd, experts, resamples=100).of("factuality", "normal")
    assert gap.difference.estimate == 0 and np.isnan([gap.difference.low, gap.difference.high]).all()


def test_outputs_of_the_experts_alone_are_counted() -> None:
    crowd, experts = planted(2, 0.0)
    few = crowd.where(np.arange(len(crowd)) >= 30)
    assert crowd_minus_expert(few, experts, resamples=100).missing == 30


def test_precision_and_recall_by_hand() -> None:
    keys = tuple(Output("d", str(n), "", "m", "normal") for n in range(6))
    crowd = _outputs(keys[:5], factuality=np.array([1.0, 1, 0.5, 0, 0]))
    experts = _outputs(keys[1:], factuality=np.array([1.0, 1, 1, 0, 1]))
    (row,) = detection(crowd, experts, resamples=100)
    # Both labelled outputs 1 to 4; a tie of the crowd is a no.
    assert (row.outputs, row.crowd, row.expert, row.found) == (4, 1, 3, 1)
    assert (row.precision.estimate, row.recall.estimate) == (1.0, pytest.approx(1 / 3))


def test_what_does_not_fit_is_said() -> None:
    keys = (Output("d", "1", "", "m", "normal"),)
    one, other = _outputs(keys, factuality=np.ones(1)), _outputs(keys, scope=np.ones(1))
    with pytest.raises(DataError, match="share no error"):
        crowd_minus_expert(one, other)
    elsewhere = _outputs((Output("d", "2", "", "m", "complex_low"),), factuality=np.ones(1))
    with pytest.raises(DataError, match="No preamble has labels"):
        crowd_minus_expert(one, elsewhere)
    with pytest.raises(DataError, match="no output in common"):
        detection(one, elsewhere)
    with pytest.raises(DataError, match="no gap of 'factuality' in 'x'"):
        crowd_minus_expert(one, one, resamples=100).of("factuality", "x")


def test_bins_follow_the_published_rule() -> None:
    """``round(value - 0.5) + 1`` with halves to even, also where that is odd."""
    values = np.array([1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 4.75, 5.0, np.nan])
    assert rating_bins(values).tolist() == ["1", "2", "2", "2", "3", "3", "3", "5", "5", "5", ""]
    assert word_bins(np.array([0, 24, 26, 374, 376, 900, np.nan])).tolist() == [
        "0",
        "0",
        "50",
        "350",
        "400+",
        "400+",
        "",
    ]


def test_means_by_group_leave_gaps_out_and_keep_their_order() -> None:
    crowd, _ = planted(3, 0.0)
    crowd.errors["factuality"][:3] = np.nan
    rows = group_means(crowd, crowd.labels("preamble"), ["factuality"], resamples=100)
    assert [row.group for row in rows] == ["normal", "assertive_high", "assertive_low"]
    mask = crowd.labels("preamble") == "normal"
    assert rows[0].means["factuality"].estimate == pytest.approx(np.nanmean(crowd.errors["factuality"][mask]))
    assert (rows[0].outputs, rows[0].inputs) == (300, 300)
    assert group_means(crowd, [""] * len(crowd), ["factuality"]) == ()
    with pytest.raises(DataError, match="groups for"):
        group_means(crowd, ["a"], ["factuality"])


TABLE = {
    "factuality": (-5.3, -16.2, -22.3, -19.8, -14.3),
    "inconsistent": (-7.9, -10.6, -16.9, -12.9, -7.8),
    "relevance": (-3.5, -5.1, -1.6, 3.4, 1.7),
    "formatting": (3.7, 3.1, 2.1, -0.9, 0.1),
    "repetition": (-1.6, -1.8, -9.3, -1.3, -12.1),
    "contradiction": (0.7, -1.7, -1.4, 0.5, 0.8),
}
COLUMNS = ("assertive_low", "normal", "assertive_high", "complex_low", "complex_high")


@needs_released
def test_the_published_gaps() -> None:
    """Figure 4 of the paper. One cell (relevance, complex_low) is +3.5 there, rounded before subtracting."""
    gaps = crowd_minus_expert(released_outputs(), released_truth(), resamples=300)
    found = {
        error: tuple(round(100 * gaps.of(error, group).difference.estimate, 1) for group in COLUMNS) for error in TABLE
    }
    assert found == TABLE
    expert = [round(100 * gaps.of("factuality", group).expert, 1) for group in COLUMNS]
    assert expert == [12.5, 20.3, 24.6, 25.0, 18.6]
    assert [gaps.of("factuality", group).expert_outputs for group in COLUMNS] == [48, 59, 57, 60, 59]
    assert gaps.missing == 0 and not any(row.error == "refusal" for row in gaps.rows)


@needs_released
def test_the_published_precision_and_recall() -> None:
    found = {row.error: row for row in detection(released_outputs(), released_truth(), resamples=300)}
    factuality = found["factuality"]
    assert (factuality.expert, factuality.crowd, factuality.found) == (59, 3, 1)
    assert round(factuality.precision.estimate, 3) == 0.333 and round(factuality.recall.estimate, 3) == 0.017
    recalls = {name: round(found[name].recall.estimate, 2) for name in ("inconsistent", "relevance", "formatting")}
    assert recalls == {"inconsistent": 0.07, "relevance": 0.45, "formatting": 0.50}
    assert round(found["refusal"].recall.estimate, 2) == 0.71 and round(found["repetition"].recall.estimate, 2) == 0.24


@needs_released
def test_the_published_means_by_preamble() -> None:
    outputs = released_outputs()
    names = ["factuality", "inconsistent", "relevance", "refusal", "formatting"]
    scores = ["assertiveness", "complexity", "quality"]
    rows = {
        row.group: row for row in group_means(outputs, outputs.labels("preamble"), [*names, *scores], resamples=100)
    }
    rates = {group: [round(100 * rows[group].means[name].estimate, 1) for name in names] for group in PREAMBLES}
    assert rates == {
        "normal": [4.5, 5.2, 7.5, 3.5, 3.2],
        "assertive_high": [2.5, 3.2, 4.8, 3.2, 3.0],
        "assertive_low": [6.7, 11.7, 19.0, 24.0, 11.8],
        "complex_high": [4.3, 2.7, 5.2, 0.8, 3.7],
        "complex_low": [5.3, 5.0, 5.0, 2.8, 3.0],
    }
    expected = {
        "normal": [3.58, 2.81, 3.75],
        "assertive_high": [3.73, 2.93, 3.84],
        "assertive_low": [2.83, 2.52, 2.95],
        "complex_high": [3.77, 3.30, 3.86],
        "complex_low": [3.12, 2.14, 3.25],
    }
    for group, published in expected.items():  # published to two decimals, some of them halfway
        assert [rows[group].means[name].estimate for name in scores] == pytest.approx(published, abs=0.0051)


@needs_released
def test_perceived_assertiveness_hides_errors_from_the_crowd() -> None:
    outputs = released_outputs()
    bins = rating_bins(outputs.column("assertiveness"))
    rows = group_means(outputs, bins, ["factuality", "inconsistent"], resamples=200)
    assert [row.outputs for row in rows] == [29, 73, 346, 578, 474]
    assert rows[1].means["factuality"].estimate > rows[-1].means["factuality"].high
