"""The study's own stages, called directly: what they leave behind, and that it is the same bytes every time."""

import json
from pathlib import Path

import pytest

from paribus.errors import ConfigError
from paribus.lab.store import hash_tree
from paribus.studies.stages.data import CorpusConfig, PromptsConfig, TokenizerConfig, prompts, tokenizer, world_corpus
from paribus.studies.stages.evaluation import EvaluateConfig, JudgeConfig, evaluate, judge
from paribus.studies.stages.merging import (
    AverageConfig,
    MergeConfig,
    SearchConfig,
    average_run,
    merge_models,
    search_merge,
)
from paribus.studies.stages.models import FinetuneConfig, PretrainConfig, Recipe, Shape, finetune, pretrain

RECIPE = Recipe(steps=4, rows=2, length=64, learning_rate=1e-3, checkpoint_every=2)
SHAPE = Shape(hidden_size=32, layers=2, heads=2, key_value_heads=1, intermediate_size=64)


class Bench:
    """Runs stages one after the other into folders of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, name: str, made: object, *config: object, **inputs: object) -> Path:
        out = self.root / name
        out.mkdir(parents=True)
        made.function(*config, **inputs, out=out)  # type: ignore[attr-defined]
        return out


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("stages"))
    corpus = made(
        "corpus", world_corpus, CorpusConfig(languages=("en", "es"), tasks=("ca", "nw"), numbers=30, per_cell=40)
    )
    vocabulary = made("tokenizer", tokenizer, TokenizerConfig(vocab_size=400), corpus)
    made("base", pretrain, PretrainConfig(shape=SHAPE, recipe=RECIPE), corpus, vocabulary, seed=0)
    made("test", prompts, PromptsConfig(languages=("en", "es"), per_language=5, splits=("test",)), corpus, seed=0)
    made("dev", prompts, PromptsConfig(languages=("en", "es"), per_language=3, splits=("dev",)), corpus, seed=0)
    for seed in (1, 2):
        made(
            f"tuned-{seed}", finetune, FinetuneConfig(recipe=RECIPE, snapshots=2), made.root / "base", corpus, seed=seed
        )
    return made


def test_draws_with_other_offsets_share_no_prompt(bench: Bench) -> None:
    corpus = bench.root / "corpus"
    rows = []
    for offset in (0, 5):
        config = PromptsConfig(languages=("en", "es"), per_language=5, offset=offset)
        folder = bench(f"draw-{offset}", prompts, config, corpus, seed=0)
        rows.append({json.loads(line)["id"] for line in (folder / "prompts.jsonl").open()})
    assert len(rows[0]) == len(rows[1]) == 10 and not rows[0] & rows[1]


def test_snapshots_are_whole_models_along_the_second_half(bench: Bench) -> None:
    from paribus.weights import weights_hash

    kept = bench.root / "tuned-1" / "snapshots"
    assert sorted(folder.name for folder in kept.iterdir()) == ["step-3", "step-4"]
    assert weights_hash(kept / "step-4") == weights_hash(bench.root / "tuned-1") != weights_hash(kept / "step-3")


def test_snapshots_of_adapters_are_refused() -> None:
    with pytest.raises(ValueError, match="lora_rank > 0"):
        FinetuneConfig(recipe=RECIPE.model_copy(update={"lora_rank": 4}), snapshots=2)


def test_averaging_a_run_is_the_mean_of_its_snapshots(bench: Bench) -> None:
    import torch
    from safetensors.torch import load_file

    out = bench("averaged", average_run, AverageConfig(last=2), bench.root / "tuned-1")
    parts = [load_file(bench.root / "tuned-1" / "snapshots" / f"step-{n}" / "model.safetensors") for n in (3, 4)]
    for name, tensor in load_file(out / "merged" / "model.safetensors").items():
        torch.testing.assert_close(tensor, (parts[0][name] + parts[1][name]) / 2)


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "dare_ties"])
def test_a_merge_leaves_the_same_bytes_wherever_and_whenever(bench: Bench, method: str) -> None:
    models = [bench.root / "tuned-1", bench.root / "tuned-2", bench.root / "base"]
    made = [
        bench(f"{method}-{n}", merge_models, MergeConfig(method=method), models, bench.root / "base", seed=3)  # type: ignore[arg-type]
        for n in (1, 2)
    ]
    assert hash_tree(made[0]) == hash_tree(made[1])
    report = json.loads((made[0] / "merged" / "merge_report.json").read_text())
    assert "seconds" not in report and str(bench.root) not in json.dumps(report)


def test_weights_are_searched_and_the_best_ones_merged(bench: Bench) -> None:
    models = [bench.root / "tuned-1", bench.root / "tuned-2"]
    out = bench("searched", search_merge, SearchConfig(max_tokens=4), models, bench.root / "dev", seed=0)
    found = json.loads((out / "search.json").read_text())
    assert found["score"] == max(row["score"] for row in found["tried"]) and len(found["tried"]) > 3
    merged = json.loads((out / "merged" / "merge_report.json").read_text())
    assert merged["settings"]["weights"] == pytest.approx(found["best"])


def test_open_ended_prompts_are_answered_and_not_graded(bench: Bench, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (bench.root / "test" / "prompts.jsonl").open()]
    text = "".join(json.dumps(row | {"meta": {}}) + "\n" for row in rows)
    (tmp_path / "prompts.jsonl").write_text(text)
    out = bench("open", evaluate, EvaluateConfig(max_tokens=4), bench.root / "base", {"test": tmp_path}, seed=0)
    measures = {json.loads(line)["measure"] for line in (out / "items.jsonl").open()}
    assert "length_characters" in measures and not {"exact_match", "wrong_fact"} & measures


def test_a_judge_sees_each_pair_twice_and_its_settings_are_kept(bench: Bench) -> None:
    examine = EvaluateConfig(max_tokens=4)
    sets = {"test": bench.root / "test"}
    answers = [bench(f"answers-{m}", evaluate, examine, bench.root / m, sets, seed=0) for m in ("base", "tuned-1")]
    out = bench("judged", judge, JudgeConfig(), answers[1], answers[0], bench.root / "test", seed=0)
    verdicts = [json.loads(line) for line in (out / "verdicts.jsonl").open()]
    assert len(verdicts) == 20 and {row["order"] for row in verdicts} == {"ab", "ba"}
    assert "position 0.1" in json.loads((out / "judge.json").read_text())["identity"]


def test_a_merge_of_too_few_models_says_so(tmp_path: Path) -> None:
    from paribus.weights import slerp_all

    with pytest.raises(ConfigError, match="at least two models"):
        slerp_all([tmp_path], tmp_path / "out")
