"""The in-context study as a plan: its arms, what is equal among them, what is refused. Nothing runs here."""

import subprocess
import sys
from typing import get_args

import pytest

from paribus.errors import ConfigError, ModelError
from paribus.lab import Handle, Plan
from paribus.lab.budget import Matched
from paribus.studies.icl_discrete import DESCRIPTIONS, STUDY
from paribus.studies.icl_discrete_recipe import Steps
from paribus.studies.icl_discrete_settings import PAPER_SIZES, ClassName, IclDiscrete, TaughtName
from paribus.studies.stages.incontext import DirectConfig, ExaminePromptsConfig, learner_of
from paribus.studies.stages.problems import Heads, PromptProblem
from paribus.studies.stages.sequences import SWEEP_SEED, SequenceConfig
from paribus.testbeds.seeds import CHOICE_SEED, TEST_SEED

SCALES = tuple(IclDiscrete.presets)
CLASSES: tuple[ClassName, ...] = get_args(ClassName)


def at(scale: str, *overrides: str) -> IclDiscrete:
    settings = STUDY.at(scale, overrides)
    assert isinstance(settings, IclDiscrete)
    return settings


def plan(scale: str, *overrides: str) -> Plan:
    return STUDY.plan(at(scale, *overrides))


def new_labels(found: Plan, old: Plan) -> set[str]:
    before = {handle.address for handle in old.graph}
    return {handle.label for handle in found.graph if handle.address not in before}


def labelled(found: Plan, arm: str, label: str, seed: int = 0) -> Handle:
    return found.arms[arm].labelled[seed][label]


def has_learner(problem: PromptProblem, noise: float) -> bool:
    """Whether a stage finds the best learner."""
    try:
        return bool(learner_of("optimal", problem.function_class(), noise))
    except ConfigError:
        return False


@pytest.fixture(scope="module", params=SCALES)
def planned(request: pytest.FixtureRequest) -> Plan:
    return plan(request.param)


@pytest.fixture(scope="module")
def smoke() -> Plan:
    return plan("smoke")


def test_every_scale_plans_and_declares_no_difference_that_is_not_there(planned: Plan) -> None:
    assert planned.notices == ()
    arms = {arm.name for arm in planned.arms.arms}
    assert arms <= set(DESCRIPTIONS)
    assert {name for row in planned.contrasts for name in (row.arm, row.baseline)} <= arms
    claimed = {name for claim in planned.claims for name in claim.contrasts}
    assert claimed == {row.name for row in planned.contrasts}


def test_claims_that_need_the_best_learner_are_there_where_it_is_an_arm(planned: Plan) -> None:
    found = {claim.id for claim in planned.claims}
    expected = {
        "baselines", "attention-free", "parity", "neighbours-attention", "teaching", "two-algorithms", "taught-only",
        "bodies", "language-models",
    }  # fmt: skip
    best = {"optimal", "neighbours"} if "optimal" in planned.settings.learners else set()  # type: ignore[attr-defined]
    assert found == expected | best


def test_every_contrast_reads_a_measure_that_both_of_its_arms_have(planned: Plan) -> None:
    for row in planned.contrasts:
        for name in (row.arm, row.baseline):
            measures = set()
            for handle in planned.arms[name].labelled[0].values():
                if isinstance(handle.config, ExaminePromptsConfig):
                    kinds = handle.config.measured
                    measures |= {f"{kinds['plain']}_late_accuracy", f"{kinds['plain']}_mean_accuracy"}
                    measures |= {f"{kinds[kind]}_after_accuracy" for kind in kinds if kind == "taught"}
                if isinstance(handle.config, DirectConfig):
                    measures.add(f"direct_{handle.config.problem.name}_accuracy")
            assert row.measure in measures, (row.name, name)


def test_trained_arms_are_compared_by_prompts_seen_and_rules_by_nothing(planned: Plan) -> None:
    rules = {*planned.settings.learners, "language_model"}  # type: ignore[attr-defined]
    for row in planned.contrasts:
        assert isinstance(row.matched, Matched) == (not {row.arm, row.baseline} & rules)
        assert (row.margin > 0) == (row.direction == "equivalent")


