"""The BAM study as a plan: its arms, what they may differ in, what they spend, what is refused. Nothing runs here."""

import subprocess
import sys
from pathlib import Path

import pytest

from paribus.errors import ConfigError
from paribus.lab import Arm, Plan
from paribus.lab.budget import total
from paribus.studies.bam import DESCRIPTIONS, STUDY
from paribus.studies.bam_recipe import Steps
from paribus.studies.bam_settings import ALL_ARMS, Bam
from paribus.studies.stages.language_modelling import shape_of

SCALES = tuple(Bam.presets)


def plan(scale: str, *overrides: str) -> Plan:
    return STUDY.plan(STUDY.at(scale, overrides))


@pytest.fixture(scope="module", params=SCALES)
def planned(request: pytest.FixtureRequest) -> Plan:
    return plan(request.param)


@pytest.fixture(scope="module")
def pocket() -> Plan:
    return plan("pocket")


def phase(arm: Arm, currency: str, label: str = "mix") -> float:
    return sum(handle.planned.get(currency) for name, handle in arm.labelled[0].items() if name == label)


def test_every_scale_plans_and_declares_no_difference_that_is_not_there(planned: Plan) -> None:
    assert planned.notices == ()
    assert {name for claim in planned.claims for name in claim.contrasts} <= {c.name for c in planned.contrasts}


def test_the_arms_are_those_of_the_paper_and_the_ones_it_leaves_out(pocket: Plan) -> None:
    names = [arm.name for arm in pocket.arms.arms]
    assert names[:4] == ["seed", "expert_code", "expert_law", "expert_math"]
    assert set(names[4:]) == set(ALL_ARMS) == set(DESCRIPTIONS)
    assert len(pocket.settings.seeds) >= 6  # type: ignore[attr-defined]


def test_every_arm_is_part_of_a_contrast(pocket: Plan) -> None:
    compared = {name for contrast in pocket.contrasts for name in (contrast.arm, contrast.baseline)}
    assert {arm.name for arm in pocket.arms.arms} <= compared


def test_the_main_family_is_two_variants_by_three_ways_of_matching(pocket: Plan) -> None:
    main = [contrast for contrast in pocket.contrasts if contrast.family == "BAM against BTX"]
    assert len(main) == 6 and {contrast.baseline for contrast in main} == {"btx"}
    assert sorted(contrast.matched.currency for contrast in main) == ["body_flops"] * 2 + ["flops"] * 2 + ["tokens"] * 2


def test_data_matched_arms_have_the_same_tokens_and_compute_matched_ones_the_same_operations(planned: Plan) -> None:
    btx = planned.arms["btx"]
    for variant in ("expert_kv", "shared_kv"):
        same_data, same_flops, same_body = (planned.arms[f"{variant}{end}"] for end in ("", "_cm", "_cm_body"))
        assert phase(same_data, "tokens") == phase(btx, "tokens")
        assert phase(same_data, "flops") > 1.05 * phase(btx, "flops")
        assert phase(same_flops, "flops") == pytest.approx(phase(btx, "flops"), rel=0.01)
        assert phase(same_body, "body_flops") == pytest.approx(phase(btx, "body_flops"), rel=0.01)
        assert phase(same_body, "tokens") < phase(same_flops, "tokens") < phase(btx, "tokens")


def test_one_dense_model_gets_the_tokens_of_all_experts_and_the_mixture(planned: Plan) -> None:
    behind = {
        name: total(handle.planned for handle in planned.arms[name].labelled[0].values()).tokens
        for name in ("expert_kv", "dense_long")
    }
    assert behind["dense_long"] == pytest.approx(behind["expert_kv"], rel=0.01)


def test_one_dense_model_sees_the_domains_as_experts_and_mixture_do_together(pocket: Plan) -> None:
    """Three experts with 200 steps each, nine tenths of them at home, and 150 steps on four domains alike."""
    shares = pocket.arms["dense_long"].labelled[0]["mix"].config.shares  # type: ignore[union-attr]
    assert shares["general"] == pytest.approx((3 * 200 * 0.1 + 150 * 0.25) / 750)
    assert shares["code"] == shares["law"] == shares["math"] == pytest.approx((200 * 0.9 + 150 * 0.25) / 750)


def test_arms_made_of_the_seed_alone_train_no_expert(pocket: Plan) -> None:
    for name in ("dense_continued", "dense_long", "sparse_upcycling"):
        assert not [label for label in pocket.arms[name].labelled[0] if label.startswith("expert-")]


def test_experts_learn_at_half_the_rate_on_nine_tenths_of_their_domain(planned: Plan) -> None:
    settings = planned.settings
    assert isinstance(settings, Bam)
    rates = [recipe.learning_rate for recipe in (settings.training.pretrain, settings.training.specialise)]
    assert rates[1] == pytest.approx(rates[0] / 2)
    assert Steps(settings).expert("law", 0).config.shares == {"law": 0.9, "general": 0.1}  # type: ignore[union-attr]


def test_btx_of_bams_active_size_has_nearly_its_parameters(planned: Plan) -> None:
    shapes = {name: shape_of(planned.arms[name].labelled[0]["mix"]) for name in ("btx", "btx_active", "expert_kv")}
    assert shapes["btx_active"].ffn_experts == 6 and shapes["btx_active"].ffn_top_k == 3
    assert shapes["btx"].active_parameters < shapes["btx_active"].active_parameters
    if planned.settings.scale == "full":  # the paper's shape: 776 M in total, and its operations within 4%
        assert shapes["btx_active"].total_parameters == 775_990_272
        assert shapes["expert_kv"].total_parameters == 776_002_560
        assert shapes["btx"].total_parameters == 700_480_512


def test_the_graph_shares_the_models_that_arms_have_in_common(pocket: Plan) -> None:
    labels = [handle.label for handle in pocket.graph]
    assert labels.count("seed-model") == labels.count("expert-law") == 6
    assert labels.count("corpus") == labels.count("tokenizer") == labels.count("compute") == 1


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("data.experts=general", "each once"),
        ("data.experts=law,law", "each once"),
        ("data.experts=code,poetry", "domain 'poetry'; use some of general, code, law, math"),
        ("data.languages=en,xx", "language 'xx'; use some of ar"),
        ("arms=btx,expertkv", "1: .*'expert_kv'.*got 'expertkv'"),
        ("training.specialise.learning_rate=0.001", "not half"),
        ("data.sources={'general': 'a'}", "no text for code, law, math"),
        ("seed_model=owner/name", "data.tokenizer is not"),
    ],
)
def test_settings_that_make_no_fair_study_are_refused(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan("smoke", override.replace("'", '"'))


def test_questions_need_the_world() -> None:
    sources = ",".join(f'"{domain}": "owner/{domain}"' for domain in ("general", "code", "law", "math"))
    with pytest.raises(ConfigError, match="set data"):
        plan("smoke", f"data.sources={{{sources}}}")


def test_planning_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys; from paribus.studies.bam import STUDY; STUDY.plan(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
