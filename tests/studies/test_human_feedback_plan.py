"""The human-feedback study as a plan: its arms, what is equal among them, what is refused. Nothing runs here."""

import subprocess
import sys
from collections import Counter

import pytest

from paribus.errors import ConfigError
from paribus.feedback.annotation.schema import PREAMBLES as SCHEMA_PREAMBLES
from paribus.feedback.annotation.schema import SEVEN as SCHEMA_SEVEN
from paribus.lab import Handle, Plan
from paribus.studies.human_feedback import STUDY
from paribus.studies.human_feedback_claims import HIGH, LOW, SHUFFLED, of_system, picked, policy, under
from paribus.studies.human_feedback_settings import HumanFeedback
from paribus.studies.stages.annotation import PREAMBLES, SEVEN, CrowdConfig, OutputsConfig, cells
from paribus.studies.stages.readers import ReaderConfig
from paribus.world.graded import PREAMBLES as WORLD_PREAMBLES

SCALES = tuple(HumanFeedback.presets)


def at(scale: str, *overrides: str) -> HumanFeedback:
    settings = STUDY.at(scale, overrides)
    assert isinstance(settings, HumanFeedback)
    return settings


def plan(scale: str, *overrides: str) -> Plan:
    return STUDY.plan(at(scale, *overrides))


def addresses(found: Plan) -> set[str]:
    return {handle.address for handle in found.graph}


def labelled(found: Plan, arm: str, label: str, seed: int = 0) -> Handle:
    return found.arms[arm].labelled[seed][label]


@pytest.fixture(scope="module", params=SCALES)
def planned(request: pytest.FixtureRequest) -> Plan:
    return plan(request.param)


@pytest.fixture(scope="module")
def smoke() -> Plan:
    return plan("smoke")


def test_names_that_planning_must_not_import_are_those_of_the_parts() -> None:
    assert PREAMBLES == SCHEMA_PREAMBLES == tuple(WORLD_PREAMBLES)
    assert SEVEN == SCHEMA_SEVEN


def test_every_scale_plans_and_declares_no_difference_that_is_not_there(planned: Plan) -> None:
    assert planned.notices == ()
    arms = {arm.name for arm in planned.arms.arms}
    assert {name for row in planned.contrasts for name in (row.arm, row.baseline)} <= arms
    claimed = [name for claim in planned.claims for name in claim.contrasts]
    assert sorted(claimed) == sorted(row.name for row in planned.contrasts)


def test_the_papers_claims_and_the_controls_are_there(planned: Plan) -> None:
    found = {claim.id for claim in planned.claims}
    assert found >= {"machine", "optimising", "policies"}
    if planned.settings.scale != "full":
        assert found == {
            "hidden", "not-hidden", "machine", "weights", "scores", "no-favour", "equal-scores", "twins", "optimising",
            "optimising-fair", "policies", "price",
        }  # fmt: skip


def test_the_control_of_the_crowd_differs_from_it_in_the_two_biases_alone(smoke: Plan) -> None:
    biased, fair = (labelled(smoke, under(name, HIGH), "ratings").config for name in ("crowd", "fair"))
    assert isinstance(biased, CrowdConfig) and isinstance(fair, CrowdConfig)
    assert biased.assertiveness_gain > 0 and biased.hiding
    assert fair == biased.model_copy(update={"assertiveness_gain": 0.0, "hiding": {}})


def test_two_preambles_and_all_systems_are_read_from_the_same_ratings(smoke: Plan) -> None:
    for condition in ("crowd", "fair", "machine"):
        ratings = {labelled(smoke, under(condition, manner), "ratings").address for manner in (HIGH, LOW)}
        ratings |= {
            labelled(smoke, of_system(condition, name), "ratings").address for name in ("plain", "twin", "assertive")
        }
        assert len(ratings) == 1


def test_seeds_draw_raters_and_never_outputs_or_forms(smoke: Plan) -> None:
    for label in ("outputs", "forms", "experts"):
        assert labelled(smoke, under("crowd", HIGH), label, 0) is labelled(smoke, under("crowd", HIGH), label, 1)
    ratings = {labelled(smoke, under("crowd", HIGH), "ratings", seed).address for seed in (0, 1)}
    assert len(ratings) == 2


def test_reward_models_differ_in_their_pairs_alone(planned: Plan) -> None:
    settings = planned.settings
    assert isinstance(settings, HumanFeedback)
    configs = {name: labelled(planned, picked(name), "reward").config for name in (*settings.conditions, "truth")}
    assert all(isinstance(config, ReaderConfig) for config in configs.values())
    assert len({str(config) for config in configs.values()}) == 1
    bases = {labelled(planned, picked(name), "base").address for name in configs}
    assert len(bases) == 1
    assert "reward" not in planned.arms[picked("random")].labelled[0]


