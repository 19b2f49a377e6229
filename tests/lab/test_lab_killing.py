"""``kill -9`` at random moments: nothing half-built, nothing built twice over, the same bytes in the end."""

import random
import sys
from pathlib import Path

import pytest
from lab_toy import STUDY

from paribus.lab import Ledger, Store, run_plan
from paribus.lab.killing import Victim, run_through_kills
from paribus.lab.store import payload_differences

TOY = Path(__file__).with_name("lab_toy_main.py")
OVERRIDE = "training.pause=0.06"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("undisturbed") / "store")
    assert run_plan(STUDY.plan(STUDY.at("smoke", [OVERRIDE])), store, workers=2).ok
    return store


@pytest.mark.parametrize(("victim", "times"), [("runner", 3), ("worker", 3)])
def test_a_killed_run_ends_in_the_same_bytes(tmp_path: Path, undisturbed: Store, victim: Victim, times: int) -> None:
    _kill_and_compare(tmp_path, undisturbed, victim, times, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_many_random_kills(tmp_path: Path, undisturbed: Store, seed: int) -> None:
    _kill_and_compare(tmp_path, undisturbed, "any", 6, seed)


def _kill_and_compare(folder: Path, undisturbed: Store, victim: Victim, times: int, seed: int) -> None:
    dice = random.Random(seed)
    moments = [dice.uniform(0.5, 1.8) for _ in range(times)]
    store = folder / "store"
    command = [sys.executable, str(TOY), str(store), "--workers", "2", "--set", OVERRIDE]
    report = run_through_kills(command, store, moments, victim=victim, seed=seed, timeout=120)
    assert report.code == 0, report.output
    assert report.runners_killed + report.workers_killed >= 2
    assert report.orphans == ()
    assert payload_differences(Store(store), undisturbed) == []
    assert not list((store / "artifacts").glob(".partial*")) and not list((store / "scratch").iterdir())
    with Ledger(Store(store).ledger_path) as ledger:
        assert {row["state"] for row in ledger.states().values()} == {"done"}
