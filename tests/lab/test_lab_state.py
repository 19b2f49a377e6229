"""``status``: done, running, failed, stale with the fields that changed, and source code that is not what it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lab_toy
import pytest
from lab_toy import STUDY
from pydantic import create_model

from paribus.lab import Store, run_plan, status
from paribus.lab.launchers.inline import Inline
from paribus.lab.state import Status, default_changes

PLAN = STUDY.plan(STUDY.at("smoke"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("state") / "store")
    assert run_plan(PLAN, store, launcher=Inline(store.root)).ok
    return store


def states(found: Status) -> dict[str, set[str]]:
    by_label: dict[str, set[str]] = {}
    for row in found.stages:
        by_label.setdefault(row.label, set()).add(row.state)
    return by_label


def test_a_new_store_has_nothing(tmp_path: Path) -> None:
    assert status(PLAN, Store(tmp_path)).counts == {"missing": len(PLAN.graph)}


def test_a_finished_store_has_everything(finished: Store) -> None:
    assert status(PLAN, finished).counts == {"done": len(PLAN.graph)}
    assert all(not row.changed_sources and not row.detail for row in status(PLAN, finished).stages)


def test_a_changed_setting_makes_stale_what_it_touches_and_shows_the_field(finished: Store) -> None:
    changed = STUDY.plan(STUDY.at("smoke", ["training.steps=25"]))
    found = status(changed, finished)
    assert states(found) == {"corpus": {"done"}, "train": {"stale"}, "evaluate": {"stale"}, "analysis": {"stale"}}
    row = next(row for row in found.stages if row.label == "train")
    assert row.differences == {"steps": (20, 25)}
    assert "steps: 20 -> 25" in str(found)
    below = next(row for row in found.stages if row.label == "evaluate")
    assert list(below.differences) == ["inputs.model"]


def test_another_scale_is_missing_not_stale(finished: Store) -> None:
    assert "stale" not in status(STUDY.plan(STUDY.at("pocket")), finished).counts


def test_a_field_that_the_code_gained_is_not_shown_as_the_reason(finished: Store) -> None:
    changed = STUDY.plan(STUDY.at("smoke", ["training.steps=25"]))
    handle = next(h for h in changed.graph if h.label == "train")
    from paribus.lab.state import _differences

    old = finished.manifest(next(a for a in PLAN.graph.nodes if a.startswith("train")))
    without = {k: v for k, v in old.full_config.items() if k != "pause"}
    rows = _differences(old.model_copy(update={"full_config": without, "inputs": handle.parent_addresses()}), handle)
    assert "pause" not in rows and "steps" in rows


def test_a_changed_default_is_reported(finished: Store) -> None:
    handle = next(h for h in PLAN.graph if h.label == "train")
    old = finished.manifest(handle.address)
    then = old.model_copy(update={"full_config": {**old.full_config, "steps": 19}})
    assert default_changes(handle, old) == []
    assert "steps=19, which was the default; now it is 20" in default_changes(handle, then)[0]


def test_running_and_failed_stages_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAIL", str(tmp_path))
    (tmp_path / "train").touch()
    store = Store(tmp_path / "store")
    run_plan(PLAN, store, launcher=Inline(store.root))
    lock = store.locks.acquire(PLAN.arms["plain"].labelled[0]["train"].address)
    assert lock is not None
    found = status(PLAN, store)
    lock.release()
    assert found.counts == {"done": 1, "running": 1, "failed": 3, "blocked": 5}
    failed = next(row for row in found.stages if row.state == "failed")
    assert "planted failure of train" in failed.detail and str(store.log(failed.address)) in failed.detail


def test_changed_source_is_reported_and_not_rerun(finished: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paribus.lab.state.sources", lambda function: {"lab_toy": "other"})
    rows = [row for row in status(PLAN, finished).stages if row.label == "train"]
    assert all(row.state == "done" and "lab_toy" in row.changed_sources for row in rows)


def test_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run_plan(PLAN, store, launcher=Inline(store.root))
    (store.path(PLAN.result.address) / "manifest.json").write_text("{}")
    assert states(status(PLAN, store))["analysis"] == {"damaged"}


def test_looking_changes_nothing(finished: Store) -> None:
    before = sorted(p for p in finished.root.rglob("*") if "ledger" not in p.name)
    status(PLAN, finished)
    assert sorted(p for p in finished.root.rglob("*") if "ledger" not in p.name) == before


def test_new_default_fields_keep_everything_done(finished: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    grown: Callable[..., Any] = create_model("EvaluateConfig", __base__=lab_toy.EvaluateConfig, extra_field=(int, 3))
    monkeypatch.setattr(lab_toy, "EvaluateConfig", grown)
    monkeypatch.setitem(lab_toy.evaluate.__dict__, "config_type", grown)
    assert status(STUDY.plan(STUDY.at("smoke")), finished).counts == {"done": len(PLAN.graph)}
