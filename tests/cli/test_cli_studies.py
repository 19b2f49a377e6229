"""The study commands on a toy study, from the first plan to the scoreboard."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_calls import LAB_TESTS, TOY, call, command, environment, process, python

from paribus.studies.catalogue import CATALOGUE


def test_list_shows_every_study(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = call("list").stdout
    monkeypatch.setenv("COLUMNS", "60")
    narrow = call("list").stdout
    for entry in CATALOGUE:
        for shown in (wide, narrow):
            assert entry.name in shown
            assert all(word in shown for word in entry.question.split())
    assert max(map(len, narrow.splitlines())) <= 60
    line = next(line for line in wide.splitlines() if "aya-expanse" in line)
    assert "built" in line and "not built" not in line and any(word.isdigit() for word in line.split())


# ---- plan ---------------------------------------------------------------------------------------------------------


def test_plan_prices_stages_arms_and_contrasts_and_makes_no_store(tmp_path: Path) -> None:
    shown = call("plan", TOY, "--scale", "smoke", "--store", "new", "--workers", "2").stdout
    train = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["train"])
    assert train[1:6] == ["0/4", "8", "k", "80", "M"]
    assert "0 of 10 stages are done" in shown and "2 workers" in shown and "assumed" in shown
    assert "lifted" in shown and "lift 1.0" in shown
    assert "score: lifted above plain" in shown and "tokens over train" in shown
    assert not (tmp_path / "new").exists()


def test_plan_counts_what_is_done_and_uses_the_measured_rate(finished: Path) -> None:
    shown = call("plan", TOY, "--scale", "smoke", "--store", finished, "--seed-count", "3").stdout
    assert "9 of 14 stages are done" in shown and "measured in this store" in shown
    assert "4/6" in shown
    assert "nothing is left to run" in call("plan", TOY, "--scale", "smoke", "--store", finished).stdout


@pytest.mark.parametrize("width", [60, 80, 120])
def test_plan_of_a_real_study_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = call("plan", "aya-expanse", "--scale", "smoke")
    assert shown.exit_code == 0
    lines = [line for line in shown.stdout.splitlines() if not line.startswith("note:")]
    assert max(map(len, lines)) <= width
    assert "merge_linear" in shown.stdout and "…" not in shown.stdout


def test_seed_count_sets_the_seeds(tmp_path: Path) -> None:
    assert "0, 1, 2, 3" in call("plan", TOY, "--scale", "smoke", "--seed-count", "4").stdout


# ---- run, report, scoreboard --------------------------------------------------------------------------------------


def test_a_second_run_builds_nothing_and_writes_the_same_page(finished: Path) -> None:
    page = finished / "reports" / "toy-smoke.html"
    before = page.read_text()
    page.unlink()
    again = call("run", TOY, "--scale", "smoke", "--store", finished)
    assert again.exit_code == 0
    assert "0 built, 10 reused" in again.stderr
    assert again.stdout.splitlines()[-1] == str(page)
    assert page.read_text() == before
    assert "lab_toy:STUDY --scale smoke" in before


def test_a_second_run_imports_nothing_heavy(finished: Path) -> None:
    words = ["run", TOY, "--scale", "smoke", "--store", str(finished)]
    code = f"""