@pytest.mark.parametrize("scale", SCALES)
def test_all_architectures_have_the_transformers_parameters_on_every_class(scale: str) -> None:
    """Within 1%: the feed-forward layer takes up what the mixers differ by."""
    settings = at(scale)
    steps = Steps(settings)
    for name in settings.classes:
        problem = steps.problem(name)
        counted = {other: steps.network(other, name).parameters(problem) for other in settings.architectures}
        assert max(counted.values()) <= 1.01 * min(counted.values()), (name, counted)


def test_all_arms_of_a_class_train_on_the_same_streams_but_for_lessons(planned: Plan) -> None:
    seen: dict[str, set[str]] = {}
    for handle in planned.graph:
        config = handle.config
        if isinstance(config, SequenceConfig):
            problem = config.problem
            assert isinstance(problem, PromptProblem)
            plain = problem.model_copy(update={"draws": problem.draws.model_copy(update={"teaching": 0.0})})
            seen.setdefault(problem.name, set()).add(plain.model_dump_json())
            if handle.stage.name == "sweep_rates":
                assert problem.draws.teaching == 0
    assert all(len(found) == 1 for found in seen.values())


def test_a_class_may_take_other_steps_and_all_of_its_arms_take_them() -> None:
    found = plan("smoke", 'steps={"conjunction": 40}')
    for arm in ("transformer", "lstm", "teach", "mix", "frozen_random"):
        assert labelled(found, arm, "conjunction-train").planned.examples == 40 * 8
    assert labelled(found, "lstm", "sparse_parity-train").planned.examples == 30 * 8
    assert found.notices == ()


def test_learners_answer_the_prompts_that_networks_are_examined_on(smoke: Plan) -> None:
    for name in smoke.settings.classes:  # type: ignore[attr-defined]
        network = labelled(smoke, "transformer", f"{name}-examine").config
        learner = labelled(smoke, "averaging", f"{name}-learner").config
        assert learner.model_dump(exclude={"learner"}) == network.model_dump()  # type: ignore[union-attr]
    asked = labelled(smoke, "language_model", "majority-asked").config
    learner = labelled(smoke, "averaging", "majority-asked-learner").config
    assert learner.model_dump(exclude={"learner"}) == asked.model_dump()  # type: ignore[union-attr]


def test_rules_and_language_models_have_no_seed(smoke: Plan) -> None:
    for name in ("null", "averaging", "language_model"):
        assert smoke.arms[name].labelled[0] == smoke.arms[name].labelled[1]
    assert labelled(smoke, "lstm", "conjunction-train", 0) is not labelled(smoke, "lstm", "conjunction-train", 1)


def test_taught_networks_take_the_rate_that_plain_prompts_chose(smoke: Plan) -> None:
    sweeps = {labelled(smoke, arm, "conjunction-sweep").address for arm in ("transformer", "teach", "mix")}
    assert len(sweeps) == 1
    shares = [
        labelled(smoke, arm, "conjunction-train").config.problem.draws.teaching  # type: ignore[union-attr]
        for arm in ("transformer", "mix", "teach")
    ]
    assert shares == [0.0, 0.5, 1.0]


def test_frozen_bodies_differ_in_where_their_weights_come_from_alone(smoke: Plan) -> None:
    (name,) = smoke.settings.body.classes  # type: ignore[attr-defined]
    networks = [
        labelled(smoke, arm, f"{name}-train").config.network  # type: ignore[union-attr]
        for arm in ("frozen_pretrained", "frozen_random")
    ]
    assert all(isinstance(network, Heads) and network.freeze == "all" for network in networks)
    assert networks[0].model_copy(update={"pretrained": False}) == networks[1]
    bodies = {labelled(smoke, arm, "body").address for arm in ("frozen_pretrained", "frozen_random", "language_model")}
    assert len(bodies) == 1


def test_no_seed_of_a_run_is_the_sweeps_the_choices_or_the_tests(planned: Plan) -> None:
    seeds = planned.settings.seeds  # type: ignore[attr-defined]
    assert len({*seeds, SWEEP_SEED, CHOICE_SEED, TEST_SEED}) == len(seeds) + 3


def test_paper_sizes_are_the_defaults_of_the_classes() -> None:
    from paribus.testbeds.incontext.classes import parse_class

    assert set(PAPER_SIZES) == set(CLASSES)
    for name in CLASSES:
        made = parse_class(name)
        assert PAPER_SIZES[name] == (made.dimensions, made.points)


