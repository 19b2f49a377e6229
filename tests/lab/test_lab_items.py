"""Item tables: checked when written and when read, paired on what every run scored."""

from pathlib import Path

import pytest

from paribus.errors import DataError
from paribus.lab.items import Item, pair, read_items, write_items


def row(item: str, value: float | None = 1.0, **more: object) -> dict[str, object]:
    return {"measure": "m", "item": item, "cluster": item, "language": "en", "value": value, **more}


def test_rows_survive_writing_and_reading(tmp_path: Path) -> None:
    assert write_items(tmp_path, [row("1", 0.25, group="g"), row("2", None)]) == 2
    assert read_items([tmp_path]) == {"m": {"1": Item("1", "en", 0.25)}}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("1"), row("1")], "line 2: measure 'm' has the item '1' twice"),
        ([row("1", value="high")], "line 1: value is 'high'"),  # type: ignore[arg-type]
        ([row("1", extra=1)], "line 1: extra"),
        ([{"measure": "m"}], "line 1: item"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[dict[str, object]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        write_items(tmp_path, rows)


def test_unreadable_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.jsonl cannot be read"):
        read_items([tmp_path])
    (tmp_path / "items.jsonl").write_text("{broken")
    with pytest.raises(DataError, match=r"items\.jsonl cannot be read"):
        read_items([tmp_path])


def table(*items: str) -> dict[str, dict[str, Item]]:
    return {"m": {item: Item("c", "en" if item < "b" else "tr", float(i)) for i, item in enumerate(items)}}


def test_pairs_are_what_every_run_scored() -> None:
    grid = pair("m", [table("a", "b", "c")], [table("c", "b", "d", "a")], "here")
    assert grid.items == ("a", "b", "c") and grid.dropped == 1
    assert grid.values == [[0, 1, 2]] and grid.baseline == [[3, 1, 0]]
    assert grid.select("tr").items == ("b", "c") and grid.select("tr").baseline == [[1, 0]]


def test_runs_on_different_questions_cannot_be_paired() -> None:
    with pytest.raises(DataError, match="only 1 of 5 items"):
        pair("m", [table("a", "b", "c")], [table("c", "d", "e")], "here")
    with pytest.raises(DataError, match="only 0 of 0"):
        pair("other", [table("a")], [table("a")], "here")
