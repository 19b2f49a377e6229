"""Stages of the human-feedback study on a small world: planted raters are found, perfect ones leave nothing to find."""

import json
import shutil
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from stage_folders import Bench, item_values, measures

from paribus.errors import EngineError
from paribus.lab.analysis import read_panels
from paribus.report.panels import check_panel
from paribus.studies.stages.annotation import (
    SEVEN,
    CrowdConfig,
    FormsConfig,
    InputsConfig,
    MachineConfig,
    OutputsConfig,
    SystemConfig,
    answer_inputs,
    crowd_ratings,
    expert_labels,
    feedback_corpus,
    feedback_forms,
    machine_ratings,
    read_feedback,
    read_forms,
    read_outputs,
    read_prompts,
)
from paribus.studies.stages.annotation_measures import (
    GapsConfig,
    SystemConfigName,
    WeightsConfig,
    examine_labels,
    examine_system,
    examine_weights,
)
from paribus.studies.stages.graded import READER, read_pairs
from paribus.studies.stages.optimisation import FeedbackPairsConfig, PicksConfig, examine_picks, facts, feedback_pairs
from paribus.studies.stages.panels_ratings import GivenRatingsConfig, audit_given

RATES = dict.fromkeys(SEVEN, 0.2)
INPUTS = InputsConfig(languages=("de", "en"), inputs=30, tests=4, candidates=6, corpus=20)
SYSTEMS = tuple(SystemConfig(name=name, error_rates=RATES) for name in ("plain", "twin", "assertive"))
SEES_ALL: dict[str, Any] = {
    "detection": dict.fromkeys(SEVEN, 1.0),
    "false_alarm": 0.0,
    "halo": 0.0,
    "lazy": 0.0,
    "leniency": 0.0,
    "input_spread": 0.0,
    "noise": 0.0,
}
PERFECT = CrowdConfig(**SEES_ALL, hiding={}, assertiveness_gain=0.0)
RELEASED = Path("/work/shared/data/human-feedback")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("annotation"))


@pytest.fixture(scope="module")
def outputs(bench: Bench) -> Path:
    return bench("outputs", answer_inputs, OutputsConfig(inputs=INPUTS, systems=SYSTEMS), seed=0)


@pytest.fixture(scope="module")
def forms(bench: Bench, outputs: Path) -> Path:
    return bench("forms", feedback_forms, FormsConfig(), outputs=outputs, seed=0)


@pytest.fixture(scope="module")
def experts(bench: Bench, outputs: Path, forms: Path) -> Path:
    return bench("experts", expert_labels, outputs=outputs, forms=forms)


@pytest.fixture(scope="module")
def perfect(bench: Bench, outputs: Path, forms: Path) -> Path:
    return bench("perfect", crowd_ratings, PERFECT, outputs=outputs, forms=forms, seed=0)


def test_opposite_preambles_share_their_errors_unless_one_declines(outputs: Path) -> None:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in read_outputs(outputs):
        found[row.prompt_id][row.meta["preamble"]] = row.meta
    assert len(found) == 60 and all(len(own) == 5 for own in found.values())
    told = 0
    for own in found.values():
        for high, low in (("assertive_high", "assertive_low"), ("complex_high", "complex_low")):
            errors = [set(own[name]["errors"]) for name in (high, low)]
            assert errors[0] == errors[1] or {"refusal"} in errors
            told += errors[0] == errors[1]
        assert own["assertive_high"]["assertiveness"] > own["assertive_low"]["assertiveness"]
    assert told > 80


def test_corpus_inputs_and_tests_share_no_request(bench: Bench, outputs: Path) -> None:
    corpus = bench("corpus", feedback_corpus, INPUTS, seed=0)
    ids = [json.loads(line)["id"] for line in (corpus / "train.jsonl").read_text().splitlines()]
    asked = [{prompt.id for prompt in read_prompts(outputs, name)} for name in ("prompts", "tests")]
    assert len(ids) == 20 and not set(ids) & asked[0] and not asked[0] & asked[1]


