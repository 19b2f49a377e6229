"""Line charts: what is drawn for each role of a row, on which axes, and how the page writes it."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_reader import Page
from synthetic_testbeds import LEARNERS, sequence_study
from test_report_study import attacked

from paribus.lab.results import Panel, StudyResult
from paribus.report.axes import Axis, fitted_log_axis
from paribus.report.curves import MOST_POINTS, lines
from paribus.report.front import LETTER, columns_of
from paribus.report.study import panel_view, render_study

COMMAND = "paribus run synthetic-testbeds"


def panel(*rows: dict[str, Any], **extra: Any) -> Panel:
    return Panel(**{"id": "p", "kind": "lines", "title": "A title", "rows": rows, "y_title": "accuracy", **extra})


def row(x: float, y: float | None, series: str = "LSTM", **extra: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "series": series, **extra}


def corners(path: str) -> list[list[tuple[float, float]]]:
    """Per closed shape its corners, y turned upwards again."""
    shapes = [shape for shape in path.split("z") if shape]
    return [
        [(float(x), 100 - float(y)) for x, y in (corner.split() for corner in re.split("[ML]", shape)[1:])]
        for shape in shapes
    ]


def test_a_band_runs_along_the_high_ends_and_back_along_the_low_ones() -> None:
    chart = lines(panel(*(row(x, 0.5, low=0.5 - x / 10, high=0.5 + x / 20) for x in (0, 1, 2))))
    (shape,) = corners(chart.facets[0].lines[0].band)
    assert len(shape) == 6
    assert [x for x, _ in shape[:3]] == [x for x, _ in reversed(shape[3:])]
    highs, lows = [y for _, y in shape[:3]], [y for _, y in reversed(shape[3:])]
    assert highs[0] == lows[0]
    assert highs == sorted(highs)
    assert lows == sorted(lows, reverse=True)
    assert [key.name for key in chart.legend] == ["LSTM", "interval"]


def test_a_point_without_an_interval_parts_the_band() -> None:
    rows = [row(x, 0.5, low=None if x == 2 else 0.4, high=None if x == 2 else 0.6) for x in range(5)]
    assert [len(shape) for shape in corners(lines(panel(*rows)).facets[0].lines[0].band)] == [4, 4]


def test_the_axis_has_room_for_the_ends_of_bands() -> None:
    plain, banded = (
        lines(panel(row(0, 0.5), row(1, 0.6, **band))).facets[0].y_ticks for band in ({}, {"low": 0.1, "high": 0.9})
    )
    assert len(banded) != len(plain) or banded != plain
    assert {text for _, text in banded} >= {"20%", "80%"}


def test_a_long_series_is_thinned_with_its_band() -> None:
    many = [row(x, (x * 37 % 101) / 101, low=0.0, high=1.0) for x in range(1000)]
    chart = lines(panel(*many))
    (shape,) = corners(chart.facets[0].lines[0].band)
    assert chart.thinned
    assert len(shape) == 2 * len(chart.facets[0].lines[0].path.replace("M", "L").split("L")[1:]) <= 2 * MOST_POINTS


def test_runs_take_the_colour_of_their_series_and_lie_below_it() -> None:
    rows = [row(x, 0.5, name) for name in ("GRU", "LSTM") for x in (0, 1)]
    runs = [row(x, 0.2, f"seed {seed}", role="run", of=of) for of in ("LSTM", "GRU") for seed in (0, 1) for x in (0, 1)]
    chart = lines(panel(*rows, *runs))
    assert [(line.name, line.style) for line in chart.facets[0].lines] == [
        ("seed 0", "k2 run"),
        ("seed 1", "k2 run"),
        ("seed 0", "k1 run"),
        ("seed 1", "k1 run"),
        ("GRU", "k1"),
        ("LSTM", "k2"),
    ]
    assert [key.name for key in chart.legend] == ["GRU", "LSTM", "single runs"]


def test_every_run_is_drawn_however_low() -> None:
    """A failed seed is on the page, inside the axis, and not averaged away."""
    rows = [row(x, 0.9) for x in (0, 1)] + [row(x, 0.01, "seed 3", role="run", of="LSTM") for x in (0, 1)]
    failed = lines(panel(*rows)).facets[0].lines[0]
    assert (failed.name, failed.last) == ("seed 3", "1.0%")
    assert all(float(place.split()[1]) > 85 for place in re.split("[ML]", failed.path)[1:])


def test_references_are_grey_dashes_named_at_their_ends_and_not_in_the_legend() -> None:
    rows = [row(x, y, name, role="reference") for name, y in (("1-NN", 0.8), ("null", 0.5)) for x in (0, 5)]
    chart = lines(panel(row(0, 0.6), row(9, 0.7), *rows))
    facet = chart.facets[0]
    assert [line.style for line in facet.lines] == ["compared dash1", "compared dash2", "k1"]
    assert [line.dots for line in facet.lines[:2]] == ["", ""]
    assert [end.name for end in facet.ends] == [("null",), ("1-NN",)]
    for line, end in zip(facet.lines[:2], reversed(facet.ends), strict=True):
        assert line.path.endswith(f"L{end.x:g} {round(100 - end.y, 2):g}")
    assert [key.name for key in chart.legend] == ["LSTM"]
    assert chart.margin > 0


def test_a_reference_of_one_point_is_a_dot_and_one_without_any_is_not_named() -> None:
    rows = [row(3, 0.5, "chance", role="reference"), row(3, None, "nothing", role="reference")]
    facet = lines(panel(row(0, 0.6), *rows)).facets[0]
    assert facet.lines[0].dots.count("M") == 1
    assert [end.name for end in facet.ends] == [("chance",)]


def test_a_bound_crosses_its_facet_or_all_of_them_and_is_on_the_axis() -> None:
    rows = [row(x, 0.5, facet=facet) for facet in ("a", "b") for x in (10, 20)]
    rows += [row(50, None, "trained to 50", role="bound"), row(30, None, "80 bits", role="bound", facet="b")]
    a, b = lines(panel(*rows)).facets
    assert [flag.name for flag in a.flags] == [("trained to 50",)]
    assert len(b.flags) == 2
    assert all(0 < flag.x < 100 for flag in b.flags)
    assert [len(facet.lines) for facet in (a, b)] == [1, 1]


def test_bounds_alone_still_make_a_chart() -> None:
    chart = lines(panel(row(8, None, "the bound", role="bound"), row(9, None, "b", role="bound", facet="c")))
    assert [(facet.title, len(facet.flags)) for facet in chart.facets] == [("c", 2)]
    assert [len(facet.flags) for facet in lines(panel(row(8, None, "b", role="bound"))).facets] == [1]


def test_facets_of_one_share_keep_one_axis_however_flat() -> None:
    rows = [
        row(x, y, facet=facet)
        for facet, ys in (("parity", (0.5, 0.51)), ("recall", (0.1, 1.0)))
        for x, y in enumerate(ys)
    ]
    chart = lines(panel(*rows))
    assert not chart.own_axes
    assert chart.facets[0].y_ticks == chart.facets[1].y_ticks
    assert chart.facets[0].y_ticks[-1][1] == "100%"
    assert lines(panel(*rows, y_title="bits")).own_axes


def test_a_logarithmic_axis_puts_equal_ratios_equally_apart() -> None:
    bound = row(33.5, None, "least width", role="bound")
    chart = lines(panel(*(row(width, 0.5) for width in (32, 64, 256, 1024)), bound, x_scale="log"))
    at = [float(place.split()[0]) for place in re.split("[ML]", chart.facets[0].lines[0].path)[1:]]
    assert at[2] - at[1] == pytest.approx(2 * (at[1] - at[0]), abs=0.05)
    assert at[3] - at[2] == pytest.approx(2 * (at[1] - at[0]), abs=0.05)
    assert [text for _, text in chart.facets[0].x_ticks] == ["32", "64", "128", "256", "512", "1,024"]


def test_lengths_on_a_logarithmic_axis_have_round_ticks() -> None:
    ticks = lines(panel(*(row(x, 0.5) for x in (20, 50, 75, 100, 200, 400)), x_scale="log")).facets[0].x_ticks
    assert [text for _, text in ticks] == ["20", "50", "100", "200"]
    large = lines(panel(*(row(10.0**power, 0.5) for power in range(1, 9)), x_scale="log")).facets[0].x_ticks
    assert {text for _, text in large} <= {"10", "100", "1 k", "10 k", "100 k", "1 M", "10 M", "100 M"}


def apart(axis: Axis, width: float) -> bool:
    labels = [(at * width / 100, LETTER * columns_of(text)) for at, text in axis.labels(axis.log_unit)]
    return all(there - here >= (long + other) / 2 for (here, long), (there, other) in pairwise(labels))


@given(st.floats(1e-5, 1e6), st.floats(1.0, 1e9), st.floats(6, 40), st.booleans())
def test_texts_of_logarithmic_ticks_keep_apart(low: float, ratio: float, width: float, twos: bool) -> None:
    marks = [64.0, 128.0] if twos else [low, low * ratio]
    axis = fitted_log_axis([low, low * ratio], width, marks=marks)
    assert axis.log
    assert all(axis.low <= tick <= axis.high * (1 + 1e-9) for tick in axis.ticks)
    assert apart(axis, width)
    assert len(axis.ticks) > (width > 15)


@pytest.mark.parametrize("kind", ["", "dashed"])
def test_panels_of_plain_rows_are_drawn_as_before(kind: str) -> None:
    rows = [row(x, x / 5, f"series {index}") for index in range(9 if kind else 2) for x in range(4)]
    study = sequence_study().model_copy(update={"panels": (panel(*rows),)})
    page = Page(render_study(study, rerun_command=COMMAND))
    assert [attrs for attrs in page.of("div") if attrs.get("class") == "plot"] == [{"class": "plot"}]
    assert page.of("g")[0] == {"class": "k1"}
    assert (page.of("g")[-1]["class"] == "k1 dashed") is bool(kind)
    classes = {attrs.get("class") or "" for _, attrs in page.tags}
    assert not {name.split()[0] for name in classes if name} & {
        "flag",
        "pole",
        "end",
        "spread",
        "lead-line",
        "compared",
    }
    assert "single runs" not in page.text


def test_rows_of_runs_are_listed_evenly() -> None:
    rows = [row(x, 0.5, "seed 0", role="run", of=of) for x in range(500) for of in ("LSTM", "GRU")]
    data = panel_view(panel(row(0, 0.5), row(0, 0.5, "GRU"), *rows)).data
    assert data is not None
    listed = [line[data.columns.index("of")].text for line in data.rows]
    assert listed.count("LSTM") == listed.count("GRU") > 100


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_study(sequence_study(), rerun_command=COMMAND))


def test_names_of_references_and_bounds_are_text_of_the_page(page: Page) -> None:
    assert page.faults == []
    for name in ("80 bits needed", "400 bits needed", "chance", "longest in training", *LEARNERS[1:]):
        assert name in page.text
    assert "upwards: accuracy" in page.text
    assert "width (logarithmic axis)" in page.text
    assert len([attrs for attrs in page.of("path") if (attrs.get("class") or "").startswith("spread k")]) > 40


def test_all_that_is_drawn_is_within_its_box() -> None:
    drawn = [lines(made) for made in sequence_study().panels if made.kind == "lines"]
    paths = [path for view in drawn for facet in view.facets for line in facet.lines for path in (line.path, line.band)]
    numbers = [float(number) for path in paths for number in re.findall(r"[-\d.]+", path)]
    assert len(numbers) > 10_000
    assert 0 <= min(numbers) < max(numbers) <= 100


def test_names_around_a_chart_cannot_become_markup() -> None:
    plain = sequence_study().model_dump()
    roles = [[line.get("role") for line in made["rows"]] for made in plain["panels"]]
    hostile = attacked(plain)
    for made, names in zip(hostile["panels"], roles, strict=True):
        for line, role in zip(made["rows"], names, strict=True):
            line["role"] = role
    page = Page(render_study(StudyResult.model_validate(hostile), rerun_command=COMMAND))
    assert page.faults == []
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    styles = [attrs["style"] or "" for _, attrs in page.tags if "style" in attrs]
    assert all(re.fullmatch(r"[-\w :;.%(),/]+", style) for style in styles)
