"""The separations study as a plan: its arms, what is equal among them, what is refused. Nothing runs here."""

import subprocess
import sys

import pytest

from paribus.errors import ConfigError, ModelError
from paribus.lab import Handle, Plan
from paribus.lab.budget import Matched
from paribus.models.sequence_shape import GROWING
from paribus.studies.separations import DESCRIPTIONS, STUDY
from paribus.studies.separations_claims import TWO_LAYERED, fixed_state
from paribus.studies.separations_recipe import PROBLEMS, Steps
from paribus.studies.separations_settings import MIXERS, Separations
from paribus.studies.stages.formal import ExamineConfig
from paribus.studies.stages.sequences import SWEEP_SEED, SequenceConfig
from paribus.testbeds.formal.bounds import recurrent_width
from paribus.testbeds.seeds import CHOICE_SEED, TEST_SEED

SCALES = tuple(Separations.presets)
CONSTRUCTED = ("construction", "without_first_layer")


def at(scale: str, *overrides: str) -> Separations:
    settings = STUDY.at(scale, overrides)
    assert isinstance(settings, Separations)
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


def test_every_scale_plans_and_declares_no_difference_that_is_not_there(planned: Plan) -> None:
    assert planned.notices == ()
    arms = {arm.name for arm in planned.arms.arms}
    assert {name for row in planned.contrasts for name in (row.arm, row.baseline)} <= arms
    claimed = [name for claim in planned.claims for name in claim.contrasts]
    assert sorted(claimed) == sorted(row.name for row in planned.contrasts)


def test_the_papers_claims_are_there_at_every_scale(planned: Plan) -> None:
    found = {claim.id for claim in planned.claims}
    assert found == {"lookup", "lookup-long", "dyck", "depth", "recall", "recall-depth", "constructions"}


def test_the_arms_are_the_architectures_their_widths_and_the_constructions(planned: Plan) -> None:
    settings = planned.settings
    assert isinstance(settings, Separations)
    sized = [f"{name}_w{width}" for name in settings.widths.architectures for width in settings.widths.widths]
    raw = [f"{name}_raw" for name in settings.raw if settings.match == "parameters"]
    assert [arm.name for arm in planned.arms.arms] == [*settings.architectures, *sized, *raw, *CONSTRUCTED]
    assert all(arm.description and arm.seeds == settings.seeds for arm in planned.arms.arms)
    assert set(DESCRIPTIONS) >= set(settings.architectures)


def test_every_contrast_reads_a_measure_that_both_of_its_arms_have(planned: Plan) -> None:
    for row in planned.contrasts:
        for name in (row.arm, row.baseline):
            examined = {
                handle.config.name
                for handle in planned.arms[name].labelled[0].values()
                if isinstance(handle.config, ExamineConfig)
            }
            assert row.measure.removesuffix("_accuracy") in examined, (row.name, name)


def test_trained_arms_are_compared_by_sequences_seen_and_constructions_by_nothing(planned: Plan) -> None:
    for row in planned.contrasts:
        assert isinstance(row.matched, Matched) == (row.arm not in CONSTRUCTED)


@pytest.mark.parametrize("scale", ["smoke", "pocket", "desk"])
def test_networks_of_one_width_have_equal_parameters_on_every_problem(scale: str) -> None:
    """Within 1%: the feed-forward layer takes up what the mixers differ by."""
    settings = at(scale)
    steps = Steps(settings)
    widths = {settings.width: settings.architectures}
    widths |= dict.fromkeys(settings.widths.widths, settings.widths.architectures)
    for problem in settings.trained:
        for width, architectures in widths.items():
            counted = [steps.network(a, problem, width).parameters(steps.problem(problem)) for a in architectures]
            assert max(counted) <= 1.01 * min(counted), (problem, width, dict(zip(architectures, counted, strict=True)))


def test_networks_may_have_equal_feed_forward_layers_instead() -> None:
    steps = Steps(at("smoke", "match=width"))
    networks = [steps.network(name, "lookup") for name in steps.s.architectures]
    assert {network.ffn_size for network in networks} == {4 * steps.s.width}
    assert len({network.parameters(steps.problem("lookup")) for network in networks}) > 1