import sys
from paribus.cli.app import app
app({words!r}, standalone_mode=False)
print("torch" in sys.modules, "transformers" in sys.modules, "numpy" in sys.modules)
"""
    assert python(code).splitlines()[-1] == "False False False"


def test_the_report_comes_from_records_alone(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paribus.lab.runner.run_plan", lambda *a, **k: pytest.fail("a report runs nothing"))
    page = finished / "reports" / "toy-smoke.html"
    before = page.read_text()
    page.unlink()
    answer = call("report", TOY, "--scale", "smoke", "--store", finished)
    assert answer.stdout.splitlines()[-1] == str(page)
    assert "+ supported" in answer.stdout
    assert page.read_text() == before


def test_the_report_is_that_of_the_last_run_with_its_settings(tmp_path: Path) -> None:
    words = ["--scale", "smoke", "--store", "own"]
    ran = call("run", TOY, *words, "--seed-count", "3", "--set", "items=12", "--launcher", "inline")
    assert ran.exit_code == 0, ran.output
    page = tmp_path / "own" / "reports" / "toy-smoke.html"
    before = page.read_text()
    assert call("report", TOY, *words).exit_code == 0
    assert page.read_text() == before
    assert "--set items=12 --set &#39;seeds=[0, 1, 2]&#39;" in before


def test_the_report_outlives_the_code_that_made_it(tmp_path: Path) -> None:
    own = tmp_path / "cli_ageing_study.py"
    own.write_text((LAB_TESTS / "lab_toy.py").read_text())
    words = ["cli_ageing_study:STUDY", "--scale", "smoke", "--store", "own"]
    assert process("run", *words).returncode == 0
    page = tmp_path / "own" / "reports" / "toy-smoke.html"
    before = page.read_text()
    own.write_text(own.read_text().replace("corpus_size", "size_of_corpus").replace('version="1"', 'version="2"'))
    assert process("report", *words).returncode == 0
    kept, now = (text.partition("paribus run")[0] for text in (before, page.read_text()))
    assert kept == now and "this one has other settings" in page.read_text()


def test_a_run_that_did_not_end_leaves_the_last_report(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (finished / "reports" / "toy-smoke.html").read_text()
    (finished.parent / "evaluate").touch()
    monkeypatch.setenv("TOY_FAIL", str(finished.parent))
    words = [TOY, "--scale", "smoke", "--store", finished]
    assert call("run", *words, "--set", "items=9", "--launcher", "inline").exit_code == 1
    assert call("report", *words).exit_code == 0
    assert (finished / "reports" / "toy-smoke.html").read_text() == before


def test_the_scoreboard_shows_the_claims_of_finished_runs(finished: Path) -> None:
    answer = call("scoreboard", "--store", finished)
    assert "Lifting lifts." in answer.stdout and "1 supported, 0 contradicted, 0 unresolved" in answer.stdout
    page = Path(answer.stdout.splitlines()[-1])
    assert page == finished / "reports" / "scoreboard.html" and "Lifting lifts." in page.read_text()


def test_the_store_may_come_from_the_environment(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARIBUS_STORE", str(finished))
    assert "1 supported" in call("scoreboard").stdout


def test_the_report_path_is_relative_where_the_store_was(tmp_path: Path) -> None:
    ran = call("run", TOY, "--scale", "smoke", "--store", "here", "--launcher", "inline", "--plain")
    last = ran.stdout.splitlines()[-1]
    assert last == "here/reports/toy-smoke.html" and (tmp_path / last).exists()


# ---- failures -----------------------------------------------------------------------------------------------------


def test_a_failing_stage_is_shown_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "fail").mkdir()
    (tmp_path / "fail" / "evaluate").touch()
    words = ["run", TOY, "--scale", "smoke", "--store", tmp_path / "s", "--workers", 1]
    failed = process(*words, TOY_FAIL=str(tmp_path / "fail"))
    assert failed.returncode == 1
    assert "RuntimeError: planted failure of evaluate" in failed.stderr and "Traceback" in failed.stderr
    logs = [line.split("Log: ")[1].split(".log")[0] + ".log" for line in failed.stderr.splitlines() if "Log: " in line]
    assert len(logs) == 4 and all(Path(log).exists() for log in logs)
    assert failed.stderr.count("done      train") == 4
    assert failed.stdout == ""
    shown = call("status", TOY, "--scale", "smoke", "--store", tmp_path / "s").stdout
    assert shown.startswith("5 done, 4 failed, 1 blocked")
    assert "planted failure of evaluate. Log: " in shown and "blocked  analysis" in shown
    mended = process(*words)
    assert mended.returncode == 0 and "5 built, 5 reused" in mended.stderr


def test_ctrl_c_stops_with_130_and_the_printed_command_resumes(tmp_path: Path) -> None:
    words = ["run", TOY, "--scale", "smoke", "--store", str(tmp_path / "s"), "--workers", "1"]
    pause = ["--set", "training.pause=0.05"]
    # A shell that puts work in the background makes it deaf to Ctrl-C; the command here must hear it all the same.
    hearing = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    running = subprocess.Popen(command(*words, *pause), env=environment(), stderr=subprocess.PIPE, text=True, **hearing)
    assert running.stderr is not None
    for line in running.stderr:
        if "starts    train" in line:
            break
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    rest = running.stderr.read()
    running.stderr.close()
    assert running.wait() == 130
    resume = f"paribus {' '.join([*words, *pause])}"
    assert "To resume:" in rest and rest.rstrip().endswith(resume)
    resumed = process(*words, *pause)
    assert resumed.returncode == 0 and "1 reused" in resumed.stderr


# ---- status -------------------------------------------------------------------------------------------------------


def test_status_before_the_first_run() -> None:
    assert (
        "none holds no store yet: none of the 10 stages"
        in call("status", TOY, "--scale", "smoke", "--store", "none").stdout
    )
    assert not Path("none").exists()


def test_status_shows_what_changed_field_by_field(finished: Path) -> None:
    words = ["status", TOY, "--scale", "smoke", "--store", finished]
    assert call(*words).stdout.strip() == "10 done"
    stale = call(*words, "--set", "training.steps=30").stdout
    assert stale.startswith("1 done, 9 stale")
    assert "stale    train (4)\n         steps: 20 -> 30\n" in stale
    assert "settings.training.steps: 20 -> 30" in stale
    assert "stale    4 more, because their inputs are" in stale
    assert max(map(len, stale.splitlines())) < 120


def test_status_of_everything_has_a_line_for_every_stage(finished: Path) -> None:
    words = ["status", TOY, "--scale", "smoke", "--store", finished, "--all", "--seed-count", "3"]
    lines = call(*words).stdout.splitlines()[1:]
    states = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert sorted(states) == ["done"] * 9 + ["missing"] * 4 + ["stale"]


def test_status_names_changed_source(finished: Path, tmp_path: Path) -> None:
    own = tmp_path / "cli_changing_study.py"
    own.write_text((LAB_TESTS / "lab_toy.py").read_text())
    words = ["cli_changing_study:STUDY", "--scale", "smoke", "--store", "own"]
    assert process("run", *words).returncode == 0
    own.write_text(own.read_text() + "\nCHANGED = 1\n")
    shown = process("status", *words).stdout
    assert "9 finished stages built by code that has changed: cli_changing_study" in shown
    assert "They are reused; raise the version of a stage whose meaning changed." in shown


def test_status_shows_a_running_stage(finished: Path) -> None:
    from lab_toy import STUDY

    from paribus.lab import Store

    plan, store = STUDY.plan(STUDY.at("smoke", ["training.steps=25"])), Store(finished)
    address = next(a for a in plan.graph.nodes if a.startswith("train"))
    lock = store.locks.acquire(address)
    assert lock is not None
    words = ["status", TOY, "--scale", "smoke", "--store", finished, "--set", "training.steps=25"]
    assert f"running  train [plain; seed 0]  {address}  (process " in call(*words).stdout
    lock.release()
