"""What the samplers draw, against closed forms: densities, forced points, label balance. Seeds are fixed."""

from math import comb, sqrt

import pytest
import torch

from paribus.testbeds.incontext.classes import CLASSES, parse_class
from paribus.testbeds.incontext.draws import random_literals, random_signs, random_subsets

COUNT, SIGMAS = 3000, 3.5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def close_to(per_prompt, expected):
    """Whether the mean of independent per-prompt values is within a few standard errors of its closed form."""
    values = per_prompt.double()
    error = max(float(values.std()), 1e-9) / sqrt(len(values))
    return abs(float(values.mean()) - expected) < SIGMAS * error


def majority_rate(dimensions, density):
    """P(+) of the majority of a random subset."""
    rate = 0.0
    for used in range(dimensions + 1):
        ahead = sum(comb(used, ones) for ones in range(used // 2 + 1, used + 1)) / 2**used
        rate += comb(dimensions, used) * density**used * (1 - density) ** (dimensions - used) * ahead
    return rate


def halfspace_rate(dimensions, largest=3):
    """P(w.x > 0): w.x is a sum of uniform integers, symmetric around 0, and 0 itself is -1."""
    sums = {0: 1.0}
    for _ in range(dimensions):
        step: dict[int, float] = {}
        for total, weight in sums.items():
            for w in range(-largest, largest + 1):
                step[total + w] = step.get(total + w, 0.0) + weight / (2 * largest + 1)
        sums = step
    return (1 - sums[0]) / 2


RATES = {
    "conjunction": 0.3 + 0.7 * 0.85**28,
    "disjunction": 1 - (0.3 + 0.7 * 0.85**28),
    "sparse_disjunction": 0.7 * (1 - 2**-4),
    "dnf": 0.35 + 0.65 * (1 - (1 - 0.9**28) ** 3),
    "cnf": 0.7 * (1 - 0.9**28) ** 3,
    "majority": majority_rate(28, 0.3),
    "threshold": 0.5,
    "halfspace": halfspace_rate(20),
    "parity": 0.5 * (1 - 2**-20),
    "sparse_parity": 0.5,
    "nearest_neighbour": 0.5,
}
"""P(label = +1) at the paper's sizes. A literal is true of a fair bit with probability (1 - d) + d/2, also in forced
points of other terms: the literals of different terms are independent of each other given the point."""


@pytest.mark.parametrize("name", CLASSES)
def test_label_balance_is_the_closed_form(name):
    prompts = parse_class(name).sample(COUNT, generator())
    assert close_to((prompts.y > 0).double().mean(1), RATES[name])


@pytest.mark.parametrize(("name", "share", "side"), [
    ("conjunction", 0.3, 1), ("disjunction", 0.3, -1), ("sparse_disjunction", 0.3, -1), ("dnf", 0.35, 1),
    ("cnf", 0.3, -1),
])  # fmt: skip
def test_forced_points_have_the_paper_s_rate_and_side(name, share, side):
    prompts = parse_class(name).sample(COUNT, generator())
    assert close_to(prompts.forced.double().mean(1), share)
    assert prompts.y[prompts.forced].unique().tolist() == [side]
    # Forced or not is independent from point to point: neighbouring points are both forced with share squared.
    assert close_to((prompts.forced[:, 1:] & prompts.forced[:, :-1]).double().mean(1), share**2)


@pytest.mark.parametrize("name", ["majority", "threshold", "halfspace", "parity", "sparse_parity", "nearest_neighbour"])
def test_other_classes_leave_their_points_uniform(name):
    prompts = parse_class(name).sample(500, generator())
    assert not prompts.forced.any()
    assert close_to((prompts.x > 0).double().mean((1, 2)), 0.5)


def test_forced_points_keep_their_other_coordinates_uniform():
    prompts = parse_class("conjunction").sample(COUNT, generator())
    free = (prompts.functions["literals"] == 0).unsqueeze(1) & prompts.forced.unsqueeze(2)
    ones = ((prompts.x > 0) & free).sum((1, 2)) / free.sum((1, 2))
    assert close_to(ones, 0.5)


@pytest.mark.parametrize("name", ["dnf", "cnf"])
@pytest.mark.parametrize("forced_term", ["prompt", "point"])
def test_forced_points_share_one_term_only_when_it_is_chosen_per_prompt(name, forced_term):
    cls = parse_class(name, forced_term=forced_term)
    prompts = cls.sample(400, generator())
    side, terms = (1 if name == "dnf" else -1), prompts.functions["terms"].float()
    reached = (terms @ (side * prompts.x.float()).transpose(1, 2)) == (terms != 0).sum(2, keepdim=True)
    by_all_forced = (reached | ~prompts.forced.unsqueeze(1)).all(2).any(1)
    assert by_all_forced.all() if forced_term == "prompt" else by_all_forced.float().mean() < 0.1


@pytest.mark.parametrize(("name", "key", "density"), [
    ("conjunction", "literals", 0.3), ("disjunction", "literals", 0.3), ("dnf", "terms", 0.2), ("cnf", "terms", 0.2),
    ("threshold", "weights", 0.3),
])  # fmt: skip
def test_literals_are_in_use_at_the_paper_s_density_and_negated_half_the_time(name, key, density):
    drawn = parse_class(name).draw(COUNT, generator())[key].flatten(1)
    assert close_to((drawn == 1).double().mean(1), density / 2)
    assert close_to((drawn == -1).double().mean(1), density / 2)


def test_weights_and_biases_are_uniform():
    weights = parse_class("halfspace").draw(COUNT, generator())["weights"]
    assert weights.unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    for value in range(-3, 4):
        assert close_to((weights == value).double().mean(1), 1 / 7)
    bias = parse_class("threshold").draw(COUNT, generator())["bias"]
    assert bias.unique().tolist() == [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]
    for value in bias.unique():
        assert close_to((bias == value).double(), 1 / 6)


@pytest.mark.parametrize(("name", "settings"), [
    ("parity", {"dimensions": 4}), ("sparse_parity", {"dimensions": 6}),
    ("sparse_disjunction", {"dimensions": 6, "size": 3}),
])  # fmt: skip
def test_subsets_are_uniform(name, settings):
    cls = parse_class(name, **settings)
    drawn = next(iter(cls.draw(20_000, generator()).values()))
    rows, counts = drawn.unique(dim=0, return_counts=True)
    every = next(iter(cls.every().values()))
    assert torch.equal(rows, every.unique(dim=0))
    expected = len(drawn) / len(every)
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    freedom = len(every) - 1
    assert abs(chi_square - freedom) < 4 * sqrt(2 * freedom)


@pytest.mark.parametrize("probability", [0.5, 0.8])
@pytest.mark.parametrize("shape", [(1,), (7, 9), (3, 5, 70)])
def test_random_signs_have_their_shape_and_only_signs(shape, probability):
    drawn = random_signs(shape, generator(), probability)
    assert drawn.shape == shape and drawn.dtype == torch.int8
    assert drawn.abs().unique().tolist() == [1]


@pytest.mark.parametrize("probability", [0.5, 0.25, 1.0])
def test_random_signs_are_fair_and_uncorrelated(probability):
    drawn = random_signs((200_000,), generator(), probability) > 0
    assert abs(float(drawn.double().mean()) - probability) < 0.005
    for lag in (1, 7, 8, 63, 64):  # within a byte, across bytes, across words
        both = float((drawn[lag:] & drawn[:-lag]).double().mean())
        assert abs(both - probability**2) < 0.006


def test_the_points_of_a_prompt_shift_with_the_bit_probability():
    prompts = parse_class("majority").sample(500, generator(), bit_probability=0.8)
    assert close_to((prompts.x > 0).double().mean((1, 2)), 0.8)


def test_drawing_literals_and_subsets():
    assert random_literals((50, 9), generator(), 1.0, monotone=True).unique().tolist() == [1]
    assert random_literals((50, 9), generator(), 0.0, monotone=False).unique().tolist() == [0]
    assert random_subsets(50, 9, 9, generator()).unique().tolist() == [1]
    assert random_subsets(50, 9, 4, generator()).sum(1).unique().tolist() == [4]
