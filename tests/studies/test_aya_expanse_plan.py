"""The Aya Expanse study as a plan: what it compares, what it refuses, what full scale names. Nothing runs here."""

from collections.abc import Iterable
from typing import Any

import pytest

from paribus.errors import ComparisonError, ConfigError
from paribus.lab import Handle, Plan
from paribus.languages import AYA_23
from paribus.studies.aya_expanse import STUDY
from paribus.studies.aya_expanse_claims import LADDER
from paribus.studies.aya_expanse_settings import AyaExpanse, clusters

SCALES = tuple(AyaExpanse.presets)


def plan(scale: str, *overrides: str) -> Plan:
    return STUDY.plan(STUDY.at(scale, overrides))


@pytest.fixture(scope="module", params=SCALES)
def planned(request: pytest.FixtureRequest) -> Plan:
    return plan(request.param)


def test_every_scale_plans_and_declares_no_difference_that_is_not_there(planned: Plan) -> None:
    assert planned.notices == ()
    assert set(LADDER) <= {arm.name for arm in planned.arms.arms}


def test_every_claim_stands_on_contrasts_and_every_paper_step_has_its_control(planned: Plan) -> None:
    names = {contrast.name for contrast in planned.contrasts}
    assert {name for claim in planned.claims for name in claim.contrasts} <= names
    arms = {arm.name for arm in planned.arms.arms}
    assert {"single", "random", "fixed", "learned", "reward", "joint_long", "best_of_n", "offline_online"} <= arms


def test_shared_parents_are_planned_once() -> None:
    found = plan("pocket")
    labels = [handle.label for handle in found.graph]
    assert labels.count("base") == labels.count("dev-pool") == labels.count("teacher-slavic") == 1
    arm = next(arm for arm in found.arms.arms if arm.name == "recipe")
    assert arm.labelled[0]["base"].address == arm.labelled[1]["base"].address


def test_desk_has_all_languages_seeds_and_arms_and_pocket_at_least_two_seeds() -> None:
    desk, pocket = STUDY.at("desk"), STUDY.at("pocket")
    assert desk.data.languages == AYA_23 and len(desk.seeds) == 6 and len(pocket.seeds) >= 2
    assert {"rloo", "offline_translationese", "recipe"} <= set(desk.preference_arms) and desk.search_rounds


def test_full_scale_names_hub_models_hub_prompts_and_a_judge() -> None:
    found = plan("full")
    settings = found.settings
    stages = {handle.stage.name for handle in found.graph}
    assert "pretrain" not in stages and "world_corpus" not in stages
    assert all("/" in name for name in (settings.models.base, settings.models.reward, settings.data.tests))
    assert settings.judge.endpoint.startswith("http") and settings.measure == "win_rate"
    base = next(handle for handle in found.graph if handle.label == "base")
    assert base.config.parameters == 8_028_033_024


def test_clusters_are_disjoint_but_for_the_bridge_languages() -> None:
    settings = STUDY.at("desk")
    found = clusters(settings)
    bridge = set(settings.data.bridge)
    own = [set(codes) - bridge for codes in found.values()]
    assert all(bridge <= set(codes) for codes in found.values())
    assert sum(map(len, own)) == len(set().union(*own)) == len(AYA_23) - len(bridge)


def test_prompts_of_different_uses_never_overlap() -> None:
    for scale in SCALES:
        taken: dict[tuple[str, str], list[range]] = {}
        for handle in plan(scale).graph:
            if handle.stage.name == "prompts":
                config: Any = handle.config
                rows = range(config.offset, config.offset + config.per_language)
                taken.setdefault((config.source, config.splits[0]), []).append(rows)
        for ranges in taken.values():
            assert sum(map(len, ranges)) == len(set().union(*map(set, ranges))), (scale, ranges)


def test_the_long_joint_run_has_the_summed_budget_of_the_cluster_models() -> None:
    found = plan("pocket")
    by_name = {arm.name: arm.labelled[0] for arm in found.arms.arms}
    tokens = sum(h.planned.tokens for label, h in by_name["merge_linear"].items() if label.startswith("sft-"))
    assert by_name["joint_long"]["sft"].planned.tokens == tokens


def test_rounds_and_arms_share_the_first_samples() -> None:
    found = plan("pocket")
    by_name = {arm.name: arm.labelled[0] for arm in found.arms.arms}
    assert by_name["online"]["sample-1"].address == by_name["best_of_n"]["sample-1"].address
    assert by_name["recipe"]["dpo-offline"].address == by_name["offline"]["dpo-offline"].address


def test_a_budget_that_is_missed_fails_the_build_with_both_amounts() -> None:
    with pytest.raises(ComparisonError, match=r"offline then online over offline.*examples over dpo-.*plans .* apart"):
        plan("pocket", "preferences.round.steps=30")


def test_an_undeclared_difference_fails_the_build_and_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    from paribus.studies import aya_expanse_recipe as recipe

    honest = recipe.Steps.routed

    def dishonest(self: recipe.Steps, router: str, seed: int, pool: Handle | None = None) -> Handle:
        return honest(self, router, seed + 100 * (router == "random"), pool)

    monkeypatch.setattr(recipe.Steps, "routed", dishonest)
    with pytest.raises(
        ComparisonError, match=r"'reward' differs from 'random' in undeclared ways:\n  route.seed: 10\d -> \d"
    ):
        plan("pocket")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["routers=single,random"], "routers lacks 'reward'"),
        (["methods=ties"], "methods lacks 'linear'"),
        (["models.base=some/model"], "control=true merges two bases"),
        (["data.prompts=mine.jsonl", "data.tests=mine.jsonl"], "needs models.base, models.teachers, models.reward"),
        (["preferences.rounds=0"], "greater than or equal to 1"),
        (["training.student.lora_rank=-1"], "greater than or equal to 0"),
        (["data.langauges=en"], "Did you mean|nearest|languages"),
    ],
)
def test_settings_that_cannot_make_a_fair_study_are_refused(overrides: Iterable[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan("pocket", *overrides)


def test_the_arbiter_may_not_be_the_judge() -> None:
    with pytest.raises(ConfigError, match="are the same"):
        plan("full", "judge.endpoint_model=skywork/skywork-reward-v2-llama-3.1-8b")


def test_execution_is_no_part_of_an_address_and_a_new_seed_adds_only_its_own_stages() -> None:
    two, three = plan("smoke"), plan("smoke", "seeds=0,1,2")
    shared = set(two.graph.nodes) & set(three.graph.nodes)
    assert {handle.label for handle in three.graph if handle.address not in shared} >= {"sft", "merge", "dpo-1"}
    assert not {"base", "arbiter", "pool"} & {h.label for h in three.graph if h.address not in shared}
