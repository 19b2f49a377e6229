"""The reward-critiques study as a plan: its arms, what is equal among them, what is refused. Nothing runs here."""

import subprocess
import sys

import pytest

from paribus.errors import ConfigError
from paribus.lab import Handle, Plan
from paribus.lab.budget import Matched
from paribus.studies.reward_critiques import CONTROLS, OTHER_BASES, STUDY
from paribus.studies.reward_critiques_claims import main_arm, plain, reading
from paribus.studies.reward_critiques_settings import RewardCritiques
from paribus.studies.stages.critiques import CritiqueConfig
from paribus.studies.stages.graded import WORLD
from paribus.studies.stages.readers import ReaderConfig
from paribus.studies.stages.trained_judges import JudgeConfig

SCALES = tuple(RewardCritiques.presets)


def at(scale: str, *overrides: str) -> RewardCritiques:
    settings = STUDY.at(scale, overrides)
    assert isinstance(settings, RewardCritiques)
    return settings


def plan(scale: str, *overrides: str) -> Plan:
    return STUDY.plan(at(scale, *overrides))


def labelled(found: Plan, arm: str, label: str, seed: int = 0) -> Handle:
    return found.arms[arm].labelled[seed][label]


@pytest.fixture(scope="module", params=SCALES)
def planned(request: pytest.FixtureRequest) -> Plan:
    return plan(request.param)


@pytest.fixture(scope="module")
def smoke() -> Plan:
    return plan("smoke")


def test_every_scale_plans_and_declares_no_difference_that_is_not_there(planned: Plan) -> None:
    # Hub models have no labels of their own training, so what differs between bases is one config.
    assert planned.notices == () or planned.settings.data.pairs != WORLD
    arms = {arm.name for arm in planned.arms.arms}
    assert {name for row in planned.contrasts for name in (row.arm, row.baseline)} <= arms


def test_the_papers_claims_are_there_at_every_scale(planned: Plan) -> None:
    found = {claim.id for claim in planned.claims}
    papers = {"critiques", "few-pairs", "worth", "weak-bases", "better-critics", "bad-critics", "content", "judges"}
    assert found >= papers | {"both"}
    assert found - papers - {"both"} <= {"written", "cue", "edits", "best-of-n"}
    assert ("cue" in found) == (planned.settings.data.tests == WORLD)


def test_bases_and_critics_are_crossed(planned: Plan) -> None:
    s = planned.settings
    assert isinstance(s, RewardCritiques)
    names = {arm.name for arm in planned.arms.arms}
    for base in OTHER_BASES:
        assert plain(s.size, base) in names
        assert {reading(s, critic=critic, base=base) for critic in s.crossed} <= names
    assert {reading(s, size=s.size, critic=critic) for critic in s.critics} <= names
    assert set(s.controls) <= names and set(s.controls) <= set(CONTROLS)
    assert all(arm.description and arm.seeds == s.seeds for arm in planned.arms.arms)


def test_reward_models_differ_from_their_baseline_in_what_they_read_alone(planned: Plan) -> None:
    """Same base, data, number of pairs, order (seed), steps and learning rate."""
    s = planned.settings
    assert isinstance(s, RewardCritiques)
    for seed in s.seeds:
        bare = labelled(planned, plain(s.size), "reader", seed)
        for name in (main_arm(s), *s.controls):
            own = labelled(planned, name, "reader", seed)
            assert isinstance(own.config, ReaderConfig) and isinstance(bare.config, ReaderConfig)
            assert own.config.model_copy(update={"reads": "both"}) == bare.config
            assert own.seed == bare.seed
            for role in ("model", "data", "compute"):
                assert own.inputs[role].address == bare.inputs[role].address
        assert bare.inputs.get("critiques") is None


def test_numbers_of_pairs_change_nothing_else(planned: Plan) -> None:
    s = planned.settings
    assert isinstance(s, RewardCritiques)
    configs = [labelled(planned, plain(size), "reader").config for size in s.sizes]
    assert [config.pairs for config in configs] == list(s.sizes)
    assert len({config.model_copy(update={"pairs": 1}).model_dump_json() for config in configs}) == 1


def test_arms_are_matched_by_pairs_seen(planned: Plan) -> None:
    for row in planned.contrasts:
        gain = row.arm.startswith("gain_")
        assert isinstance(row.matched, Matched) != gain
        if isinstance(row.matched, Matched):
            assert row.matched.currency == "examples"


def test_swapped_critiques_are_read_in_the_test_only(smoke: Plan) -> None:
    s = smoke.settings
    assert isinstance(s, RewardCritiques)
    assert labelled(smoke, "swapped", "reader").address == labelled(smoke, main_arm(s), "reader").address
    assert labelled(smoke, "swapped", "examine").config.reads == "swapped"


def test_critics_are_given_no_labels(planned: Plan) -> None:
    """What a critic's stage reads is the data artifact alone; a critique has no seed of a reward model in it."""
    s = planned.settings
    assert isinstance(s, RewardCritiques)
    found = [handle for handle in planned.graph if isinstance(handle.config, CritiqueConfig)]
    assert {handle.config.critic.model_dump_json() for handle in found} == {
        critic.model_dump_json() for critic in s.critics.values()
    }
    assert all(handle.seed == s.base_seed for handle in found)


def test_judges_see_the_same_comparisons(smoke: Plan) -> None:
    with_, without = (labelled(smoke, name, "judge") for name in ("judge_critiques", "judge_plain"))
    assert isinstance(with_.config, JudgeConfig) and with_.config == without.config and with_.seed == without.seed


def test_the_full_scale_prices_its_critics() -> None:
    found = plan("full")
    critics = [handle for handle in found.graph if isinstance(handle.config, CritiqueConfig)]
    assert len(critics) == 3
    assert all(handle.planned.calls >= 2 * 40_000 and handle.planned.generated_tokens for handle in critics)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seeds=1,1"], r"seeds=\(1, 1\) must name at least one, each once"),
        (["sizes=[]"], r"sizes=\(\) must name at least one"),
        (["controls=filler,filler"], "controls=.* must name each once"),
        (["size=17"], r"size=17 is not among sizes"),
        (["critic=nobody"], "critic names 'nobody', and critics are"),
        (["rungs=random,nobody"], "rungs names 'nobody'"),
        (["critic=perfect"], "critic='perfect' must be among crossed"),
        (["sizes=16,64", "size=16", "reader.steps=60"], "ask for more than data.graded.pairs=48"),
        (["reader.steps=5"], "sizes asks for 32 rows, and 5 steps of 4 never see that many"),
        (["judge_pairs=30"], "judge_pairs asks for 60 rows"),
        (["data.pairs=some/pairs"], "needs the world's truth"),
    ],
)
def test_settings_that_make_no_study_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan("smoke", *overrides)


def test_pairs_from_elsewhere_want_bases_and_tests() -> None:
    with pytest.raises(ConfigError, match=r"bases\.models and bases\.parameters must name weak, strong and tuned"):
        plan("full", "bases.models={}")
    with pytest.raises(ConfigError, match="cannot be tested on the world"):
        plan("full", "data.tests=world")


def test_planning_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys\nfrom paribus.studies.reward_critiques import STUDY\nSTUDY.plan(STUDY.at('pocket'))\n"
        "print([name for name in ('torch', 'numpy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
