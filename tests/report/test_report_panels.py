"""A panel that cannot be drawn is refused, with its id, kind, row and column in the message."""

from typing import Any

import pytest

from paribus.errors import DataError
from paribus.lab.results import Panel
from paribus.report.panels import REQUIRED, check_panel
from paribus.report.study import panel_view

GOOD: dict[str, dict[str, Any]] = {
    "ladder": {"step": "sft", "arm": "base", "value": 0.4, "low": 0.3, "high": 0.5},
    "heatmap": {"x": "en", "y": "base", "value": 0.4},
    "maps": {"facet": "code", "x": "law", "y": "layer 1", "value": 0.4},
    "shares": {"group": "en", "part": "teacher", "share": 0.4},
    "intervals": {"label": "en", "value": 0.4, "low": 0.3, "high": 0.5},
    "lines": {"x": 1, "y": 0.4, "series": "online"},
    "scatter": {"x": 1, "y": 0.4, "label": "base"},
    "samples": {"language": "en", "prompt": "p", "arm": "base", "text": "t", "correct": True, "note": ""},
    "table": {"judge": "rule", "games": 100},
    "text": {"text": "words"},
}


def panel(kind: Any, *rows: dict[str, Any], **extra: Any) -> Panel:
    return Panel(id="my-panel", kind=kind, title="A title", rows=rows, **extra)


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_good_rows_are_drawn(kind: str) -> None:
    view = panel_view(panel(kind, GOOD[kind]))
    assert view.kind == kind
    assert view.view is not None


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_an_empty_panel_is_drawn_as_empty(kind: str) -> None:
    assert panel_view(panel(kind)).empty


@pytest.mark.parametrize(("kind", "column"), [(kind, column) for kind in REQUIRED for column in REQUIRED[kind]])
def test_every_missing_column_is_named(kind: str, column: str) -> None:
    row = {key: value for key, value in GOOD[kind].items() if key != column}
    with pytest.raises(DataError, match=rf"'my-panel' \({kind}\) row 2 has no column '{column}'"):
        check_panel(panel(kind, GOOD[kind], row))


def test_a_table_needs_its_declared_columns() -> None:
    with pytest.raises(DataError, match="row 1 has no column 'flips'"):
        check_panel(panel("table", GOOD["table"], columns=("judge", "flips")))


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("ladder", "value", None),
        ("ladder", "value", "0.4"),
        ("ladder", "low", float("nan")),
        ("heatmap", "value", "dark"),
        ("heatmap", "value", float("inf")),
        ("heatmap", "low", float("nan")),
        ("maps", "value", None),
        ("maps", "value", 1.2),
        ("maps", "value", -0.1),
        ("maps", "mark", True),
        ("shares", "share", 1.2),
        ("shares", "share", -0.1),
        ("shares", "share", True),
        ("intervals", "high", "x"),
        ("lines", "x", "round 1"),
        ("lines", "y", float("nan")),
        ("scatter", "y", None),
    ],
)
def test_what_is_no_number_is_refused_with_its_value(kind: str, column: str, value: object) -> None:
    with pytest.raises(DataError, match=rf"'my-panel' \({kind}\) row 1 column '{column}' is {value!r}"):
        check_panel(panel(kind, {**GOOD[kind], column: value}))


def test_an_interval_is_whole_and_ordered() -> None:
    with pytest.raises(DataError, match="give both or neither"):
        check_panel(panel("ladder", {**GOOD["ladder"], "low": None}))
    with pytest.raises(DataError, match=r"has low 0\.6 above high 0\.5"):
        check_panel(panel("intervals", {**GOOD["intervals"], "low": 0.6}))
    check_panel(panel("ladder", {**GOOD["ladder"], "low": None, "high": None}))


def test_shares_of_a_group_do_not_pass_one() -> None:
    rows = [{"group": "en", "part": part, "share": 0.6} for part in ("a", "b")]
    with pytest.raises(DataError, match=r"group 'en' adds up to 1\.200"):
        check_panel(panel("shares", *rows))


def test_intervals_of_heat_maps_and_scatters_are_whole_and_ordered() -> None:
    for kind in ("heatmap", "scatter"):
        with pytest.raises(DataError, match="low 1 and high None; give both or neither"):
            check_panel(panel(kind, {**GOOD[kind], "low": 1}))
        with pytest.raises(DataError, match="low 2 above high 1; swap them"):
            check_panel(panel(kind, {**GOOD[kind], "low": 2, "high": 1}))


def test_a_place_on_a_map_is_filled_once() -> None:
    with pytest.raises(DataError, match=r"row 2 fills facet 'code', x 'law', y 'layer 1' a second time"):
        check_panel(panel("maps", GOOD["maps"], GOOD["maps"]))


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_only_what_is_ranked_has_a_better_side(kind: str) -> None:
    if kind in ("heatmap", "scatter"):
        check_panel(panel(kind, GOOD[kind], better="less"))
    else:
        with pytest.raises(DataError, match=rf"'my-panel' \({kind}\) has better 'less'; only heatmap and scatter"):
            check_panel(panel(kind, GOOD[kind], better="less"))


