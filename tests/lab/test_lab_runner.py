"""The whole engine on the toy study: built once, recorded, reused, repaired."""

from pathlib import Path

from lab_toy import STUDY

from paribus.lab import Store, read_result, run_plan, run_study


def test_a_study_runs_to_a_supported_claim(tmp_path: Path) -> None:
    result = run_study(STUDY, tmp_path / "store", scale="smoke", workers=2)
    assert result.claims[0].verdict == "supported"
    assert 0.9 < result.contrasts[0].difference.value < 1.1
    assert set(result.contrasts[0].by_language) == {"en", "tr"}


def test_a_second_run_builds_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    plan = STUDY.plan(STUDY.at("smoke"))
    first = run_plan(plan, store, workers=2)
    second = run_plan(plan, store, workers=2)
    assert len(first.built) == len(plan.graph)
    assert second.built == ()
    assert read_result(plan, store).claims[0].id == "lift"
