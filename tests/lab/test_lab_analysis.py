"""The analysis: finds planted differences per language, finds nothing where nothing is, and refuses unequal budgets."""

import random
from pathlib import Path

import pytest

from paribus.errors import ConfigError, DataError
from paribus.lab import Claim, Contrast, Cost, Matched, Panel, Unmatched
from paribus.lab.analysis import AnalysisConfig, ArmMeta, Costs, analyse, load_result, study_result
from paribus.lab.items import Item, Table

LANGUAGES = ("en", "hi", "tr")
UNMATCHED = Unmatched(reason="a test of statistics")


class FixedCosts(Costs):
    """Costs that a test hands in: (arm, label) to cost."""

    def __init__(self, known: dict[str, Cost] | None = None) -> None:
        self.known = known or {}

    def of(self, arm: str, labels: object = ("*",)) -> Cost:
        return self.known.get(arm, Cost())


def tables(
    effect: dict[str, float], *, seeds: int = 3, clusters: int = 40, seed_noise: float = 0.0, dice: int = 0
) -> dict[str, Table]:
    """Items of two arms: difficulty by cluster, noise by item, ``effect`` of the new arm by language."""
    numbers = random.Random(dice)
    difficulty = [numbers.gauss(0, 1) for _ in range(clusters)]
    found: dict[str, Table] = {}
    for arm in ("plain", "new"):
        for seed in range(seeds):
            luck = numbers.gauss(0, seed_noise) if seed_noise else 0.0
            found[f"{arm}/{seed}"] = {"score": _column(arm, effect, difficulty, luck, numbers)}
    return found


def _column(
    arm: str, effect: dict[str, float], difficulty: list[float], luck: float, numbers: random.Random
) -> dict[str, Item]:
    lift = effect if arm == "new" else {}
    return {
        f"{c}-{language}": Item(str(c), language, hard + luck + lift.get(language, 0.0) + numbers.gauss(0, 0.3))
        for c, hard in enumerate(difficulty)
        for language in LANGUAGES
    }


def contrast(name: str = "c", **fields: object) -> Contrast:
    given = {"arm": "new", "baseline": "plain", "measure": "score", "matched": UNMATCHED, **fields}
    return Contrast(name=name, **given)  # type: ignore[arg-type]


def config(*contrasts: Contrast, seeds: tuple[int, ...] = (0, 1, 2), **fields: object) -> AnalysisConfig:
    arms = tuple(ArmMeta(name=name, description="", seeds=seeds) for name in ("plain", "new"))
    claims = (Claim(id="k", sentence="s", source="1", contrasts=tuple(c.name for c in contrasts)),) if contrasts else ()
    given = {"study": "t", "arms": arms, "contrasts": contrasts, "claims": claims, "resamples": 400, **fields}
    return AnalysisConfig(**given)  # type: ignore[arg-type]


def test_a_planted_difference_is_found_in_the_language_that_has_it() -> None:
    found = study_result(config(contrast()), tables({"hi": 0.5}), FixedCosts())
    result = found.contrasts[0]
    assert result.verdict == "supported" and found.claims[0].verdict == "supported"
    assert result.difference.value == pytest.approx(0.5 / 3, abs=0.05)
    assert 0.2 < result.by_language["hi"].low < 0.5 < result.by_language["hi"].high < 0.8
    assert result.by_language["en"].low < 0 < result.by_language["en"].high
    assert result.difference.n == 40 and result.difference.covers == ("prompts", "seeds")


def test_the_other_direction_is_contradicted() -> None:
    found = study_result(config(contrast(direction="less")), tables({"hi": 0.5, "tr": 0.5}), FixedCosts())
    assert found.claims[0].verdict == "contradicted"


def test_equivalence_needs_both_sides() -> None:
    near, far = (
        contrast("near", direction="equivalent", margin=0.2),
        contrast("far", direction="equivalent", margin=0.01),
    )
    found = study_result(config(near, far), tables({}), FixedCosts())
    assert [c.verdict for c in found.contrasts] == ["supported", "unresolved"]
    with pytest.raises(ConfigError, match="no margin"):
        study_result(config(contrast(direction="equivalent")), tables({}), FixedCosts())


def test_a_few_seeds_that_disagree_leave_it_open() -> None:
    noisy = tables(dict.fromkeys(LANGUAGES, 0.3), seeds=2, seed_noise=1.0, dice=3)
    found = study_result(config(contrast(), seeds=(0, 1)), noisy, FixedCosts())
    assert found.contrasts[0].verdict == "unresolved"


def test_one_seed_speaks_for_the_prompts_alone() -> None:
    found = study_result(config(contrast(), seeds=(0,)), tables({"hi": 1.0}, seeds=1), FixedCosts())
    assert found.contrasts[0].difference.covers == ("prompts",)


