"""Which architectures keep packed conversations apart, by asking them."""

from functools import partial

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    Mamba2Config,
    Qwen3Config,
)

from paribus.models.mixture import MixtureConfig
from paribus.training.separation import keeps_apart

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
}


def model(config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


MIXTURE = partial(MixtureConfig, attention_experts=3, ffn_experts=3)


@pytest.mark.parametrize("kind", [LlamaConfig, GemmaConfig, Qwen3Config, MIXTURE])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_models_keep_conversations_apart(kind, attention) -> None:
    network = model(kind(**SHAPE))
    network.set_attn_implementation(attention)
    network.train()
    assert keeps_apart(network)
    assert network.training


def test_learned_positions_restart() -> None:
    assert keeps_apart(model(GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)))


def test_models_that_carry_a_state_or_ignore_the_mask_do_not() -> None:
    state = Mamba2Config(
        vocab_size=97, hidden_size=32, num_hidden_layers=2, num_heads=8, head_dim=8, n_groups=1, state_size=8
    )
    assert not keeps_apart(model(state))
    assert not keeps_apart(
        model(BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3))
    )
