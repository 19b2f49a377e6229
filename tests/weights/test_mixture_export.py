"""export_mixture(): logits of the class of transformers against the mixture's, and every lossy export refused."""

import json

import pytest
import torch
from dense_models import DECODER, shaken
from exact_models import exact_logits, tokens
from transformers import AutoModelForCausalLM

from paribus.errors import ConfigError, ModelError
from paribus.models.load import load_causal
from paribus.models.mixture import MixtureConfig, MixtureForCausalLM
from paribus.weights import export_mixture, upcycle, weights_hash

LLAMA = {"block": "sequential", "norm": "rms", "rope_interleaved": False}
BTX = {"ffn_experts": 4, "ffn_top_k": 2, "ffn_gate_norm": "renormalised", "intermediate_size": 12}
RAW = BTX | {"ffn_top_k": 1, "ffn_gate_norm": "raw"}
GEMMA = LLAMA | {"norm": "rms_plus_one", "embedding_scale": 4.0, "hidden_act": "gelu_pytorch_tanh"}
EXACT = {
    "cohere2_moe": {**BTX, "logit_scale": 0.3, "tie_word_embeddings": False, "rope_parameters": {"rope_theta": 300.0}},
    "cohere2_moe rms": {**BTX, "norm": "rms", "norm_eps": 1e-3},
    "cohere2_moe eps": {**BTX, "norm_eps": 1e-2},
    "cohere2_moe sliding": {**BTX, "sliding_window": 4},
    "cohere2_moe all": {**BTX, "ffn_gate_norm": "raw", "ffn_top_k": 4},
    "cohere2_moe top1": {**BTX, "ffn_top_k": 1},
    "mixtral": {**LLAMA, **BTX, "norm_eps": 1e-3, "rope_parameters": {"rope_theta": 300.0}},
    "mixtral sliding": {**LLAMA, **BTX, "sliding_window": 4, "tie_word_embeddings": False},
    "qwen2_moe raw": {**LLAMA, **RAW},
    "qwen2_moe bias": {**LLAMA, **BTX, "qkv_bias": True},
    "qwen2_moe sliding": {**LLAMA, **RAW, "sliding_window": 4},
    "qwen3_moe": {**LLAMA, **BTX, "qk_norm": "rms", "norm_eps": 1e-3},
    "qwen3_moe raw": {**LLAMA, **RAW, "qk_norm": "rms", "sliding_window": 4, "ffn_top_k": 3},
    "cohere": {"logit_scale": 0.3, "rope_parameters": {"rope_theta": 300.0}},
    "cohere qk": {"qk_norm": "layer", "norm_eps": 1e-3},
    "llama": {**LLAMA, "tie_word_embeddings": False},
    "mistral": {**LLAMA, "sliding_window": 4},
    "qwen2": {**LLAMA, "qkv_bias": True},
    "qwen2 sliding": {**LLAMA, "qkv_bias": True, "sliding_window": 4},
    "qwen3": {**LLAMA, "qk_norm": "rms"},
    "gemma": GEMMA,
}


def saved(folder, *, dtype=torch.float64, **fields):
    """A mixture with every tensor random."""
    sizes = DECODER | {"max_position_embeddings": 64} | fields
    model = shaken(MixtureForCausalLM(MixtureConfig(**sizes)), seed=3).to(dtype)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("case", EXACT)
def test_the_class_of_transformers_computes_the_same_logits(tmp_path, case):
    model = saved(tmp_path / "mixture", **EXACT[case])
    report = export_mixture(tmp_path / "mixture", tmp_path / "out")
    assert report.target == case.split()[0]
    exported, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", dtype=torch.float64, output_loading_info=True
    )
    assert type(exported).__name__ == report.architecture and not info["missing_keys"] and not info["unexpected_keys"]
    expected = exact_logits(model)
    assert expected.std() > 0.05
    assert (exact_logits(exported.eval()) - expected).abs().max() < 1e-10


@pytest.mark.parametrize("case", ["cohere2_moe", "mixtral", "qwen2_moe raw", "qwen3_moe raw"])
@torch.no_grad()
def test_float32_as_stored_agrees_to_1e_5(tmp_path, case):
    model = saved(tmp_path / "mixture", dtype=torch.float32, **EXACT[case])
    export_mixture(tmp_path / "mixture", tmp_path / "out")
    exported = load_causal(tmp_path / "out")
    assert exported.dtype == torch.float32
    assert (exported(tokens()).logits - model(tokens()).logits).abs().max() < 1e-5


def test_generation_with_a_cache_agrees(tmp_path):
    model = saved(tmp_path / "mixture", **EXACT["cohere2_moe sliding"])
    export_mixture(tmp_path / "mixture", tmp_path / "out")
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    exported = load_causal(tmp_path / "out", dtype=torch.float64)
    exported.set_experts_implementation("eager")
    assert exported.generate(tokens(), **options).equal(model.generate(tokens(), **options))


