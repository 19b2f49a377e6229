"""The study itself at smoke scale, through the command line: run, report, run again, kill, resume, fail, retry."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from smoke_runs import MARKS, command, finished, run, sets

from paribus.lab import Store, read_result
from paribus.lab.killing import run_through_kills
from paribus.lab.store import payload_differences
from paribus.studies.aya_expanse import STUDY

COMMAND = command(STUDY.name)
# A third of the arms, one seed: every kind of stage is still there.
SMALL = ("seeds=0", "routers=reward,learned", "methods=linear", "preference_arms=offline,online,best_of_n")

pytestmark = MARKS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the whole smoke study in it."""
    return finished(STUDY.name, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the small smoke study, run without interruption."""
    return finished(STUDY.name, tmp_path_factory.mktemp("small"), *sets(SMALL))


def test_the_result_has_every_arm_claim_and_panel(whole: Path) -> None:
    result = read_result(STUDY.plan(STUDY.at("smoke")), Store(whole))
    assert {arm.name for arm in result.arms} >= {"base", "reward", "merge_linear", "merge_run", "offline", "recipe"}
    assert {claim.verdict for claim in result.claims} <= {"supported", "contradicted", "unresolved"}
    panels = {panel.id for panel in result.panels}
    assert panels >= {"ladder", "languages", "tasks", "routing-shares", "routing", "arbiter", "arbiter-sweep", "pairs"}
    assert panels >= {"win-rates", "win-rates-half-ties", "win-rates-strong-x3", "position-bias", "monitors", "samples"}
    assert not [c.name for c in result.contrasts if c.matched.startswith("budget missed")]
    assert result.ladder and all(arm.cost["seconds"] > 0 for arm in result.arms)


def test_the_page_holds_every_section_and_right_to_left_text(whole: Path) -> None:
    page = (whole / "reports" / "aya-expanse-smoke.html").read_text(encoding="utf-8")
    for heading in ("Answers", "Budget", "What each step adds, by language", "Contrasts", "Provenance", "Run it again"):
        assert heading in page
    assert "<script" not in page and not re.search(r'(?:src|href)="https?:', page)


def test_a_second_run_builds_nothing_and_imports_no_torch(whole: Path) -> None:
    code = (
        "import sys; from paribus.cli import main; sys.argv = sys.argv[1:]\n"
        "try: main()\nexcept SystemExit as e: print('exit', e.code)\n"
        "print('torch' in sys.modules)"
    )
    again = subprocess.run(
        [sys.executable, "-c", code, *COMMAND[2:], "--store", str(whole)], capture_output=True, text=True, check=True
    )
    assert re.search(r"0 built, \d+ reused", again.stdout + again.stderr), again.stdout + again.stderr
    assert again.stdout.rstrip().endswith("False"), again.stdout


def test_twenty_random_kills_end_in_the_same_bytes(small: Path, tmp_path: Path) -> None:
    """Runner or worker, at 20 random moments; training goes on from its checkpoints, and the artifacts are the same."""
    dice = random.Random(20)
    store = tmp_path / "store"
    command = [*COMMAND, "--store", str(store), *sets(SMALL)]
    report = run_through_kills(command, store, [dice.uniform(2.0, 9.0) for _ in range(20)], victim="any", seed=20)
    assert report.code == 0, report.output
    assert report.runners_killed >= 3 and report.workers_killed >= 3 and report.orphans == ()
    assert payload_differences(Store(store), Store(small)) == []
    assert not list((store / "artifacts").glob(".partial*"))


def test_a_killed_training_stage_resumes_from_its_checkpoint(small: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    command = [*COMMAND, "--store", str(store), *sets(SMALL)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    base = next(h for h in STUDY.plan(STUDY.at("smoke", SMALL)).graph if h.label == "base")
    _wait_for_checkpoint(process, store, base.address)
    os.killpg(process.pid, 9)
    process.wait()
    again = run(STUDY.name, store, *sets(SMALL))
    assert again.returncode == 0, again.stdout + again.stderr
    assert re.search(r"resumed from the checkpoint of step \d+0", Store(store).log(base.address).read_text())
    assert payload_differences(Store(store), Store(small)) == []


def _wait_for_checkpoint(process: "subprocess.Popen[bytes]", store: Path, address: str) -> None:
    import time

    for _ in range(6000):
        if list((store / "scratch").glob(f"{address}*/**/checkpoint-20*")):
            return
        assert process.poll() is None, "the run ended before the base had a checkpoint"
        time.sleep(0.02)
    raise AssertionError("no checkpoint appeared within two minutes")


def test_damage_is_found_named_and_rebuilt(small: Path) -> None:
    opened = Store(small)
    plan = STUDY.plan(STUDY.at("smoke", SMALL))
    merged = next(handle for handle in plan.graph if handle.label == "merge")
    weights = opened.path(merged.address) / "merged" / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    done = run(STUDY.name, small, *sets(SMALL))
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Damaged" in said and "model.safetensors" in said, said
    assert weights.read_bytes() == before


def test_a_failing_arm_shows_its_traceback_spares_the_others_and_is_retried_alone(small: Path, tmp_path: Path) -> None:
    """A learning rate that blows up fails the teacher that uses it; what does not need it is built all the same."""
    blown = (*SMALL, "training.teacher.learning_rate=1e30")
    store = tmp_path / "store"
    done = run(STUDY.name, store, *sets(blown))
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" in said and "lower learning_rate=1e+30" in said, said
    plan = STUDY.plan(STUDY.at("smoke", blown))
    built = {plan.graph[address].label for address in plan.graph.nodes if Store(store).has(address)}
    assert {"base", "arbiter", "evaluate", "merge"} & built >= {"base", "arbiter", "evaluate"}
    assert "pool" not in built
    status = subprocess.run(
        [*COMMAND[:3], "status", *COMMAND[4:7], "--store", str(store), *sets(blown)], capture_output=True, text=True
    )
    assert "failed" in status.stdout and "blocked" in status.stdout


def test_the_world_of_the_store_is_the_one_that_was_asked_for(small: Path) -> None:
    plan = STUDY.plan(STUDY.at("smoke", SMALL))
    corpus = next(handle for handle in plan.graph if handle.label == "corpus")
    languages = {json.loads(line)["language"] for line in (Store(small).path(corpus.address) / "test.jsonl").open()}
    assert languages == set(plan.settings.data.languages)
