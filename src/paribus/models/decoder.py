"""The Aya 23 / Aya Expanse decoder: parallel attention and SwiGLU branches behind one bias-free LayerNorm per block.

    y = x + Attention(LN(x)) + FFN(LN(x))        (Aya 23, section 3; shapes in its table 1)

Parameter and tensor names are those of transformers' Cohere model, so weights move between the two unchanged
(``DecoderConfig.as_cohere``). Attention goes through transformers' attention interface: eager, sdpa and the flash
kernels are chosen by ``attn_implementation``. Masks come from ``transformers.masking_utils``: a 2-D padding mask, a
ready 4-D mask and packed rows (``position_ids`` that restart, no mask) all work.

Shapes: B batch, T new tokens, S cached + new tokens, D model width, H query heads, K key/value heads, A head width,
F width of one FFN branch, V vocabulary. ``x_BTD`` is a tensor of shape (B, T, D).
"""

from __future__ import annotations

from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Cache,
    CohereConfig,
    DynamicCache,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    SequenceClassifierOutputWithPast,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from paribus.errors import ModelError


@strict
class DecoderConfig(PreTrainedConfig):
    """Shape of a decoder. The defaults are a pocket model (about 1.3 M parameters); Aya 23 8B is ``hidden_size=4096,
    num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, intermediate_size=14336, vocab_size=256000``.

    ``intermediate_size`` is the width of ONE branch: Aya 23's table prints gate and up together for the 35B (45056 =
    2 x 22528), and its 8B entry only fits 14336. ``logit_scale`` multiplies the logits; Cohere's checkpoints use
    0.0625, which at pocket width would divide the embedding's gradient by 16 for nothing, hence 1.
    ``initializer_range``: every matrix is drawn from N(0, initializer_range^2) and every norm starts at 1; the papers
    do not state theirs.

    Raises ``ModelError`` for head counts that do not divide and odd head widths.
    """

    model_type = "paribus_decoder"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 (transformers' own convention)

    vocab_size: int = 4096
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    intermediate_size: int = 352
    max_position_embeddings: int = 2048
    rope_theta: float = 10_000.0
    layer_norm_eps: float = 1e-5
    logit_scale: float = 1.0
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
            if self.hidden_size % self.num_attention_heads:
                raise ModelError(
                    f"hidden_size {self.hidden_size} is not divisible by num_attention_heads "
                    f"{self.num_attention_heads}; change one of them or set head_dim."
                )
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.num_attention_heads % self.num_key_value_heads:
            raise ModelError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of num_key_value_heads "
                f"{self.num_key_value_heads}; grouped-query attention needs equal groups."
            )
        if self.head_dim % 2:
            raise ModelError(f"head_dim {self.head_dim} is odd; rotary embeddings turn pairs, choose an even width.")
        super().__post_init__(**kwargs)

    def as_cohere(self) -> CohereConfig:
        """The same shape as transformers' ``CohereConfig``; saved beside these weights, it lets vLLM serve them."""
        shared = (
            "vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads intermediate_size "
            "max_position_embeddings layer_norm_eps logit_scale initializer_range tie_word_embeddings head_dim "
            "pad_token_id bos_token_id eos_token_id"
        )
        rope = {"rope_type": "default", "rope_theta": self.rope_theta}
        return CohereConfig(rope_parameters=rope, **{name: getattr(self, name) for name in shared.split()})


def head_shape(config: DecoderConfig) -> tuple[int, int, int]:
    """Query heads, key/value heads, and the width of one head."""
    assert config.num_key_value_heads is not None and config.head_dim is not None  # __post_init__ filled them
    return config.num_attention_heads, config.num_key_value_heads, config.head_dim


def rotary_tables(position_ids_BT: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines of shape (B, 1, T, A/2), at least in float32: bf16 positions would collide after 256 tokens."""
    dtype = torch.promote_types(dtype, torch.float32)
    exponents = torch.arange(0, head_dim, 2, device=position_ids_BT.device, dtype=torch.float32) / head_dim
    frequencies = (1.0 / theta**exponents).to(dtype)
    angles = position_ids_BT[:, None, :, None].to(dtype) * frequencies
    return angles.cos(), angles.sin()


def rotate(x_BHTA: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (2i, 2i+1): Cohere's interleaved rotary embedding, not Llama's half-split one."""
    even, odd = x_BHTA.unflatten(-1, (-1, 2)).to(cos.dtype).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1)
    return turned.flatten(-2).to(x_BHTA.dtype)


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Plain attention, (B, H, T, A) in, (B, T, H, A) and the weights out; the quick one for bf16 on a CPU."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores_BHTS = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores_BHTS = scores_BHTS + attention_mask
    softmax_dtype = torch.promote_types(scores_BHTS.dtype, torch.float32)
    weights_BHTS = F.softmax(scores_BHTS, dim=-1, dtype=softmax_dtype).to(value.dtype)
    return (weights_BHTS @ value).transpose(1, 2).contiguous(), weights_BHTS


