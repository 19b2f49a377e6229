"""The classes of transformers that a mixture can be written as, and what each of them can and cannot compute.

Read in their modelling files (transformers 5.23): which gates are divided by their sum, where norms and biases sit,
which rotary pairs turn. A target is chosen only where it computes the same function; every difference has a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paribus.models.mixture import MixtureConfig

SHARED_WIDTH = 16
"""Inner width of the silent shared expert that Qwen2-MoE must have: small, and divisible for tensor parallelism."""

OTHERS = {
    "olmoe": "it norms queries and keys over all heads together",
    "flex_olmo": "it norms queries and keys over all heads together, and what branches give instead of what they get",
    "jetmoe": "its attention experts share keys and values of one head and are chosen, not mixed",
    "granitemoe": "it is Mixtral with multipliers; export to mixtral",
    "deepseek_v3": "its router is a sigmoid with groups and biases",
}


@dataclass(frozen=True)
class Target:
    """One class: the mixture fields it can express, the gates it computes, its own fields, its names of experts.

    ``gates`` is empty for a dense class. ``ffn`` is what the class's files call the mixture, ``names`` the gate, up and
    down projection of each expert. ``shared_expert``: it has one that every token goes through, and cannot be without.
    """

    architecture: str
    config: str
    exact: dict[str, tuple[Any, ...]]
    own: Callable[[MixtureConfig], dict[str, Any]]
    gates: tuple[str, ...] = ()
    ffn: str = "mlp"
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    shared_expert: bool = False


def _llama_like(**changed: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    plain: dict[str, tuple[Any, ...]] = {
        "block": ("sequential",),
        "norm": ("rms",),
        "rope_interleaved": (False,),
        "qk_norm": ("none",),
        "qkv_bias": (False,),
        "embedding_scale": (1.0,),
        "logit_scale": (1.0,),
    }
    return plain | changed


def _cohere_like(**changed: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    parallel = {"block": ("parallel",), "norm": ("layer",), "rope_interleaved": (True,)}
    plain = {name: values for name, values in _llama_like().items() if name != "logit_scale"}
    return plain | parallel | changed


def _rms(config: MixtureConfig) -> dict[str, Any]:
    return {"rms_norm_eps": config.norm_eps}


def _mistral(config: MixtureConfig) -> dict[str, Any]:
    return _rms(config) | {"sliding_window": config.sliding_window}


def _qwen(config: MixtureConfig) -> dict[str, Any]:
    kind = "full_attention" if config.sliding_window is None else "sliding_attention"
    return _mistral(config) | {
        "use_sliding_window": config.sliding_window is not None,
        "layer_types": [kind] * config.num_hidden_layers,
    }


def _routed(config: MixtureConfig) -> dict[str, Any]:
    return {
        "num_experts": config.ffn_experts,
        "num_experts_per_tok": config.ffn_top_k,
        "moe_intermediate_size": config.intermediate_size,
        "norm_topk_prob": config.ffn_gate_norm == "renormalised",
        "router_aux_loss_coef": config.load_balance_coefficient,
    }


def _mixtral(config: MixtureConfig) -> dict[str, Any]:
    return _mistral(config) | {
        "num_local_experts": config.ffn_experts,
        "num_experts_per_tok": config.ffn_top_k,
        "router_aux_loss_coef": config.load_balance_coefficient,
    }


def _qwen2_moe(config: MixtureConfig) -> dict[str, Any]:
    biased = {"qkv_bias": config.qkv_bias, "shared_expert_intermediate_size": SHARED_WIDTH}
    return _qwen(config) | _routed(config) | biased


def _qwen3_moe(config: MixtureConfig) -> dict[str, Any]:
    kept = _qwen(config) | _routed(config)
    kept.pop("layer_types")
    return kept


def _cohere2_moe(config: MixtureConfig) -> dict[str, Any]:
    """Only sliding layers have positions there, so all layers slide, over all positions where the model does not."""
    norm = {"layer_norm_eps": config.norm_eps} if config.norm == "layer" else {"rms_norm_eps": config.norm_eps}
    return norm | {
        "logit_scale": config.logit_scale,
        "layer_types": ["sliding_attention"] * config.num_hidden_layers,
        "sliding_window": config.sliding_window or config.max_position_embeddings,
        "num_experts": config.ffn_experts,
        "num_experts_per_tok": config.ffn_top_k,
        "expert_selection_fn": "softmax",
        "num_shared_experts": 0,
    }


def _cohere(config: MixtureConfig) -> dict[str, Any]:
    norms = {"layer_norm_eps": config.norm_eps, "use_qk_norm": config.qk_norm == "layer"}
    return norms | {"logit_scale": config.logit_scale}


RENORMALISED, BOTH = ("renormalised",), ("renormalised", "raw")
WINDOW = {"sliding_window": (None,)}

TARGETS = {
    "cohere2_moe": Target(
        "Cohere2MoeForCausalLM", "Cohere2MoeConfig", _cohere_like(norm=("layer", "rms")), _cohere2_moe, RENORMALISED
    ),
    "mixtral": Target(
        "MixtralForCausalLM",
        "MixtralConfig",
        _llama_like(),
        _mixtral,
        RENORMALISED,
        ffn="block_sparse_moe",
        names=("w1", "w3", "w2"),
    ),
    "qwen3_moe": Target("Qwen3MoeForCausalLM", "Qwen3MoeConfig", _llama_like(qk_norm=("rms",)), _qwen3_moe, BOTH),
    "qwen2_moe": Target(
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        _llama_like(qkv_bias=(False, True)),
        _qwen2_moe,
        BOTH,
        shared_expert=True,
    ),
    "cohere": Target("CohereForCausalLM", "CohereConfig", _cohere_like(qk_norm=("none", "layer")) | WINDOW, _cohere),
    "llama": Target("LlamaForCausalLM", "LlamaConfig", _llama_like() | WINDOW, _rms),
    "mistral": Target("MistralForCausalLM", "MistralConfig", _llama_like(), _mistral),
    "qwen2": Target("Qwen2ForCausalLM", "Qwen2Config", _llama_like(qkv_bias=(True,)), _qwen),
    "qwen3": Target("Qwen3ForCausalLM", "Qwen3Config", _llama_like(qk_norm=("rms",)), _qwen),
    "gemma": Target(
        "GemmaForCausalLM", "GemmaConfig", _llama_like(norm=("rms_plus_one",), embedding_scale=()) | WINDOW, _rms
    ),
}


def differences(name: str, config: MixtureConfig) -> list[str]:
    """Why the class cannot compute this mixture's function; empty if it can."""
    target = TARGETS[name]
    exact = target.exact | ({"embedding_scale": (config.hidden_size**0.5,)} if name == "gemma" else {})
    found = [
        f"{field} is {getattr(config, field)!r}, it has {' or '.join(map(repr, values))}"
        for field, values in exact.items()
        if getattr(config, field) not in values
    ]
    if config.attention_experts > 1:
        found.insert(0, f"it has no attention experts, the mixture has {config.attention_experts}")
    return found + _gate_differences(target, config)


