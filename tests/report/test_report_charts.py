"""Where marks are put: axes, row charts, heat maps, shares, lines and scatter."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_study import synthetic_study

from paribus.lab.results import Panel
from paribus.report.axes import axis_over, log_axis_over
from paribus.report.curves import MOST_POINTS, lines, thin
from paribus.report.forest import contrast_forests, intervals, ladder
from paribus.report.grids import heatmap, language_differences, maps, shares
from paribus.report.plane import scatter

finite = st.floats(-1e9, 1e9, allow_nan=False)


def panel(kind: Any, rows: list[dict[str, Any]], **extra: Any) -> Panel:
    return Panel(**{"id": "p", "kind": kind, "title": "A title", "rows": tuple(rows), **extra})


@given(st.lists(finite, min_size=1, max_size=20))
def test_every_value_lies_on_its_axis_and_ticks_are_few(values: list[float]) -> None:
    axis = axis_over(values)
    assert axis.low < axis.high
    assert all(0 <= axis.at(value) <= 100 for value in values)
    assert 2 <= len(axis.ticks) <= 12
    assert all(axis.low - 1e-6 <= tick <= axis.high + 1e-6 * abs(axis.high) + 1e-6 for tick in axis.ticks)


@given(st.lists(finite, min_size=2, max_size=20, unique=True))
def test_positions_keep_the_order_of_values(values: list[float]) -> None:
    axis = axis_over(values)
    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)


def test_shares_stay_between_none_and_all() -> None:
    axis = axis_over([0.0, 0.99], unit="share")
    assert (axis.low, axis.high) == (0.0, 1.0)
    assert [text for _, text in axis.labels("share")] == ["0%", "20%", "40%", "60%", "80%", "100%"]


def test_a_logarithmic_axis_gives_equal_room_to_equal_ratios() -> None:
    axis = log_axis_over([1.0, 1e6])
    assert axis.at(1e3) - axis.at(1e0) == pytest.approx(axis.at(1e6) - axis.at(1e3), abs=0.02)
    assert all(math.isclose(tick, 10 ** round(math.log10(tick))) for tick in axis.ticks)


def rung(step: str, arm: str, value: float, **extra: Any) -> dict[str, Any]:
    return {"step": step, "arm": arm, "value": value, "low": value - 0.02, "high": value + 0.02, **extra}


def test_a_rung_stands_on_the_same_arm_before_it() -> None:
    rows = [
        rung("sft", "small", 0.3),
        rung("sft", "large", 0.5),
        rung("merge", "small", 0.35),
        rung("merge", "large", 0.48),
    ]
    chart = ladder(panel("ladder", rows, y_title="accuracy"))
    made = chart.groups[0][1]
    assert [row.change[:4] for row in made] == ["", "", "+5.0", "\N{MINUS SIGN}2.0"]
    assert [row.rises for row in made] == [True, True, True, False]
    assert made[2].start == made[0].at


def test_a_rung_of_a_new_arm_stands_on_the_main_arm_before_it() -> None:
    chart = ladder(panel("ladder", [rung("base", "base", 0.3), rung("sft", "single", 0.4)], y_title="accuracy"))
    assert chart.groups[0][1][1].start == chart.groups[0][1][0].at


def test_rows_of_single_languages_stay_out_of_the_ladder() -> None:
    rows = [rung("base", "base", 0.3, language="all"), rung("base", "base", 0.1, language="hi")]
    assert len(ladder(panel("ladder", rows)).groups[0][1]) == 1


def test_the_even_match_is_a_line_and_crossing_it_is_hollow() -> None:
    rows = [
        {"label": label, "value": v, "low": v - 0.05, "high": v + 0.05, "reference": 0.5, "group": "against base"}
        for label, v in (("en", 0.6), ("ar", 0.52), ("hi", 0.4))
    ]
    chart = intervals(panel("intervals", rows, x_title="win rate"))
    assert [text for _, text in chart.references] == ["50.0%"]
    assert [row.tone for row in chart.groups[0][1]] == ["above", "open", "below"]
    assert [row.label for row in chart.groups[0][1]] == ["English", "Arabic", "Hindi"]


def test_separate_forests_share_an_axis_when_asked() -> None:
    found = synthetic_study().contrasts
    units = {"exact_match": "share"}
    alone = contrast_forests(found[:1], units)[0][1]
    together = contrast_forests(found, units)[0][1]
    shared = contrast_forests(found[:1], units, among=found)[0][1]
    assert shared.ticks == together.ticks != alone.ticks
    assert shared.groups[0][1][0].band is not None


@pytest.mark.parametrize(("direction", "ends"), [("greater", (0, 1)), ("less", (-1, 0)), ("equivalent", (-1, 1))])
def test_the_margin_band_lies_on_the_declared_side(direction: str, ends: tuple[int, int]) -> None:
    contrast = synthetic_study().contrasts[0].model_copy(update={"direction": direction})
    chart = contrast_forests([contrast], {"exact_match": "share"})[0][1]
    band, zero = chart.groups[0][1][0].band, chart.references[0][0]
    assert band is not None
    assert [(place > zero) - (place < zero) for place in band] == list(ends)


def test_heat_rises_with_the_value_and_gaps_are_blank() -> None:
    rows = [
        {"x": "en", "y": "base", "value": 0.2},
        {"x": "ar", "y": "base", "value": None},
        {"x": "en", "y": "sft", "value": 0.6},
    ]
    chart = heatmap(panel("heatmap", rows, title="accuracy"))
    assert [[cell.text for cell in cells] for _, cells in chart.rows] == [["20.0", "–"], ["60.0", "–"]]
    assert [[cell.strength for cell in cells] for _, cells in chart.rows] == [[0, 0], [100, 0]]
    assert [heading.name for heading in chart.columns] == ["English", "Arabic"]


def test_heat_on_both_sides_of_zero_has_two_hues_with_one_scale() -> None:
    rows = [{"x": x, "y": "b", "value": value} for x, value in (("p", -0.05), ("q", 0.1), ("r", 0.0))]
    cells = heatmap(panel("heatmap", rows, title="gain in accuracy")).rows[0][1]
    assert [(cell.side, cell.strength) for cell in cells] == [("down", 50), ("up", 100), ("up", 0)]


def matrix(better: str, *rows: tuple[str, str, float, float]) -> Any:
    made = [{"x": x, "y": y, "value": v, "low": v - half, "high": v + half} for x, y, v, half in rows]
    return heatmap(panel("heatmap", made, title="bits per byte", better=better))


def test_less_can_be_better_and_every_column_has_its_own_scale() -> None:
    chart = matrix(
        "less",
        ("code", "btx", 1.0, 0.01),
        ("law", "btx", 24.0, 0.2),
        ("code", "bam", 0.9, 0.01),
        ("law", "bam", 23.9, 0.2),
    )
    cells = [cell for _, cells in chart.rows for cell in cells]
    assert [cell.strength for cell in cells] == [0, 0, 100, 100]
    assert [cell.standing for cell in cells] == ["", "tied", "best", "best"]
    assert [(cell.text, cell.interval) for cell in cells[1:3]] == [
        ("24.00", "[23.80,\N{NO-BREAK SPACE}24.20]"),
        ("0.900", "[0.890,\N{NO-BREAK SPACE}0.910]"),
    ]
    assert chart.scale == ("worst of its column", "best")
    assert "less is better" in chart.note
    assert "overlaps" in chart.note
    assert cells[2].hint == "code, bam: 0.900 [0.890,\N{NO-BREAK SPACE}0.910], best of its column"


def test_a_ranked_difference_keeps_one_scale_around_zero_and_turns_it() -> None:
    chart = matrix("less", ("code", "btx", 0.1, 0.01), ("law", "btx", -0.2, 0.01))
    assert [(cell.side, cell.strength) for cell in chart.rows[0][1]] == [("down", 50), ("up", 100)]
    assert [text[0] for text in chart.scale] == ["0", "0", "\N{MINUS SIGN}"]
    assert chart.diverging


def test_without_a_better_side_nothing_is_marked() -> None:
    chart = matrix("", ("code", "btx", 1.0, 0.01), ("code", "bam", 0.9, 0.01))
    assert {cell.standing for _, cells in chart.rows for cell in cells} == {""}
    assert chart.note == ""


def share(facet: str, expert: str, layer: int, value: float, **extra: Any) -> dict[str, Any]:
    return {"facet": facet, "x": expert, "y": f"layer {layer}", "value": value, **extra}


def test_maps_share_one_scale_and_one_frame() -> None:
    rows = [share("code", "law", 1, 0.25), share("code", "math", 2, 0.5), share("law", "law", 1, 0.004)]
    chart = maps(panel("maps", rows))
    assert [title.text for title, _ in chart.facets] == ["code", "law"]
    assert [[h.text for h in heat.columns] for _, heat in chart.facets] == [["law", "math"]] * 2
    assert [[[cell.strength for cell in cells] for _, cells in heat.rows] for _, heat in chart.facets] == [
        [[25, 0], [0, 50]],
        [[0, 0], [0, 0]],
    ]
    assert [cell.text for cell in chart.facets[0][1].rows[0][1]] == ["25", "–"]
    assert chart.facets[1][1].rows[0][1][0].text == "<1"
    assert chart.facets[0][1].scale == ("0.0%", "100.0%")
    assert chart.alarm == ""


def test_marked_cells_are_named_above_the_maps() -> None:
    rows = [share("code", "law", layer, 0.001, mark="dead" if layer > 1 else None) for layer in range(1, 13)]
    chart = maps(panel("maps", [*rows, share("code", "math", 1, 0.9, mark="crowded")]))
    assert chart.alarmed
    assert chart.alarm.startswith("11 of 13 cells dead: law in layer 2 (code), law in layer 3 (code), ")
    assert "and 3 more; 1 of 13 cells crowded: math in layer 1 (code)." in chart.alarm
    assert chart.facets[0][1].rows[1][1][0].mark == "dead"
    quiet = maps(panel("maps", [share("code", "law", 1, 0.5, mark="")]))
    assert (quiet.alarm, quiet.alarmed) == ("None of 1 cells raises an alarm.", False)


def test_differences_by_language_carry_their_intervals() -> None:
    chart = language_differences(synthetic_study().contrasts, "points")
    assert len(chart.rows) == 10
    assert all(cell.interval.endswith("]") for _, cells in chart.rows for cell in cells)


def test_parts_keep_their_colour_in_every_bar() -> None:
    rows = [
        {"group": group, "part": part, "share": share}
        for group, part, share in (("en", "a", 0.25), ("en", "b", 0.75), ("ar", "b", 0.5))
    ]
    chart = shares(panel("shares", rows))
    assert [[(part.name, part.width, part.colour) for part in parts] for _, parts in chart.bars] == [
        [("a", 25.0, 1), ("b", 75.0, 2)],
        [("b", 50.0, 2)],
    ]


def series(name: str, ys: list[float | None], **extra: Any) -> list[dict[str, Any]]:
    return [{"x": x, "y": y, "series": name, **extra} for x, y in enumerate(ys)]


def test_a_gap_breaks_the_line() -> None:
    chart = lines(panel("lines", series("loss", [1.0, 2.0, None, 3.0, 2.0])))
    assert chart.facets[0].lines[0].path.count("M") == 2
    assert chart.facets[0].lines[0].dots.count("M") == 4


def test_facets_share_an_axis_until_one_would_look_flat() -> None:
    near = series("s", [1.0, 2.0], facet="a") + series("s", [1.5, 3.0], facet="b")
    far = series("s", [1.0, 2.0], facet="a") + series("s", [10.0, 300.0], facet="b")
    assert not lines(panel("lines", near)).own_axes
    assert lines(panel("lines", far)).own_axes


def test_thinning_keeps_the_extremes() -> None:
    points: list[tuple[float, float | None]] = [(float(x), math.sin(x)) for x in range(5000)]
    points[1234] = (1234.0, 99.0)
    points[3210] = (3210.0, -99.0)
    kept = thin(points)
    assert len(kept) <= MOST_POINTS
    assert (1234.0, 99.0) in kept
    assert (3210.0, -99.0) in kept
    assert kept == sorted(kept)


def test_a_wide_range_of_cost_turns_logarithmic() -> None:
    rows = [{"x": 10.0**power, "y": 0.1 * power, "label": f"p{power}"} for power in range(6)]
    assert scatter(panel("scatter", rows, x_title="FLOP")).log
    assert not scatter(panel("scatter", rows[:2], x_title="FLOP")).log
    assert [point.number for point in scatter(panel("scatter", rows)).points] == [1, 2, 3, 4, 5, 6]


def test_the_front_is_drawn_where_a_side_is_better() -> None:
    rows = [
        {"x": x, "y": y, "label": label}
        for x, y, label in ((1e12, 2.0, "seed"), (2e12, 2.1, "worse"), (4e12, 1.5, "btx"), (4e12, 1.6, "behind"))
    ]
    chart = scatter(panel("scatter", rows, x_title="FLOP", y_title="bits per byte", better="less"))
    assert chart.log
    assert [point.beaten for point in chart.points] == [False, True, False, True]
    seed, _, btx, _ = chart.points
    assert chart.front.startswith(f"M{seed.x:g} {100 - seed.y:g}L{btx.x:g} {100 - seed.y:g}M{btx.x:g} ")
    assert chart.front.endswith(f"L100 {100 - btx.y:g}")
    narrow, wide = (dict(chart.labels)[width] for width in ("narrow", "wide"))
    assert [spot.text for spot in narrow] == ["1", "2", "3", "4"]
    assert [spot.text for spot in wide] == ["seed", "2", "btx", "4"]


def test_without_a_better_side_there_is_no_front() -> None:
    rows = [{"x": x, "y": 1.0 - x, "label": f"arm {x}"} for x in (0.1, 0.2)]
    chart = scatter(panel("scatter", rows))
    assert chart.front == ""
    assert not any(point.beaten for point in chart.points)


def test_a_short_logarithmic_axis_still_has_ticks() -> None:
    for high in (1.1, 1.5, 2.0, 2.9, 5.0):
        axis = log_axis_over([3.1e14, high * 3.1e14])
        assert len(axis.ticks) >= 3
        assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert [text for _, text in axis_over([-0.1, 0.3]).labels("change")] == [
        "\N{MINUS SIGN}0.1",
        "0",
        "+0.1",
        "+0.2",
        "+0.3",
    ]


@given(st.floats(-50_000, 50_000), st.floats(1e-3, 1e5), st.sampled_from(["number", "change", "share", "points"]))
def test_no_two_ticks_have_one_text(low: float, span: float, unit: Any) -> None:
    low, span = (abs(low) / 51_000, span / 1e7) if unit in ("share", "points") else (low, span)
    texts = [text for _, text in axis_over([low, low + span], unit=unit).labels(unit)]
    assert len(set(texts)) == len(texts)
