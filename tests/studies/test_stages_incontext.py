"""Examinations on prompts as stages: learners called directly, scores by hand, windows, lessons, questions in text."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from stage_folders import Bench, item_values, measures, read, small

from paribus.errors import ConfigError
from paribus.lab import Cost
from paribus.studies.stages import incontext
from paribus.studies.stages.incontext import (
    CURVES,
    DIRECT,
    HEADS,
    DirectConfig,
    DirectLearnerConfig,
    ExamineLearnerConfig,
    ExaminePromptsConfig,
    Kind,
    LearnerName,
    ask_directly,
    ask_learner,
    exam_of,
    examine_learner,
    examine_prompts,
    in_parts,
    learner_of,
    test_prompts,
    windows,
)
from paribus.studies.stages.problems import Draws, PromptProblem
from paribus.studies.stages.rows import read_rows
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.direct import nearest_neighbour_engine
from paribus.testbeds.incontext.learner import correct
from paribus.testbeds.incontext.learners import NearestNeighbours, optimal_for
from paribus.testbeds.incontext.learners_bayes import Bayes
from paribus.testbeds.incontext.learners_neighbours import ambiguous
from paribus.testbeds.incontext.prompts import Prompts, encode
from paribus.testbeds.seeds import TEST_SEED

test_prompts.__test__ = False  # type: ignore[attr-defined]  # a function of the study, no test

CONJUNCTION = PromptProblem(name="conjunction", dimensions=4, points=16)
NEIGHBOURS = PromptProblem(name="nearest_neighbour", dimensions=4, points=16, settings={"start": 4})
KINDS = {
    "plain": Draws(),
    "shifted points": Draws(bit_probability=0.8),
    "noisy labels": Draws(label_noise=0.2),
    "taught": Draws(teaching=1.0),
    "taught, corrupted": Draws(teaching=1.0, corruption=0.4),
}
PLAIN = {"plain": "it"}
TAUGHT = {"plain": "it", "taught": "it_taught"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def examination(problem: PromptProblem = CONJUNCTION, **changes: Any) -> ExaminePromptsConfig:
    names = ("plain",) if problem.name == "nearest_neighbour" else tuple(KINDS)
    kinds = [Kind(name=name, draws=KINDS[name]) for name in names]
    kinds.append(Kind(name="longer prompts", draws=Draws(), points=24))
    measured = PLAIN if problem.name == "nearest_neighbour" else TAUGHT
    fields = {"problem": problem, "kinds": tuple(kinds), "measured": measured, "prompts": 30, **changes}
    return ExaminePromptsConfig(**fields)


def kind_of(config: ExaminePromptsConfig, name: str) -> Kind:
    return next(kind for kind in config.kinds if kind.name == name)


def examined_learner(bench: Bench, name: LearnerName, config: ExaminePromptsConfig | None = None) -> Path:
    return bench(name, examine_learner, ExamineLearnerConfig(**dict(config or examination()), learner=name))


def curve_of(folder: Path, kind: str) -> list[float]:
    return [row["mean"] for row in read_rows(folder / CURVES) if row["kind"] == kind]


def window_means(outcomes: torch.Tensor, window: slice) -> list[float]:
    return [sum(row[window].tolist()) / len(row[window]) for row in outcomes]


# ---- Test prompts ----------------------------------------------------------------------------------------------------


def test_all_kinds_ask_about_the_same_functions() -> None:
    config = examination()
    literals = [test_prompts(config, kind).functions["literals"] for kind in config.kinds]
    assert all(torch.equal(literals[0], other) for other in literals[1:])
    assert len({tuple(row.tolist()) for row in literals[0]}) > 10


def test_kinds_differ_as_they_are_named() -> None:
    config = examination()
    plain, shifted, noisy, taught, spoilt = (test_prompts(config, kind_of(config, name)) for name in KINDS)
    function_class = CONJUNCTION.function_class()

    def flipped(prompts: Prompts) -> torch.Tensor:
        return function_class.evaluate(prompts.functions, prompts.x) != prompts.y

    assert not flipped(plain).any() and not flipped(taught).any()
    assert 0.1 < flipped(noisy).float().mean() < 0.3
    lesson = torch.arange(16) < spoilt.taught.unsqueeze(1)
    assert flipped(spoilt)[lesson].any() and not flipped(spoilt)[~lesson].any()
    assert (shifted.x > 0).float().mean() > (plain.x > 0).float().mean() + 0.1
    assert not plain.taught.any() and bool((taught.taught > 0).all())
    assert test_prompts(config, config.kinds[-1]).x.shape[1] == 24


def test_prompts_of_tests_are_no_prompts_of_training() -> None:
    assert torch.equal(
        test_prompts(examination(), Kind(name="plain", draws=Draws())).x,
        CONJUNCTION.function_class().sample(30, torch.Generator().manual_seed(TEST_SEED)).x,
    )


def test_functions_of_a_pool_are_left_out() -> None:
    config = examination()
    held_out = test_prompts(config, Kind(name="plain", draws=Draws(pool=5, held_out=True)))
    pool = CONJUNCTION.function_class().sample(200, torch.Generator().manual_seed(3), pool=5)
    rows = [{tuple(row.tolist()) for row in prompts.functions["literals"]} for prompts in (held_out, pool)]
    assert len(rows[1]) <= 5 and rows[0].isdisjoint(rows[1])


# ---- Learners --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["optimal", "nearest_neighbour", "three_neighbours", "averaging", "null"])
def test_a_learner_arm_is_the_learner_called_directly(bench: Bench, name: LearnerName) -> None:
    config = examination()
    folder = examined_learner(bench, name)
    learner = learner_of(name, CONJUNCTION.function_class())
    for kind in ("plain", "longer prompts"):
        prompts = test_prompts(config, kind_of(config, kind))
        outcomes = correct(learner.predict(prompts), prompts)
        assert curve_of(folder, kind) == pytest.approx(outcomes.mean(0).tolist())
        if kind == "plain":
            assert item_values(folder, "it_early_accuracy") == pytest.approx(window_means(outcomes, slice(2, 7)))
            assert item_values(folder, "it_late_accuracy") == pytest.approx(window_means(outcomes, slice(12, 16)))
            assert item_values(folder, "it_mean_accuracy") == pytest.approx(window_means(outcomes, slice(0, 16)))


@pytest.mark.parametrize(("name", "noise"), [("noisy labels", 0.2), ("taught, corrupted", 0.4)])
def test_the_best_learner_knows_how_often_labels_lie(bench: Bench, name: str, noise: float) -> None:
    config = examination()
    folder = examined_learner(bench, "optimal")
    prompts = test_prompts(config, kind_of(config, name))
    best = Bayes(CONJUNCTION.function_class(), label_noise=noise)
    assert curve_of(folder, name) == pytest.approx(correct(best.predict(prompts), prompts).mean(0).tolist())


def test_a_learner_that_takes_prompts_in_parts_answers_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = CONJUNCTION.function_class().sample(20, torch.Generator().manual_seed(0), teaching=0.5)
    learner = learner_of("optimal", CONJUNCTION.function_class())
    whole = learner.predict(prompts)
    monkeypatch.setattr(incontext, "AT_ONCE", 7)
    torch.testing.assert_close(in_parts(learner, prompts), whole)


@pytest.mark.parametrize("name", get_args(LearnerName))
def test_every_name_is_a_learner_of_every_class_that_the_study_has(name: LearnerName) -> None:
    for of in ("conjunction", "disjunction", "nearest_neighbour", "sparse_parity"):
        function_class = parse_class(of, dimensions=4, points=8)
        prompts = function_class.sample(3, torch.Generator().manual_seed(0))
        assert learner_of(name, function_class).predict(prompts).shape == (3, 8)


def test_the_commoner_label_is_that_of_the_class() -> None:
    said = {name: learner_of("null", parse_class(name)).label for name in ("conjunction", "disjunction")}  # type: ignore[attr-defined]
    assert said == {"conjunction": -1, "disjunction": 1}


@pytest.mark.parametrize("name", ["conjunction", "dnf", "halfspace"])
def test_a_class_too_large_for_its_best_learner_says_so(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"best learner of {name} at dimensions=\d+ .* leave 'optimal' out"):
        learner_of("optimal", parse_class(name))


def test_nearest_neighbours_are_scored_from_where_the_rule_begins(bench: Bench) -> None:
    config = examination(NEIGHBOURS, first=4)
    folder = examined_learner(bench, "optimal", config)
    examples = [row["examples"] for row in read_rows(folder / CURVES) if row["kind"] == "plain"]
    assert examples == list(range(4, 16))
    assert set(item_values(folder, "it_mean_accuracy")) == {1.0}  # the rule itself


def test_queries_whose_nearest_points_disagree_are_told_apart(bench: Bench) -> None:
    """1-NN that shares ties is right wherever nearest points agree; the rest is what it loses."""
    config = examination(NEIGHBOURS, first=4)
    folder = examined_learner(bench, "nearest_neighbour", config)
    prompts = test_prompts(config, kind_of(config, "plain"))
    tied = ambiguous(prompts)[:, 4:]
    outcomes = correct(NearestNeighbours(1).predict(prompts), prompts)[:, 4:]
    assert 0 < tied.float().mean() < 1 and set(curve_of(folder, "unambiguous")) == {1.0}
    expected = [float(outcomes[tied[:, i], i].mean()) for i in range(12) if tied[:, i].any()]
    assert curve_of(folder, "ambiguous") == pytest.approx(expected)


def test_other_classes_have_no_ambiguity(bench: Bench) -> None:
    kinds = {row["kind"] for row in read_rows(examined_learner(bench, "null") / CURVES)}
    assert kinds == {*KINDS, "longer prompts"}


# ---- Windows ---------------------------------------------------------------------------------------------------------


def prompts_with(taught: list[int], points: int) -> Prompts:
    count = len(taught)
    x, y = torch.ones(count, points, 2, dtype=torch.int8), torch.ones(count, points, dtype=torch.int8)
    return Prompts(x=x, y=y, functions={}, forced=y > 1, taught=torch.tensor(taught))


@pytest.mark.parametrize(
    ("points", "first", "early", "late"),
    [(16, 0, range(2, 7), range(12, 16)), (20, 4, range(6, 11), range(16, 20)), (70, 0, range(15, 20), range(53, 70))],
)
def test_windows_are_around_a_quarter_and_over_the_last_one(points: int, first: int, early: range, late: range) -> None:
    problem = CONJUNCTION.model_copy(update={"points": points})
    found = windows(examination(problem, first=first), prompts_with([0, 0], points))
    expected = {"early_accuracy": early, "late_accuracy": late, "mean_accuracy": range(first, points)}
    assert found.keys() == expected.keys()
    for name, places in expected.items():
        assert found[name].shape == (2, points)
        assert found[name][1].nonzero().flatten().tolist() == list(places)


def test_taught_windows_are_the_points_after_each_lesson() -> None:
    found = windows(examination(), prompts_with([3, 9, 0, 14, 16], 16))["after_accuracy"]
    rows = [row.nonzero().flatten().tolist() for row in found]
    assert rows == [[3, 4, 5, 6, 7], [9, 10, 11, 12, 13], [], [14, 15], []]


def test_a_prompt_without_a_point_after_its_lesson_is_not_scored(bench: Bench) -> None:
    """Four variables and sixteen points leave room; five points, all of a lesson, do not."""
    short = CONJUNCTION.model_copy(update={"points": 5, "settings": {"density": 1.0}})
    config = examination(short, kinds=(Kind(name="taught", draws=Draws(teaching=1.0)),), prompts=20)
    values = item_values(examined_learner(bench, "averaging", config), "it_taught_after_accuracy")
    assert values == [None] * 20


def test_after_a_lesson_the_best_learner_is_right(bench: Bench) -> None:
    folder = examined_learner(bench, "optimal")
    assert set(item_values(folder, "it_taught_after_accuracy")) == {1.0}
    assert min(item_values(folder, "it_early_accuracy")) < 1.0  # type: ignore[type-var]
    plain = {f"it_{name}_accuracy" for name in ("early", "late", "mean")}
    assert measures(folder) == plain | {"it_taught_after_accuracy"}


def test_a_lesson_longer_than_the_prompt_is_refused(bench: Bench) -> None:
    short = CONJUNCTION.model_copy(update={"points": 4})
    with pytest.raises(ConfigError, match=r"teaching sequence of 'conjunction' .* can take 5 points.*points=4"):
        examined_learner(bench, "null", examination(short))
    with pytest.raises(ConfigError, match="can take 5 points"):
        short.model_copy(update={"draws": Draws(teaching=0.5)}).sampler()


# ---- Networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixer", ["attention", "lstm"])
def test_a_networks_items_are_the_signs_of_its_logits(bench: Bench, mixer: str) -> None:
    reaching = CONJUNCTION.model_copy(update={"longest": 24})
    config = examination(reaching)
    model = small(mixer).build(reaching, seed=0).eval()
    model.save_pretrained(bench.root / "model")
    folder = bench("examined", examine_prompts, config, model=bench.root / "model")
    prompts = test_prompts(config, kind_of(config, "plain"))
    with torch.inference_mode():
        logits = model(inputs_embeds=encode(prompts)["inputs_embeds"]).logits[:, ::2, 0]
    outcomes = ((logits > 0) == (prompts.y > 0)).float()
    assert item_values(folder, "it_late_accuracy") == pytest.approx(window_means(outcomes, slice(12, 16)))
    assert curve_of(folder, "plain") == pytest.approx(outcomes.mean(0).tolist())
    assert bench.cost == Cost(parameters=sum(weight.numel() for weight in model.parameters()))
    heads = read(folder / HEADS)
    if mixer == "lstm":
        assert heads == {}
    else:
        assert {name: (len(rows), len(rows[0])) for name, rows in heads.items()} == {
            "nearest neighbour": (1, 2),
            "induction": (1, 2),
        }
        assert all(0 <= score <= 1 for rows in heads.values() for row in rows for score in row)


def test_heads_of_the_neighbour_class_are_scored_though_blocks_are_shorter_than_its_start(bench: Bench) -> None:
    problem = NEIGHBOURS.model_copy(update={"settings": {"start": 6}, "longest": 24})
    small().build(problem, seed=0).save_pretrained(bench.root / "model")
    folder = bench("examined", examine_prompts, examination(problem, first=6), model=bench.root / "model")
    assert set(read(folder / HEADS)) == {"nearest neighbour", "induction"}


# ---- Questions in text -----------------------------------------------------------------------------------------------

MAJORITY = PromptProblem(name="majority", dimensions=5, points=11)


def questions(problem: PromptProblem = MAJORITY) -> dict[str, Any]:
    return {"problem": problem, "functions": 12, "every": 5}


def asked_learner(bench: Bench, name: LearnerName, problem: PromptProblem = MAJORITY) -> Path:
    return bench(f"asked-{name}", ask_learner, DirectLearnerConfig(**questions(problem), learner=name))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["majority", "conjunction", "sparse_parity"])
def test_a_model_that_answers_as_a_neighbour_has_the_neighbours_items(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The whole way from functions to text, answers and rows, against the learner on the same points."""
    network = torch.nn.Linear(3, 1)
    monkeypatch.setattr(
        "paribus.studies.stages.models.open_model", lambda model: (network, SimpleNamespace(chat_template=None))
    )
    monkeypatch.setattr("paribus.inference.local.LocalEngine", lambda *given, name: nearest_neighbour_engine())
    problem = MAJORITY.model_copy(update={"name": name})
    folder = bench("asked", ask_directly, DirectConfig(**questions(problem)), model=bench.root)
    assert bench.cost == Cost(calls=12 * 2, parameters=4)
    learner = asked_learner(bench, "nearest_neighbour", problem)
    assert rows_of(folder) == rows_of(learner)
    told = [(row["shown"], row["accuracy"]) for row in read_rows(folder / DIRECT)]
    assert told == [(row["shown"], row["accuracy"]) for row in read_rows(learner / DIRECT)]


