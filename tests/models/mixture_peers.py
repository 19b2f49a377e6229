"""Dense models of transformers (or Paribus' decoder) laid out as a mixture, by the documented names and orders."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from paribus.models.mixture import MixtureConfig, MixtureForCausalLM

SIZES = [
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "max_position_embeddings",
    "initializer_range",
    "tie_word_embeddings",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
]
COHERES = ("cohere", "paribus_decoder")


def dense_fields(model: PreTrainedModel) -> dict:
    """The fields of the mixture configuration whose N = E = 1 case is this model."""
    config, attention = model.config, model.model.layers[0].self_attn
    parallel = config.model_type in COHERES
    gemma = config.model_type == "gemma"
    fields = {name: getattr(config, name) for name in SIZES} | {"head_dim": attention.head_dim}
    fields |= {
        "block": "parallel" if parallel else "sequential",
        "norm": "layer" if parallel else "rms_plus_one" if gemma else "rms",
        "norm_eps": config.layer_norm_eps if parallel else config.rms_norm_eps,
        "rope_interleaved": parallel,
        "rope_parameters": getattr(config, "rope_parameters", None)
        or {"rope_type": "default", "rope_theta": config.rope_theta},
        "hidden_act": getattr(config, "hidden_act", "silu"),
        "qkv_bias": attention.q_proj.bias is not None,
        "logit_scale": getattr(config, "logit_scale", 1.0),
        "embedding_scale": config.hidden_size**0.5 if gemma else 1.0,
        "sliding_window": getattr(config, "sliding_window", None),
    }
    if hasattr(attention, "q_norm"):
        fields["qk_norm"] = "layer" if parallel else "rms"
    return fields


def mixture_of(models: list[PreTrainedModel], **changes) -> MixtureForCausalLM:
    """A mixture whose attention and feed-forward experts are those of the models; routers zero, the rest their mean."""
    experts = {"attention_experts": len(models), "ffn_experts": len(models)}
    config = MixtureConfig(**{**dense_fields(models[0]), **experts, **changes})
    mixture = MixtureForCausalLM(config).eval().to(models[0].dtype)
    states = [model.state_dict() for model in models]
    state = {}
    for name, old in mixture.state_dict().items():
        prefix, _, part = name.partition("self_attn." if "self_attn." in name else "mlp.")
        fill = ATTENTION if "self_attn." in name else FEED_FORWARD
        if part in fill:
            state[name] = fill[part](prefix, states, config)
        elif "router" in part:
            state[name] = torch.zeros_like(old)
        else:
            state[name] = mean([dense[name] for dense in states])
        assert state[name].shape == old.shape, name
    mixture.load_state_dict(state)
    return mixture


def mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(tensors).mean(0)


def keys_or_values(tensors: list[torch.Tensor], config: MixtureConfig) -> list[torch.Tensor]:
    return [mean(tensors)] if config.shared_kv else tensors


def rows(kind: str):
    def fill(prefix, states, config):
        q, k, v = ([state[f"{prefix}self_attn.{name}_proj.{kind}"] for state in states] for name in "qkv")
        return torch.cat([*q, *keys_or_values(k, config), *keys_or_values(v, config)])

    return fill


def columns(prefix, states, config):
    return torch.cat([state[f"{prefix}self_attn.o_proj.weight"] for state in states], dim=1)


def stacked(name: str, shared: bool):
    def fill(prefix, states, config):
        weights = [state[f"{prefix}self_attn.{name}.weight"] for state in states]
        return torch.stack(keys_or_values(weights, config) if shared else weights)

    return fill


def gate_up(prefix, states, config):
    both = [torch.cat([state[f"{prefix}mlp.{name}_proj.weight"] for name in ("gate", "up")]) for state in states]
    return torch.stack(both)


def down(prefix, states, config):
    return torch.stack([state[f"{prefix}mlp.down_proj.weight"] for state in states])


ATTENTION = {
    "qkv_proj.weight": rows("weight"),
    "qkv_proj.bias": rows("bias"),
    "o_proj.weight": columns,
    "q_norm.weight": stacked("q_norm", shared=False),
    "k_norm.weight": stacked("k_norm", shared=True),
}
FEED_FORWARD = {"experts.gate_up_proj": gate_up, "experts.down_proj": down}
