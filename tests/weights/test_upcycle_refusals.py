"""upcycle(): settings, architectures and files that cannot be upcycled, refused with the reason, with nothing left."""

import json

import pytest
import torch
from checkpoints import load, save
from dense_models import DECODER, decoder_weights, save_decoder
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, LlamaModel

from paribus.errors import ConfigError, ModelError
from paribus.weights import recipes, upcycle


@pytest.fixture
def models(tmp_path):
    return [save_decoder(tmp_path / f"m{seed}", seed) for seed in range(3)]


@pytest.mark.parametrize(
    ("variant", "options", "message"),
    [
        ("mixtral", {}, "variant is 'mixtral'; use one of expert_kv, shared_kv, btx"),
        ("btx", {"seed_model": 3}, "seed_model is 3; 3 models have the numbers 0 to 2"),
        ("btx", {"seed_model": -1}, "seed_model is -1"),
        ("btx", {"ffn_sources": (0, 3)}, "name models by their numbers, 0 to 2"),
        ("btx", {"ffn_sources": ()}, "name models by their numbers"),
        ("btx", {"ffn_sources": (1,)}, "a single FFN expert, which is no mixture"),
        ("sparse_upcycling", {"ffn_sources": (0, 1)}, "sparse_upcycling copies the seed"),
        ("btx", {"ffn_top_k": 4}, "ffn_top_k is 4; choose from 1 to 3"),
        ("btx", {"ffn_top_k": 0}, "ffn_top_k is 0; choose from 1 to 3"),
        ("btx", {"ffn_top_k": 3, "split": 2, "blend": True}, "ffn_top_k is 3; choose from 1 to 2"),
        ("expert_kv", {"attention_top_k": 4}, "attention_top_k is 4; choose from 1 to 3"),
        ("btx", {"attention_top_k": 1}, "btx makes one attention and does not use attention_top_k"),
        ("btx", {"attention_gate_norm": "renormalised"}, "does not use attention_gate_norm"),
        ("dense_average", {"ffn_sources": (0, 1)}, "dense_average makes a dense model and does not use ffn_sources"),
        ("dense_continued", {"split": 2}, "does not use split"),
        ("dense_continued", {"ffn_top_k": 2}, "does not use ffn_top_k"),
        ("btx", {"ffn_gate_norm": "topk"}, "ffn_gate_norm is 'topk'; use one of raw, renormalised, scaled"),
        ("expert_kv", {"attention_gate_norm": "scaled"}, "attention_gate_norm is 'scaled'"),
        ("btx", {"split": 0}, "split is 0"),
        ("btx", {"blend": True}, "at least 2 to blend"),
        ("btx", {"split": 5}, "split is 5, which does not divide the FFN's inner width 24"),
        ("btx", {"router_std": -0.1}, "router_std is -0.1"),
        ("btx", {"load_balance_coefficient": float("nan")}, "load_balance_coefficient is nan"),
        ("btx", {"dtype": "int8"}, "'int8'; use one of float32"),
        ("btx", {"shard_size": "big"}, "shard size is 'big'"),
    ],
)
def test_settings_are_refused_with_value_and_choice(tmp_path, models, variant, options, message):
    with pytest.raises(ConfigError, match=message):
        upcycle(variant, models, tmp_path / "out", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m0", "m1", "m2"]


@pytest.mark.parametrize("variant", ["expert_kv", "shared_kv", "btx", "sparse_upcycling"])
def test_one_model_makes_no_mixture(tmp_path, models, variant):
    with pytest.raises(ConfigError, match=r"got one model|no mixture"):
        upcycle(variant, models[:1], tmp_path / "out")
    with pytest.raises(ConfigError, match="got no model"):
        upcycle(variant, [], tmp_path / "out")


def test_one_seed_can_be_copied_or_split_into_experts(tmp_path, models):
    upcycle("sparse_upcycling", models[:1], tmp_path / "copies", ffn_sources=(0,) * 4)
    upcycle("btx", models[:1], tmp_path / "parts", split=4)
    shapes = [load(tmp_path / n)["model.layers.0.mlp.experts.down_proj"].shape for n in ("copies", "parts")]
    assert shapes == [(4, 16, 24), (4, 16, 6)]


def test_models_that_do_not_belong_together_are_listed_with_all_differences(tmp_path, models):
    wide = decoder_weights(5) | {"model.embed_tokens.weight": torch.zeros(44, 16)}
    config = DECODER | {"model_type": "paribus_decoder", "vocab_size": 44, "rope_theta": 500.0}
    other = save(tmp_path / "wide", wide, config=config)
    with pytest.raises(ModelError) as caught:
        upcycle("btx", [models[0], other], tmp_path / "out")
    for part in ("3 differences", r"shape [44, 16], expected [40, 16]", "'vocab_size' is 44", "'rope_theta' is 500.0"):
        assert part in str(caught.value)


def test_fields_may_be_ignored_and_the_seeds_are_kept(tmp_path, models):
    other = save_decoder(tmp_path / "other", 7, config={"rope_theta": 500.0})
    upcycle("btx", [models[0], other], tmp_path / "out", seed_model=1, ignore_config=("rope_theta",))
    assert json.loads((tmp_path / "out/config.json").read_text())["rope_parameters"]["rope_theta"] == 500.0


def test_different_dtypes_need_an_output_dtype(tmp_path, models):
    half = save_decoder(tmp_path / "half", 7, dtype=torch.bfloat16)
    with pytest.raises(ModelError, match="dtype BF16, expected F32"):
        upcycle("btx", [models[0], half], tmp_path / "out")
    upcycle("btx", [models[0], half], tmp_path / "out", dtype="float32")
    a, b = (load(model)["model.norm.weight"].double() for model in (models[0], half))
    assert load(tmp_path / "out")["model.norm.weight"].equal(((a + b) / 2).float())


LLAMA = {name: value for name, value in DECODER.items() if name != "head_dim"}


def llama(folder, **config):
    LlamaForCausalLM(LlamaConfig(**LLAMA | config)).save_pretrained(folder)
    return folder


def rewritten(folder, **config):
    """The same weights under a changed configuration file."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return folder


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"attention_bias": True}, "attention's output"),
        ({"mlp_bias": True}, "biases in the feed-forward"),
        ({"attention_dropout": 0.1}, "dropout in attention"),
    ],
)
def test_features_of_a_family_without_a_place_are_refused(tmp_path, config, reason):
    model = llama(tmp_path / "model", **config)
    with pytest.raises(ModelError, match=reason):
        upcycle("btx", [model, model], tmp_path / "out")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "factor 0.5"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layers of different kinds"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "dynamic"),
        ({"model_type": "gemma2"}, "gemma2.*caps its attention scores"),
        ({"model_type": "gemma3_text"}, "norms each branch before and after"),
        ({"model_type": "cohere2"}, "without|no positions"),
        ({"model_type": "phi"}, "partial rotary"),
        ({"model_type": "mixtral"}, "a mixture already"),
        ({"model_type": "qwen3_moe"}, "a mixture already"),
        ({"model_type": "paribus_mixture"}, "a mixture already"),
        ({"model_type": "newest"}, "has not been checked; these types can: paribus_decoder, cohere, llama"),
        ({"model_type": "gemma", "use_bidirectional_attention": True}, "attention to later tokens"),
        ({"hidden_act": "swish2"}, "swish2"),
    ],
)
def test_architectures_are_refused_with_the_reason(tmp_path, config, reason):
    model = rewritten(llama(tmp_path / "model"), **config)
    with pytest.raises(ModelError, match=reason):
        upcycle("btx", [model, model], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tensors_must_be_those_of_the_configuration(tmp_path):
    LlamaModel(LlamaConfig(**LLAMA)).save_pretrained(tmp_path / "base")
    with pytest.raises(ModelError, match=r"model.embed_tokens.weight is missing.*causal language model"):
        upcycle("dense_continued", [tmp_path / "base"], tmp_path / "out")
    model = rewritten(llama(tmp_path / "model"), intermediate_size=20)
    with pytest.raises(
        ModelError, match=r"gate_proj.weight has shape \[24, 16\], its configuration asks for \[20, 16\]"
    ):
        upcycle("dense_continued", [model], tmp_path / "out")
    extra = decoder_weights(0) | {"score.weight": torch.zeros(1, 16)}
    save(tmp_path / "extra", extra, config=DECODER | {"model_type": "paribus_decoder"})
    with pytest.raises(ModelError, match=r"score.weight \[1, 16\] is no part of it"):
        upcycle("dense_continued", [tmp_path / "extra"], tmp_path / "out")
    whole = {name: value.to(torch.int8) for name, value in decoder_weights(0).items()}
    save(tmp_path / "whole", whole, config=DECODER | {"model_type": "paribus_decoder"})
    with pytest.raises(ModelError, match="stored as I8"):
        upcycle("dense_continued", [tmp_path / "whole"], tmp_path / "out")


def test_an_old_configuration_with_rope_theta_and_without_head_dim_is_read(tmp_path):
    model = llama(tmp_path / "model")
    content = json.loads((model / "config.json").read_text())
    for name in ("rope_parameters", "head_dim", "dtype"):
        content.pop(name, None)
    (model / "config.json").write_text(json.dumps(content | {"rope_theta": 777.0, "torch_dtype": "float32"}))
    upcycle("dense_continued", [model], tmp_path / "out")
    config = AutoConfig.from_pretrained(tmp_path / "out")
    assert config.rope_parameters["rope_theta"] == 777.0 and config.head_dim == 4


def test_a_stored_copy_of_a_tied_head_is_dropped(tmp_path, models):
    weights = decoder_weights(0)
    both = weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}
    model = save(
        tmp_path / "both", both, config=DECODER | {"model_type": "paribus_decoder", "tie_word_embeddings": True}
    )
    upcycle("btx", [model, model], tmp_path / "out")
    assert "lm_head.weight" not in load(tmp_path / "out")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert found.lm_head.weight is found.model.embed_tokens.weight


def test_a_source_cut_off_while_it_is_read_leaves_nothing_behind(tmp_path, models, monkeypatch):
    read = recipes.Reader.block

    def cut(self, piece, first, count):
        if "layers.1" in piece.tensor:
            file = self.source.path / "model.safetensors"
            with file.open("r+b") as stream:
                stream.truncate(100)
        return read(self, piece, first, count)

    monkeypatch.setattr(recipes.Reader, "block", cut)
    with pytest.raises(ModelError, match="became shorter while it was read"):
        upcycle("btx", models, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m0", "m1", "m2"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, models, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("paribus.weights.upcycling.copy_files", full)
    with pytest.raises(OSError, match="No space left"):
        upcycle("btx", models, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m0", "m1", "m2"]


def test_an_output_that_is_not_empty_is_kept(tmp_path, models):
    with pytest.raises(ConfigError, match="not an empty directory"):
        upcycle("btx", models, models[0])
    assert (models[0] / "config.json").is_file()
