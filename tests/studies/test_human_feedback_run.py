"""The human-feedback study at smoke scale, through the command line: run, report, run again."""

import re
from pathlib import Path

import pytest
from smoke_runs import MARKS, finished, panels_of, run_again

from paribus.lab import Panel, Store, read_result
from paribus.studies.human_feedback import STUDY

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
        "weights", "path", "gaps-crowd", "gaps-fair", "gaps-machine", "rates", "quality", "systems", "best-of-n",
        "rounds", "labels", "found", "agreement", "checks", "samples",
    }  # fmt: skip
    spent = [contrast.matched for contrast in result.contrasts if contrast.measure == "picked_assertiveness"]
    assert spent and all(text.startswith("examples over reward") for text in spent)


def test_every_comparison_of_ratings_is_split_by_language(whole: Path) -> None:
    result = read_result(STUDY.plan(STUDY.at("smoke")), Store(whole))
    rated = [row for row in result.contrasts if row.measure.endswith("_gap")]
    assert len(rated) == 6 and all(row.by_language.keys() == {"de", "en"} for row in rated)


def test_what_was_dropped_is_counted(panels: dict[str, Panel]) -> None:
    for row in panels["checks"].rows:
        dropped = sum(value for key, value in row.items() if key.startswith("dropped"))
        assert row["ratings"] == dropped + row["distractors"] + row["counted"], row
    assert any(row["dropped: attention"] for row in panels["checks"].rows if row["raters"] == "crowd")
    assert {row["raters"] for row in panels["checks"].rows} == {"crowd", "fair", "machine"}


def test_pairs_by_the_truth_are_right_and_those_of_raters_are_not_always(panels: dict[str, Panel]) -> None:
    right = {row["feedback"]: row["preferred is better"] for row in panels["labels"].rows}
    assert right["truth"] == 1.0 and all(0.5 < right[name] < 0.9 for name in ("crowd", "fair", "machine"))
    firm = {row["feedback"]: row["preferred is more assertive"] for row in panels["labels"].rows}
    assert firm["crowd"] > firm["fair"]


def test_a_random_pick_is_the_same_for_every_n(panels: dict[str, Panel]) -> None:
    rows = [row for row in panels["best-of-n"].rows if row["series"] == "random"]
    assert {row["x"] for row in rows} == {1, 2, 8}
    for facet in ("assertiveness", "truth", "right"):
        assert len({round(row["y"], 9) for row in rows if row["facet"] == facet}) == 1


def test_the_page_shows_charts_and_stands_alone(whole: Path) -> None:
    page = (whole / "reports" / "human-feedback-smoke.html").read_text(encoding="utf-8")
    for words in ("What an error costs the score", "Best of n by reward models", "How far raters agree"):
        assert words in page
    assert "<script" not in page and not re.search(r'(?:src|href)="https?:', page)


def test_a_second_run_computes_nothing_again(whole: Path) -> None:
    assert len(run_again(STUDY.name, whole)) == len(STUDY.plan(STUDY.at("smoke")).graph)
