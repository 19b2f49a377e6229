"""Comparable or refused: undeclared differences and missed budgets stop the build, with the difference printed."""

from pathlib import Path
from typing import Any

import pytest
from lab_toy import CorpusConfig, EvaluateConfig, TrainConfig, corpus, evaluate, train
from pydantic import BaseModel, ConfigDict

from paribus.errors import ComparisonError, ConfigError
from paribus.lab import Arm, Contrast, Cost, Matched, Unmatched, stage
from paribus.lab.comparison import check_contrast, differences


class RouterConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str = "single"
    teachers: tuple[str, ...] = ("a",)


class RouteConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    router: RouterConfig = RouterConfig()
    size: int = 5


@stage
def route(config: RouteConfig, *, out: Path) -> None: ...


@stage(cost=lambda config, inputs: Cost(parameters=100, tokens=3))
def polish(model: Path, *, out: Path) -> None: ...


def arm(
    name: str, *, seeds: tuple[int, ...] = (0, 1), router: str = "single", polished: bool = False, **train_fields: Any
) -> Arm:
    runs = {}
    for seed in seeds:
        data = route(RouteConfig(router=RouterConfig(kind=router)))
        model = train(TrainConfig(**train_fields), corpus=data, seed=seed, label="sft")
        model = polish(model=model) if polished else model
        runs[seed] = {"evaluation": evaluate(EvaluateConfig(), model=model)}
    return Arm(name, "", runs)


def contrast(*differs: str, matched: Matched | Unmatched | None = None) -> Contrast:
    match = matched or Matched(currency="tokens", labels=("sft",))
    return Contrast(name="c", arm="new", baseline="old", measure="m", differs_in=differs, matched=match)


def check(contrasted: Contrast, new: Arm, old: Arm) -> list[str]:
    return check_contrast(contrasted, new, old)


def test_equal_arms_have_no_difference() -> None:
    assert differences(arm("new"), arm("old")) == {}
    assert check(contrast(), arm("new"), arm("old")) == []


def test_a_difference_is_seen_at_its_cause_only() -> None:
    assert differences(arm("new", router="random"), arm("old")) == {"route.router.kind": ("single", "random")}


@pytest.mark.parametrize("pattern", ["route.router.kind", "route.router", "route.*", "*.kind"])
def test_a_declared_difference_passes(pattern: str) -> None:
    check(contrast(pattern), arm("new", router="random"), arm("old"))


@pytest.mark.parametrize("pattern", ["route", "route.rout", "router", "route.size"])
def test_a_pattern_covers_no_more_than_it_says(pattern: str) -> None:
    with pytest.raises(ComparisonError, match=r"route.router.kind: 'single' -> 'random'"):
        check(contrast(pattern), arm("new", router="random"), arm("old"))


def test_all_undeclared_differences_are_printed() -> None:
    with pytest.raises(ComparisonError) as caught:
        check(contrast("sft.steps"), arm("new", router="random", lift=2.0), arm("old"))
    assert "sft.lift: 0 -> 2" in str(caught.value) and "route.router.kind" in str(caught.value)


def test_an_added_stage_and_its_wiring_must_be_declared() -> None:
    new, old = arm("new", polished=True), arm("old")
    assert set(differences(new, old)) == {"polish", "evaluate.inputs"}
    with pytest.raises(ComparisonError, match="polish"):
        check(contrast("evaluate.inputs"), new, old)
    check(contrast("polish", "evaluate.inputs"), new, old)


def test_a_different_stage_function_under_one_label_is_a_difference() -> None:
    def ending(replaced: bool) -> Arm:
        data = route(RouteConfig(), label="data") if replaced else corpus(CorpusConfig(), label="data")
        model = train(TrainConfig(), corpus=data, seed=0)
        return Arm("x", "", {0: {"evaluation": evaluate(EvaluateConfig(), model=model)}})

    assert "data.stage" in differences(ending(True), ending(False))


def test_versions_and_seeds_count() -> None:
    @stage(version="2", name="train", cost=train.cost)
    def newer(config: TrainConfig, corpus: Path, *, out: Path, seed: int) -> None: ...

    data = corpus(CorpusConfig())
    old = Arm("old", "", {0: {"evaluation": train(TrainConfig(), corpus=data, seed=0)}})
    new = Arm("new", "", {0: {"evaluation": newer(TrainConfig(), corpus=data, seed=5)}})
    assert set(differences(new, old)) == {"train.version", "train.seed"}
    assert set(differences(arm("new", seeds=(0,)), arm("old"))) == {"seeds"}


def test_a_declared_difference_that_is_none_is_noticed() -> None:
    notices = check(contrast("sft.learning_rate"), arm("new"), arm("old"))
    assert len(notices) == 1 and "sft.learning_rate" in notices[0]


def test_a_missed_budget_is_refused_with_the_amounts() -> None:
    with pytest.raises(ComparisonError, match=r"'new' plans 2,100 and 'old' 2,000, 4.8% apart"):
        check(contrast("sft.steps"), arm("new", steps=21), arm("old"))


def test_a_miss_within_one_percent_passes() -> None:
    check(contrast("sft.steps"), arm("new", steps=201), arm("old", steps=200))
    with pytest.raises(ComparisonError):
        check(contrast("sft.steps"), arm("new", steps=203), arm("old", steps=200))


def test_a_match_over_nothing_is_refused() -> None:
    for matched in (Matched(currency="tokens", labels=("stf",)), Matched(currency="calls", labels=("sft",))):
        with pytest.raises(ComparisonError, match="check the labels"):
            check(contrast(matched=matched), arm("new"), arm("old"))


def test_an_unmatched_contrast_may_spend_what_it_says() -> None:
    check(contrast("sft.steps", matched=Unmatched(reason="the question is scale")), arm("new", steps=99), arm("old"))


def test_parameters_do_not_add_up_over_a_pipeline() -> None:
    matched = Matched(currency="parameters", labels=("polish", "again"))
    once = polish(model=corpus(CorpusConfig()))
    twice = polish(model=once, label="again")
    old, new = (Arm(n, "", {0: {"evaluation": h}}) for n, h in (("old", once), ("new", twice)))
    check(contrast("again", matched=matched), new, old)


def test_one_label_may_not_name_two_stages_of_a_run() -> None:
    data = corpus(CorpusConfig())
    first = train(TrainConfig(), corpus=data, seed=0)
    second = train(TrainConfig(steps=7), corpus=data, seed=0)
    with pytest.raises(ConfigError, match="label 'train' names"):
        _ = Arm("x", "", {0: {"a": first, "evaluation": second}}).labelled