def test_policies_start_at_the_base_and_each_round_at_the_one_before() -> None:
    found = plan("pocket")
    first, second = (labelled(found, policy("crowd"), f"policy-{number}") for number in (1, 2))
    assert first.inputs["model"] is labelled(found, policy("crowd"), "base")
    assert second.inputs["model"] is first
    offsets = [labelled(found, policy("crowd"), f"samples-{number}").config.offset for number in (1, 2)]  # type: ignore[union-attr]
    assert offsets == [0, at("pocket").rounds.prompts]


@pytest.mark.parametrize("scale", ["smoke", "pocket"])
def test_every_input_meets_each_preamble_once_and_all_cells_are_used_alike(scale: str) -> None:
    settings = at(scale)
    config = OutputsConfig(inputs=settings.inputs, systems=settings.systems)
    dealt = [cells(config, number) for number in range(len(settings.systems) * 10)]
    assert all(sorted(preamble for _, preamble in hand) == sorted(PREAMBLES) for hand in dealt)
    uses = Counter((system.name, preamble) for hand in dealt for system, preamble in hand)
    assert set(uses.values()) == {10} and len(uses) == len(settings.systems) * len(PREAMBLES)
    assert all({system.name for system, _ in hand} == {s.name for s in settings.systems} for hand in dealt)


def test_ratings_are_priced_as_calls(smoke: Plan) -> None:
    asked = 2 * 15
    crowd = labelled(smoke, under("crowd", HIGH), "ratings").planned
    assert crowd.calls == 2 * asked * (3 * (10 + 4 * 0.25) + 2 * 1)
    machine = labelled(smoke, under("machine", HIGH), "ratings").planned
    assert machine.calls == asked * (3 * 5 + 4) and machine.generated_tokens == 0
    served = plan("full", "inputs.inputs=1")
    priced = labelled(served, under("machine", HIGH), "ratings").planned
    assert priced.generated_tokens == 256 * priced.calls > 0
    assert labelled(served, under("machine", HIGH), "outputs").planned.calls == 9 * 5


# ---- One factor changed ----------------------------------------------------------------------------------------------


def test_served_systems_are_rated_by_the_machine_alone() -> None:
    found = plan("full")
    assert not [arm.name for arm in found.arms.arms if "crowd" in arm.name or arm.name == SHUFFLED]
    assert {row.measure for row in found.contrasts} >= {"factuality_gap", "picked_assertiveness"}


def test_another_bias_of_the_crowd_leaves_outputs_forms_and_other_raters_as_they_were(smoke: Plan) -> None:
    found = plan("smoke", "crowd.assertiveness_gain=0.5")
    kept = addresses(smoke)
    for arm, label in ((under("crowd", HIGH), "forms"), (under("fair", HIGH), "ratings"), (picked("truth"), "reward")):
        assert labelled(found, arm, label).address in kept
    assert labelled(found, under("crowd", HIGH), "ratings").address not in kept


def test_no_rounds_leave_out_policies_and_their_claim(smoke: Plan) -> None:
    found = plan("smoke", "rounds.count=0")
    assert not [arm for arm in found.arms.arms if arm.name.startswith("policy")]
    assert {claim.id for claim in smoke.claims} - {claim.id for claim in found.claims} == {"policies"}


def test_given_ratings_are_audited_beside_the_study(tmp_path, smoke: Plan) -> None:  # type: ignore[no-untyped-def]
    for name in ("errors.csv", "experts.csv"):
        (tmp_path / name).write_text("dataset,sample_ix,model,preamble_type,refusal,overall\n")
    found = plan("smoke", f"ratings={tmp_path}/errors.csv", f"experts={tmp_path}/experts.csv")
    new = {handle.label for handle in found.graph if handle.address not in addresses(smoke)}
    assert new == {"ratings-file-0", "experts-file", "given", "analysis"}


# ---- Refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("seeds=0,0",), r"seeds=\(0, 0\) must name at least one, each once"),
        (("optimisation.sizes=1,2,64",), "asks for more than inputs.candidates=8 answers"),
        (('systems=[{"name": "plain"}, {"name": "twin"}]',), "must name plain, twin and assertive"),
        (('systems=[{"name": "plain"}, {"name": "plain"}]',), "systems=.* each once"),
        (('systems=[{"name": "a", "endpoint": "http://x/v1"}, {"name": "b"}]',), "serve all, or none"),
        (('systems=[{"name": "a", "endpoint": "http://x/v1"}]',), "need a served rater"),
        (('systems=[{"name": "a", "endpoint": "http://x/v1"}]', "machine.kind=endpoint"), "rounds.by names 'crowd'"),
        (('crowd.hiding={"facts": 0.5}',), "crowd names the error 'facts'; the errors are contradiction"),
        (("rounds.by=crowd,people",), "rounds.by names 'people', and feedback is of crowd, fair, machine, truth"),
        (("experts=labels.csv",), "experts='labels.csv' label no ratings"),
    ],
)
def test_settings_that_make_no_study_are_refused(overrides: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan("smoke", *overrides)


def test_planning_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from paribus.studies.human_feedback import STUDY; STUDY.plan(); "
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False False"
