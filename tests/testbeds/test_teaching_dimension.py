"""Teaching dimensions: published and closed-form values, and a search written out another way."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.teaching import Lesson
from paribus.testbeds.incontext.teaching_dimension import rivals_left, teaching_dimensions, truth_table


def by_size(cls, key):
    """Teaching dimensions by the number of variables in use."""
    every = cls.every()
    sizes = (every[key] != 0).sum(1).tolist()
    dimensions = teaching_dimensions(truth_table(cls, every)).tolist()
    return {size: sorted({d for s, d in zip(sizes, dimensions, strict=True) if s == size}) for size in set(sizes)}


@pytest.mark.parametrize("name", ["conjunction", "disjunction"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_terms_need_two_more_points_than_literals(name, n):
    found = by_size(parse_class(name, dimensions=n), "literals")
    assert found == {size: [min(size + 2, n + 1)] for size in range(n + 1)}


@pytest.mark.parametrize("n", [2, 3, 4])
def test_monotone_terms_need_one_more(n):
    found = by_size(parse_class("conjunction", dimensions=n, monotone=True), "literals")
    assert found == {size: [min(size + 1, n)] for size in range(n + 1)}


@pytest.mark.parametrize("n", [2, 3, 4])
def test_our_lessons_of_terms_are_as_short_as_can_be(n):
    cls = parse_class("conjunction", dimensions=n)
    every = cls.every()
    assert torch.equal(cls.lesson(every).length, teaching_dimensions(truth_table(cls, every)))


@pytest.mark.parametrize(("name", "settings", "expected"), [
    ("parity", {"dimensions": 3}, 3), ("parity", {"dimensions": 4}, 4), ("sparse_parity", {"dimensions": 4}, 2),
    ("sparse_parity", {"dimensions": 5}, 2), ("sparse_parity", {"dimensions": 6}, 2),
    ("sparse_parity", {"dimensions": 5, "size": 3}, 2), ("sparse_disjunction", {"dimensions": 6, "size": 3}, 1),
])  # fmt: skip
def test_subsets_need_as_many_points_as_known(name, settings, expected):
    assert teaching_dimensions(truth_table(parse_class(name, **settings))).unique().tolist() == [expected]


def test_all_functions_need_all_points_and_a_lone_positive_needs_one():
    everything = (torch.arange(16).unsqueeze(1) >> torch.arange(4) & 1).bool()
    assert teaching_dimensions(everything).unique().tolist() == [4]
    assert teaching_dimensions(torch.eye(5, dtype=torch.bool)).unique().tolist() == [1]
    with_none = torch.cat([torch.eye(5), torch.zeros(1, 5)]).bool()
    assert teaching_dimensions(with_none).tolist() == [1, 1, 1, 1, 1, 5]
    assert teaching_dimensions(with_none[:1]).tolist() == [0]


@given(st.sets(st.integers(0, 127), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_search_agrees_with_trying_all_sets_of_points(rows):
    table = (torch.tensor(sorted(rows)).unsqueeze(1) >> torch.arange(7) & 1).bool()
    expected = []
    for row in table:
        for size in range(8):
            seen = (table[:, list(points)] == row[list(points)] for points in combinations(range(7), size))
            if any(int(agree.all(1).sum()) == 1 for agree in seen):
                expected.append(size)
                break
    assert teaching_dimensions(table).tolist() == expected


def test_equal_functions_cannot_be_told_apart():
    with pytest.raises(ConfigError, match="same function"):
        teaching_dimensions(torch.zeros(2, 4, dtype=torch.bool))


def test_truth_tables_list_a_function_once():
    threshold = parse_class("threshold", dimensions=2)
    assert len(threshold.every()["bias"]) == 54
    assert len(truth_table(threshold)) == len(truth_table(threshold, threshold.every()).unique(dim=0)) < 54


def test_rivals_are_counted_against_shown_points_alone():
    cls = parse_class("parity", dimensions=3)
    every = cls.every()
    lesson = cls.lesson(every)
    for shown in range(4):
        left = rivals_left(cls, every, Lesson(lesson.x, torch.full((8,), shown)), truth_table(cls))
        assert left.unique().tolist() == [2 ** (3 - shown)]
    twice = Lesson(lesson.x[:, [0, 0, 1]], torch.full((8,), 3))
    assert rivals_left(cls, every, twice, truth_table(cls)).unique().tolist() == [2]
