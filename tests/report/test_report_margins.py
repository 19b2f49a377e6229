"""Names beside and above a chart: apart, inside, in order, and no further from their lines than that takes."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from paribus.report.front import LETTER, LINE, columns_of
from paribus.report.margins import (
    END_LETTERS,
    GROUND,
    LOWEST_PLOT,
    Flag,
    broken,
    margin_for,
    narrowest,
    place_ends,
    place_flags,
)

percents = st.floats(0, 100)
names = st.text("abc de\u661f", min_size=1, max_size=30).filter(str.strip)


@given(st.lists(st.tuples(names, percents, percents), max_size=6))
def test_names_at_ends_keep_apart_inside_and_in_order(ends: list[tuple[str, float, float]]) -> None:
    placed = place_ends(ends)
    heights = [100 * LINE * len(end.name) / LOWEST_PLOT for end in placed]
    assert sorted(end.y for end in placed) == [end.y for end in placed]
    if sum(heights) > 100:
        return
    tops = [(end.at - height / 2, end.at + height / 2) for end, height in zip(placed, heights, strict=True)]
    assert all(above[0] - below[1] > -0.05 for below, above in pairwise(tops))
    assert all(low > -0.05 and high < 100.05 for low, high in tops)


@given(st.lists(percents, min_size=1, max_size=8))
def test_the_moves_are_the_least_by_squares(heights: list[float]) -> None:
    """Names of one line: an isotonic regression of what is wanted, less the room below, says where they go."""
    wanted = np.sort(np.array(heights))
    line = 100 * LINE / LOWEST_PLOT
    below = line * (np.arange(len(wanted)) + 0.5)
    fit = IsotonicRegression(y_min=0.0, y_max=100 - line * len(wanted))
    starts = fit.fit_transform(np.arange(len(wanted)), wanted - below)
    placed = place_ends([("name", 50.0, y) for y in heights])
    assert [end.at for end in placed] == pytest.approx(list(starts + below), abs=0.01)


def test_names_far_apart_stay_at_their_ends() -> None:
    assert [(end.name, end.at) for end in place_ends([("high", 90.0, 80.0), ("low", 98.0, 20.0)])] == [
        (("low",), 20.0),
        (("high",), 80.0),
    ]
    assert place_ends([]) == ()


def test_too_many_names_share_the_height() -> None:
    placed = place_ends([(f"learner {index}", 90.0, 50.0) for index in range(30)])
    assert 0 < placed[0].at < placed[-1].at < 100
    assert len({end.at for end in placed}) == 30


@given(names, st.integers(4, 30))
def test_lines_of_a_name_hold_all_its_letters_and_are_short(name: str, letters: int) -> None:
    lines = broken(name, letters)
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert all(len(line) <= max(2, letters) for line in lines)


def test_wide_letters_break_sooner() -> None:
    assert broken("version-space vote", END_LETTERS) == ("version-space", "vote")
    assert len(broken("\u661f" * 20, END_LETTERS)) == 3


def test_the_margin_is_as_wide_as_the_longest_line() -> None:
    assert margin_for([]) == 0.0
    assert margin_for(["1-NN"]) < margin_for(["averaging"]) == margin_for(["1-NN", "averaging"])
    assert margin_for(["averaging " * 9]) <= 0.81 + LETTER * END_LETTERS


def box(flag: Flag, width: float) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of a flag's name, in rem."""
    here, long = flag.x * width / 100, LETTER * max(map(columns_of, flag.name))
    left, right = (here, here + long) if flag.side == "east" else (here - long, here)
    return left, right, flag.level, flag.top


@given(st.lists(st.tuples(names, percents), max_size=6), st.floats(8, 40))
def test_flags_do_not_overlap_and_stand_above_the_chart(bounds: list[tuple[str, float]], width: float) -> None:
    placed = place_flags(bounds, width)
    assert sorted(flag.x for flag in placed) == sorted(x for _, x in bounds)
    boxes = [box(flag, width) for flag in placed]
    assert all(bottom >= GROUND for _, _, bottom, _ in boxes)
    for (l1, r1, b1, t1), (l2, r2, b2, t2) in combinations(boxes, 2):
        assert min(r1, r2) - max(l1, l2) < 1e-6 or min(t1, t2) - max(b1, b2) < 0.011


def test_the_line_of_a_flag_passes_beside_those_below_it() -> None:
    placed = {
        flag.name[0]: flag
        for flag in place_flags([("the first", 10.0), ("the second", 20.0), ("the third", 30.0)], 16.0)
    }
    assert placed["the third"].level < placed["the second"].level < placed["the first"].level
    mirrored = {
        flag.name[0]: flag
        for flag in place_flags([("the first", 90.0), ("the second", 80.0), ("the third", 70.0)], 16.0)
    }
    assert [mirrored[name].level for name in placed] == [placed[name].level for name in placed]
    assert {flag.side for flag in mirrored.values()} == {"west"}


def test_flags_with_room_stand_on_the_ground() -> None:
    assert [flag.level for flag in place_flags([("a", 10.0), ("b", 90.0)], 16.0)] == [GROUND, GROUND]


def test_a_flag_stands_below_a_raised_one_where_that_leaves_room() -> None:
    low, raised, beneath = place_flags([("a" * 8, 50.0), ("b" * 20, 40.0), ("cccc", 95.0)], 16.0)
    assert (low.level, beneath.level) == (GROUND, GROUND)
    assert raised.level > GROUND
    assert box(raised, 16.0)[1] > box(beneath, 16.0)[0]


def test_the_narrowest_area_is_what_the_names_leave() -> None:
    assert narrowest(named=0.0, single=False) < narrowest(named=0.0, single=True)
    assert narrowest(named=6.0, single=True) == narrowest(named=6.0, single=False) == pytest.approx(10.9)
