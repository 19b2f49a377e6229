"""The separations study at smoke scale, through the command line: run, report, kill, resume."""

import json
import random
import re
from pathlib import Path

import pytest
from smoke_runs import MARKS, command, finished, panels_of, run, run_again, sets

from paribus.lab import Panel, Store, read_result
from paribus.lab.killing import run_through_kills
from paribus.lab.store import payload_differences
from paribus.studies.separations import STUDY

SMALL = (
    "architectures=tf1,lstm",
    "trained=lookup",
    "widths.widths=[]",
    "raw=[]",
    "problems.lookup.recipe.steps=400",
    "problems.lookup.recipe.checkpoint_every=20",
)

pytestmark = MARKS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the whole smoke study in it."""
    return finished(STUDY.name, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def panels(whole: Path) -> dict[str, Panel]:
    return panels_of(STUDY, whole)


def test_the_result_has_every_arm_claim_and_panel(whole: Path, panels: dict[str, Panel]) -> None:
    plan = STUDY.plan(STUDY.at("smoke"))
    result = read_result(plan, Store(whole))
    assert [arm.name for arm in result.arms] == [arm.name for arm in plan.arms.arms]
    assert [claim.id for claim in result.claims] == [claim.id for claim in plan.claims]
    assert {claim.verdict for claim in result.claims} <= {"supported", "contradicted", "unresolved"}
    assert panels.keys() >= {
        "accuracy", "seeds", "widths", "state", "lengths-dyck", "lengths-recall", "courses", "depths", "sizes",
        "bounds", "verified", "precision", "overlap",
    }  # fmt: skip
    assert all(contrast.matched.startswith(("examples over", "not matched")) for contrast in result.contrasts)


def test_constructions_hold_even_where_nothing_is_learned(whole: Path, panels: dict[str, Panel]) -> None:
    """Training is too short to show anything; what is written by hand and checked does not depend on it."""
    result = read_result(STUDY.plan(STUDY.at("smoke")), Store(whole))
    assert next(claim for claim in result.claims if claim.id == "constructions").verdict == "supported"
    values = {(row["y"], row["x"]): row["value"] for row in panels["accuracy"].rows}
    tasks = {task for arm, task in values if arm == "construction"}
    assert len(tasks) == 6 and all(values["construction", task] == 1 for task in tasks)
    assert all(values["without_first_layer", task] < 0.8 for task in ("equality", "disjointness", "recall"))
    assert all(row["errors"] == 0 for row in panels["verified"].rows)


def test_every_run_of_every_seed_is_told(panels: dict[str, Panel]) -> None:
    trained = 4 * 4 + 2 + 3  # architectures on tasks, other widths, and some as they come
    for panel in ("seeds", "sizes"):
        assert len(panels[panel].rows) == trained
    runs = [row for row in panels["widths"].rows if row.get("role") == "run"]
    assert len(runs) == 2 * trained
    assert all(row["total"] == 64 and row["seen"] == 2 * 30 * 16 for row in panels["overlap"].rows)


def test_no_measured_net_of_a_fixed_state_lies_above_its_ceiling(panels: dict[str, Panel]) -> None:
    rows = panels["state"].rows
    measured = [row for row in rows if row.get("role", "") == ""]
    bounded = {row["facet"] for row in rows if row.get("role") == "reference"}
    assert "lookup" in bounded and {row["facet"] for row in measured} >= bounded
    for facet in bounded:
        ceiling = sorted(
            (row["x"], row["y"]) for row in rows if row.get("role") == "reference" and row["facet"] == facet
        )
        assert [y for _, y in ceiling] == sorted(y for _, y in ceiling)
        for row in measured:
            above = [y for x, y in ceiling if x >= row["x"]]
            assert row["facet"] != facet or row["y"] <= (above[0] if above else 1.0)


def test_the_page_shows_charts_and_stands_alone(whole: Path) -> None:
    page = (whole / "reports" / "separations-smoke.html").read_text(encoding="utf-8")
    for words in ("Accuracy against width", "How many seeds solved the task", "What is proved", "trained at"):
        assert words in page
    assert "<script" not in page and not re.search(r'(?:src|href)="https?:', page)


def test_a_second_run_computes_nothing_again(whole: Path) -> None:
    assert len(run_again(STUDY.name, whole)) == len(STUDY.plan(STUDY.at("smoke")).graph)


def test_random_kills_end_in_the_same_bytes(tmp_path: Path) -> None:
    """Kills of runner or worker; training goes on from its checkpoints, and the artifacts are the same."""
    undisturbed, store = tmp_path / "whole", tmp_path / "killed"
    done = run(STUDY.name, undisturbed, *sets(SMALL))
    assert done.returncode == 0, done.stdout + done.stderr
    dice = random.Random(5)
    line = [*command(STUDY.name), "--store", str(store), *sets(SMALL)]
    kills = run_through_kills(line, store, [dice.uniform(2.0, 5.0) for _ in range(5)], victim="any", seed=5)
    assert kills.code == 0, kills.output
    assert kills.runners_killed + kills.workers_killed >= 2 and kills.orphans == ()
    assert payload_differences(Store(store), Store(undisturbed)) == []
    plan = STUDY.plan(STUDY.at("smoke", SMALL))
    folder = Store(store).path(plan.arms["lstm"].labelled[1]["lookup-train"].address)
    assert json.loads((folder / "training.json").read_text())["steps"] == 400
