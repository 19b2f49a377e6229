"""The Pareto front against brute force, the line through it, and labels that stay apart and inside."""

from itertools import combinations
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paribus.report.front import DOT, NARROW, WIDE, Spot, pareto_front, place_labels, staircase

# Few distinct values, so that equal costs, equal qualities and equal points are common.
few = st.integers(0, 5).map(float)
clouds = st.lists(st.tuples(few, few), max_size=14)
percents = st.floats(3, 97)
Better = Literal["more", "less"]


def beats(one: tuple[float, float], other: tuple[float, float], better: Better) -> bool:
    """Costs no more and is no worse, one of the two strictly."""
    as_good = one[1] >= other[1] if better == "more" else one[1] <= other[1]
    return one[0] <= other[0] and as_good and one != other


@given(clouds, st.sampled_from(["more", "less"]))
@example([(1.0, 1.0), (1.0, 1.0)], "more")
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]], better: Better) -> None:
    expected = tuple(not any(beats(other, point, better) for other in points) for point in points)
    assert pareto_front(points, better) == expected


@given(clouds)
def test_less_is_better_of_the_negated_quality(points: list[tuple[float, float]]) -> None:
    assert pareto_front(points, "less") == pareto_front([(cost, -quality) for cost, quality in points], "more")


def test_equal_points_are_on_the_front_together_and_equal_costs_are_not() -> None:
    assert pareto_front([(1, 2), (1, 2), (1, 1), (2, 2)], "more") == (True, True, False, False)
    assert pareto_front([(1, 2), (1, 1), (2, 2), (3, 0.5)], "less") == (False, True, False, True)
    assert pareto_front([], "more") == ()


@given(clouds, st.sampled_from(["more", "less"]))
def test_the_line_passes_every_point_of_the_front_and_no_point_lies_beyond_it(
    points: list[tuple[float, float]], better: Better
) -> None:
    on = pareto_front(points, better)
    lines = staircase(sorted(point for point, here in zip(points, on, strict=True) if here))
    for (x, y), here in zip(points, on, strict=True):
        reached = [y1 for x1, x2, y1, y2 in lines if y1 == y2 and x1 <= x <= x2]
        best = max(reached) if better == "more" else min(reached)
        assert best == y if here else (best >= y if better == "more" else best <= y)


def test_the_line_steps_across_then_up_and_runs_to_the_edge() -> None:
    assert staircase([(10, 20), (10, 20), (40, 50)]) == [(10, 40, 20, 20), (40, 40, 20, 50), (40, 100, 50, 50)]
    assert staircase([]) == []


def box(point: tuple[float, float], spot: Spot, size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Where the style sheet draws a label: rem, Latin letters at most 0.43 wide, lines 0.8 high."""
    x, y = point[0] * size[0] / 100 + spot.dx, point[1] * size[1] / 100 + spot.dy
    width = 0.43 * len(spot.text)
    left = x if spot.side == "east" else x - width if spot.side == "west" else x - width / 2
    return left, left + width, y - 0.4, y + 0.4


def apart(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]


@pytest.mark.parametrize("sizes", [NARROW, WIDE])
@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_labels_meet_no_dot_and_no_other_label(sizes: tuple[tuple[float, float], ...], count: int) -> None:
    points = [(8 + 80 * (7 * index % count) / count, 12 + 70 * index / count) for index in range(count)]
    names = [f"arm {index}" if index % 3 == 0 else "" for index in range(count)]
    spots = place_labels(points, names, staircase(points[:1]), sizes)
    for size in sizes:
        boxes = [box(point, spot, size) for point, spot in zip(points, spots, strict=True)]
        dots = [
            (x * size[0] / 100 - DOT, x * size[0] / 100 + DOT, y * size[1] / 100 - DOT, y * size[1] / 100 + DOT)
            for x, y in points
        ]
        assert all(apart(one, other) for one, other in combinations(boxes, 2))
        assert all(apart(label, dot) for label in boxes for dot in dots)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(percents, percents), min_size=1, max_size=12))
def test_every_label_stays_in_the_drawing(points: list[tuple[float, float]]) -> None:
    for size, spots in ((size, place_labels(points, [""] * len(points), [], NARROW)) for size in NARROW):
        for point, spot in zip(points, spots, strict=True):
            left, right, bottom, top = box(point, spot, size)
            assert left >= -0.5
            assert right <= size[0] + 1.0
            assert bottom >= -1e-9
            assert top <= size[1] + 0.7


def test_equal_points_get_different_places() -> None:
    spots = place_labels([(50, 50)] * 4, [""] * 4, [], NARROW)
    assert [spot.text for spot in spots] == ["1", "2", "3", "4"]
    assert len({(spot.dx, spot.dy) for spot in spots}) == 4


def test_names_come_first_and_give_way_to_numbers_where_they_do_not_fit() -> None:
    assert [spot.text for spot in place_labels([(50, 50), (60, 50)], ["btx", ""], [], WIDE)] == ["btx", "2"]
    assert place_labels([(50, 50)], ["x" * 40], [], WIDE)[0].text == "1"
    fence = [(x, x, 0.0, 100.0) for x in range(2, 100, 4)]
    assert place_labels([(50, 50)], ["a rather long name"], fence, WIDE[:1])[0].text == "1"


def test_a_cloud_of_points_is_numbered_without_a_search() -> None:
    spots = place_labels([(index / 10, 50.0) for index in range(1000)], ["btx"] * 1000, [], NARROW)
    assert {(spot.side, spot.dx, spot.dy) for spot in spots} == {("east", 0.5, 0.0)}
    assert spots[999].text == "1000"


def test_a_far_label_has_a_line_that_points_to_it() -> None:
    spot = Spot("7", "east", 1.0, 1.0, True)
    assert spot.lead == "width:1.41rem;transform:rotate(-45deg)"