def test_p_values_are_corrected_over_all_contrasts_of_the_study() -> None:
    many = [contrast(f"c{i}") for i in range(5)]
    found = study_result(config(*many), tables({"hi": 0.08}), FixedCosts())
    first = found.contrasts[0]
    assert first.p_holm == pytest.approx(min(1.0, 5 * first.p_value))


def test_p_values_of_families_are_corrected_apart_and_in_order() -> None:
    families = ["a", "b", "a", "b", "b"]
    many = [contrast(f"c{i}", family=family) for i, family in enumerate(families)]
    found = study_result(config(*many), tables({"hi": 0.08}), FixedCosts())
    sizes = [families.count(family) for family in families]
    assert [c.family for c in found.contrasts] == families
    assert [c.p_holm for c in found.contrasts] == [
        pytest.approx(min(1.0, n * c.p_value)) for n, c in zip(sizes, found.contrasts, strict=True)
    ]


def test_equal_arms_are_told_apart_at_the_nominal_rate() -> None:
    """A/A: 120 pairs of arms that differ in nothing but noise; more than 12 rejections at 5% has probability 0.2%."""
    rejected = 0
    for dice in range(120):
        found = study_result(
            config(contrast(direction="different"), resamples=200), tables({}, clusters=15, dice=dice), FixedCosts()
        )
        rejected += found.contrasts[0].verdict == "supported"
    assert rejected <= 12


def test_a_missed_budget_supports_nothing_and_is_said() -> None:
    matched = contrast(matched=Matched(currency="tokens", labels=("sft",)))
    costs = FixedCosts({"new": Cost(tokens=1050), "plain": Cost(tokens=1000)})
    found = study_result(config(matched), tables(dict.fromkeys(LANGUAGES, 1.0)), costs)
    assert found.contrasts[0].verdict == found.claims[0].verdict == "unresolved"
    assert "budget missed" in found.contrasts[0].matched and "4.8% apart" in found.claims[0].note
    assert found.contrasts[0].cost_ratio == {"tokens": 1.05}


def test_a_kept_budget_is_shown() -> None:
    matched = contrast(matched=Matched(currency="tokens", labels=("sft",)))
    costs = FixedCosts({"new": Cost(tokens=1005, flops=10), "plain": Cost(tokens=1000, flops=5)})
    found = study_result(config(matched), tables(dict.fromkeys(LANGUAGES, 1.0)), costs)
    assert found.contrasts[0].verdict == "supported"
    assert found.contrasts[0].matched == "tokens over sft: 1,005 against 1,000"
    assert found.contrasts[0].cost_ratio == {"tokens": 1.005, "flops": 2.0}


def test_the_minimal_detectable_difference_shrinks_with_more_items() -> None:
    small, large = (
        study_result(config(contrast()), tables({}, clusters=n), FixedCosts()).contrasts[0].minimal_detectable
        for n in (20, 320)
    )
    assert 0 < large < small


def test_arms_are_summarised_by_measure_and_language() -> None:
    found = study_result(config(), tables({"hi": 0.5}), FixedCosts({"plain": Cost(tokens=7)}))
    assert set(found.arms[0].measures["score"]) == {"all", *LANGUAGES}
    assert found.arms[0].cost == {"tokens": 7} and found.contrasts == ()


def test_unknown_arms_missing_runs_and_single_clusters_are_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'plain'"):
        study_result(config(contrast(baseline="plane")), tables({}), FixedCosts())
    with pytest.raises(ConfigError, match="no evaluation for 'plain/2'"):
        study_result(config(contrast()), tables({}, seeds=2), FixedCosts())
    with pytest.raises(DataError, match="share one cluster"):
        study_result(config(contrast()), tables({}, clusters=1), FixedCosts())


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    both = [study_result(config(contrast()), tables({"hi": 0.1}), FixedCosts()).model_dump_json() for _ in range(2)]
    assert both[0] == both[1]


def test_the_stage_reads_folders_and_embeds_panels(tmp_path: Path) -> None:
    from paribus.lab import write_items

    folders: dict[str, list[Path]] = {}
    for key, table in tables({"hi": 0.5}, seeds=1).items():
        folder = tmp_path / key.replace("/", "-")
        folder.mkdir()
        rows = [{"measure": "score", "item": name, **item._asdict()} for name, item in table["score"].items()]
        write_items(folder, rows)
        folders[key] = [folder]
    panel = Panel(id="p", kind="text", title="P", rows=({"text": "hello"},))
    (tmp_path / "panels.jsonl").write_text(panel.model_dump_json() + "\n")
    (tmp_path / "out").mkdir()
    analyse.function(config(contrast(), seeds=(0,)), folders, [tmp_path], out=tmp_path / "out")
    result = load_result(tmp_path / "out")
    assert result.panels == (panel,) and result.claims[0].verdict == "supported"
    (tmp_path / "panels.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"panels\.jsonl"):
        analyse.function(config(contrast(), seeds=(0,)), folders, [tmp_path], out=tmp_path / "out")
