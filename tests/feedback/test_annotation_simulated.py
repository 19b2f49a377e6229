"""Planted raters: what is planted is found again, and nothing is found where nothing is."""

import numpy as np
import pytest
from annotation_toy import inputs, outputs

from paribus.errors import ConfigError, DataError
from paribus.feedback.annotation.aggregation import Outputs, aggregate
from paribus.feedback.annotation.columns import Output, expert_table, tables_of
from paribus.feedback.annotation.confounders import crowd_minus_expert
from paribus.feedback.annotation.crowd import PlantedOutputs
from paribus.feedback.annotation.design import Assignment, Design, assign, make_forms
from paribus.feedback.annotation.regression import regress
from paribus.feedback.annotation.schema import ERRORS, EXPERT, SEVEN, validate
from paribus.feedback.annotation.simulated import (
    CROWD,
    RaterModel,
    Truth,
    experts,
    judge_outputs,
    simulate,
    truths_of,
)
from paribus.records import Completion
from paribus.world.graded import Plan

WEIGHTS = {"refusal": 1.2, "formatting": 0.9, "relevance": 0.6, "repetition": 0.4}
MANNER = {"normal": 0.0, "assertive_high": 1.5, "assertive_low": -1.5, "complex_high": 0.0, "complex_low": 0.0}


def planted(rows: list[Completion], rate: float = 0.2, seed: int = 0) -> dict[str, Truth]:
    rng = np.random.default_rng(seed)
    return {
        row.id: Truth(
            frozenset(name for name in SEVEN if rng.random() < rate), assertiveness=MANNER[row.meta["preamble"]]
        )
        for row in rows
    }


def rated(count: int, model: RaterModel, rate: float = 0.2, raters: int = 20):
    """Assignments, truths and ratings of a whole design."""
    prompts = inputs(count)
    rows = outputs(prompts)
    truths = planted(rows, rate)
    forms = make_forms(prompts, rows, Design(errors=SEVEN))
    pools = {pass_: [f"{pass_}{n}" for n in range(raters)] for pass_ in ("errors", "quality", "style")}
    given = assign(forms, pools)
    return given, truths, simulate(given, truths, model)


