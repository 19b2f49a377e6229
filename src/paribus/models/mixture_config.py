"""The shape of a mixture of attention and feed-forward experts: every field, its default and what is refused.

All sizes are those of ONE dense expert, so a mixture's configuration reads as its dense model's plus how many experts
of each kind there are and how tokens reach them. A dense model is the mixture with one expert of each kind.
"""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from paribus.errors import ModelError

CHOICES = {
    "block": ("parallel", "sequential"),
    "norm": ("layer", "rms", "rms_plus_one"),
    "qk_norm": ("none", "rms", "layer"),
    "attention_gate_norm": ("raw", "renormalised"),
    "ffn_gate_norm": ("raw", "renormalised", "scaled"),
}
# Scalings whose frequencies stay as they are from the first token to the last.
ROPE_TYPES = ("default", *(name for name in ("linear", "llama3", "yarn") if name in ROPE_INIT_FUNCTIONS))
POSITIVE = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "attention_experts", "ffn_experts", "ffn_top_k",
)  # fmt: skip


@strict
class MixtureConfig(PreTrainedConfig):
    """Shape and routing of a mixture. The defaults are a pocket-sized dense model in Cohere's form.

    Block and its parts:
        ``block``: "parallel" (Cohere: ``y = x + A(h) + F(h)``, ``h = norm(x)``, one norm) or "sequential" (Llama: a
        norm before each branch). ``norm``: "layer" (LayerNorm without a bias), "rms", or "rms_plus_one" (Gemma, whose
        stored weight is the factor less one). ``rope_parameters``: as in transformers; the types default, linear,
        llama3 and yarn. ``rope_interleaved``: turn neighbours (Cohere) or halves (Llama). ``qk_norm``: of each head's
        queries and keys, with a weight for all heads of an expert ("rms", Qwen3) or one per head ("layer", Cohere).
        ``embedding_scale`` multiplies the embeddings (Gemma), ``logit_scale`` the logits (Cohere).

    Mixture (BAM, sections 3 and 4; BTX, section 3.2):
        ``attention_experts`` experts with their own queries and outputs, and their own keys and values unless
        ``shared_kv``. ``attention_top_k``: None mixes all of them (BAM); k keeps the k largest gates, as they are
        ("raw") or made to sum to one ("renormalised"). ``ffn_experts`` experts, of which a token gets ``ffn_top_k``
        with gates ``ffn_gate_norm``: "raw" (softmax over all experts, BAM), "renormalised" (softmax over the selected,
        BTX and Mixtral; with one selected the gate is 1 and the router learns nothing from the language loss), or
        "scaled" (raw times the number of experts, 1 where the router is undecided).
        ``load_balance_coefficient`` and ``router_z_coefficient``: BAM states neither; the defaults are the customary
        values of Switch Transformer and ST-MoE, and BTX's 0.01.

    Raises ``ModelError`` for unknown words, sizes that do not divide, and more selected than there are.
    """

    model_type = "paribus_mixture"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 (transformers' own convention)

    vocab_size: int = 4096
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    intermediate_size: int = 352
    max_position_embeddings: int = 2048
    block: str = "parallel"
    norm: str = "layer"
    norm_eps: float = 1e-5
    rope_parameters: dict[str, Any] | None = None
    rope_interleaved: bool = True
    hidden_act: str = "silu"
    qkv_bias: bool = False
    qk_norm: str = "none"
    embedding_scale: float = 1.0
    logit_scale: float = 1.0
    sliding_window: int | None = None
    attention_experts: int = 1
    shared_kv: bool = False
    attention_top_k: int | None = None
    attention_gate_norm: str = "raw"
    ffn_experts: int = 1
    ffn_top_k: int = 1
    ffn_gate_norm: str = "raw"
    load_balance_coefficient: float = 0.01
    router_z_coefficient: float = 0.001
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            self.head_dim = self._default_head_dim()
        self._check_sizes()
        self._check_words()
        self._check_routing()
        self.rope_parameters = self._checked_rope(kwargs.pop("rope_scaling", None) or self.rope_parameters)
        super().__post_init__(**kwargs)

    @property
    def kv_experts(self) -> int:
        """Sets of key and value heads (M): one per attention expert, or one that all of them share."""
        return 1 if self.shared_kv else self.attention_experts

    def _default_head_dim(self) -> int:
        if self.num_attention_heads < 1 or self.hidden_size % self.num_attention_heads:
            raise ModelError(
                f"hidden_size {self.hidden_size} is not divisible by num_attention_heads {self.num_attention_heads}; "
                "change one of them or set head_dim."
            )
        return self.hidden_size // self.num_attention_heads

    def _check_sizes(self) -> None:
        for name in POSITIVE:
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        assert self.num_key_value_heads is not None and self.head_dim is not None  # __post_init__ filled them
        if self.num_attention_heads % self.num_key_value_heads:
            raise ModelError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of num_key_value_heads "
                f"{self.num_key_value_heads}; grouped-query attention needs equal groups."
            )
        if self.head_dim % 2:
            raise ModelError(f"head_dim {self.head_dim} is odd; rotary embeddings turn pairs, choose an even width.")
        if self.sliding_window is not None and self.sliding_window < 1:
            raise ModelError(
                f"sliding_window is {self.sliding_window}; give a number of tokens, or None for full attention."
            )

    def _check_words(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ModelError(f"{name} is {getattr(self, name)!r}; use one of {', '.join(choices)}.")
        if self.hidden_act not in ACT2FN:
            raise ModelError(
                f"hidden_act {self.hidden_act!r} is no activation of transformers; use 'silu' or 'gelu_pytorch_tanh'."
            )

    def _check_routing(self) -> None:
        if self.ffn_top_k > self.ffn_experts:
            raise ModelError(
                f"ffn_top_k {self.ffn_top_k} exceeds ffn_experts {self.ffn_experts}; a token cannot select more "
                "experts than there are."
            )
        if self.attention_top_k is not None and not 1 <= self.attention_top_k <= self.attention_experts:
            raise ModelError(
                f"attention_top_k is {self.attention_top_k} of {self.attention_experts} attention experts; choose "
                "between 1 and their number, or None to mix all of them."
            )
        for name in ("load_balance_coefficient", "router_z_coefficient"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ModelError(f"{name} is {getattr(self, name)}; it weighs a loss and cannot be negative.")

    def _checked_rope(self, given: dict[str, Any] | None) -> dict[str, Any]:
        """A copy with its type and base filled in: transformers completes the dictionary in place."""
        rope = {"rope_type": "default", "rope_theta": 10_000.0, **(given or {})}
        rope["rope_type"] = (given or {}).get("rope_type", rope.pop("type", "default"))
        if rope["rope_type"] not in ROPE_TYPES:
            raise ModelError(
                f"rope_parameters ask for the type {rope['rope_type']!r}; the mixture knows {', '.join(ROPE_TYPES)}."
            )
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            raise ModelError(
                f"rope_parameters turn {rope['partial_rotary_factor']} of each head; the mixture turns whole heads, so "
                "leave partial_rotary_factor out."
            )
        return rope
