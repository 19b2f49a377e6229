"""The engine on the toy study: each stage once, whoever runs it; failures stay where they are; damage is repaired."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_toy import STUDY

from paribus.errors import StoreError
from paribus.lab import Ledger, Store, payload_digest, read_result, run_plan, run_study
from paribus.lab.launchers.inline import Inline

TOY = Path(__file__).with_name("lab_toy_main.py")
PLAN = STUDY.plan(STUDY.at("smoke"))


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "counts"
    monkeypatch.setenv("TOY_COUNTS", str(path))
    return path


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "failing"
    folder.mkdir()
    monkeypatch.setenv("TOY_FAIL", str(folder))
    return folder


def ran(counts: Path) -> list[str]:
    return sorted(counts.read_text().split()) if counts.exists() else []


def test_a_study_runs_to_a_supported_claim_and_each_stage_once(tmp_path: Path, counts: Path) -> None:
    result = run_study(STUDY, tmp_path / "store", scale="smoke", workers=2)
    assert result.claims[0].verdict == "supported"
    assert 0.9 < result.contrasts[0].difference.value < 1.1
    assert set(result.contrasts[0].by_language) == {"en", "tr"}
    # The corpus is shared by two arms and two seeds, and built once.
    assert ran(counts) == sorted(a for a in PLAN.graph.nodes if not a.startswith("analysis"))


def test_a_second_run_builds_nothing(tmp_path: Path, counts: Path) -> None:
    store = Store(tmp_path / "store")
    first = run_plan(PLAN, store, workers=2)
    before = ran(counts)
    second = run_plan(PLAN, store, workers=2)
    assert set(first.built) == set(PLAN.graph.nodes) == set(second.reused)
    assert second.built == () and ran(counts) == before
    assert read_result(PLAN, store).arms[0].cost["seconds"] > 0


def test_two_runners_on_one_store_build_each_stage_once(tmp_path: Path, counts: Path) -> None:
    store = tmp_path / "store"
    command = [sys.executable, str(TOY), str(store), "--workers", "2", "--set", "training.pause=0.01"]
    runners = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [runner.wait(120) for runner in runners] == [0, 0]
    plan = STUDY.plan(STUDY.at("smoke", ["training.pause=0.01"]))
    assert ran(counts) == sorted(a for a in plan.graph.nodes if not a.startswith("analysis"))
    with Ledger(Store(store).ledger_path) as ledger:
        assert [row["state"] for row in ledger.rows("select state from runs")] == ["done", "done"]


def test_execution_settings_change_no_address_and_no_byte(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name) for name in ("a", "b")]
    run_plan(PLAN, stores[0], workers=1, threads=1)
    run_plan(PLAN, stores[1], workers=3, threads=2, devices=("cpu:0", "cpu:1"))
    assert payload_digest(stores[0]) == payload_digest(stores[1])


def test_the_inline_launcher_builds_the_same(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name) for name in ("a", "b")]
    run_plan(PLAN, stores[0], workers=1)
    assert run_plan(PLAN, stores[1], launcher=Inline(stores[1].root)).ok
    assert payload_digest(stores[0]) == payload_digest(stores[1])


def test_damage_is_found_named_put_aside_and_rebuilt(
    tmp_path: Path, counts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "store")
    run_plan(PLAN, store, workers=2)
    sound = payload_digest(store)
    counts.unlink()
    flipped, cut = (next(a for a in PLAN.graph.nodes if a.startswith(name)) for name in ("train", "evaluate"))
    data = bytearray((store.path(flipped) / "model.json").read_bytes())
    data[3] ^= 1
    (store.path(flipped) / "model.json").write_bytes(data)
    items = store.path(cut) / "items.jsonl"
    items.write_bytes(items.read_bytes()[:-5])
    report = run_plan(PLAN, store, workers=2)
    shown = capfd.readouterr().err
    assert set(report.repaired) == {flipped, cut} == set(report.built) == set(ran(counts))
    assert str(store.path(flipped) / "model.json") in shown and "quarantine" in shown
    assert len(list((store.root / "quarantine").iterdir())) == 2
    assert payload_digest(store) == sound


def test_a_failure_shows_its_traceback_blocks_what_needs_it_and_is_retried_alone(
    tmp_path: Path, counts: Path, failing: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (failing / "evaluate").touch()
    store = Store(tmp_path / "store")
    report = run_plan(PLAN, store, workers=2)
    shown = capfd.readouterr().err
    assert not report.ok
    assert {a.partition("-")[0] for a in report.failed} == {"evaluate"} and len(report.failed) == 4
    assert list(report.blocked) == [PLAN.result.address]
    assert {a.partition("-")[0] for a in report.built} == {"corpus", "train"}
    assert "planted failure of evaluate" in shown and "Traceback" in shown and "maybe_fail" in shown
    address = next(iter(report.failed))
    assert str(store.log(address)) in shown
    assert "planted failure" in store.log(address).read_text()
    with pytest.raises(StoreError, match="run it first"):
        read_result(PLAN, store)
    (failing / "evaluate").unlink()
    counts.unlink()
    again = run_plan(PLAN, store, workers=2)
    assert again.ok and set(ran(counts)) == set(report.failed)
    assert set(again.built) == {*report.failed, PLAN.result.address}


def test_a_failing_study_raises_with_the_log(tmp_path: Path, failing: Path) -> None:
    (failing / "train").touch()
    with pytest.raises(StoreError, match=r"planted failure of train.*logs"):
        run_study(STUDY, tmp_path / "store", scale="smoke", workers=1)


def test_a_worker_gets_plain_json_under_its_address(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run_plan(PLAN, store, workers=1)
    handle = next(h for h in PLAN.graph if h.label == "train")
    spec = store.read_spec(handle.address)
    assert spec["function"] == "lab_toy:train" and spec["config"]["steps"] == 20
    assert spec["inputs"] == handle.parent_addresses() and spec["seed"] == handle.seed


def test_a_specification_that_no_longer_fits_the_code_is_refused(tmp_path: Path) -> None:
    from paribus.lab.execution import Machine, execute
    from paribus.lab.specification import specification

    store = Store(tmp_path / "store")
    handle = next(h for h in PLAN.graph if h.label == "corpus")
    spec = specification(handle)
    store.write_spec(handle.address, {**spec, "config": {"size": 3}})
    outcome = execute(store, handle.address, Machine())
    assert outcome.state == "failed" and "Plan the study again" in outcome.error
    assert not store.has(handle.address) and not list((store.root / "artifacts").iterdir())


def test_ctrl_c_stops_cleanly_and_says_how_to_resume(tmp_path: Path, counts: Path) -> None:
    store = tmp_path / "store"
    command = [sys.executable, str(TOY), str(store), "--set", "training.pause=0.05"]
    # A shell that puts work in the background makes it deaf to Ctrl-C; the runner here must hear it all the same.
    hearing = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    runner = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **hearing)
    _wait(lambda: list((store / "scratch").glob("*/state.json")))
    runner.send_signal(signal.SIGINT)
    _, shown = runner.communicate(timeout=30)
    assert runner.returncode == 130
    assert "To resume" in shown and str(TOY) in shown and "Traceback" not in shown
    assert list((store / "scratch").glob("*/state.json"))  # the checkpoints are kept
    assert not list((store / "locks").glob("*.json")) and not list((store / "artifacts").glob(".partial*"))
    from paribus.lab.killing import workers_of

    assert workers_of(store) == []
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False, timeout=60).returncode == 0
    with Ledger(Store(store).ledger_path) as ledger:
        assert [row["state"] for row in ledger.rows("select state from runs order by started")] == ["stopped", "done"]


def test_the_ledger_holds_stages_costs_measures_and_claims(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run_plan(PLAN, store, workers=2)
    with Ledger(store.ledger_path) as ledger:
        assert {row["state"] for row in ledger.states().values()} == {"done"}
        measured = ledger.rows("select * from costs where kind = 'measured' and address like 'train-%'")
        assert len(measured) == 4 and {row["tokens"] for row in measured} == {2000} and measured[0]["seconds"] > 0
        assert {row["language"] for row in ledger.rows("select language from measures")} == {"all", "en", "tr"}
        assert ledger.rows("select verdict from claims") == [{"verdict": "supported"}]
        assert ledger.results()[0].contrasts == read_result(PLAN, store).contrasts


def test_a_ledger_lost_with_its_runner_is_refilled_from_the_manifests(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run_plan(PLAN, store, workers=2)
    for path in store.root.glob("ledger.sqlite*"):
        path.unlink()
    assert run_plan(PLAN, store, workers=2).built == ()
    with Ledger(store.ledger_path) as ledger:
        assert len(ledger.states()) == len(PLAN.graph) and len(ledger.results()) == 1


def _wait(condition, seconds: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()