class DecoderAttention(nn.Module):
    """Causal self-attention with grouped key/value heads, no biases."""

    def __init__(self, config: DecoderConfig, layer_idx: int) -> None:
        super().__init__()
        query_heads, kv_heads, self.head_dim = head_shape(config)
        self.config, self.layer_idx = config, layer_idx
        self.num_key_value_groups = query_heads // kv_heads
        self.is_causal, self.scaling = True, self.head_dim**-0.5
        width, kv_width = query_heads * self.head_dim, kv_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)

    def forward(
        self,
        x_BTD: Tensor,
        tables: tuple[Tensor, Tensor],
        attention_mask: Tensor | None,
        past_key_values: Cache | None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        heads = (*x_BTD.shape[:-1], -1, self.head_dim)
        q_BHTA = rotate(self.q_proj(x_BTD).view(heads).transpose(1, 2), *tables)
        k_BKTA = rotate(self.k_proj(x_BTD).view(heads).transpose(1, 2), *tables)
        v_BKTA = self.v_proj(x_BTD).view(heads).transpose(1, 2)
        if past_key_values is not None:
            k_BKTA, v_BKTA = past_key_values.update(k_BKTA, v_BKTA, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        out_BTHA, weights = attend(
            self, q_BHTA, k_BKTA, v_BKTA, attention_mask, scaling=self.scaling, dropout=0.0, **kwargs
        )
        return self.o_proj(out_BTHA.flatten(2)), weights


class DecoderFeedForward(nn.Module):
    """SwiGLU: down(silu(gate x) * up x)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


class DecoderBlock(GradientCheckpointingLayer):
    """Both branches read the same normed input, so a block has one norm and its two halves can run side by side."""

    def __init__(self, config: DecoderConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = DecoderAttention(config, layer_idx)
        self.mlp = DecoderFeedForward(config)
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)

    def forward(self, x_BTD: Tensor, **kwargs: Any) -> Tensor:
        normed_BTD = self.input_layernorm(x_BTD)
        attended_BTD, _ = self.self_attn(normed_BTD, **kwargs)
        return x_BTD + attended_BTD + self.mlp(normed_BTD)


class DecoderPreTrainedModel(PreTrainedModel):
    """What transformers needs to know; weights start as ``DecoderConfig`` says (its generic initialiser does it)."""

    config_class = DecoderConfig
    config: DecoderConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["DecoderBlock"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": DecoderBlock, "attentions": DecoderAttention}  # noqa: RUF012


class DecoderModel(DecoderPreTrainedModel):
    """Token ids (B, T) in, normed hidden states (B, T, D) out."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderBlock(config, index) for index in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.post_init()

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        if (input_ids is None) == (inputs_embeds is None):
            raise ModelError("The decoder takes exactly one of input_ids and inputs_embeds; pass one of them.")
        x_BTD = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if position_ids is None:
            past = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = (torch.arange(x_BTD.shape[1], device=x_BTD.device) + past)[None]
        # The mask is made before a fresh cache is: transformers looks for packed rows only where there is no cache.
        mask = create_causal_mask(self.config, x_BTD, attention_mask, past_key_values, position_ids)
        tables = rotary_tables(position_ids, head_shape(self.config)[2], self.config.rope_theta, x_BTD.dtype)
        wants_cache = self.config.use_cache and not self.training if use_cache is None else use_cache
        if past_key_values is None and wants_cache:
            past_key_values = DynamicCache(config=self.config)
        for block in self.layers:
            x_BTD = block(
                x_BTD,
                tables=tables,
                attention_mask=mask,
                past_key_values=past_key_values,
                position_ids=position_ids,
                **kwargs,
            )
        return BaseModelOutputWithPast(last_hidden_state=self.norm(x_BTD), past_key_values=past_key_values)


class DecoderForCausalLM(DecoderPreTrainedModel, GenerationMixin):
    """The decoder with its (by default tied) output embedding; ``labels`` are shifted inside, -100 is ignored."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.model = DecoderModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V), or only at ``logits_to_keep``: the last n positions (an int) or the given positions."""
        outputs = self.model(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache=use_cache, **kwargs
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits_BTV = self.lm_head(outputs.last_hidden_state[:, kept]) * self.config.logit_scale
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits_BTV, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits_BTV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class DecoderForSequenceClassification(DecoderPreTrainedModel):
    """A score per row, read at the last token the attention mask keeps; ``num_labels=1`` makes it a reward model.

    transformers' generic head looks for the last token that is not the padding id, which picks the wrong place when the
    end-of-turn token doubles as padding; here only the mask decides, wherever the padding lies.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels or 1
        self.model = DecoderModel(config)
        self.score = nn.Linear(config.hidden_size, self.num_labels, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutputWithPast:
        outputs = self.model(input_ids, attention_mask, **kwargs)
        pooled_BD = last_kept(outputs.last_hidden_state, attention_mask)
        logits = self.score(pooled_BD)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=None, labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def last_kept(x_BTD: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The hidden state (B, D) at each row's last kept token; raises ``ModelError`` for a mask that is not (B, T)."""
    if attention_mask is None:
        return x_BTD[:, -1]
    if attention_mask.ndim != 2:
        raise ModelError(
            f"Sequence classification reads the last token from a (batch, length) mask; got {attention_mask.ndim} "
            "dimensions. Pass the padding mask, not the ready attention mask."
        )
    places = torch.arange(x_BTD.shape[1], device=x_BTD.device) * (attention_mask != 0)
    return x_BTD[torch.arange(len(x_BTD), device=x_BTD.device), places.argmax(dim=1)]


def register() -> None:
    """Make the Auto classes know the decoder; may be called any number of times."""
    AutoConfig.register(DecoderConfig.model_type, DecoderConfig, exist_ok=True)
    AutoModel.register(DecoderConfig, DecoderModel, exist_ok=True)
    AutoModelForCausalLM.register(DecoderConfig, DecoderForCausalLM, exist_ok=True)
    AutoModelForSequenceClassification.register(DecoderConfig, DecoderForSequenceClassification, exist_ok=True)


register()
