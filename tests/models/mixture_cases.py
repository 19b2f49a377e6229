"""Small mixtures with random weights everywhere, routers and norms included."""

import torch

from paribus.models.mixture import MixtureConfig, MixtureForCausalLM

SHAPE = {
    "vocab_size": 67, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "initializer_range": 0.2, "pad_token_id": 0, "max_position_embeddings": 128,
}  # fmt: skip
LLAMA = {"block": "sequential", "norm": "rms", "rope_interleaved": False}
VARIANTS = {
    "dense": {},
    "bam, own keys": {"attention_experts": 3, "ffn_experts": 4},
    "bam, shared keys": {"attention_experts": 3, "shared_kv": True, "ffn_experts": 4},
    "btx top-2": {"ffn_experts": 4, "ffn_top_k": 2, "ffn_gate_norm": "renormalised"},
    "attention top-2": {
        "attention_experts": 3, "attention_top_k": 2, "attention_gate_norm": "renormalised", "ffn_experts": 2,
        "ffn_gate_norm": "scaled",
    },
    "sequential": {
        **LLAMA, "attention_experts": 3, "ffn_experts": 4, "ffn_top_k": 3, "qkv_bias": True, "qk_norm": "rms",
        "embedding_scale": 2.0, "logit_scale": 0.5,
    },
    "sequential, shared keys, window": {
        **LLAMA, "norm": "rms_plus_one", "attention_experts": 2, "shared_kv": True, "ffn_experts": 2,
        "qk_norm": "layer", "sliding_window": 4,
    },
}  # fmt: skip


def config(variant: str = "bam, own keys", **changes) -> MixtureConfig:
    return MixtureConfig(**{**SHAPE, **VARIANTS[variant], **changes})


def mixture(variant: str = "bam, own keys", *, dtype: torch.dtype = torch.float32, **changes) -> MixtureForCausalLM:
    torch.manual_seed(0)
    model = MixtureForCausalLM(config(variant, **changes)).eval().to(dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight += 0.3 * torch.randn_like(weight)
    model.set_experts_backend("loop")  # nothing is timed in tests
    return model


def ids(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(1, 67, (rows, length), generator=torch.Generator().manual_seed(seed + rows * 100 + length))