def test_rows_stand_under_charts_but_not_under_plain_heat_maps() -> None:
    assert panel_view(panel("heatmap", GOOD["heatmap"])).data is None
    assert panel_view(panel("heatmap", {**GOOD["heatmap"], "low": 0.3, "high": 0.5})).data is not None
    assert panel_view(panel("maps", GOOD["maps"])).data is not None


def test_a_kind_from_elsewhere_is_refused() -> None:
    made = Panel.model_construct(id="my-panel", kind="pie", title="", rows=(), columns=())
    with pytest.raises(DataError, match="'my-panel' is of unknown kind 'pie'"):
        check_panel(made)


def test_a_sample_is_right_wrong_or_unjudged() -> None:
    with pytest.raises(DataError, match=r"'my-panel' \(samples\) row 1 column 'correct' is 'maybe'"):
        panel_view(panel("samples", {**GOOD["samples"], "correct": "maybe"}))


def test_further_columns_reach_the_data_table() -> None:
    view = panel_view(panel("ladder", {**GOOD["ladder"], "seed": 7}))
    assert view.data is not None
    assert "seed" in view.data.columns
    assert view.data.rows[0][view.data.columns.index("seed")].text == "7"


def line(**extra: Any) -> dict[str, Any]:
    return {**GOOD["lines"], **extra}


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_only_lines_choose_the_scale_of_x(kind: str) -> None:
    if kind == "lines":
        check_panel(panel(kind, GOOD[kind], x_scale="log"))
    else:
        with pytest.raises(DataError, match=rf"'my-panel' \({kind}\) has x_scale 'log'; only lines panels"):
            check_panel(panel(kind, GOOD[kind], x_scale="log"))


def test_every_role_of_a_line_is_drawn() -> None:
    rows = (
        line(low=0.3, high=0.5, role=""),
        line(series="1-NN", role="reference", low=0.2, high=0.6),
        line(series="seed 0", role="run", of="online"),
        line(series="trained length", role="bound", y=None, x=20),
        line(series="offline", role=None, of=None, low=None, high=None),
    )
    check_panel(panel("lines", *rows))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"role": "median"}, r"column 'role' is 'median'; expected '', reference, run, bound or null"),
        ({"role": ["run"]}, r"column 'role' is \['run'\]"),
        ({"low": 0.3}, r"has low 0\.3 and high None; give both or neither"),
        ({"low": 0.6, "high": 0.3}, r"has low 0\.6 above high 0\.3; swap them"),
        ({"low": "a", "high": 0.3}, r"column 'low' is 'a'; expected a finite number or null"),
        ({"y": None, "low": 0.1, "high": 0.3}, r"has an interval around no y"),
        ({"of": "online"}, r"column 'of' is 'online'; only runs are of a series"),
        ({"role": "run"}, r"is a run of series None, which has no rows of its own; name in 'of' one of 'online'"),
        ({"role": "run", "of": "onlin"}, r"is a run of series 'onlin'"),
        ({"role": "run", "of": "online", "low": 0.1, "high": 0.2}, r"is a run with an interval"),
        ({"role": "bound"}, r"is a bound with y 0\.4; a bound is a vertical line at x, set y to null"),
        ({"role": "bound", "y": None, "low": 0.1, "high": 0.2}, r"is a bound with an interval"),
        ({"role": "reference"}, r"has role '', a later row of series 'online' has 'reference'"),
    ],
)
def test_a_line_of_no_clear_role_is_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=rf"'my-panel' \(lines\) row [12] {said}"):
        check_panel(panel("lines", line(), line(**row)))


def test_runs_need_a_series_and_names_that_tell_them_apart() -> None:
    run = line(series="seed 0", role="run", of="online")
    with pytest.raises(DataError, match=r"row 3 gives run 'seed 0' of 'online' a second y at x 1; name each run apart"):
        check_panel(panel("lines", line(), run, run))
    check_panel(panel("lines", line(), line(series="other"), run, {**run, "of": "other"}, {**run, "facet": "dyck"}))
    with pytest.raises(DataError, match=r"one of none \(add the series first\)"):
        check_panel(panel("lines", line(series="1-NN", role="reference"), {**run, "of": "1-NN"}))


@pytest.mark.parametrize("x", [0, -1.5])
def test_a_logarithmic_axis_has_no_room_for_zero(x: float) -> None:
    with pytest.raises(DataError, match=rf"row 1 column 'x' is {x}; a logarithmic axis needs values above zero"):
        check_panel(panel("lines", line(x=x), x_scale="log"))
    check_panel(panel("lines", line(x=x)))