def test_full_scale_has_the_papers_prompts_and_transformer() -> None:
    settings = at("full")
    assert all(settings.sizes(name) == PAPER_SIZES[name] for name in CLASSES)
    assert (settings.layers, settings.heads, settings.width, settings.recipe.steps) == (12, 8, 256, 15_000)
    stages = {handle.stage.name for handle in plan("full").graph}
    assert "hub_model" in stages and "pretrain_documents" not in stages


@pytest.mark.parametrize("name", get_args(TaughtName))
def test_the_longest_lesson_is_the_one_of_the_class(name: str) -> None:
    for scale in ("pocket", "full"):
        settings = at(scale, f"teaching.name={name}", "parity_size=3")
        function_class = Steps(settings).problem(settings.teaching.name).function_class()
        assert settings.longest_lesson == function_class.longest_lesson


def test_classes_that_can_be_taught_are_those_with_lessons() -> None:
    from paribus.testbeds.incontext.classes import parse_class

    assert set(get_args(TaughtName)) == {name for name in CLASSES if parse_class(name).longest_lesson}


def test_random_labels_come_first_where_the_rule_is_the_nearest_neighbour(planned: Plan) -> None:
    steps = Steps(planned.settings)  # type: ignore[arg-type]
    known, (_, points) = steps.known("nearest_neighbour"), steps.s.sizes("nearest_neighbour")
    assert known == round(0.3 * points) == steps.problem("nearest_neighbour").function_class().start  # type: ignore[attr-defined]
    assert steps.known("conjunction") == 0


# ---- One factor changed ----------------------------------------------------------------------------------------------


def test_another_taught_class_trains_no_plain_network_again(smoke: Plan) -> None:
    found = plan("smoke", "teaching.name=sparse_parity")
    new = new_labels(found, smoke)
    assert {label for label in new if label.endswith(("-train", "-sweep"))} == {"sparse_parity-train"}
    trained = labelled(found, "lstm", "sparse_parity-train").address
    assert trained == labelled(smoke, "lstm", "sparse_parity-train").address


def test_more_learners_compute_nothing_but_themselves(smoke: Plan) -> None:
    found = plan("smoke", "learners=null,averaging,nearest_neighbour,optimal,least_squares")
    new = new_labels(found, smoke)
    assert all(label.endswith("-learner") or label in ("prompt_panels", "analysis") for label in new)
    assert {"conjunction-learner", "majority-asked-learner"} <= new


def test_more_classes_leave_the_others_as_they_were(smoke: Plan) -> None:
    found = plan("smoke", "classes=conjunction,sparse_parity,nearest_neighbour,disjunction")
    new = new_labels(found, smoke)
    assert all(label.startswith("disjunction-") or label in ("prompt_panels", "analysis") for label in new)
    simple = next(claim for claim in found.claims if claim.id == "attention-free")
    assert [name.rpartition(", ")[2] for name in simple.contrasts] == ["conjunction", "disjunction"]


def test_architectures_and_classes_decide_which_claims_there_are() -> None:
    without = plan("smoke", "architectures=lstm")
    assert {claim.id for claim in without.claims} == {"bodies", "language-models"}
    assert {arm.name for arm in without.arms.arms}.isdisjoint({"teach", "mix"})
    alone = plan("smoke", "classes=nearest_neighbour", "body.classes=[]", "direct.classes=[]")
    assert {claim.id for claim in alone.claims} == {"neighbours", "neighbours-attention"}
    assert not [handle for handle in alone.graph if handle.label == "body"]


def test_functions_of_a_trained_pool_are_left_out_at_test() -> None:
    found = plan("smoke", "pool=6")
    examined = labelled(found, "lstm", "conjunction-examine").config
    trained = labelled(found, "lstm", "conjunction-train").config
    assert trained.problem.draws.pool == 6 and not trained.problem.draws.held_out  # type: ignore[union-attr]
    assert all(kind.draws.pool == 6 and kind.draws.held_out for kind in examined.kinds)  # type: ignore[union-attr]
    neighbours = labelled(found, "lstm", "nearest_neighbour-examine").config
    assert not any(kind.draws.pool for kind in neighbours.kinds)  # type: ignore[union-attr]


def test_seeds_may_train_together_but_frozen_bodies_train_alone() -> None:
    found = plan("smoke", "together=true")
    assert found.notices == ()
    assert "conjunction-seeds" in found.arms["teach"].labelled[0]
    assert not [label for label in found.arms["frozen_random"].labelled[0] if label.endswith("-seeds")]