def _gate_differences(target: Target, config: MixtureConfig) -> list[str]:
    if bool(target.gates) != (config.ffn_experts > 1):
        kind = "a mixture" if target.gates else "dense"
        return [f"it is {kind}, the model has {config.ffn_experts} FFN expert{'s' * (config.ffn_experts > 1)}"]
    if config.ffn_experts == 1 or config.ffn_gate_norm in target.gates:
        return []
    if config.ffn_gate_norm == "raw" and config.ffn_top_k == config.ffn_experts:
        return []  # gates over all experts sum to one as they are
    if config.ffn_gate_norm == "scaled":
        return ["ffn_gate_norm is 'scaled', it multiplies no gate by the number of experts"]
    return [
        f"ffn_gate_norm is 'raw', it divides the {config.ffn_top_k} selected gates by their sum (which would take the "
        "probability out of the output and, with one selected, the router out of training)"
    ]


def notes(name: str, config: MixtureConfig) -> list[str]:
    """What somebody who trains or serves the exported model has to know."""
    if config.ffn_experts == 1:
        return []
    told = [
        "The balancing losses are not the same: transformers counts all layers together and has no router z-loss.",
    ]
    if config.ffn_top_k == 1 and config.ffn_gate_norm == "renormalised":
        told.append("One selected expert with a renormalised gate: the gate is 1, so the router gets no gradient.")
    if name == "cohere2_moe" and config.sliding_window is None:
        told.append(
            "Its full-attention layers have no rotary positions, so every layer is a sliding one with a window of "
            f"{config.max_position_embeddings} tokens; beyond that many it forgets, where the mixture does not."
        )
    if name == "qwen2_moe":
        told.append("Its shared expert is all zeros: it adds nothing, and its gradient is zero.")
    return told