def test_every_question_is_an_item_and_those_about_a_function_are_one_cluster(bench: Bench) -> None:
    rows = rows_of(asked_learner(bench, "averaging"))
    assert len(rows) == 12 * 2 and len({row["item"] for row in rows}) == 24
    assert len({row["cluster"] for row in rows}) == 12
    assert {row["item"].rpartition("-")[2] for row in rows} == {"5", "10"}
    assert [row["shown"] for row in read_rows(bench.root / "asked-averaging" / DIRECT)] == [5, 10]


def test_a_learner_asked_in_text_is_the_one_of_the_class_that_is_asked_about(bench: Bench) -> None:
    """In text half of the variables are in use; the best learner must weigh functions so."""
    problem = PromptProblem(name="conjunction", dimensions=5, points=11)
    exam = exam_of(DirectLearnerConfig(**questions(problem), learner="optimal"))
    assert exam.function_class.density == 0.5 != problem.function_class().density  # type: ignore[attr-defined]
    best = optimal_for(exam.function_class)
    assert best is not None
    right = correct(best.predict(exam.prompts), exam.prompts)
    expected = [float(right[function, shown]) for function in range(12) for shown in (5, 10)]
    assert [row["value"] for row in rows_of(asked_learner(bench, "optimal", problem))] == expected


def test_questions_are_about_the_same_functions_for_everyone() -> None:
    first, again = (exam_of(DirectConfig(**questions())) for _ in range(2))
    assert torch.equal(first.prompts.x, again.prompts.x)
    assert [question.id for question in first.questions] == [question.id for question in again.questions]