def many(
    count: int, rate: float = 0.2, style: float = 0.0, seed: int = 0
) -> tuple[PlantedOutputs, np.ndarray, np.ndarray]:
    """Arrays: outputs with random errors, rated four times each by 50 raters."""
    rng = np.random.default_rng(seed)
    errors = (rng.random((count, 10)) < rate) & np.isin(ERRORS, SEVEN)
    a = style * rng.integers(-2, 3, count)
    found = PlantedOutputs(errors, a, np.zeros(count), np.arange(count) // 5, np.zeros(count, dtype=bool))
    item = np.repeat(np.arange(count), 4)
    return found, item, rng.integers(0, 50, len(item))


NAMES = [f"r{n}" for n in range(50)]


def test_ratings_are_valid_and_speak_of_the_form() -> None:
    given, _, ratings = rated(10, CROWD)
    assert len(ratings) == 2 * len(given)
    for n, (form, rater) in enumerate(given):
        for place in (0, 1):
            row = validate(ratings[2 * n + place], errors=SEVEN)
            assert (row.item, row.rater, row.pass_) == (form.items[place].id, rater, form.pass_)
            assert row.meta["form"] == form.id and ("attention" in row.meta) == (form.pass_ == "errors")


def test_records_and_arrays_are_the_same_draws() -> None:
    given, truths, ratings = rated(6, CROWD, raters=10)
    for pass_ in ("errors", "quality", "style"):
        own = [assignment for assignment in given if assignment.form.pass_ == pass_]
        items = {(item.id, item.meta["completion"]): item for assignment in given for item in assignment.form.items}
        keys = sorted(items)
        values = [truths[key[1]] for key in keys]
        stray = np.array([items[key].meta["model"] == "distractor" for key in keys])
        values = [
            Truth(truth.errors | {"relevance"}, truth.assertiveness) if away else truth
            for truth, away in zip(values, stray, strict=True)
        ]
        sources = sorted({items[key].meta["input"] for key in keys})
        cluster = np.array([sources.index(items[key].meta["input"]) for key in keys])
        names = sorted({assignment.rater for assignment in own})
        item = np.array([keys.index((i.id, i.meta["completion"])) for form, _ in own for i in form.items])
        rater = np.repeat([names.index(assignment.rater) for assignment in own], 2)
        judged = judge_outputs(CROWD, pass_, PlantedOutputs.of(values, cluster, stray), item, rater, names)
        rows = [row for row in ratings if row.pass_ == pass_]
        for name, scores in judged.scores.items():
            assert [row.scores[name] for row in rows] == scores.tolist()
        if pass_ == "errors":
            flags = [tuple(ERRORS[j] for j in np.flatnonzero(row) if ERRORS[j] in SEVEN) for row in judged.errors]
            assert [row.errors for row in rows] == flags


def test_equal_calls_give_equal_ratings_and_seeds_differ() -> None:
    given, truths, ratings = rated(5, CROWD)
    assert simulate(given, truths, CROWD) == ratings
    assert simulate(given, truths, RaterModel(seed=1)) != simulate(given, truths, RaterModel())


def test_without_noise_scores_are_the_formula_and_flags_the_truth() -> None:
    model = RaterModel(
        intercept=4, weights={"refusal": 2, "relevance": 1}, assertiveness_gain=0.5, noise=0, style_noise=0, detection=1
    )
    truths = [Truth(), Truth(frozenset({"refusal"})), Truth(frozenset({"relevance"}), 2, 1), Truth(frozenset(), -2, -1)]
    columns, item, rater = PlantedOutputs.of(truths), np.arange(4), np.zeros(4, dtype=int)
    assert judge_outputs(model, "quality", columns, item, rater, ["r"]).scores["quality"].tolist() == [4, 2, 4, 3]
    flagged = judge_outputs(model, "errors", columns, item, rater, ["r"])
    assert flagged.scores["overall"].tolist() == [4, 2, 4, 3]
    assert (flagged.errors == columns.errors).all()
    style = judge_outputs(model, "style", columns, item, rater, ["r"]).scores
    assert style["assertiveness"].tolist() == [3, 3, 5, 1] and style["complexity"].tolist() == [3, 3, 5, 1]


def test_errors_are_noticed_as_often_as_planted_at_every_assertiveness() -> None:
    model = RaterModel(
        detection={"factuality": 0.5, "refusal": 0.9}, hiding={"factuality": 0.6, "relevance": 0.3}, false_alarm=0.03
    )
    columns, item, rater = many(20_000, style=1.0)
    flags = judge_outputs(model, "errors", columns, item, rater, NAMES).errors
    for name, s, k in (("factuality", 0.5, 0.6), ("refusal", 0.9, 0.0), ("relevance", 0.8, 0.3)):
        j = ERRORS.index(name)
        for a in range(-2, 3):
            there = columns.errors[item, j] & (columns.assertiveness[item] == a)
            chance, n = min(1.0, s * np.exp(-k * a)), there.sum()
            assert abs(flags[there, j].mean() - chance) <= 4.5 * np.sqrt(max(chance * (1 - chance), 1e-12) / n)
        absent = ~columns.errors[item, j]
        assert flags[absent, j].mean() == pytest.approx(0.03, abs=0.003)


def test_the_halo_of_a_noticed_error_raises_the_others() -> None:
    columns, item, rater = many(5_000, rate=0.1)
    model = RaterModel(detection=1, halo=0.2)
    flags = judge_outputs(model, "errors", columns, item, rater, NAMES).errors
    present = columns.errors[item]
    for m in (0, 1, 2):
        rows = present.sum(axis=1) == m
        assert flags[rows][~present[rows]].mean() == pytest.approx(1 - 0.8**m, abs=0.015)


def test_the_lasso_finds_the_planted_errors_and_their_order() -> None:
    columns, item, rater = many(3_000, rate=0.15)
    model = RaterModel(weights=WEIGHTS, intercept=4.2, noise=0.7, leniency=0.2)
    scores = judge_outputs(model, "quality", columns, item, rater, NAMES).scores["quality"]
    keys = tuple(Output("d", str(n // 5), "en", f"m{n % 5}", "normal") for n in range(3_000))
    flags = {name: columns.errors[:, ERRORS.index(name)].astype(float) for name in SEVEN}
    mean = scores.reshape(-1, 4).mean(axis=1)
    found = regress(Outputs(keys, flags, {"quality": mean}, np.full(3_000, np.nan), {}), resamples=200)
    weights = {row.error: row.lasso.estimate for row in found.weights}
    assert {name for name, weight in weights.items() if weight > 0} == set(WEIGHTS)
    assert sorted(WEIGHTS, key=weights.__getitem__) == sorted(WEIGHTS, key=WEIGHTS.__getitem__)
    for row in found.weights:
        # Rounding to 1..5 loses a little of the largest weights; the order and the rest stay.
        assert row.ols.estimate == pytest.approx(WEIGHTS.get(row.error, 0.0), abs=0.12)


@pytest.mark.parametrize(("k", "hidden"), [(0.5, True), (0.0, False)])
def test_crowds_miss_more_errors_in_assertive_answers_only_if_that_is_planted(k: float, hidden: bool) -> None:
    model = RaterModel(detection=0.4, hiding={"factuality": k})
    given, truths, ratings = rated(120, model, rate=0.4)
    crowd = aggregate([tables_of(ratings)["errors"]])
    labels = expert_table(experts([assignment.form for assignment in given], truths))
    assert labels is not None
    gaps = crowd_minus_expert(crowd, aggregate([labels]), without_refusals=False, resamples=400)
    contrasts = {(row.group, row.baseline): row.difference for row in gaps.contrasts if row.error == "factuality"}
    firm_against_unsure = contrasts["assertive_high", "assertive_low"]
    if hidden:
        assert firm_against_unsure.high < -0.1
    else:
        assert firm_against_unsure.contains(0.0)
        assert all(gaps.of("factuality", name).difference.high < 0 for name in MANNER)  # they miss some everywhere


def test_intervals_cover_nothing_where_nothing_is_planted() -> None:
    """A/A: no weight is planted, outputs of an input share its spread; 95% intervals miss zero about as rarely."""
    misses, runs = 0, 60
    for seed in range(runs):
        columns, item, rater = many(300, seed=seed)
        model = RaterModel(noise=0.8, input_spread=0.5, seed=seed)
        scores = judge_outputs(model, "quality", columns, item, rater, NAMES).scores["quality"]
        keys = tuple(Output("d", str(n // 5), "en", f"m{n % 5}", "normal") for n in range(300))
        flags = {name: columns.errors[:, ERRORS.index(name)].astype(float) for name in ("factuality", "refusal")}
        mean = scores.reshape(-1, 4).mean(axis=1)
        fit = regress(Outputs(keys, flags, {"quality": mean}, np.full(300, np.nan), {}), path=(0.01,), resamples=200)
        misses += sum(not row.ols.contains(0.0) for row in fit.weights)
    # 120 intervals at 95%: 6 expected; 14 or more have a chance of 0.2%, 0 of 0.2%.
    assert 1 <= misses <= 13


def test_unnoticed_errors_cost_nothing_where_raters_judge_by_what_they_notice() -> None:
    columns, item, rater = many(4_000)
    wrong = columns.errors[item, ERRORS.index("factuality")]
    loss = {}
    for sees in ("truth", "noticed"):
        model = RaterModel(weights={"factuality": 1.0}, detection=0.3, sees=sees, intercept=3.5)
        scores = judge_outputs(model, "quality", columns, item, rater, NAMES).scores["quality"]
        loss[sees] = scores[~wrong].mean() - scores[wrong].mean()
    assert loss["truth"] == pytest.approx(1.0, abs=0.07) and loss["noticed"] == pytest.approx(0.3, abs=0.07)


def test_lazy_raters_do_not_depend_on_what_they_see() -> None:
    model = RaterModel(lazy=1.0, weights={"refusal": 3.0}, detection=1.0)
    columns, item, rater = many(4_000)
    judged = judge_outputs(model, "errors", columns, item, rater, NAMES)
    habits = np.array([model.habit(name) for name in NAMES])[rater]
    assert set(habits) == {"random", "straight"}
    assert not judged.errors[habits == "straight"].any()
    assert judged.errors[habits == "random"].mean() == pytest.approx(0.2, abs=0.01)
    assert np.bincount(judged.scores["overall"][habits == "random"], minlength=6)[1:].min() > 1_000
    for number in range(50):
        own = judged.scores["overall"][rater == number]
        assert (len(set(own)) == 1) == (model.habit(f"r{number}") == "straight")


def test_a_rater_has_one_leaning_and_an_input_one_spread_in_every_pass() -> None:
    model = RaterModel(leniency=1.0, input_spread=0.0, noise=0.3, intercept=3)
    columns, item, rater = many(4_000, rate=0.0)
    by_pass = [
        judge_outputs(model, "quality", columns, item, rater, NAMES).scores["quality"],
        judge_outputs(model, "errors", columns, item, rater, NAMES).scores["overall"],
    ]
    means = [np.bincount(rater, scores, 50) / np.bincount(rater, minlength=50) for scores in by_pass]
    assert np.corrcoef(*means)[0, 1] > 0.98
    assert np.corrcoef(means[0], [model.leaning(name) for name in NAMES])[0, 1] > 0.95


def test_experts_label_every_genuine_output_exactly_once() -> None:
    given, truths, _ = rated(6, CROWD)
    labels = experts([assignment.form for assignment in given], truths)
    assert len(labels) == 30 and all(row.rater == EXPERT and not row.scores for row in labels)
    assert not any(row.meta["distractor"] for row in labels)
    for row in labels:
        validate(row)
        assert set(row.errors) == truths[row.meta["completion"]].errors


def test_truths_come_from_graded_answers() -> None:
    row = Completion(id="c", prompt_id="p", language="en", model="m", text="x", meta={"errors": ["refusal"]})
    assert truths_of([row]) == {"c": Truth(frozenset({"refusal"}))}
    styled = row.model_copy(update={"meta": {"errors": [], "assertiveness": 2, "complexity": -1}})
    assert truths_of([styled])["c"] == Truth(frozenset(), 2.0, -1.0)
    with pytest.raises(DataError, match="'c' has no errors"):
        truths_of([row.model_copy(update={"meta": {}})])
    plan = Plan(frozenset({"factuality"}), 2, 1, 0)
    assert PlantedOutputs.of([plan]).errors.sum() == 1 and PlantedOutputs.of([plan]).assertiveness[0] == 2


def test_what_cannot_be_planted_is_refused() -> None:
    for bad in (
        {"weights": {"spelling": 1.0}},
        {"detection": 1.5},
        {"false_alarm": {"refusal": -0.1}},
        {"lazy": 2.0},
        {"noise": -1.0},
    ):
        with pytest.raises(ConfigError, match="RaterModel"):
            RaterModel(**bad)
    prompts = inputs(4)
    form = make_forms(prompts, outputs(prompts))[0]
    with pytest.raises(DataError, match="truth of the completion"):
        simulate([Assignment(form, "r")], {})
