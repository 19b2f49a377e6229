"""Which cells of a column win, and the colours that say so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.report.heat import Entry, column_colour, one_sided, standings, two_sided

values = st.floats(-1e6, 1e6, allow_nan=False)


def entry(value: float, half: float = 0.1) -> Entry:
    return Entry(value, value - half, value + half)


def test_the_best_wins_and_overlapping_intervals_are_tied() -> None:
    column = [entry(1.0), entry(1.15), entry(1.3), Entry(1.05), Entry()]
    assert standings(column, "less") == ["best", "tied", "", "", ""]
    assert standings(column, "more") == ["", "tied", "best", "", ""]
    assert standings(column, "") == [""] * 5


def test_touching_intervals_are_tied_and_equal_values_all_win() -> None:
    assert standings([Entry(1, 0, 2), Entry(3, 2, 4)], "less") == ["best", "tied"]
    assert standings([Entry(1), Entry(1), Entry(2)], "less") == ["best", "best", ""]
    assert standings([Entry(1), Entry(1, 0.5, 1.5), Entry(2, 1.4, 2.6)], "less") == ["best", "best", "tied"]
    assert standings([Entry(), Entry()], "more") == ["", ""]


@given(st.lists(values, min_size=1, max_size=12), st.sampled_from(["more", "less"]))
def test_the_strongest_colour_is_the_best_value_and_strength_falls_with_quality(
    found: list[float], better: str
) -> None:
    colour = column_colour(found, better)  # type: ignore[arg-type]
    ordered = sorted(found, reverse=better == "more")
    strengths = [colour(value)[1] for value in ordered]
    assert {colour(value)[0] for value in found} == {"up"}
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[0] == (100 if ordered[0] != ordered[-1] else strengths[-1])


def test_one_hopeless_arm_does_not_wash_out_the_others() -> None:
    usual = [1.00, 1.01, 1.02, 1.03, 1.04, 1.05]
    colour = column_colour([*usual, 9.0], "less")
    assert [colour(value)[1] for value in usual] == [100, 80, 60, 40, 20, 0]
    assert colour(9.0)[1] == 0


def test_two_hues_swap_where_less_is_better() -> None:
    assert [two_sided(2.0, "")(value) for value in (-2.0, 0.0, 1.0)] == [("down", 100), ("up", 0), ("up", 50)]
    assert [two_sided(2.0, "less")(value) for value in (-2.0, 1.0)] == [("up", 100), ("down", 50)]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e300, -7e-9])
def test_equal_values_have_one_colour(value: float) -> None:
    assert column_colour([value] * 7, "more")(value) == ("up", 0)


@pytest.mark.parametrize(("value", "strength"), [(-1.0, 0), (0.0, 0), (0.25, 25), (1.0, 100), (7.0, 100)])
def test_a_fixed_scale_keeps_its_ends(value: float, strength: int) -> None:
    assert one_sided(0.0, 1.0)(value) == ("up", strength)
