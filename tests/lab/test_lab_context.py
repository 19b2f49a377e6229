"""The run context: a bare one outside of runs, throttled progress inside, nothing that can fail a stage."""

import json
from pathlib import Path

import pytest

from paribus.lab import context as module
from paribus.lab import current
from paribus.lab.context import RunContext, activate


def test_outside_of_a_run_there_is_a_bare_context() -> None:
    context = current()
    assert context.device == "cpu" and context.threads == 1 and context.scratch.is_dir()
    context.progress(1, 2, loss=3.0)  # reports nowhere, and does not mind


def test_a_context_is_current_only_while_active(tmp_path: Path) -> None:
    mine = RunContext(device="cuda:1", scratch=tmp_path)
    with activate(mine):
        assert current() is mine
    assert current() is not mine


def test_progress_is_throttled_but_the_end_is_always_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROGRESS_INTERVAL", 1e9)
    file = tmp_path / "p.json"
    context = RunContext(scratch=tmp_path, progress_file=file, _written=-2e9)
    context.progress(1, 5, tokens=10, loss=2.0)
    context.progress(2, 5)
    assert json.loads(file.read_text())["step"] == 1
    context.progress(5, 5)
    assert json.loads(file.read_text())["step"] == 5
    assert list(tmp_path.iterdir()) == [file]


def test_progress_that_cannot_be_written_is_dropped(tmp_path: Path) -> None:
    context = RunContext(scratch=tmp_path, progress_file=tmp_path / "missing" / "p.json")
    context.progress(1, 1)
    assert not (tmp_path / "missing").exists()


def test_calls_are_gathered(tmp_path: Path) -> None:
    context = RunContext(scratch=tmp_path)
    context.record_calls("judge", calls=3, cached=1)
    assert context.calls == [{"engine": "judge", "calls": 3, "cached": 1}]