def test_all_networks_train_on_the_same_streams_and_are_tested_on_the_same_sequences(planned: Plan) -> None:
    runs: dict[str, set[str]] = {}
    tests: dict[str, set[str]] = {}
    for handle in planned.graph:
        if isinstance(handle.config, SequenceConfig):
            runs.setdefault(handle.label.partition("-")[0], set()).add(handle.config.problem.data_hash)
        if isinstance(handle.config, ExamineConfig):
            told = (handle.config.problem.task.name, handle.config.sizes, handle.config.sequences)
            tests.setdefault(handle.config.name, set()).add(str(told))
    assert set(tests) == set(PROBLEMS)
    assert all(len(found) == 1 for found in (*runs.values(), *tests.values()))


def test_no_seed_of_a_run_is_the_sweeps_the_choices_or_the_tests(planned: Plan) -> None:
    seeds = planned.settings.seeds  # type: ignore[attr-defined]
    assert len({*seeds, SWEEP_SEED, CHOICE_SEED, TEST_SEED}) == len(seeds) + 3


def test_a_rate_is_swept_once_for_all_seeds(smoke: Plan) -> None:
    assert labelled(smoke, "lstm", "dyck-sweep", 0).address == labelled(smoke, "lstm", "dyck-sweep", 1).address
    assert labelled(smoke, "lstm", "dyck-train", 0).address != labelled(smoke, "lstm", "dyck-train", 1).address
    assert labelled(smoke, "lstm", "dyck-sweep").seed == SWEEP_SEED


def test_every_state_has_room_for_lookup_so_the_gap_is_one_of_learning(planned: Plan) -> None:
    """The claim on lookup says so of the study's own width."""
    settings = planned.settings
    assert isinstance(settings, Separations)
    if settings.scale != "smoke":
        steps = Steps(settings)
        for problem in ("lookup", "lookup_long"):
            given = steps.problem(problem)
            for name in fixed_state(settings):
                state = steps.network(name, problem).shape(given).state_numbers(given.tokens)  # type: ignore[arg-type]
                assert state >= recurrent_width(given.task, 32), (name, problem)


def test_constructions_are_the_same_for_every_seed_and_cost_no_training(smoke: Plan) -> None:
    arm = smoke.arms["construction"]
    assert {f"{name}-construct" for name in PROBLEMS} == set(arm.labelled[0])
    assert arm.labelled[0] == arm.labelled[1]
    assert all(handle.planned.examples == 0 for handle in arm.labelled[0].values())
    assert set(smoke.arms["without_first_layer"].labelled[0]) == {f"{name}-construct" for name in TWO_LAYERED}


def test_sized_and_raw_arms_learn_lookup_alone(smoke: Plan) -> None:
    for name in ("tf1_w8", "lstm_w8", "lstm_raw"):
        assert set(smoke.arms[name].labelled[0]) == {"lookup-sweep", "lookup-train", "lookup-examine"}
    without = plan("smoke", "trained=dyck")
    assert [arm.name for arm in without.arms.arms] == [*at("smoke").architectures, *CONSTRUCTED]


def test_raw_arms_are_as_they_come_and_their_matched_ones_are_not(smoke: Plan) -> None:
    networks = {
        name: labelled(smoke, name, "lookup-train").config.network  # type: ignore[union-attr]
        for name in ("tf1", "lstm", "lstm_raw")
    }
    assert networks["lstm_raw"].ffn_size == networks["tf1"].ffn_size == 4 * 16
    assert networks["lstm"].ffn_size < 4 * 16
    assert networks["lstm"].model_copy(update={"ffn_size": 4 * 16}) == networks["lstm_raw"]


def test_planned_examples_are_steps_times_rows_and_a_sweep_of_one_rate_is_free(smoke: Plan) -> None:
    assert labelled(smoke, "tf1", "lookup-train").planned.examples == 30 * 16
    assert labelled(smoke, "tf1", "lookup-sweep").planned.examples == 2 * 15 * 16
    tokens = Steps(at("smoke")).problem("lookup").tokens
    assert labelled(smoke, "tf1", "lookup-train").planned.tokens == 30 * 16 * tokens
    single = plan("smoke", "problems.lookup.recipe.rates=0.003")
    assert labelled(single, "tf1", "lookup-sweep").planned.examples == 0


def test_full_scale_has_the_papers_lengths_and_widths() -> None:
    settings = at("full")
    assert settings.match == "width" and settings.together
    assert settings.problems.lookup_long.task.length == settings.problems.dyck.task.length == 400
    assert settings.problems.dyck.task.depth == 10
    assert set(settings.widths.widths) | {settings.width} >= {32, 64, 256, 512, 1024}


