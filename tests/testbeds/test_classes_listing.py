"""Lists of all functions of small classes, their probabilities, and monotone formulas."""

from collections import Counter
from math import sqrt

import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.classes_formulas import antichains
from paribus.testbeds.incontext.listing import all_points

DRAWS = 20_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


LISTED = [
    ("conjunction", {"dimensions": 3}, 27), ("conjunction", {"dimensions": 3, "monotone": True}, 8),
    ("disjunction", {"dimensions": 3}, 27), ("sparse_disjunction", {"dimensions": 6, "size": 3}, 20),
    ("dnf", {"dimensions": 2, "density": 0.5}, 729), ("cnf", {"dimensions": 3, "terms": 2, "monotone": True}, 18),
    ("majority", {"dimensions": 4}, 16), ("threshold", {"dimensions": 2}, 54),
    ("halfspace", {"dimensions": 2}, 49), ("parity", {"dimensions": 4}, 16), ("sparse_parity", {"dimensions": 5}, 10),
]  # fmt: skip


def keys(functions):
    """The parameters of each function as one tuple."""
    parts = [tensor.reshape(len(tensor), -1) for _, tensor in sorted(functions.items())]
    return [tuple(row) for row in torch.cat(parts, 1).tolist()]


@pytest.mark.parametrize(("name", "settings", "size"), LISTED)
def test_lists_are_complete_and_their_probabilities_are_those_of_draws(name, settings, size):
    cls = parse_class(name, **settings)
    every = cls.every()
    listed = keys(every)
    assert len(listed) == len(set(listed)) == size
    probability = dict(zip(listed, cls.log_prior(every).exp().tolist(), strict=True))
    assert sum(probability.values()) == pytest.approx(1)
    found = Counter(keys(cls.draw(DRAWS, generator())))
    assert set(found) <= set(listed)
    for key, expected in probability.items():
        assert abs(found[key] / DRAWS - expected) < 5 * sqrt(expected / DRAWS)


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("conjunction", {"dimensions": 14}, "literal vectors at dimensions=14"),
    ("dnf", {"dimensions": 5}, "choices of terms"), ("halfspace", {"dimensions": 8}, "weight vectors"),
    ("threshold", {"dimensions": 12}, "pairs of weights and bias"), ("parity", {}, None),
    ("sparse_parity", {"dimensions": 60, "size": 5}, "subsets of 5"),
])  # fmt: skip
def test_long_lists_are_refused(name, settings, words):
    cls = parse_class(name, **settings)
    if words is None:
        assert len(cls.every()["subset"]) == 2**20
    else:
        with pytest.raises(ConfigError, match=words):
            cls.every()


def test_monotone_formulas_are_antichains_and_say_when_there_are_none():
    terms = parse_class("dnf", dimensions=6, monotone=True).draw(500, generator())["terms"]
    for formula in terms.tolist():
        sets = [frozenset(i for i, bit in enumerate(term) if bit) for term in formula]
        assert not any(a <= b for a in sets for b in sets if a is not b)
    assert antichains(torch.tensor([[[1, 0], [1, 0]], [[1, 0], [0, 1]], [[0, 0], [0, 1]]])).tolist() == [
        False, True, False,
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"No 3 terms .* at dimensions=2"):
        parse_class("dnf", dimensions=2, monotone=True).draw(1, generator())


def test_points_are_listed_with_coordinate_0_changing_slowest():
    assert all_points(2).tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    with pytest.raises(ConfigError, match="points at dimensions=21"):
        all_points(21)


def test_what_a_class_never_draws_has_no_probability():
    never = torch.tensor([[-1, 1]], dtype=torch.int8)
    assert parse_class("conjunction", dimensions=2, monotone=True).log_prior({"literals": never}).tolist() == [
        -torch.inf
    ]
    contained = torch.tensor([[[1, 0], [1, 1]]], dtype=torch.int8)
    cls = parse_class("dnf", dimensions=2, terms=2, monotone=True)
    assert cls.log_prior({"terms": contained}).tolist() == [-torch.inf]
