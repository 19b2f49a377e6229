"""What a mixture of dense experts costs, from its sizes alone: parameters, operations, cache. Imports no torch.

    width D, layers L, query heads H, key/value heads K, head width A, FFN width F (one branch), vocabulary V,
    attention experts N, sets of keys and values M (N, or 1 if shared), FFN experts E, of which k a token.

A dense decoder is N = E = 1. Conventions are those of ``count``: a multiply-add is two operations, only matrix products
count, a backward pass costs two forward passes.

Formulas: BAM (arXiv 2408.08274), appendix on cost. Two of its printed numbers are slips that these formulas do not
repeat: 612,400,128 active parameters of the small shared-KV model leave out the shared keys and values and one router
(625,007,616 with them), and "700M" in total for BTX with three of six experts should be 776M. Its operations per layer
follow from a fused FFN width of 4098, not of 4096 as in its table.
"""

from dataclasses import dataclass
from typing import Any, Literal

from paribus.errors import ConfigError, ModelError

COUNTED = ("paribus_decoder", "paribus_mixture")
"""Model types that ``MixtureShape`` counts by formula."""


@dataclass(frozen=True, kw_only=True)
class MixtureShape:
    """Sizes of a mixture; all but the last four groups are those of one dense expert.

    Attention experts are all computed for every token, and all count as active: top-k attention masks gates, it saves
    nothing. Both routers count, as parameters and as operations; there is none where there is one expert.

    Raises ``ModelError`` for a size below 1, unequal groups of heads, and more experts a token than there are.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn_width: int

    attention_experts: int = 1
    shared_kv: bool = False
    ffn_experts: int = 1
    ffn_top_k: int = 1

    tied: bool = True
    block: Literal["parallel", "sequential"] = "parallel"
    qkv_bias: bool = False
    qk_norm: Literal["none", "rms", "layer"] = "none"

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in vars(self).items() if type(value) is int}
        for name, value in sizes.items():
            if value < 1:
                raise ModelError(f"{name} is {value}; every size of a mixture must be at least 1.")
        if self.heads % self.kv_heads:
            raise ModelError(
                f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}; "
                "grouped-query attention needs equal groups."
            )
        if self.ffn_top_k > self.ffn_experts:
            raise ModelError(
                f"ffn_top_k {self.ffn_top_k} is more than the {self.ffn_experts} FFN experts there are; lower it."
            )

    @classmethod
    def of(cls, config: Any) -> "MixtureShape":
        """The shape of a ``DecoderConfig`` or a ``MixtureConfig``; ``ModelError`` for any other model type."""
        if config.model_type not in COUNTED:
            raise ModelError(
                f"{type(config).__name__} (model type {config.model_type!r}) has no formula here, only "
                f"{' and '.join(COUNTED)} do; ask paribus.models.count, which builds other models without storage."
            )
        sizes = {name: getattr(config, there) for name, there in _SIZES.items()}
        # A decoder has none of these fields, and is what their defaults describe.
        return cls(**sizes, **{name: getattr(config, name) for name in _OPTIONS if hasattr(config, name)})

    @property
    def embedding_parameters(self) -> int:
        """Input and output embeddings, once if they are tied."""
        return self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def total_parameters(self) -> int:
        """All parameters."""
        return self._parameters(self.ffn_experts)

    @property
    def active_parameters(self) -> int:
        """Parameters that a token touches, both embeddings counted whole: of the FFN experts only ``ffn_top_k``."""
        return self._parameters(self.ffn_top_k)

    def flops_per_token(self, context: int, *, with_logits: bool = True, causal: bool = False) -> int:
        """Forward operations for one token of a sequence of ``context`` tokens, averaged over the sequence.

        Attention counts the full square of the context, masked half included; ``causal=True`` counts half of it, as BAM
        does. ``with_logits=False`` leaves the output layer out.
        """
        if context < 1:
            raise ModelError(f"context is {context}; it is a sequence length in tokens and must be at least 1.")
        square = (2 if causal else 4) * self.attention_experts * self.heads * self.head_dim * context
        logits = 2 * self.width * self.vocabulary if with_logits else 0
        return self.layers * (2 * self._block_matrices(self.ffn_top_k) + square) + logits

    def training_flops(self, context: int, tokens: int, *, with_logits: bool = True, causal: bool = False) -> int:
        """Forward and backward operations for ``tokens`` tokens in sequences of ``context``: three forward passes.

        Frozen weights need no gradient of their own, which saves up to a third; that is not taken off.
        """
        return 3 * tokens * self.flops_per_token(context, with_logits=with_logits, causal=causal)

    def kv_cache_bytes(self, context: int, *, bytes_per_value: int = 2) -> int:
        """Bytes of the keys and values of one sequence of ``context`` tokens; shared ones are kept once."""
        return 2 * self.layers * self._kv_sets * self.kv_heads * self.head_dim * context * bytes_per_value

    @property
    def _kv_sets(self) -> int:
        return 1 if self.shared_kv else self.attention_experts

    def _parameters(self, ffn_experts: int) -> int:
        norms = (1 if self.block == "parallel" else 2) * self.width + self._attention_vectors
        block = self._block_matrices(ffn_experts) + norms
        return self.embedding_parameters + self.layers * block + self.width

    def _block_matrices(self, ffn_experts: int) -> int:
        """Entries of the matrices of one block with so many FFN experts in it."""
        queries_and_output = 2 * self.attention_experts * self.heads * self.head_dim
        keys_and_values = 2 * self._kv_sets * self.kv_heads * self.head_dim
        routers = sum(count for count in (self.attention_experts, self.ffn_experts) if count > 1)
        return self.width * (queries_and_output + keys_and_values + routers + 3 * self.ffn_width * ffn_experts)

    @property
    def _attention_vectors(self) -> int:
        """Biases of queries, keys and values, and weights of the norms of queries and keys, of one block."""
        queries, keys = self.attention_experts, self._kv_sets
        biases = queries * self.heads + 2 * keys * self.kv_heads if self.qkv_bias else 0
        norms = {"none": 0, "rms": queries + keys, "layer": queries * self.heads + keys * self.kv_heads}
        return (biases + norms[self.qk_norm]) * self.head_dim


_SIZES = {
    "vocabulary": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "ffn_width": "intermediate_size",
    "tied": "tie_word_embeddings",
}
_OPTIONS = ("attention_experts", "shared_kv", "ffn_experts", "ffn_top_k", "block", "qkv_bias", "qk_norm")


def matched_steps(
    steps: int, reference: MixtureShape, arm: MixtureShape, *, context: int, with_logits: bool, causal: bool = False
) -> int:
    """Steps after which ``arm`` has spent what ``reference`` spends in ``steps``, at equal tokens a step.

    With a large vocabulary the logits, which all arms share, dilute the difference: BAM's small model costs 2.24 times
    BTX's without them and 1.25 times with them. Rounded to whole steps, so the costs differ by up to half a step.

    Raises ``ConfigError`` when that is less than one step.
    """
    costs = [shape.flops_per_token(context, with_logits=with_logits, causal=causal) for shape in (reference, arm)]
    matched = round(steps * costs[0] / costs[1])
    if matched < 1:
        raise ConfigError(
            f"{steps} steps of the reference pay for less than one of the arm, whose tokens cost "
            f"{costs[1] / costs[0]:.3g} times as much; raise steps."
        )
    return matched
