"""The ledger: batched, shared between runners, rolled back when interrupted, and free of secrets."""

import sqlite3
import threading
from pathlib import Path

import pytest

from paribus.errors import StoreError
from paribus.lab import Ledger
from paribus.lab import ledger as module
from paribus.lab.budget import Cost
from paribus.lab.manifest import Manifest


def manifest(address: str = "s-1", **fields: object) -> Manifest:
    given = {
        "address": address,
        "stage": "s",
        "version": "1",
        "function": "m:f",
        "config": {"a": 1},
        "full_config": {"a": 1},
        "inputs": {},
        "parents": {},
        "seed": 3,
        "planned": Cost(tokens=5),
        "measured": Cost(tokens=6, flops=100),
        "sources": {},
        "versions": {},
        "run": {"seconds": 2.0, "calls": [{"engine": "judge", "calls": 4, "cached": 1}]},
    }
    return Manifest(**{**given, **fields})  # type: ignore[arg-type]


def test_runs_stages_costs_and_calls_are_read_back(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        run = ledger.start_run("study", "smoke", {"a": 1}, "paribus run study", "host")
        ledger.record_state("s-1", "s", 3, "running", run)
        ledger.record_artifact(manifest(), run)
        ledger.end_run(run, "done")
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.rows("select study, state from runs") == [{"study": "study", "state": "done"}]
        row = ledger.states()["s-1"]
        assert (row["state"], row["seconds"], row["attempts"], row["config"]) == ("done", 2.0, 1, '{"a": 1}')
        kinds = {r["kind"]: r["tokens"] for r in ledger.rows("select * from costs")}
        assert kinds == {"planned": 5, "measured": 6}
        assert ledger.flops_per_second() == 50
        assert ledger.rows("select engine, calls from calls") == [{"engine": "judge", "calls": 4}]


def test_a_failure_is_kept_until_the_stage_is_done(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record_state("s-1", "s", 3, "running", "r")
        ledger.record_state("s-1", "s", 3, "failed", "r", "it broke")
        assert ledger.states()["s-1"]["error"] == "it broke"
        ledger.record_state("s-1", "s", 3, "running", "r")
        ledger.record_artifact(manifest(), "r")
        row = ledger.states()["s-1"]
        assert (row["state"], row["error"], row["attempts"]) == ("done", "", 2)


def test_the_last_address_of_a_label_wins(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record_labels("r1", "st", "smoke", [("arm", 0, "sft", "sft-1")])
        ledger.record_labels("r2", "st", "smoke", [("arm", 0, "sft", "sft-2")])
        assert ledger.last_labels("st", "smoke") == {("arm", 0, "sft"): "sft-2"}
        assert ledger.last_labels("st", "pocket") == {}


def test_writes_are_batched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 1e9)
    with Ledger(tmp_path / "l.sqlite") as ledger, sqlite3.connect(tmp_path / "l.sqlite") as other:
        for n in range(module.FLUSH_ROWS - 1):
            ledger.record_state(f"s-{n}", "s", 0, "running", "r")
        assert other.execute("select count(*) from stages").fetchone() == (0,)
        ledger.record_state("s-last", "s", 0, "running", "r")
        assert other.execute("select count(*) from stages").fetchone() == (module.FLUSH_ROWS,)


def test_many_runners_may_write_at_once(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def write(name: int) -> None:
        try:
            with Ledger(tmp_path / "l.sqlite") as ledger:
                for n in range(30):
                    ledger.record_state(f"s-{name}-{n}", "s", 0, "done", "r")
                    ledger.flush()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert len(ledger.states()) == 120


def test_a_failed_transaction_leaves_nothing_and_locks_nobody_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.record_state("s-1", "s", 0, "running", "r")
    ledger._pending.append(("insert into nowhere values (?)", (1,)))
    with pytest.raises(StoreError, match="nowhere"):
        ledger.flush()
    with Ledger(tmp_path / "l.sqlite") as other:
        assert other.states() == {}
        other.record_state("s-2", "s", 0, "running", "r")


def test_every_text_is_redacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_TOKEN", "correct-horse-battery")
    with Ledger(tmp_path / "l.sqlite") as ledger:
        run = ledger.start_run("s", "smoke", {"x": "correct-horse-battery"}, "run --key=correct-horse-battery", "h")
        ledger.record_state("s-1", "s", 0, "failed", run, "Authorization: Bearer abcdefgh12345678")
        ledger.flush()
        dump = "\n".join(ledger._db.iterdump())
    assert "correct-horse" not in dump and "abcdefgh1234" not in dump and "[redacted]" in dump


def test_a_ledger_older_than_a_currency_gets_its_column_and_keeps_its_rows(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.record_artifact(manifest(), "r")
    with sqlite3.connect(path) as db:
        db.execute("alter table costs drop column body_flops")
    with Ledger(path) as ledger:
        assert ledger.rows("select tokens, body_flops from costs where kind = 'measured'") == [
            {"tokens": manifest().cost.tokens, "body_flops": 0}
        ]
        ledger.record_artifact(manifest(), "r")
        assert ledger.flops_per_second() == 50
