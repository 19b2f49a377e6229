import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BertConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    Mamba2Config,
    MixtralConfig,
    PreTrainedConfig,
    Qwen2Config,
    T5Config,
)

from paribus.errors import ModelError
from paribus.models import count
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.models.mixture import MixtureConfig, MixtureForCausalLM
from paribus.models.shapes import MixtureShape

AYA_8B = {
    "vocab_size": 256_000,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14_336,
}
AYA_35B = {
    **AYA_8B,
    "hidden_size": 8192,
    "num_hidden_layers": 40,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "intermediate_size": 22_528,
}
EXPANSE_32B = {**AYA_35B, "num_key_value_heads": 8, "intermediate_size": 24_576}

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 50}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("shape", "embedding", "body", "total"),
    [
        (AYA_8B, 1_048_576_000, 6_979_457_024, 8_028_033_024),
        (AYA_35B, 2_097_152_000, 32_883_679_232, 34_980_831_232),
        (EXPANSE_32B, 2_097_152_000, 30_199_324_672, 32_296_476_672),
    ],
)
def test_published_parameter_counts_by_formula_and_on_the_meta_device(shape, embedding, body, total):
    config = DecoderConfig(**shape)
    assert config.head_dim == 128
    assert count.parameters(config) == (embedding, body, total)
    model = count.on_meta(config)
    assert {weight.device.type for weight in model.parameters()} == {"meta"}
    assert count.count_module(model) == (embedding, body, total)


def test_counts_of_a_small_shape_by_hand():
    # V=10, D=8, L=2, H=2, K=1, A=4, F=6: q 8*8, k and v 8*4 each, o 8*8, three 8*6, one norm of 8
    shape = {"vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = DecoderConfig(**shape, num_key_value_heads=1, intermediate_size=6)
    block = 64 + 32 + 32 + 64 + 3 * 48
    assert count.parameters(config) == (80, 2 * (block + 8) + 8, 80 + 2 * (block + 8) + 8)
    # context 5: scores and mixing, each 5 keys * 2 heads * width 4 multiply-adds
    assert count.flops_per_token(config, 5) == 2 * (2 * block + 2 * 2 * 5 * 2 * 4) + 2 * 80
    assert count.flops_per_token(config, 5, with_logits=False) == 2 * (2 * block + 2 * 2 * 5 * 2 * 4)
    untied = DecoderConfig(**shape, num_key_value_heads=1, intermediate_size=6, tie_word_embeddings=False)
    assert count.parameters(untied).embedding == 160
    assert count.parameters(untied).body == count.parameters(config).body


@pytest.mark.parametrize("context", [1, 7, 32])
@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 1, "head_dim": 10}, {"tie_word_embeddings": False}])
def test_formulas_equal_torch_counting_forward_and_backward(context, changes):
    config = DecoderConfig(**{**SMALL, **changes})
    model = DecoderForCausalLM(config)
    model.set_attn_implementation("eager")
    ids = torch.randint(0, 50, (3, context))
    with FlopCounterMode(display=False) as forward:
        logits = model(ids).logits
    assert forward.get_total_flops() == 3 * context * count.flops_per_token(config, context)
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    both = forward.get_total_flops() + backward.get_total_flops()
    assert both == count.training_flops(config, context, 3 * context)
    assert sum(weight.numel() for weight in model.parameters()) == count.parameters(config).total
    with FlopCounterMode(display=False) as body:
        model.model(ids)
    assert body.get_total_flops() == 3 * context * count.flops_per_token(config, context, with_logits=False)


@st.composite
def mixtures(draw):
    """Any shape a mixture can have, small."""
    kv_heads, experts, attention = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return MixtureConfig(
        vocab_size=draw(st.integers(2, 40)),
        hidden_size=draw(st.integers(1, 24)),
        num_hidden_layers=draw(st.integers(1, 3)),
        num_attention_heads=kv_heads * draw(st.integers(1, 3)),
        num_key_value_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 4)),
        intermediate_size=draw(st.integers(1, 24)),
        block=draw(st.sampled_from(["parallel", "sequential"])),
        norm=draw(st.sampled_from(["layer", "rms", "rms_plus_one"])),
        qkv_bias=draw(st.booleans()),
        qk_norm=draw(st.sampled_from(["none", "rms", "layer"])),
        attention_experts=attention,
        shared_kv=draw(st.booleans()),
        attention_top_k=draw(st.sampled_from([None, 1, attention])),
        ffn_experts=experts,
        ffn_top_k=draw(st.integers(1, experts)),
        ffn_gate_norm=draw(st.sampled_from(["raw", "renormalised", "scaled"])),
        tie_word_embeddings=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(mixtures())
def test_the_mixture_s_formulas_equal_the_model_itself(config):
    shape, counted = MixtureShape.of(config), count.parameters(config)
    with torch.device("meta"):
        model = MixtureForCausalLM(config)
    assert count.count_module(model) == counted
    assert counted.total == shape.total_parameters == sum(weight.numel() for weight in model.parameters())
    assert counted.embedding == shape.embedding_parameters
    assert model.inactive_parameters == shape.total_parameters - shape.active_parameters