def test_perfect_raters_leave_no_gap_and_show_the_planted_weights(
    bench: Bench, perfect: Path, experts: Path, outputs: Path
) -> None:
    gaps = bench("gaps", examine_labels, GapsConfig(preamble="assertive_low"), ratings=perfect, experts=experts)
    assert measures(gaps) == {f"{name}_gap" for name in SEVEN}
    assert all(value in (0.0, None) for name in SEVEN for value in item_values(gaps, f"{name}_gap"))
    refused = [
        row
        for row in read_outputs(outputs)
        if row.meta["preamble"] == "assertive_low" and "refusal" in row.meta["errors"]
    ]
    assert item_values(gaps, "factuality_gap").count(None) == len(refused) > 0
    config = WeightsConfig(planted=PERFECT.weights)
    weights = bench("weights", examine_weights, config, ratings=perfect, experts=experts, seed=0)
    assert item_values(weights, "weight_is_planted") == [1.0] * 7
    assert fmean(v for v in item_values(weights, "order_is_planted") if v is not None) > 0.9
    shuffled = config.model_copy(update={"shuffled": True})
    control = bench("control", examine_weights, shuffled, ratings=perfect, experts=experts, seed=0)
    assert fmean(v for v in item_values(control, "order_is_planted") if v is not None) < 0.8


def test_a_hiding_crowd_reports_less_of_the_same_errors_in_assertive_text(
    bench: Bench, outputs: Path, forms: Path, experts: Path
) -> None:
    blind = PERFECT.model_copy(update={"hiding": {"factuality": 5.0}})
    ratings = bench("blind", crowd_ratings, blind, outputs=outputs, forms=forms, seed=0)
    found = {
        manner: bench(manner, examine_labels, GapsConfig(preamble=manner), ratings=ratings, experts=experts)
        for manner in ("assertive_high", "assertive_low")
    }
    values = {
        name: [v for v in item_values(folder, "factuality_gap") if v is not None] for name, folder in found.items()
    }
    assert fmean(values["assertive_high"]) < fmean(values["assertive_low"]) - 0.1
    assert set(item_values(found["assertive_high"], "relevance_gap")) <= {0.0, None}


def test_a_liking_of_assertive_text_is_found_at_equal_truth(
    bench: Bench, outputs: Path, forms: Path, experts: Path, perfect: Path
) -> None:
    fond = PERFECT.model_copy(update={"assertiveness_gain": 0.5})
    firm = tuple(system.model_copy(update={"assertiveness": 1.0 * (system.name == "assertive")}) for system in SYSTEMS)
    given = bench("firm", answer_inputs, OutputsConfig(inputs=INPUTS, systems=firm), seed=0)
    shown = bench("firm-forms", feedback_forms, FormsConfig(), outputs=given, seed=0)
    truth = bench("firm-experts", expert_labels, outputs=given, forms=shown)
    means = {}
    for name, crowd in (("fond", fond), ("neutral", PERFECT)):
        ratings = bench(f"firm-{name}", crowd_ratings, crowd, outputs=given, forms=shown, seed=0)
        for system in ("plain", "assertive"):
            config = SystemConfigName(system=system, systems=("plain", "twin", "assertive"))
            folder = bench(f"{name}-{system}", examine_system, config, ratings=ratings, experts=truth)
            means[name, system] = fmean(v for v in item_values(folder, "quality_at_equal_truth") if v is not None)
    assert means["fond", "assertive"] - means["fond", "plain"] > 0.2
    assert abs(means["neutral", "assertive"] - means["neutral", "plain"]) < 0.1


def test_the_rules_rater_reads_the_prompts_and_grades_what_it_reads(bench: Bench, outputs: Path, forms: Path) -> None:
    machine = bench("machine", machine_ratings, MachineConfig(like=PERFECT), outputs=outputs, forms=forms, seed=0)
    truth = {row.id: row.meta for row in read_outputs(outputs)}
    rows = [row for row in read_feedback(machine) if not row.meta["distractor"]]
    assert not any("error" in row.meta for row in rows) and len(rows) == 3 * 300
    for row in rows:
        meta = truth[row.meta["completion"]]
        if row.pass_ == "errors":
            assert set(row.errors) == set(meta["errors"])
        if row.pass_ == "quality":
            cost = sum(PERFECT.weights.get(error, 0.0) for error in meta["errors"])
            assert row.scores["quality"] == max(1, int(PERFECT.intercept - cost + 0.5))


