"""Identical models upcycled compute what one of them computes: every family, every variant, in float64."""

import pytest
import torch
from dense_models import DECODER, shaken
from exact_models import exact_logits
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.weights import upcycle

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
SLIDING = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 0}
FAMILIES = {
    "decoder": (DecoderForCausalLM, DecoderConfig, {"logit_scale": 0.3}),
    "cohere": (CohereForCausalLM, CohereConfig, {"logit_scale": 0.25, "layer_norm_eps": 1e-3}),
    "cohere-qk": (CohereForCausalLM, CohereConfig, {"use_qk_norm": True, "tie_word_embeddings": False}),
    "llama": (LlamaForCausalLM, LlamaConfig, {"rms_norm_eps": 1e-4}),
    "llama with a word it ignores": (LlamaForCausalLM, LlamaConfig, {"sliding_window": 3}),
    "llama3-rope": (LlamaForCausalLM, LlamaConfig, {"rope_parameters": LLAMA3, "max_position_embeddings": 128}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": 5, "tie_word_embeddings": True}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen2-sliding": (Qwen2ForCausalLM, Qwen2Config, SLIDING),
    "qwen2 that may slide": (Qwen2ForCausalLM, Qwen2Config, {**SLIDING, "max_window_layers": 9}),
    "mistral in full": (MistralForCausalLM, MistralConfig, {"sliding_window": None, "head_dim": 8}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"rms_norm_eps": 1e-3}),
    "gemma": (GemmaForCausalLM, GemmaConfig, {}),
}
VARIANTS = {
    "expert_kv": {"ffn_top_k": 2, "ffn_gate_norm": "renormalised"},
    "shared_kv": {"ffn_top_k": 3},  # all of them: raw gates sum to one
    "btx": {"ffn_top_k": 1, "ffn_gate_norm": "renormalised"},
    "sparse_upcycling": {"ffn_top_k": 2, "ffn_gate_norm": "renormalised"},
    "dense_average": {},
    "dense_continued": {},
}


def source(family, seed=0):
    """A tiny model of a family, every tensor random."""
    model_class, config_class, extra = FAMILIES[family]
    sizes = {name: value for name, value in DECODER.items() if name != "head_dim" or family != "cohere"}
    torch.manual_seed(seed)
    return shaken(model_class(config_class(**sizes | extra)), seed)


@pytest.mark.parametrize("family", FAMILIES)
def test_identical_experts_compute_what_the_model_computes(tmp_path, family):
    model = source(family)
    model.save_pretrained(tmp_path / "model")
    expected = exact_logits(model)
    assert expected.std() > 0.05
    for variant, options in VARIANTS.items():
        upcycle(variant, [tmp_path / "model"] * 3, tmp_path / variant, router_std=1.0, **options)
        gap = (exact_logits(tmp_path / variant) - expected).abs().max()
        assert gap < 1e-10, f"{variant}: {gap}"


@pytest.mark.parametrize("family", FAMILIES)
def test_dense_continued_is_the_seed_among_other_models(tmp_path, family):
    for seed in range(2):
        source(family, seed).save_pretrained(tmp_path / str(seed))
    upcycle("dense_continued", [tmp_path / "0", tmp_path / "1"], tmp_path / "out", seed_model=1)
    assert (exact_logits(tmp_path / "out") - exact_logits(source(family, 1))).abs().max() < 1e-10


@pytest.mark.parametrize("blend", [False, True])
def test_all_parts_of_a_split_model_at_gates_of_one_compute_what_it_computes(tmp_path, blend):
    model = source("llama")
    model.save_pretrained(tmp_path / "model")
    options = {"split": 4, "blend": blend, "ffn_top_k": 4, "ffn_gate_norm": "scaled", "router_std": 0.0}
    upcycle("btx", [tmp_path / "model"], tmp_path / "out", **options)
    assert (exact_logits(tmp_path / "out") - exact_logits(model)).abs().max() < 1e-10


def test_raw_top_1_with_identical_experts_is_not_the_model(tmp_path):
    """The paper's gates scale the feed-forward by the largest probability, here a quarter."""
    model = source("decoder")
    model.save_pretrained(tmp_path / "model")
    upcycle("btx", [tmp_path / "model"] * 4, tmp_path / "out", router_std=0.0)
    assert (exact_logits(tmp_path / "out") - exact_logits(model)).abs().max() > 0.01
