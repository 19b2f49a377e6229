"""Transformers' own model classes with tiny random weights: batches give what one request alone gets from generate."""

import pytest
import torch
from token_oracle import engine_of_ids, forward_logprob, greedy_alone, ids_of
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, LlamaForCausalLM

from paribus.errors import EngineError
from paribus.inference.local import LocalEngine
from paribus.inference.lockstep import lockstep_agrees
from paribus.inference.slots import slots_agree
from paribus.models import mixture

mixture.register()

COMMON = {
    "vocab_size": 262, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 256, "initializer_range": 0.3,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WINDOWS = {"sliding_window": 16, "head_dim": 8}
ATTENTION = {
    "llama": {},
    "mistral": {"sliding_window": 24},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "gemma": {"head_dim": 8},
    "gemma2": {**WINDOWS, "query_pre_attn_scalar": 8},
    "gemma3_text": {**WINDOWS, "layer_types": ["sliding_attention", "full_attention"]},
    "cohere": {},
    "cohere2": {**WINDOWS, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2": {"n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "gpt_neox": {"num_key_value_heads": 4},
    "olmo2": {},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "paribus_mixture": {"attention_experts": 2, "ffn_experts": 3, "sliding_window": 24},
    "paribus_mixture shared": {"attention_experts": 2, "shared_kv": True, "ffn_experts": 3, "block": "sequential"},
}
OTHERS = {
    "bloom": {"n_layer": 2, "n_head": 4},
    "llama4_text": {
        "attention_chunk_size": 16,
        "layer_types": ["chunked_attention", "full_attention"],
        "head_dim": 8,
        "intermediate_size_mlp": 64,
        "num_local_experts": 2,
    },
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1},
}


def tiny(kind, *, attention="sdpa", **changes):
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind.split()[0]](**{**COMMON, **(ATTENTION | OTHERS)[kind], **changes})
    settings = {} if kind in OTHERS else {"attn_implementation": attention}
    return AutoModelForCausalLM.from_config(config, **settings).eval()


@pytest.fixture(scope="module")
def asked(ask):
    """Prompts of 1-60 letters, some equal, longer and shorter than the windows."""
    lengths = [1, 60, 7, 31, 32, 33, 45, 2, 18]
    shared = [ask("klmnop" * 10, id=f"shared{n}", max_tokens=5 + n % 9) for n in lengths]
    return shared + [ask(("abcdefghij" * 6)[:n], id=f"own{n}", max_tokens=12 - n % 11) for n in lengths]


def check_against_generate(engine, asked):
    for request, reply in zip(asked, engine.generate(asked), strict=True):
        tokens, logprob = greedy_alone(engine, request)
        assert ids_of(reply.text) == [token for token in tokens if token not in engine.stop_ids], request.id
        assert reply.logprob == pytest.approx(logprob, abs=2e-3)


@pytest.mark.parametrize(
    ("kind", "attention"),
    [(kind, way) for kind in ATTENTION for way in ("eager", "sdpa") if (kind, way) != ("gemma2", "sdpa")],
)
def test_attention_models_run_in_slots_and_give_what_generate_gives(kind, attention, tokenizer, asked, score):
    engine = engine_of_ids(tiny(kind, attention=attention), tokenizer)
    check_against_generate(engine, asked)
    assert engine.batching == "slots"
    scored = [score("p" * 20, "abc"), score("q", "a longer answer"), score("r" * 50, "")]
    for request, got in zip(scored, engine.logprobs(scored), strict=True):
        [prompt] = engine.chat.prompts([request.messages])
        completion = tokenizer(request.completion + "<end>", add_special_tokens=False)["input_ids"]
        assert got.logprob == pytest.approx(forward_logprob(engine.model, prompt, completion), abs=2e-3)


@pytest.mark.parametrize("kind", OTHERS)
def test_other_models_run_in_lockstep_and_give_what_generate_gives(kind, tokenizer, asked):
    engine = engine_of_ids(tiny(kind), tokenizer)
    check_against_generate(engine, asked[:6])
    assert engine.batching == "lockstep"


def test_a_model_whose_cache_is_wrong_is_refused(tokenizer, ask):
    class Forgetful(LlamaForCausalLM):
        """Gives other logits as soon as a cache is used."""

        def forward(self, *args, use_cache=None, **kwargs):
            output = super().forward(*args, use_cache=use_cache, **kwargs)
            output.logits = output.logits.flip(-1) if use_cache else output.logits
            return output

    engine = LocalEngine(Forgetful(tiny("llama").config).eval(), tokenizer)
    with pytest.raises(EngineError, match="Forgetful gives other logits with its key/value cache than without"):
        engine.generate([ask("a")])


def test_the_probe_tells_a_model_that_ignores_its_cache(tokenizer):
    """Mamba takes its state as ``cache_params`` and swallows ``past_key_values``."""
    model = tiny("mamba2")
    with torch.inference_mode():
        assert lockstep_agrees(model)
        assert not slots_agree(model, torch.float32)
