"""Dense architectures that can be read: what their configuration means, and which tensors they consist of.

Every family is one block with switches: parallel or sequential, its norm, its rotary pairs, biases of q, k and v, norms
of queries and keys. What has no switch is refused by name, since a dropped term would change the function silently.

Legend: D model width, H query heads, K key/value heads, A head width, F inner FFN width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paribus.errors import ModelError
from paribus.weights.checkpoint import Checkpoint
from paribus.weights.compatibility import without_tied_head

_REASONS = {
    "gemma2": "it caps its attention scores and logits, and norms each branch twice",
    "gemma3": "it norms each branch before and after, and mixes sliding and full layers",
    "gemma3_text": "it norms each branch before and after, and mixes sliding and full layers",
    "cohere2": "it mixes sliding layers with full layers that have no positions",
    "phi": "it turns only a part of each head (partial rotary) and its linear layers have biases",
    "phi3": "its q, k, v and its gate and up matrices are stored fused",
    "gpt_neox": "it turns only a part of each head (partial rotary) and its linear layers have biases",
    "gpt2": "it has learned positions and a feed-forward without a gate",
    "olmo2": "it norms what each branch gives, not what it gets",
}
_MIXTURES = ("moe", "mixtral", "dbrx", "jetmoe", "deepseek_v", "jamba", "paribus_mixture", "flex_olmo")


@dataclass(frozen=True)
class Family:
    """How one model type spells the switches: names of configuration fields, and what is always so.

    ``sliding``: which layers heed ``sliding_window``: "none" (whatever the file says), "all", or as "told" by its
    ``layer_types``.
    """

    block: str = "sequential"
    norm: str = "rms"
    norm_eps: str = "rms_norm_eps"
    rope_interleaved: bool = False
    qkv_bias: bool = False
    qk_norm: str = "none"
    scaled_embedding: bool = False
    sliding: str = "none"


FAMILIES = {
    "paribus_decoder": Family(block="parallel", norm="layer", norm_eps="layer_norm_eps", rope_interleaved=True),
    "cohere": Family(block="parallel", norm="layer", norm_eps="layer_norm_eps", rope_interleaved=True),
    "llama": Family(),
    "mistral": Family(sliding="all"),
    "qwen2": Family(qkv_bias=True, sliding="told"),
    "qwen3": Family(qk_norm="rms", sliding="told"),
    "gemma": Family(norm="rms_plus_one", scaled_embedding=True),
}


@dataclass(frozen=True)
class Architecture:
    """A dense model's shape, in the words of ``models.mixture.MixtureConfig`` with one expert of everything."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    max_position_embeddings: int
    initializer_range: float
    tie_word_embeddings: bool
    use_cache: bool
    pad_token_id: int | None
    bos_token_id: int | None
    eos_token_id: int | list[int] | None
    logit_scale: float
    block: str
    norm: str
    norm_eps: float
    rope_parameters: dict[str, Any]
    rope_interleaved: bool
    hidden_act: str
    qkv_bias: bool
    qk_norm: str
    embedding_scale: float
    sliding_window: int | None

    def outer(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors outside the layers."""
        vocabulary = (self.vocab_size, self.hidden_size)
        named = {"model.embed_tokens.weight": vocabulary, "model.norm.weight": (self.hidden_size,)}
        return named if self.tie_word_embeddings else named | {"lm_head.weight": vocabulary}

    def norms(self) -> dict[str, tuple[int, ...]]:
        """Norms of one layer's inputs, named inside the layer."""
        names = ["input_layernorm", "post_attention_layernorm"][: 1 if self.block == "parallel" else 2]
        return {f"{name}.weight": (self.hidden_size,) for name in names}

    def attention(self) -> dict[str, tuple[int, ...]]:
        """Tensors of one layer's attention, named inside the layer."""
        queries, pairs = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        rows = {"q_proj": queries, "k_proj": pairs, "v_proj": pairs}
        named: dict[str, tuple[int, ...]] = {
            f"{name}.weight": (count, self.hidden_size) for name, count in rows.items()
        }
        named["o_proj.weight"] = (self.hidden_size, queries)
        if self.qkv_bias:
            named |= {f"{name}.bias": (count,) for name, count in rows.items()}
        if self.qk_norm != "none":
            heads = {"q_norm": self.num_attention_heads, "k_norm": self.num_key_value_heads}
            per_head = self.qk_norm == "layer"
            named |= {
                f"{n}.weight": (count, self.head_dim) if per_head else (self.head_dim,) for n, count in heads.items()
            }
        return {f"self_attn.{name}": shape for name, shape in named.items()}

    def ffn(self) -> dict[str, tuple[int, ...]]:
        """Tensors of one layer's feed-forward, named inside the layer."""
        inner, width = self.intermediate_size, self.hidden_size
        return {
            "mlp.gate_proj.weight": (inner, width),
            "mlp.up_proj.weight": (inner, width),
            "mlp.down_proj.weight": (width, inner),
        }

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all tensors of the dense model."""
        layer = self.norms() | self.attention() | self.ffn()
        inside = {f"model.layers.{i}.{n}": s for i in range(self.num_hidden_layers) for n, s in layer.items()}
        return self.outer() | inside


def read_architecture(source: Checkpoint) -> Architecture:
    """The shape that a checkpoint's configuration tells, checked against its tensors.

    Raises ``ModelError`` for an architecture that no mixture expresses (with the reason), and for tensors that are
    missing, of another shape, or not part of the architecture.
    """
    family = _family(source)
    config = _load_config(source)
    _refuse(source, config)
    architecture = _architecture(family, config)
    _check_tensors(source, architecture)
    return architecture


def _family(source: Checkpoint) -> Family:
    raw = source.json("config.json")
    if raw is None:
        raise ModelError(f"{source.path} has no config.json; give a directory made by save_pretrained.")
    kind = raw.get("model_type")
    if kind in FAMILIES:
        return FAMILIES[kind]
    if any(part in str(kind) for part in _MIXTURES):
        raise ModelError(f"{source.path} is a {kind!r}, a mixture already; upcycle the dense models it was made of.")
    reason = _REASONS.get(str(kind), "this architecture has not been checked")
    raise ModelError(
        f"{source.path} is a {kind!r} and cannot be upcycled: {reason}; these types can: {', '.join(FAMILIES)}."
    )


def _load_config(source: Checkpoint) -> Any:
    """The configuration with its defaults filled in and its rotary settings in the present form."""
    from transformers import AutoConfig

    import paribus.models.decoder  # noqa: F401  (registers the decoder's configuration)

    try:
        return AutoConfig.from_pretrained(source.path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{source.path / 'config.json'} cannot be read: {error}") from error


def _refuse(source: Checkpoint, config: Any) -> None:
    """Name every feature that a mixture could not keep."""
    rope = getattr(config, "rope_parameters", None) or {}
    partial = rope.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", None)) or 1.0
    features = {
        "quantised weights (quantization_config); save it dequantised": getattr(config, "quantization_config", None),
        "biases on the attention's output (attention_bias)": getattr(config, "attention_bias", False),
        "biases in the feed-forward (mlp_bias)": getattr(config, "mlp_bias", False),
        f"rotary embedding of a part of each head (partial_rotary_factor {partial:g})": partial != 1.0,
        "attention to later tokens (use_bidirectional_attention)": getattr(config, "use_bidirectional_attention", 0),
        "dropout in attention (attention_dropout); set it to 0 there": getattr(config, "attention_dropout", 0.0),
        f"layers of different kinds ({', '.join(sorted(_layer_kinds(config)))})": len(_layer_kinds(config)) > 1,
    }
    found = [name for name, present in features.items() if present]
    if found:
        raise ModelError(f"{source.path} cannot be upcycled, a mixture has no place for: {'; '.join(found)}.")


def _layer_kinds(config: Any) -> set[str]:
    return set(getattr(config, "layer_types", None) or ())


def _sliding_window(family: Family, config: Any) -> int | None:
    slides = family.sliding == "all" or (family.sliding == "told" and _layer_kinds(config) == {"sliding_attention"})
    return config.sliding_window if slides else None


def _rope(config: Any) -> dict[str, Any]:
    found = getattr(config, "rope_parameters", None)
    return dict(found) if found else {"rope_type": "default", "rope_theta": float(config.rope_theta)}


def _architecture(family: Family, config: Any) -> Architecture:
    """The configuration in the mixture's words."""
    same = (
        "vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads intermediate_size "
        "max_position_embeddings initializer_range tie_word_embeddings use_cache pad_token_id bos_token_id eos_token_id"
    )
    return Architecture(
        **{name: getattr(config, name) for name in same.split()},
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        logit_scale=getattr(config, "logit_scale", 1.0),
        block=family.block,
        norm=family.norm,
        norm_eps=getattr(config, family.norm_eps),
        rope_parameters=_rope(config),
        rope_interleaved=family.rope_interleaved,
        hidden_act=getattr(config, "hidden_act", "silu"),
        qkv_bias=family.qkv_bias,
        qk_norm="layer" if getattr(config, "use_qk_norm", False) else family.qk_norm,
        embedding_scale=config.hidden_size**0.5 if family.scaled_embedding else 1.0,
        sliding_window=_sliding_window(family, config),
    )


def _check_tensors(source: Checkpoint, architecture: Architecture) -> None:
    expected = architecture.tensors()
    stored = {name: entry.shape for name, entry in without_tied_head(source).items()}
    stored = {name: shape for name, shape in stored.items() if not name.endswith("rotary_emb.inv_freq")}
    problems = [f"{name} is missing" for name in expected if name not in stored]
    problems += [f"{name} {list(shape)} is no part of it" for name, shape in stored.items() if name not in expected]
    problems += [
        f"{name} is stored as {entry.dtype}, which is no floating-point number"
        for name, entry in source.entries.items()
        if name in expected and not entry.torch_dtype.is_floating_point
    ]
    problems += [
        f"{name} has shape {list(stored[name])}, its configuration asks for {list(shape)}"
        for name, shape in expected.items()
        if name in stored and stored[name] != shape
    ]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ModelError(
            f"The tensors of {source.path} are not those of its configuration: {'; '.join(problems[:5])}{more}. Save "
            "the whole causal language model there with save_pretrained (quantised or adapted models: convert first)."
        )
