"""Curves: closed forms of the mean, deviation and area; examples needed; bands; unasked positions; splits."""

import numpy as np
import pytest
import torch

from paribus.errors import ConfigError, DataError
from paribus.testbeds.incontext.curves import Curve, accuracy, curve, where

NAN = float("nan")


def steps(*mean: float, examples: tuple[int, ...] | None = None) -> Curve:
    """A curve with this mean and nothing else."""
    nothing = (0.0,) * len(mean)
    return Curve(examples or tuple(range(len(mean))), mean, nothing, nothing, nothing, (1,) * len(mean))


def test_mean_and_deviation_are_those_of_the_outcomes():
    outcomes = torch.tensor(np.random.default_rng(0).integers(0, 2, (50, 6)), dtype=torch.float32)
    result = curve(outcomes)
    assert result.examples == tuple(range(6))
    assert result.mean == pytest.approx(outcomes.mean(0).tolist())
    assert result.std == pytest.approx(outcomes.std(0).tolist())
    assert result.prompts == (50,) * 6


def test_the_band_is_as_wide_as_the_binomial_says():
    outcomes = (torch.rand(1280, 40, generator=torch.Generator().manual_seed(0)) < 0.8).float()
    result = curve(outcomes)
    widths = np.array(result.high) - np.array(result.low)
    assert widths.mean() == pytest.approx(2 * 1.645 * np.sqrt(0.8 * 0.2 / 1280), rel=0.1)
    covered = [low <= 0.8 <= high for low, high in zip(result.low, result.high, strict=True)]
    assert 30 <= sum(covered) <= 40


def test_equal_seeds_give_equal_bands_and_others_do_not():
    outcomes = (torch.rand(60, 5, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    assert curve(outcomes, rng=1) == curve(outcomes, rng=1)
    assert curve(outcomes, rng=1).low != curve(outcomes, rng=2).low


def test_positions_that_nobody_was_asked_are_left_out():
    outcomes = torch.tensor([[1.0, NAN, 0.0], [0.0, NAN, NAN]])
    result = curve(outcomes)
    assert (result.examples, result.mean, result.prompts) == ((0, 2), (0.5, 0.0), (2, 1))
    assert result.at(2) == 0.0
    with pytest.raises(ConfigError, match="after 1 examples"):
        result.at(1)


def test_the_area_weighs_positions_by_their_distance():
    assert steps(0.5, 1.0).area == pytest.approx(0.75)
    assert steps(0.5, 0.5, 1.0, examples=(0, 10, 20)).area == pytest.approx((0.5 + 0.75) / 2)
    assert steps(0.0, 1.0, 1.0, examples=(0, 1, 10)).area == pytest.approx((0.5 + 9) / 10)
    assert steps(0.7).area == 0.7


def test_examples_needed_must_hold():
    lucky = steps(0.5, 0.96, 0.6, 0.95, 0.97, 0.99, 0.99)
    assert lucky.examples_to(0.95) == 3
    assert lucky.examples_to(0.95, hold=1) == 1
    assert lucky.examples_to(0.99) == 5
    assert lucky.examples_to(1.0) is None
    assert steps(0.5, 0.9, 0.99, examples=(0, 5, 10)).examples_to(0.9) == 5
    with pytest.raises(ConfigError, match="accuracy=95"):
        lucky.examples_to(95)


def test_a_split_counts_only_the_chosen():
    outcomes = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    chosen = torch.tensor([[True, False], [False, True]])
    assert accuracy(where(outcomes, chosen)) == 1.0
    assert accuracy(where(outcomes, ~chosen)) == 0.5
    parts = [float(where(outcomes, part).nansum()) for part in (chosen, ~chosen)]
    assert sum(parts) == outcomes.sum()
    assert accuracy(outcomes, [1]) == 0.5
    assert np.isnan(accuracy(where(outcomes, chosen & False)))


def test_rows_are_ready_for_a_table():
    rows = curve(torch.ones(4, 3)).rows()
    assert rows[2] == {"examples": 2, "mean": 1.0, "std": 0.0, "low": 1.0, "high": 1.0, "prompts": 4}


@pytest.mark.parametrize("outcomes", [torch.zeros(3), torch.zeros(0, 3), torch.full((2, 2), NAN)])
def test_outcomes_that_make_no_curve_are_refused(outcomes):
    with pytest.raises(DataError, match="with an answer"):
        curve(outcomes)