def test_a_btx_model_of_llamas_goes_to_mixtral_and_back_to_equal_experts(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    for seed in range(2):
        shaken(LlamaForCausalLM(LlamaConfig(**DECODER)), seed).save_pretrained(tmp_path / str(seed))
    upcycle("btx", [tmp_path / "0", tmp_path / "1"], tmp_path / "btx", ffn_top_k=2, ffn_gate_norm="renormalised")
    export_mixture(tmp_path / "btx", tmp_path / "out", "mixtral")
    assert (exact_logits(tmp_path / "out") - exact_logits(tmp_path / "btx")).abs().max() < 1e-10


@pytest.mark.parametrize(
    ("target", "fields", "reason"),
    [
        ("auto", {"attention_experts": 2, **BTX}, "no attention experts, the mixture has 2"),
        ("mixtral", {**LLAMA, **RAW}, "divides the 1 selected gates by their sum"),
        ("cohere2_moe", RAW, "ffn_gate_norm is 'raw'"),
        ("auto", RAW, "ffn_gate_norm is 'raw'"),
        ("auto", {**BTX, "ffn_gate_norm": "scaled"}, "multiplies no gate by the number of experts"),
        ("mixtral", BTX, "block is 'parallel', it has 'sequential'"),
        ("cohere2_moe", {**LLAMA, **BTX}, "block is 'sequential', it has 'parallel'"),
        ("cohere2_moe", {**BTX, "qk_norm": "layer"}, "qk_norm is 'layer', it has 'none'"),
        ("mixtral", {**LLAMA, **BTX, "logit_scale": 0.5}, "logit_scale is 0.5, it has 1.0"),
        ("auto", {**GEMMA, **BTX}, "norm is 'rms_plus_one'"),
        ("gemma", {**GEMMA, "embedding_scale": 3.0}, "embedding_scale is 3.0, it has 4.0"),
        ("mixtral", LLAMA, "it is a mixture, the model has 1 FFN expert"),
        ("llama", {**LLAMA, **BTX}, "it is dense, the model has 4 FFN experts"),
        ("olmoe", {**LLAMA, **RAW}, "norms queries and keys over all heads"),
        ("gpt2", LLAMA, "use auto or one of cohere2_moe"),
    ],
)
def test_what_would_change_the_function_is_refused_with_the_reason(tmp_path, target, fields, reason):
    saved(tmp_path / "mixture", **fields)
    with pytest.raises(ModelError, match=reason):
        export_mixture(tmp_path / "mixture", tmp_path / "out", target)
    assert not (tmp_path / "out").exists()


def test_notes_tell_what_differs_in_training(tmp_path):
    saved(tmp_path / "one", **BTX | {"ffn_top_k": 1})
    told = " ".join(export_mixture(tmp_path / "one", tmp_path / "a").notes)
    assert "router gets no gradient" in told and "window of 64 tokens" in told and "balancing losses" in told
    saved(tmp_path / "two", **LLAMA, **BTX)
    assert "no gradient" not in " ".join(export_mixture(tmp_path / "two", tmp_path / "b").notes)


def test_the_silent_shared_expert_stays_silent_in_training(tmp_path):
    saved(tmp_path / "mixture", dtype=torch.float32, **LLAMA, **RAW)
    export_mixture(tmp_path / "mixture", tmp_path / "out", "qwen2_moe")
    exported = load_causal(tmp_path / "out").train()
    exported(tokens(), labels=tokens()).loss.backward()
    shared = {name: p for name, p in exported.named_parameters() if "shared_expert" in name}
    assert len(shared) == 8 and all(p.count_nonzero() == 0 == p.grad.count_nonzero() for p in shared.values())


def test_report_and_companions(tmp_path):
    saved(tmp_path / "mixture", **BTX)
    (tmp_path / "mixture/tokenizer.json").write_text("{}")
    report = export_mixture(tmp_path / "mixture", tmp_path / "out", shard_size="4KB")
    assert report.source_hash == weights_hash(tmp_path / "mixture")
    assert report.weights_hash == weights_hash(tmp_path / "out") and report.shards > 1
    assert "tokenizer.json" in report.companions and (tmp_path / "out/tokenizer.json").is_file()
    assert json.loads((tmp_path / "out/export_report.json").read_text()) == report.model_dump(mode="json")
    assert exact_logits(tmp_path / "out").shape == (2, 12, 40)


def test_other_models_full_folders_and_damaged_mixtures_are_refused(tmp_path):
    saved(tmp_path / "mixture", **BTX)
    export_mixture(tmp_path / "mixture", tmp_path / "out")
    with pytest.raises(ModelError, match="'cohere2_moe'; give a 'paribus_mixture'"):
        export_mixture(tmp_path / "out", tmp_path / "again")
    with pytest.raises(ConfigError, match="not an empty directory"):
        export_mixture(tmp_path / "mixture", tmp_path / "out")
    config = json.loads((tmp_path / "mixture/config.json").read_text())
    (tmp_path / "mixture/config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"model.layers.2.input_layernorm.weight \(0 elements, 16 used\)"):
        export_mixture(tmp_path / "mixture", tmp_path / "third")
