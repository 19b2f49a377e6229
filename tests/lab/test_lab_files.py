"""Files as inputs: the same bytes are the same input wherever they lie."""

from pathlib import Path

import pytest

from paribus.errors import DataError
from paribus.lab import Graph, Store, file_input
from paribus.lab.execution import Machine, execute
from paribus.lab.specification import specification


def build(store: Store, handle):  # type: ignore[no-untyped-def]
    for node in Graph([handle]):
        store.write_spec(node.address, specification(node))
        outcome = execute(store, node.address, Machine())
    return outcome


def test_content_identifies_a_file_and_its_place_does_not(tmp_path: Path) -> None:
    here, there = tmp_path / "a" / "rows.jsonl", tmp_path / "b" / "rows.jsonl"
    for path in (here, there):
        path.parent.mkdir()
        path.write_text("{}\n")
    assert file_input(here).address == file_input(there).address
    there.write_text("{} \n")
    assert file_input(here).address != file_input(there).address


def test_the_file_is_copied_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    handle = file_input(tmp_path / "rows.jsonl")
    store = Store(tmp_path / "store")
    assert build(store, handle).state == "done"
    assert (store.path(handle.address) / "rows.jsonl").read_text() == "{}\n"


def test_a_file_that_changed_since_planning_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    handle = file_input(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text("other\n")
    outcome = build(Store(tmp_path / "store"), handle)
    assert outcome.state == "failed" and "changed after the study was planned" in outcome.error


def test_a_missing_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.jsonl is not a readable file"):
        file_input(tmp_path / "nothing.jsonl")
