"""merge(): files, checks, reports; independent of the arithmetic of any method."""

import json

import numpy as np
import pytest
import torch
from checkpoints import CONFIG, load, save, tensors

from paribus.errors import ConfigError, ModelError
from paribus.weights import average_checkpoints, merge, run_checkpoints, weights_hash
from paribus.weights import checkpoint as checkpoint_module


@pytest.fixture
def pair(tmp_path):
    return [save(tmp_path / f"m{seed}", tensors(seed)) for seed in (1, 2)]


def test_output_is_a_loadable_directory_with_companions_and_report(tmp_path, pair):
    (pair[0] / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    (pair[1] / "chat_template.jinja").write_text("{{ messages }}")
    report = merge("linear", pair, tmp_path / "out")
    assert load(tmp_path / "out").keys() == tensors(0).keys()
    assert (tmp_path / "out/chat_template.jinja").read_text() == "{{ messages }}"
    assert report.companions == ("config.json", "tokenizer.json", "chat_template.jinja")
    assert report.weights_hash == weights_hash(tmp_path / "out")
    assert [source.weights_hash for source in report.sources] == [weights_hash(path) for path in pair]
    assert report.parameters == sum(value.numel() for value in tensors(0).values())
    assert json.loads((tmp_path / "out/merge_report.json").read_text())["settings"]["weights"] == [0.5, 0.5]


def test_shards_stay_under_the_limit_and_equal_the_single_file(tmp_path, pair):
    merge("linear", pair, tmp_path / "one")
    report = merge("linear", pair, tmp_path / "many", shard_size="3KB")
    files = sorted((tmp_path / "many").glob("model-*.safetensors"))
    assert len(files) == report.shards > 1
    largest = max(value.numel() * 4 for value in tensors(0).values())
    assert all(file.stat().st_size <= max(3000, largest) + 1000 for file in files)
    one, many = load(tmp_path / "one"), load(tmp_path / "many")
    assert all(one[name].equal(many[name]) for name in one)
    index = json.loads((tmp_path / "many/model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(one)
    assert index["metadata"]["total_size"] == sum(value.numel() * 4 for value in one.values())
    assert weights_hash(tmp_path / "one") == weights_hash(tmp_path / "many")


def test_sharded_inputs_equal_single_inputs(tmp_path):
    weights = tensors(1)
    single, sharded = save(tmp_path / "single", weights), save(tmp_path / "sharded", weights, shards=3)
    other = save(tmp_path / "other", tensors(2))
    merge("linear", [single, other], tmp_path / "a")
    merge("linear", [sharded, other], tmp_path / "b")
    assert weights_hash(tmp_path / "a") == weights_hash(tmp_path / "b")
    assert weights_hash(single) == weights_hash(sharded) != weights_hash(other)


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "ties-model", "dare_ties", "dare-l1"])
def test_result_does_not_depend_on_the_chunk_size(tmp_path, monkeypatch, method):
    base = save(tmp_path / "base", tensors(0))
    models = [save(tmp_path / f"m{seed}", tensors(seed, near=tensors(0))) for seed in (1, 2)]
    options = {
        "linear": {"method": "linear"},
        "slerp": {"method": "slerp", "t": 0.3},
        "ties": {"method": "ties", "base": base, "density": 0.4},
        "ties-model": {"method": "ties", "base": base, "density": 0.4, "trim": "model"},
        "dare_ties": {"method": "dare_ties", "base": base, "density": 0.4, "seed": 3},
        "dare-l1": {"method": "dare_ties", "base": base, "density": 0.4, "seed": 3, "rescale": "l1"},
    }[method]
    merge(models=models, out=tmp_path / "whole", **options)
    monkeypatch.setattr(checkpoint_module, "CHUNK", 64)
    merge(models=models, out=tmp_path / "pieces", **options)
    whole, pieces = load(tmp_path / "whole"), load(tmp_path / "pieces")
    exact = method not in ("slerp", "dare-l1")  # these sum over a tensor, in stretches
    for name in whole:
        torch.testing.assert_close(pieces[name], whole[name], rtol=0 if exact else 1e-6, atol=0 if exact else 1e-7)


def test_all_mismatches_are_listed_in_one_error(tmp_path, pair):
    bad = tensors(3)
    del bad["model.norm.weight"]
    bad["model.layers.0.mlp.weight"] = torch.zeros(3, 30)
    bad["model.layers.1.mlp.weight"] = bad["model.layers.1.mlp.weight"].bfloat16()
    bad["model.extra.weight"] = torch.zeros(2)
    other = save(tmp_path / "bad", bad, config={"hidden_size": 31, "rope_theta": 5.0})
    for folder, size in ((pair[0], 2), (other, 3)):
        vocabulary = {"model": {"vocab": {str(i): i for i in range(size)}, "merges": []}, "added_tokens": [size]}
        (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ModelError) as caught:
        merge("linear", [pair[0], other], tmp_path / "out")
    text = str(caught.value)
    for part in (
        "8 differences",
        "'model.norm.weight' is missing",
        "'model.extra.weight' is extra",
        "shape [3, 30], expected [17, 30]",
        "dtype BF16, expected F32",
        "config field 'hidden_size' is 31, expected 30",
        "config field 'rope_theta' is 5.0, expected absent",
        "the tokenizer's vocab differ (3 entries, expected 2)",
        "added tokens differ",
    ):
        assert part in text
    assert not (tmp_path / "out").exists()


def test_config_fields_without_meaning_and_ignored_ones_may_differ(tmp_path, pair):
    other = save(tmp_path / "other", tensors(3), config={"transformers_version": "4.1", "eos_token_id": 7})
    with pytest.raises(ModelError, match="eos_token_id") as caught:
        merge("linear", [pair[0], other], tmp_path / "out")
    assert "transformers_version" not in str(caught.value)
    merge("linear", [pair[0], other], tmp_path / "out", ignore_config=["eos_token_id"])


def test_output_dtype_and_mixed_inputs(tmp_path):
    wide, narrow = save(tmp_path / "wide", tensors(1)), save(tmp_path / "narrow", tensors(2, dtype=torch.bfloat16))
    with pytest.raises(ModelError, match="dtype BF16, expected F32"):
        merge("linear", [wide, narrow], tmp_path / "out")
    merge("linear", [wide, narrow], tmp_path / "out", dtype="bfloat16")
    assert {value.dtype for value in load(tmp_path / "out").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"
    with pytest.raises(ConfigError, match="'int4'"):
        merge("linear", [wide, narrow], tmp_path / "out2", dtype="int4")


def test_whole_numbers_are_copied_and_float64_keeps_its_precision(tmp_path):
    folders = []
    for seed in (1, 2):
        weights = {"steps": torch.tensor([seed, 5]), "w": torch.tensor([1.0 + seed * 1e-12], dtype=torch.float64)}
        folders.append(save(tmp_path / f"m{seed}", weights))
    merge("linear", folders, tmp_path / "out")
    merged = load(tmp_path / "out")
    assert merged["steps"].tolist() == [1, 5]
    assert merged["w"].item() == pytest.approx(1.0 + 1.5e-12, abs=1e-15)


def test_tied_embeddings_are_merged_and_written_once(tmp_path):
    folders = []
    for seed in (1, 2):
        weights = tensors(seed)
        if seed == 1:  # an older export that stores the tied head as well
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
        folders.append(save(tmp_path / f"m{seed}", weights, config={"tie_word_embeddings": True}))
    report = merge("linear", folders, tmp_path / "out")
    assert "lm_head.weight" not in load(tmp_path / "out")
    assert report.tensors == len(tensors(0))
    loose = tensors(3) | {"lm_head.weight": torch.ones(40, 30)}
    folders.append(save(tmp_path / "loose", loose, config={"tie_word_embeddings": True}))
    with pytest.raises(ModelError, match=r"'lm_head\.weight' equals no other tensor"):
        merge("linear", folders, tmp_path / "out2")


def test_an_existing_model_is_not_overwritten_and_a_failure_leaves_nothing(tmp_path, pair, monkeypatch):
    with pytest.raises(ConfigError, match="not an empty directory"):
        merge("linear", pair, pair[0])

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("paribus.weights.merging.copy_companions", fail)
    with pytest.raises(OSError, match="disk full"):
        merge("linear", pair, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m1", "m2"]


def test_an_empty_output_directory_is_filled(tmp_path, pair):
    (tmp_path / "out").mkdir()
    merge("linear", pair, tmp_path / "out")
    assert (tmp_path / "out/model.safetensors").is_file()


def test_unreadable_sources_say_what_to_do(tmp_path, pair):
    with pytest.raises(ModelError, match="no model directory"):
        merge("linear", [tmp_path / "nowhere", pair[0]], tmp_path / "out")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
        merge("linear", [pickled, pair[0]], tmp_path / "out")
    file = pair[1] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ModelError, match="cut off"):
        merge("linear", pair, tmp_path / "out")
    file.write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="no safetensors file"):
        merge("linear", pair, tmp_path / "out")


def test_a_missing_shard_is_named(tmp_path):
    folder = save(tmp_path / "m", tensors(1), shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors"):
        merge("linear", [folder, folder], tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "average"}, "'average'; use one of linear"),
        ({"method": "linear", "weights": [0.5, 0.6]}, "sum to 1"),
        ({"method": "linear", "weights": [1.0]}, "give 2 finite numbers"),
        ({"method": "linear", "weights": [0.5, float("nan")]}, "finite"),
        ({"method": "linear", "t": 0.5}, "does not use t"),
        ({"method": "linear", "density": 0.5}, "does not use density"),
        ({"method": "slerp"}, "either t or layer_gradient"),
        ({"method": "slerp", "t": 1.5}, "from 0"),
        ({"method": "ties", "density": 0.5}, "pass base="),
        ({"method": "linear", "layer_gradient": [0.1, 0.9]}, "anchors, each of 2 weights"),
        ({"method": "linear", "shard_size": "many"}, "shard size"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, pair, options, message):
    with pytest.raises(ConfigError, match=message):
        merge(models=pair, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_three_models_are_too_many_for_slerp_and_densities_are_checked(tmp_path, pair):
    with pytest.raises(ConfigError, match="exactly two models, got 3"):
        merge("slerp", [*pair, pair[0]], tmp_path / "out", t=0.5)
    for density in (0.0, 1.5, [0.5]):
        with pytest.raises(ConfigError, match="density"):
            merge("ties", pair, tmp_path / "out", base=pair[0], density=density)


def test_checkpoints_of_a_run_are_averaged_in_the_order_of_steps(tmp_path):
    run = tmp_path / "run"
    stored = {step: tensors(step) for step in (500, 1000, 1500)}
    for step, weights in stored.items():
        save(run / f"checkpoint-{step}", weights)
    (run / "logs-7").mkdir()
    found = run_checkpoints(run)
    assert [path.name for path in found] == ["checkpoint-500", "checkpoint-1000", "checkpoint-1500"]
    average_checkpoints(found, tmp_path / "out", last=2)
    for name, value in load(tmp_path / "out").items():
        wanted = (stored[1000][name].numpy() * np.float32(0.5) + stored[1500][name].numpy() * np.float32(0.5)).astype(
            "f4"
        )
        np.testing.assert_array_equal(value.numpy(), wanted)
    with pytest.raises(ModelError, match="no checkpoints"):
        run_checkpoints(tmp_path / "out")


def test_a_real_transformers_model_loads_after_a_merge(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    for seed in (1, 2):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(tmp_path / f"m{seed}", max_shard_size="5KB")
    models = [LlamaForCausalLM.from_pretrained(tmp_path / f"m{seed}") for seed in (1, 2)]
    merge("linear", [tmp_path / "m1", tmp_path / "m2"], tmp_path / "out", weights=[0.25, 0.75])
    merged = LlamaForCausalLM.from_pretrained(tmp_path / "out")
    assert merged.config.num_hidden_layers == CONFIG.get("num_hidden_layers", 2)
    for name, value in merged.state_dict().items():
        a, b = (model.state_dict()[name] for model in models)
        assert value.equal(a * 0.25 + b * 0.75)
