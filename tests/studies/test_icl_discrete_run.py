"""The in-context study at smoke scale, through the command line: run, report, kill, resume."""

import json
import random
import re
from pathlib import Path

import pytest
from smoke_runs import MARKS, command, finished, panels_of, run, sets

from paribus.lab import Panel, Store, read_result
from paribus.lab.killing import run_through_kills
from paribus.lab.store import payload_differences
from paribus.studies.icl_discrete import STUDY

SMALL = (
    "architectures=transformer,lstm",
    "classes=conjunction",
    "learners=null,averaging",
    "direct.classes=[]",
    "body.recipe.checkpoint_every=5",
    "recipe.steps=120",
    "recipe.checkpoint_every=20",
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
        "curves", "late", "efficiency", "teaching", "spoilt", "ambiguity", "robustness", "lengths", "asked", "heads",
        "seeds", "courses", "paper",
    }  # fmt: skip
    assert all(contrast.matched.startswith(("examples over", "not matched")) for contrast in result.contrasts)


def test_no_arm_beats_the_best_learner_and_the_rule_is_always_right(panels: dict[str, Panel]) -> None:
    """The leak test: on the same prompts nothing beats the Bayes vote by more than the noise of 48 prompts."""
    late = {(row["x"], row["y"]): row["value"] for row in panels["late"].rows}
    assert late["nearest_neighbour", "optimal"] == 1
    for (name, arm), value in late.items():
        assert value <= late[name, "optimal"] + 0.1, (name, arm)


def test_every_seed_and_every_chart_by_class_is_there(panels: dict[str, Panel]) -> None:
    classes = {"conjunction", "sparse_parity", "nearest_neighbour"}
    assert {row["facet"] for row in panels["curves"].rows} == classes
    arms = {(row["class"], row["arm"]) for row in panels["seeds"].rows}
    assert arms >= {(name, arm) for name in classes for arm in ("transformer", "lstm")}
    assert arms >= {("conjunction", arm) for arm in ("teach", "mix", "frozen_pretrained", "frozen_random")}
    starts = {name: min(row["x"] for row in panels["curves"].rows if row["facet"] == name) for name in classes}
    assert starts == {"conjunction": 0, "sparse_parity": 0, "nearest_neighbour": 5}


def test_frozen_bodies_stayed_and_only_one_of_them_was_pretrained(whole: Path) -> None:
    from safetensors.torch import load_file

    plan = STUDY.plan(STUDY.at("smoke"))
    store = Store(whole)

    def weights(arm: str, label: str) -> dict[str, object]:
        return load_file(store.path(plan.arms[arm].labelled[0][label].address) / "model.safetensors")

    body = weights("frozen_pretrained", "body")
    inside = {"model." + name.removeprefix("body."): name for name in weights("frozen_random", "conjunction-train")}
    shared = [name for name in inside if name in body]
    assert len(shared) > 5
    trained, fresh = (weights(f"frozen_{kind}", "conjunction-train") for kind in ("pretrained", "random"))
    assert all(body[name].equal(trained[inside[name]]) for name in shared)  # type: ignore[attr-defined]
    assert not all(body[name].equal(fresh[inside[name]]) for name in shared)  # type: ignore[attr-defined]


def test_the_page_shows_charts_and_stands_alone(whole: Path) -> None:
    page = (whole / "reports" / "icl-discrete-smoke.html").read_text(encoding="utf-8")
    for words in ("Accuracy against examples in the context", "Teaching sequences", "Asked in text", "trained to"):
        assert words in page
    assert "<script" not in page and not re.search(r'(?:src|href)="https?:', page)


def test_random_kills_end_in_the_same_bytes(tmp_path: Path) -> None:
    """Kills of runner or worker; training goes on from its checkpoints, and the artifacts are the same."""
    undisturbed, store = tmp_path / "whole", tmp_path / "killed"
    done = run(STUDY.name, undisturbed, *sets(SMALL))
    assert done.returncode == 0, done.stdout + done.stderr
    dice = random.Random(3)
    line = [*command(STUDY.name), "--store", str(store), *sets(SMALL)]
    kills = run_through_kills(line, store, [dice.uniform(2.0, 5.0) for _ in range(5)], victim="any", seed=3)
    assert kills.code == 0, kills.output
    assert kills.runners_killed + kills.workers_killed >= 2 and kills.orphans == ()
    assert payload_differences(Store(store), Store(undisturbed)) == []
    plan = STUDY.plan(STUDY.at("smoke", SMALL))
    folder = Store(store).path(plan.arms["mix"].labelled[1]["conjunction-train"].address)
    assert json.loads((folder / "training.json").read_text())["steps"] == 120
