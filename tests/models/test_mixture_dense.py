"""One expert of each kind is the dense model: Paribus' decoder, and Cohere, Llama, Mistral, Qwen and Gemma."""

from contextlib import nullcontext

import pytest
import torch
from mixture_peers import mixture_of
from test_decoder import LiftToDouble
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    CohereConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from paribus.models.decoder import DecoderConfig

SHAPE = {
    "vocab_size": 67, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "initializer_range": 0.2, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
PEERS: dict[str, tuple[type[PreTrainedConfig], dict]] = {
    "decoder": (DecoderConfig, {"logit_scale": 0.25}),
    "cohere": (CohereConfig, {"logit_scale": 0.25}),
    "cohere, normed heads": (CohereConfig, {"use_qk_norm": True}),
    "llama": (LlamaConfig, {}),
    "llama, wide heads": (LlamaConfig, {"head_dim": 32, "num_key_value_heads": 4}),
    "llama 3 scaling": (LlamaConfig, {"rope_parameters": LLAMA3}),
    "linear scaling": (LlamaConfig, {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    "yarn scaling": (LlamaConfig, {"rope_parameters": YARN}),
    "mistral": (MistralConfig, {"sliding_window": 5}),
    "mistral, no window": (MistralConfig, {"sliding_window": None}),
    "qwen2": (Qwen2Config, {}),
    "qwen3": (Qwen3Config, {"head_dim": 24}),
    "gemma": (GemmaConfig, {"head_dim": 32}),
}


def dense(kind: str, **changes) -> torch.nn.Module:
    """A dense model with every weight drawn at random, norms and biases too, so that none can be mixed up unseen."""
    torch.manual_seed(0)
    config_class, fields = PEERS[kind]
    model = Auto.from_config(config_class(**{**SHAPE, **fields, **changes})).eval().double()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight += 0.3 * torch.randn_like(weight)
    return model


def ids(rows: int = 2, length: int = 13) -> torch.Tensor:
    return torch.randint(3, 67, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", PEERS)
def test_logits_are_the_dense_models(kind, attention):
    peer = dense(kind)
    ours = mixture_of([peer])
    assert ours.config.attention_experts == ours.config.ffn_experts == 1
    for model in (ours, peer):
        model.set_attn_implementation(attention)
    mask = torch.ones(2, 13, dtype=torch.long)
    mask[0, :4] = 0
    # the decoder keeps float64 by itself; transformers' models round norms and rotations to float32
    with torch.no_grad(), nullcontext() if kind == "decoder" else LiftToDouble():
        expected = peer(ids(), attention_mask=mask).logits
    got = ours(ids(), attention_mask=mask).logits
    assert got.dtype == torch.float64 and got.std() > 0.1
    tolerance = 1e-12 if kind == "decoder" else 1e-10
    torch.testing.assert_close(got[1], expected[1], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(got[0, 4:], expected[0, 4:], rtol=tolerance, atol=tolerance)


def test_gradients_are_the_decoders():
    peer = dense("decoder")
    ours = mixture_of([peer])
    for model in (peer, ours):
        model(ids(), labels=ids()).loss.backward()
    state = {name: weight.grad for name, weight in ours.named_parameters()}
    for layer, block in enumerate(peer.model.layers):
        prefix = f"model.layers.{layer}."
        q, k, v = state[f"{prefix}self_attn.qkv_proj.weight"].split([64, 32, 32])
        gate, up = state[f"{prefix}mlp.experts.gate_up_proj"][0].chunk(2)
        attention, mlp = block.self_attn, block.mlp
        pairs = [
            (q, attention.q_proj), (k, attention.k_proj), (v, attention.v_proj), (gate, mlp.gate_proj),
            (up, mlp.up_proj), (state[f"{prefix}mlp.experts.down_proj"][0], mlp.down_proj),
            (state[f"{prefix}self_attn.o_proj.weight"], attention.o_proj),
            (state[f"{prefix}input_layernorm.weight"], block.input_layernorm),
        ]  # fmt: skip
        for got, module in pairs:
            torch.testing.assert_close(got, module.weight.grad, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(state["model.embed_tokens.weight"], peer.model.embed_tokens.weight.grad)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3", "gemma"])
def test_greedy_text_is_the_dense_models(kind):
    peer = dense(kind).float()
    ours = mixture_of([peer])
    asked = {"max_new_tokens": 12, "do_sample": False, "attention_mask": torch.ones(2, 13, dtype=torch.long)}
    assert ours.generate(ids(), **asked).tolist() == peer.generate(ids(), **asked).tolist()


def test_bfloat16_norms_are_gemmas_to_the_bit():
    """1 + w in bf16 would lose w's last bits; both sides add in float32."""
    peer = dense("gemma").bfloat16()
    x = torch.randn(2, 5, 64).bfloat16()
    assert torch.equal(mixture_of([peer]).model.norm(x), peer.model.norm(x))


def test_bfloat16_embeddings_are_scaled_as_gemma_scales_them():
    """sqrt(80) is 8.944 in float32 and 8.9375 in bf16; the product must be rounded as Gemma's is."""
    peer = dense("gemma", hidden_size=80).bfloat16()
    ours = mixture_of([peer])
    seen = []
    ours.model.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    ours(ids())
    assert torch.equal(seen[0], peer.model.embed_tokens(ids()))