def test_pairs_follow_scores_or_truth_and_leave_ties_out(
    bench: Bench, outputs: Path, forms: Path, perfect: Path
) -> None:
    truth = {row.id: row.meta["quality"] for row in read_outputs(outputs)}
    by_truth = bench("pairs-truth", feedback_pairs, FeedbackPairsConfig(by="truth"), outputs=outputs, forms=forms)
    pairs = read_pairs(by_truth, READER)
    assert all(truth[row.meta["chosen_id"]] > truth[row.meta["rejected_id"]] for row in pairs)
    told = json.loads((by_truth / "pairs.json").read_text())
    assert told == {"forms": 60 * 10, "pairs": len(pairs)} and 0 < len(pairs) < 600
    config = FeedbackPairsConfig(by="scores")
    scored = bench("pairs-scores", feedback_pairs, config, outputs=outputs, forms=forms, ratings=perfect)
    genuine = [row for row in read_feedback(perfect) if row.pass_ == "quality" and not row.meta["distractor"]]
    said = {row.meta["completion"]: row.scores["quality"] for row in genuine}
    assert all(said[row.meta["chosen_id"]] > said[row.meta["rejected_id"]] for row in read_pairs(scored, READER))


def test_a_random_pick_is_the_mean_of_the_answers(bench: Bench, outputs: Path) -> None:
    folder = bench("random", examine_picks, PicksConfig(sizes=(1, 3, 6)), outputs=outputs)
    answers = read_outputs(outputs, "candidates.jsonl")
    means = defaultdict(list)
    for row in answers:
        means[row.prompt_id].append(facts(row)["assertiveness"])
    for measure in ("assertiveness_best_of_1", "assertiveness_best_of_6", "picked_assertiveness"):
        assert item_values(folder, measure) == pytest.approx([fmean(own) for own in means.values()])
    assert item_values(folder, "style_over_truth") == pytest.approx([0.0] * 8)


def test_forms_repeat_some_pairs_and_have_distractors_and_checks(forms: Path) -> None:
    found = read_forms(forms)
    assert sum(form.repeat > 0 for form in found if form.pass_ == "errors") == 15 * 4
    assert sum(form.distractor for form in found if form.pass_ == "quality") == 60
    assert all(form.attention == (("yes", "no") if form.pass_ == "errors" else ()) for form in found)
    assert all(form.asked == (SEVEN if form.pass_ == "errors" else ()) for form in found)


def test_systems_that_cannot_be_reached_are_an_error_and_no_gap_in_the_data(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paribus.inference.engine import GenerationRequest, Reply
    from paribus.studies.stages import annotation

    class Flaky:
        name = "a"

        def generate(self, requests: list[GenerationRequest]) -> list[Reply]:
            failed = Reply(request_id=requests[0].id, text="", tokens=0, finish="error", error="503")
            return [failed] + [Reply(request_id=row.id, text="...", tokens=1, finish="stop") for row in requests[1:]]

    monkeypatch.setattr(annotation, "served_engine", lambda *_: Flaky())
    config = OutputsConfig(inputs=INPUTS, systems=(SystemConfig(name="a", endpoint="http://localhost/v1"),))
    with pytest.raises(EngineError, match=r"1 of 300 requests to the systems failed.*503.*run again"):
        bench("flaky", answer_inputs, config, seed=0)


@pytest.mark.skipif(not RELEASED.is_dir(), reason="the released tables are not here")
def test_the_released_tables_are_audited_into_panels_that_can_be_drawn(bench: Bench, tmp_path: Path) -> None:
    folders = []
    for name in ("error_annotations", "quality_annotations", "style_annotations", "expert_labels"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(RELEASED / f"part2_{name}.csv", folder)
        (folder / "manifest.json").write_text("{}")
        folders.append(folder)
    out = bench("given", audit_given, GivenRatingsConfig(resamples=50), ratings=folders[:3], experts=folders[3])
    panels = {panel.id: panel for panel in read_panels([out])}
    for panel in panels.values():
        check_panel(panel)
    gaps = {(row["x"], row["y"]): row["value"] for row in panels["given-gaps"].rows}
    assert gaps["assertive high", "factuality"] == pytest.approx(-0.223, abs=5e-4)
    assert gaps["assertive low", "factuality"] == pytest.approx(-0.053, abs=5e-4)