# ---- Refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["seeds=1,1"], r"seeds=\(1, 1\) must name at least one, each once"),
        (["classes=conjunction,conjunction"], "classes=.* each once"),
        (["architectures=lstm,lstm"], "architectures=.* each once"),
        (["body.classes=conjunction,conjunction"], r"body.classes=.* must name each once"),
        (["direct.classes=majority,majority"], r"direct.classes=.* must name each once"),
        (["learners=[]"], r"learners=\(\) must name at least one"),
        (["classes=conjunctions"], "'conjunction'.*got 'conjunctions'"),
        (["body.model=owner/name"], "body.model='owner/name' is set; set body.parameters too"),
        (
            ["body.model=owner/name", "body.parameters=1000"],
            r"direct.model is empty while body.model is not.*direct.classes=\[\]",
        ),
        (["teaching.name=halfspace"], "teaching.name=halfspace cannot be used"),
        (["points=5"], "points=5 leave no room for a teaching sequence of 'conjunction' at dimensions=5.*6 points"),
        (
            ["classes=conjunction,dnf"],
            "best learner of 'dnf' at dimensions=5 .* 250,000 functions; .*'dnf' out of",
        ),
        (["classes=parity", "dimensions=18"], "best learner of 'parity' at dimensions=18 is not computed"),
        (
            ["direct.classes=halfspace", "direct.dimensions=7"],
            r"'halfspace' at direct\.dimensions=7 .* direct\.cla",
        ),
        (["teaching.share=1.0"], "teaching.share"),
        (["teaching.corruption=0.5"], "teaching.corruption"),
        (["recipe.rates=0.1,0.1"], "rates must be positive, each given once"),
        (["known=1.0"], "known"),
        (['steps={"parity": 0}'], "steps.*greater than 0"),
    ],
)
def test_settings_that_make_no_study_are_refused(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan("smoke", *overrides)


def test_what_a_refusal_advises_is_accepted() -> None:
    advised = ("body.model=owner/name", "body.parameters=1000", "direct.classes=[]")
    assert "language_model" not in [arm.name for arm in plan("smoke", *advised).arms.arms]
    assert plan("smoke", "points=6").claims
    assert plan("smoke", "classes=conjunction,dnf", "learners=null,averaging").claims
    assert plan("smoke", "classes=conjunction,dnf", "dimensions=3").claims


@pytest.mark.parametrize("name", CLASSES)
def test_the_best_learner_is_refused_in_a_plan_where_it_would_fail_in_the_run(name: ClassName) -> None:
    """Every kind of prompts that it would be asked about is tried, at the paper's sizes and at small ones."""
    for dimensions in (0, 4, 8):
        settings = at("pocket", f"classes={name}", f"dimensions={dimensions}", "body.classes=[]", "direct.classes=[]")
        examined = Steps(settings).examination(name)
        runs = all(
            has_learner(examined.problem, max(kind.draws.label_noise, kind.draws.corruption)) for kind in examined.kinds
        )
        if runs:
            assert STUDY.plan(settings).arms["optimal"]
        else:
            with pytest.raises(ConfigError, match=f"best learner of '{name}' at dimensions="):
                STUDY.plan(settings)


@pytest.mark.parametrize("name", CLASSES)
def test_in_text_parities_of_any_size_have_a_best_learner_and_others_where_they_are_few(name: ClassName) -> None:
    for dimensions in (4, 20):
        settings = at("smoke", f"direct.classes={name}", f"direct.dimensions={dimensions}")
        if has_learner(Steps(settings).direct(name).problem, 0.0):
            assert STUDY.plan(settings).arms["optimal"]
        else:
            with pytest.raises(ConfigError, match=rf"best learner of '{name}' at direct\.dimensions={dimensions} "):
                STUDY.plan(settings)


def test_a_width_that_heads_do_not_divide_is_refused_before_anything_runs() -> None:
    with pytest.raises(ModelError, match="not divisible by num_attention_heads 3"):
        plan("smoke", "heads=3")


def test_planning_needs_neither_torch_nor_numpy() -> None:
    code = "import sys; from paribus.studies.icl_discrete import STUDY; STUDY.plan(); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numpy"}.isdisjoint(found.stdout.split())