@pytest.mark.parametrize("context", [1, 12])
@pytest.mark.parametrize(
    "changes", [{}, {"shared_kv": True, "ffn_top_k": 3}, {"attention_top_k": 1}, {"attention_experts": 1}]
)
def test_the_mixture_s_operations_equal_torch_counting_forward_and_backward(context, changes):
    config = MixtureConfig(**{**SMALL, "attention_experts": 3, "ffn_experts": 4, "num_key_value_heads": 2, **changes})
    # In evaluation mode: the balancing losses' few sums are left out of the formula.
    model = MixtureForCausalLM(config).eval()
    model.set_attn_implementation("eager")
    model.set_experts_backend("loop")
    with FlopCounterMode(display=False) as forward:
        logits = model(torch.randint(0, 50, (3, context))).logits
    assert forward.get_total_flops() == 3 * context * count.flops_per_token(config, context)
    assert count.flops_per_token(config, context) == MixtureShape.of(config).flops_per_token(context)
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    both = forward.get_total_flops() + backward.get_total_flops()
    assert both == count.training_flops(config, context, 3 * context)
    assert both == MixtureShape.of(config).training_flops(context, 3 * context)


@pytest.mark.parametrize(("shared", "times"), [(False, 3), (True, 1)])
def test_the_mixture_s_cache_is_as_large_as_its_shape_says(shared, times):
    config = MixtureConfig(**SMALL, attention_experts=3, shared_kv=shared)
    cache = MixtureForCausalLM(config).eval()(torch.zeros(1, 9, dtype=torch.long)).past_key_values
    values = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert 4 * values == MixtureShape.of(config).kv_cache_bytes(9, bytes_per_value=4) == times * 4 * 9 * 2 * 2 * 32


def test_activation_checkpointing_adds_one_pass_through_the_body():
    config, context = DecoderConfig(**SMALL), 16
    model = DecoderForCausalLM(config).train()
    model.set_attn_implementation("eager")
    model.activation_checkpointing_enable()
    with FlopCounterMode(display=False) as counter:
        model(torch.randint(0, 50, (2, context))).logits.sum().backward()
    counted = count.training_flops(config, context, 2 * context, activation_checkpointing=True)
    # torch stops recomputing once the last saved tensor is back, before the block's closing products
    assert 0.9 * counted < counter.get_total_flops() <= counted
    assert counter.get_total_flops() > count.training_flops(config, context, 2 * context)


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL, num_key_value_heads=2),
        Qwen2Config(**SMALL, num_key_value_heads=2),
        Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8),
        GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=50),
        MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2),
    ],
    ids=lambda config: config.model_type,
)
def test_other_architectures_are_counted_on_the_meta_device(config: PreTrainedConfig):
    from transformers import AutoModelForCausalLM

    real = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    counted = count.parameters(config)
    assert counted.total == sum(weight.numel() for weight in real.parameters())
    assert counted.embedding >= 50 * 32 and counted.embedding + counted.body == counted.total
    if config.model_type == "mixtral":
        real.set_experts_implementation("batched_mm")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        real(torch.zeros(1, 8, dtype=torch.long), use_cache=False)
    assert count.flops_per_token(config, 8) == counter.get_total_flops() // 8
    assert count.flops_per_token(config, 8) - count.flops_per_token(config, 8, with_logits=False) == 2 * 32 * 50


def test_llama_agrees_with_the_decoder_formula_of_the_same_shape():
    # the parallel block has the same matrices as Llama's sequential one
    llama = LlamaConfig(**SMALL, num_key_value_heads=2)
    ours = DecoderConfig(**SMALL, num_key_value_heads=2)
    assert count.flops_per_token(llama, 24) == count.flops_per_token(ours, 24)


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(**SMALL),
        T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=50),
        Mamba2Config(hidden_size=32, num_hidden_layers=2, vocab_size=50, head_dim=8, num_heads=8, n_groups=1),
    ],
    ids=lambda config: config.model_type,
)
def test_encoders_and_recurrent_models_are_counted_too(config):
    real = type(count.on_meta(config))(config)
    real.set_attn_implementation("eager")
    assert count.parameters(config).total == sum(weight.numel() for weight in real.parameters())
    ids = torch.zeros(1, 8, dtype=torch.long)
    inputs = {"input_ids": ids, "decoder_input_ids": ids} if config.is_encoder_decoder else {"input_ids": ids}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        real(**inputs)
    assert count.flops_per_token(config, 8) == round(counter.get_total_flops() / 8)


def test_a_model_that_looks_at_values_is_refused_in_words(monkeypatch):
    def peek(self, input_ids, **_):
        return input_ids.sum().item()

    monkeypatch.setattr(DecoderForCausalLM, "forward", peek)
    with pytest.raises(ModelError, match="DecoderForCausalLM cannot be counted"):
        count.measured_flops(count.on_meta(DecoderConfig(**SMALL)), 4, with_logits=True)


def test_a_context_below_one_is_refused():
    with pytest.raises(ModelError, match="context is 0"):
        count.flops_per_token(DecoderConfig(**SMALL), 0)


def test_counting_leaves_the_configuration_alone():
    config = LlamaConfig(**SMALL)
    before, implementation = config.to_dict(), config._attn_implementation
    count.flops_per_token(config, 4)
    assert config.to_dict() == before and config._attn_implementation == implementation
