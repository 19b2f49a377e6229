"""The reward-critiques study at smoke scale, through the command line: run, report, kill, resume."""

import random
import re
from pathlib import Path

import pytest
from smoke_runs import MARKS, command, finished, panels_of, run, run_again, sets

from paribus.lab import Panel, Store, read_result
from paribus.lab.killing import run_through_kills
from paribus.lab.store import payload_differences
from paribus.records import Completion, PreferencePair, read_records
from paribus.studies.reward_critiques import STUDY

SMALL = (
    "sizes=8,16",
    'critics={"random": {"accuracy": 0.5}, "good": {"accuracy": 0.9}}',
    "rungs=random,good",
    "crossed=good",
    "controls=[]",
    "judge_pairs=0",
    "reader.steps=60",
    "reader.checkpoint_every=10",
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
    assert panels.keys() == {
        "sizes", "worth", "critics", "bases", "controls", "by-group", "by-language", "length", "edits", "best-of-n",
        "critic-quality", "cut", "samples",
    }  # fmt: skip
    assert not any("missed" in contrast.matched for contrast in result.contrasts)


def test_what_critics_read_says_nothing_about_the_label(whole: Path) -> None:
    """Answers stand in the order of their names, and a name is as often that of the preferred answer as not."""
    plan = STUDY.plan(STUDY.at("smoke", ("data.graded.pairs=48",)))
    folder = Store(whole).path(plan.arms["plain_16"].labelled[0]["pairs"].address)
    answers = list(read_records(folder / "answers.jsonl", Completion))
    assert all(not row.meta and row.score is None and row.model == "drawn" for row in answers)
    pairs = list(read_records(folder / "reader.jsonl", PreferencePair))
    texts = {row.id: row.text for row in answers}
    assert all(texts[pair.meta["chosen_id"]] == pair.chosen for pair in pairs)
    first = [pair.meta["chosen_id"].endswith("/a") for pair in pairs]
    assert 0.25 < sum(first) / len(first) < 0.75


def test_better_critics_make_truer_claims(panels: dict[str, Panel]) -> None:
    told = {row["critic"]: row["claims that are true"] for row in panels["critic-quality"].rows}
    assert set(told) == {"random", "good", "perfect", "trained"}  # the last writes nothing that can be read yet
    shares = {name: float(told[name].split()[0]) for name in ("random", "good", "perfect")}
    assert shares["perfect"] == 1 and shares["random"] < 0.65 < shares["good"] < 1


def test_nothing_is_cut_at_smoke_scale(panels: dict[str, Panel]) -> None:
    assert all(row["shortened"] == 0 and 0 < row["longest, tokens"] <= 320 for row in panels["cut"].rows)


def test_the_best_of_one_answer_is_a_random_one(panels: dict[str, Panel]) -> None:
    ones = {row["y"] for row in panels["best-of-n"].rows if row["x"] == 1}
    assert max(ones) - min(ones) < 1e-9


def test_the_page_shows_charts_and_stands_alone(whole: Path) -> None:
    page = (whole / "reports" / "reward-critiques-smoke.html").read_text(encoding="utf-8")
    for words in ("by number of training pairs", "one pair with critiques is worth", "What critics write"):
        assert words in page
    assert "<script" not in page and not re.search(r'(?:src|href)="https?:', page)


def test_a_second_run_computes_nothing_again(whole: Path) -> None:
    assert run_again(STUDY.name, whole)


def test_random_kills_end_in_the_same_bytes(tmp_path: Path) -> None:
    """Kills of runner or worker; training goes on from its checkpoints, and the artifacts are the same."""
    undisturbed, store = tmp_path / "whole", tmp_path / "killed"
    done = run(STUDY.name, undisturbed, *sets(SMALL))
    assert done.returncode == 0, done.stdout + done.stderr
    dice = random.Random(7)
    line = [*command(STUDY.name), "--store", str(store), *sets(SMALL)]
    kills = run_through_kills(line, store, [dice.uniform(3.0, 8.0) for _ in range(4)], victim="any", seed=7)
    assert kills.code == 0, kills.output
    assert kills.runners_killed + kills.workers_killed >= 2 and kills.orphans == ()
    assert payload_differences(Store(store), Store(undisturbed)) == []
