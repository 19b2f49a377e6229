"""What a command leaves beside its output, and whom it lets in."""

import io
import json
import sys
from pathlib import Path

import pytest

from paribus.cli.parts_progress import Steps
from paribus.cli.parts_record import NAME, Run, open_file, open_folder, rows_hash
from paribus.errors import ConfigError, DataError
from paribus.records import Message, Prompt


def folder(out: Path, **options: object) -> Run:
    return open_folder(out, "sft", options, {"data": {"hash": "x"}})


def test_a_folder_goes_from_new_to_unfinished_to_complete(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    run = folder(out, seed=0)
    assert run.state == "new" and not out.exists()
    run.begin()
    (out / "weights").write_text("half")
    assert folder(out, seed=0).state == "unfinished"
    run.finish(cost={"tokens": 3}, results={"loss": 1.5})
    again = folder(out, seed=0)
    assert again.complete and again.results == {"loss": 1.5}
    record = json.loads((out / NAME).read_text())
    assert record["cost"]["tokens"] == 3 and record["cost"]["seconds"] >= 0
    assert {"python", "torch", "transformers"} <= record["versions"].keys()


def test_every_difference_is_listed(tmp_path: Path) -> None:
    run = folder(tmp_path / "out", learning_rate=0.1, seed=0)
    run.begin()
    run.finish(cost={})
    with pytest.raises(ConfigError) as told:
        open_folder(tmp_path / "out", "dpo", {"learning_rate": 0.2, "seed": 0, "beta": 0.1}, {"data": {"hash": "y"}})
    for line in (
        "- part: 'sft' there, 'dpo' asked for",
        "- learning-rate: 0.1 there, 0.2 asked for",
        "- beta: None there, 0.1 asked for",
        "- data: {'hash': 'x'} there, {'hash': 'y'} asked for",
    ):
        assert line in str(told.value)
    assert "seed" not in str(told.value)


def test_a_run_that_left_nothing_gives_way(tmp_path: Path) -> None:
    folder(tmp_path / "out", seed=0).begin()
    (tmp_path / "out" / "checkpoints").mkdir()
    assert folder(tmp_path / "out", seed=1).state == "new"
    (tmp_path / "out" / "checkpoints" / "one").write_text("work")
    with pytest.raises(ConfigError, match="seed"):
        folder(tmp_path / "out", seed=1)


def test_a_file_is_new_unfinished_or_somebody_elses(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    run = open_file(out, "generate", {"seed": 0}, {})
    run.begin()
    assert open_file(out, "generate", {"seed": 1}, {}).state == "new"
    (tmp_path / "a.jsonl.partial.jsonl").write_text("{}\n")
    assert open_file(out, "generate", {"seed": 0}, {}).state == "unfinished"
    with pytest.raises(ConfigError, match=r"a\.jsonl holds another run"):
        open_file(out, "generate", {"seed": 1}, {})
    (tmp_path / "b.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        open_file(tmp_path / "b.jsonl", "generate", {}, {})
    with pytest.raises(ConfigError, match="is a folder"):
        open_file(tmp_path, "generate", {}, {})


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).write_text("{")
    with pytest.raises(DataError, match="cannot be read as the record of a run"):
        folder(tmp_path / "out")


def test_secrets_in_the_command_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["paribus", "sft", "--password", "hf_abcdefghijklmnopqrstuvwxyz"])
    folder(tmp_path / "out").begin()
    assert "hf_abc" not in (tmp_path / "out" / NAME).read_text()


def test_equal_rows_hash_alike_and_others_do_not() -> None:
    def prompt(text: str) -> Prompt:
        return Prompt(id="p", language="de", messages=(Message(role="user", content=text),))

    assert rows_hash([prompt("a")]) == rows_hash([prompt("a")])
    assert len({rows_hash(rows) for rows in ([], [prompt("a")], [prompt("b")], [prompt("a"), prompt("a")])}) == 4


def test_a_log_gets_a_first_and_a_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps("training", 50, "step") as steps:
        for step in range(1, 51):
            steps(step, tokens=100 * step, loss=2.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: step 1/50 · loss 2"
    assert lines[-1].startswith("training: step 50/50") and "tokens/s" in lines[-1] and len(lines) == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Steps("training", 4, "step") as steps:
        for step in range(1, 5):
            steps(step, loss=0.5)
        assert steps.bar is not None
        shown = steps.bar.tasks[0]
    assert shown.completed == 4 and shown.fields["facts"] == "loss 0.5"