# ---- One factor changed ----------------------------------------------------------------------------------------------


def test_another_length_of_one_task_leaves_all_others_as_they_were(smoke: Plan) -> None:
    found = plan("smoke", "problems.lookup.task.length=30")
    assert labelled(found, "tf1", "lookup-train").config.problem.task.length == 30  # type: ignore[union-attr]
    changed = {handle.label for handle in found.graph if handle.address not in addresses(smoke)}
    assert all(label.startswith("lookup-") or label in ("verify", "formal_panels", "analysis") for label in changed)
    assert {"lookup-sweep", "lookup-train", "lookup-examine", "lookup-construct", "lookup-overlap"} <= changed


def test_fewer_architectures_reuse_every_run_of_those_that_stay(smoke: Plan) -> None:
    found = plan("smoke", "architectures=tf1,lstm", "widths.architectures=lstm")
    assert {row.baseline for row in found.contrasts if row.family == "index lookup"} == {"lstm"}
    assert {claim.id for claim in found.claims} == {"lookup", "lookup-long", "dyck", "constructions"}
    new = {handle.label for handle in found.graph if handle.address not in addresses(smoke)}
    assert new == {"formal_panels", "analysis"}


def test_more_test_sequences_train_nothing_again(smoke: Plan) -> None:
    found = plan("smoke", "sequences=80")
    new = {handle.label for handle in found.graph if handle.address not in addresses(smoke)}
    assert not [label for label in new if label.endswith(("-train", "-sweep"))] and "verify" not in new


def test_attention_alone_leaves_the_claims_that_need_no_recurrent_net() -> None:
    found = plan("smoke", "architectures=tf1,tf2", "widths.architectures=tf1", "raw=[]")
    assert {claim.id for claim in found.claims} == {"depth", "recall-depth", "constructions"}


def test_fixed_states_are_those_of_mixers_that_forget() -> None:
    settings = at("desk")
    assert set(settings.architectures) - set(fixed_state(settings)) == {"tf1", "tf2", "hyena"}
    assert {MIXERS.get(name, name) for name in ("tf1", "hyena")} == set(GROWING)


def test_seeds_may_train_together(smoke: Plan) -> None:
    found = plan("smoke", "together=true")
    arm = found.arms["lstm"]
    assert arm.labelled[0]["dyck-seeds"].address == arm.labelled[1]["dyck-seeds"].address
    for seed in (0, 1):
        alone, taken = labelled(smoke, "lstm", "dyck-train", seed), arm.labelled[seed]["dyck-train"]
        assert taken.planned.get("examples") == alone.planned.get("examples")
    assert found.notices == ()


# ---- Refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seeds=0,0", r"seeds=\(0, 0\) must name at least one, each once"),
        ("architectures=tf1,tf1", "architectures=.* each once"),
        ("trained=dyck,dyck", "trained=.* each once"),
        ("raw=lstm,lstm", r"raw=\('lstm', 'lstm'\) must name each once"),
        ("widths.widths=8,8", r"widths.widths=\(8, 8\) must name each once"),
        ("architectures=[]", r"architectures=\(\) must name at least one"),
        ("architectures=tf1,tf3", "1: .*'mamba2'.*got 'tf3'"),
        ("widths.widths=8,16", r"widths=\(8, 16\) names the study's own width 16.*leave it out"),
        ("problems.dyck.sizes=24,97", "multiple of 2 .got 97"),
        ("problems.recall.sizes=6", "associative-recall cannot be made: .*pairs"),
        ("problems.lookup.sizes=12", "length 12 needs index tokens .* larger max_length"),
        ("problems.lookup.recipe.rates=0.01,0.01", "rates must be positive, each given once"),
        ("problems.lookup.recipe.rates=0.01,-1", "rates must be positive"),
        ("problems.lookup.recipe.step=3", "no setting 'problems.lookup.recipe.step'.*steps"),
        ("problems.dyck.task.depth=0", "depth"),
    ],
)
def test_settings_that_make_no_study_are_refused(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan("smoke", override)


@pytest.mark.parametrize("override", ["width=18", "widths.widths=6"])
def test_widths_that_heads_do_not_divide_are_refused_before_anything_runs(override: str) -> None:
    with pytest.raises(ModelError, match="not divisible by num_attention_heads 4"):
        plan("smoke", override)


def test_planning_needs_no_torch() -> None:
    code = "import sys; from paribus.studies.separations import STUDY; STUDY.plan(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
