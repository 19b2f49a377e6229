"""A mixture of attention experts and feed-forward experts (BAM, arXiv 2408.08274); the dense model is its case of one.

    parallel (BAM, Cohere):  y = x + A(h) + F(h), h = norm(x)            A(h) = sum_j g_j(h) Attention_j(h)
    sequential (Llama):      y = z + F(norm(z)),  z = x + A(norm(x))      F(h) = sum_i p_i(h) FFN_i(h)

Every token goes through all attention experts (or the k with the largest gates) and through k feed-forward experts.
The attention experts are run as one attention with N*H heads (``mixture_attention``), the feed-forward experts from two
stacked tensors (``experts``), and the gates and balancing losses are in ``routing``.

Shapes: B batch, T new tokens, R = B*T, D width, V vocabulary, H query heads of ONE expert, A head width, N attention
experts, E feed-forward experts, k of them per token. ``x_BTD`` is a tensor of shape (B, T, D).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Cache,
    DynamicCache,
    GenerationMixin,
    PreTrainedModel,
    initialization,
)
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    SequenceClassifierOutputWithPast,
)
from transformers.utils import can_return_tuple
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from paribus.errors import ModelError
from paribus.models.decoder import last_kept
from paribus.models.experts import Backend, Experts, check_backend
from paribus.models.mixture_attention import MixtureAttention
from paribus.models.mixture_config import MixtureConfig
from paribus.models.norms import Norm
from paribus.models.rotary import Rotary
from paribus.models.routing import Router, auxiliary_loss, sparse_gates

__all__ = [
    "MixtureConfig",
    "MixtureForCausalLM",
    "MixtureForSequenceClassification",
    "MixtureModel",
    "MixtureModelOutput",
    "MixtureOutput",
    "register",
]

Routing = tuple[Tensor | None, Tensor | None]  # router logits (B, T, E) and attention gates (B, T, N) of one layer


@dataclass
class MixtureModelOutput(BaseModelOutputWithPast):
    """Hidden states, and what the routers did: see ``MixtureOutput``."""

    aux_loss: Tensor | None = None
    router_logits: tuple[Tensor, ...] | None = None
    attention_gates: tuple[Tensor, ...] | None = None


@dataclass
class MixtureOutput(CausalLMOutputWithPast):
    """Logits, and what the routers did.

    ``aux_loss``: the balancing losses, a scalar with its coefficients in it, in training mode if there is a
    feed-forward router. ``router_logits`` (a (B, T, E) per layer) and ``attention_gates`` (a (B, T, N) per layer), in
    float32, if ``output_routing`` asks for them and there is more than one expert of the kind.
    """

    aux_loss: Tensor | None = None
    router_logits: tuple[Tensor, ...] | None = None
    attention_gates: tuple[Tensor, ...] | None = None


class MixtureFeedForward(nn.Module):
    """k of E experts per token, and the router's logits (B, T, E) if there is a choice."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.top_k, self.gate_norm = config.ffn_top_k, config.ffn_gate_norm
        sizes = (config.ffn_experts, config.hidden_size, config.intermediate_size)
        self.experts = Experts(*sizes, config.hidden_act, config.ffn_top_k)
        if config.ffn_experts > 1:
            self.router = Router(config.hidden_size, config.ffn_experts)

    def forward(self, x_BTD: Tensor) -> tuple[Tensor, Tensor | None]:
        if len(self.experts.down_proj) == 1:
            return self.experts.only(x_BTD), None
        logits_BTE = self.router(x_BTD)
        chosen_BTk, gates_BTk = sparse_gates(logits_BTE, self.top_k, self.gate_norm)
        out_RD = self.experts(x_BTD.flatten(0, 1), chosen_BTk.flatten(0, 1), gates_BTk.flatten(0, 1))
        return out_RD.view_as(x_BTD), logits_BTE


class MixtureBlock(GradientCheckpointingLayer):
    """Both branches behind one norm ("parallel"), or one after the other ("sequential"); with it, the routing."""

    def __init__(self, config: MixtureConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = MixtureAttention(config, layer_idx)
        self.mlp = MixtureFeedForward(config)
        self.parallel = config.block == "parallel"
        self.input_layernorm = Norm(config.norm, (config.hidden_size,), config.norm_eps)
        if not self.parallel:
            self.post_attention_layernorm = Norm(config.norm, (config.hidden_size,), config.norm_eps)

    def forward(self, x_BTD: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
        normed_BTD = self.input_layernorm(x_BTD)
        attended_BTD, _, gates_BTN = self.self_attn(normed_BTD, **kwargs)
        x_BTD = x_BTD + attended_BTD
        if not self.parallel:
            normed_BTD = self.post_attention_layernorm(x_BTD)
        fed_BTD, logits_BTE = self.mlp(normed_BTD)
        return x_BTD + fed_BTD, logits_BTE, gates_BTN


class MixturePreTrainedModel(PreTrainedModel):
    """What transformers needs to know, how weights start, and how the experts are run."""

    config_class = MixtureConfig
    config: MixtureConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    accepts_token_mask = True  # padding in packed rows: see ``MixtureModel.forward``
    _no_split_modules = ["MixtureBlock"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {  # noqa: RUF012
        "hidden_states": OutputRecorder(MixtureBlock, index=0),
        "attentions": OutputRecorder(MixtureAttention, index=1),
    }

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Matrices from N(0, initializer_range^2), routers too; every norm starts as a factor of 1."""
        if isinstance(module, Experts):
            for weight in (module.gate_up_proj, module.down_proj):
                initialization.normal_(weight, mean=0.0, std=self.config.initializer_range)
        elif isinstance(module, Norm):
            initialization.constant_(module.weight, 0.0 if module.kind == "rms_plus_one" else 1.0)
        else:
            super()._init_weights(module)

    def set_experts_backend(self, backend: Backend) -> None:
        """Run the experts by "loop", "grouped_mm" or "dense"; "auto" measures at first use. ``ModelError`` for else."""
        check_backend(backend)
        for experts in self._experts():
            experts.backend = backend

    @property
    def experts_backend(self) -> Backend:
        """How the experts are run; "auto" says that it is measured."""
        return next(iter(self._experts())).backend

    @property
    def inactive_parameters(self) -> int:
        """Parameters that one token does not touch: those of the feed-forward experts it is not sent to."""
        return sum(
            (weight.shape[0] - experts.top_k) * weight[0].numel()
            for experts in self._experts()
            for weight in experts.parameters()
        )

    def _experts(self) -> list[Experts]:
        return [module for module in self.modules() if isinstance(module, Experts)]


class MixtureModel(MixturePreTrainedModel):
    """Token ids (B, T) in, normed hidden states (B, T, D) out."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(MixtureBlock(config, index) for index in range(config.num_hidden_layers))
        self.norm = Norm(config.norm, (config.hidden_size,), config.norm_eps)
        self.rotary = Rotary(config)
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
        token_mask: Tensor | None = None,
        output_routing: bool = False,
        **kwargs: Any,
    ) -> MixtureModelOutput:
        """``token_mask`` (B, T): the tokens that the balancing losses count; without it the 2-D ``attention_mask``'s,
        else all. Rows packed with positions or a 4-D mask say here which of their tokens are padding."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ModelError("The mixture takes exactly one of input_ids and inputs_embeds; pass one of them.")
        x_BTD = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if position_ids is None:
            past = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = (torch.arange(x_BTD.shape[1], device=x_BTD.device) + past)[None]
        # The mask is made before a fresh cache is: transformers looks for packed rows only where there is no cache.
        make_mask = create_sliding_window_causal_mask if self.config.sliding_window else create_causal_mask
        mask = make_mask(self.config, x_BTD, attention_mask, past_key_values, position_ids)
        if self.config._attn_implementation == "eager":
            mask = additive(mask, x_BTD.dtype)
        wants_cache = self.config.use_cache and not self.training if use_cache is None else use_cache
        if past_key_values is None and wants_cache:
            past_key_values = DynamicCache(config=self.config)
        x_BTD, routing = self._run(
            self._scaled(x_BTD),
            tables=self.rotary(position_ids, x_BTD.dtype),
            attention_mask=mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
            **kwargs,
        )
        logits, gates = (tuple(kind for kind in kinds if kind is not None) for kinds in zip(*routing, strict=True))
        return MixtureModelOutput(
            last_hidden_state=self.norm(x_BTD),
            past_key_values=past_key_values,
            aux_loss=self._auxiliary_loss(logits, counted_tokens(token_mask, attention_mask, x_BTD)),
            router_logits=logits if output_routing and logits else None,
            attention_gates=gates if output_routing and gates else None,
        )

    def _scaled(self, x_BTD: Tensor) -> Tensor:
        """The scale is rounded to the type of the embeddings, as Gemma was trained: sqrt(3072) is 55.5 in bf16."""
        scale = self.config.embedding_scale
        return x_BTD if scale == 1 else x_BTD * torch.full((), scale, dtype=x_BTD.dtype, device=x_BTD.device)

    def _run(self, x_BTD: Tensor, **kwargs: Any) -> tuple[Tensor, list[Routing]]:
        routing = []
        for block in self.layers:
            x_BTD, logits_BTE, gates_BTN = block(x_BTD, **kwargs)
            routing.append((logits_BTE, gates_BTN))
        return x_BTD, routing

    def _auxiliary_loss(self, router_logits: tuple[Tensor, ...], token_mask_BT: Tensor | None) -> Tensor | None:
        """Only in training mode: in evaluation no process may wait for another."""
        if not (self.training and router_logits):
            return None
        return auxiliary_loss(
            router_logits,
            token_mask_BT,
            top_k=self.config.ffn_top_k,
            load_balance=self.config.load_balance_coefficient,
            router_z=self.config.router_z_coefficient,
        )


def additive(mask: Any, dtype: torch.dtype) -> Tensor | None:
    """A ready mask of truth values as numbers to add to scores, which is what eager attention does with it."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)


def counted_tokens(token_mask: Tensor | None, attention_mask: Tensor | None, x_BTD: Tensor) -> Tensor | None:
    """Which of the T new tokens count, (B, T); None for all. ``ModelError`` for a token mask of another shape."""
    if token_mask is not None:
        if token_mask.shape != x_BTD.shape[:2]:
            raise ModelError(
                f"token_mask has shape {tuple(token_mask.shape)}, the tokens {tuple(x_BTD.shape[:2])}; pass one truth "
                "value per token, False at padding."
            )
        return token_mask
    if attention_mask is None or attention_mask.ndim != 2:
        return None
    return attention_mask[:, -x_BTD.shape[1] :] != 0


class MixtureForCausalLM(MixturePreTrainedModel, GenerationMixin):
    """The mixture with its (by default tied) output embedding; ``labels`` are shifted inside, -100 is ignored."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__(config)
        self.model = MixtureModel(config)
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
        token_mask: Tensor | None = None,
        output_routing: bool = False,
        **kwargs: Any,
    ) -> MixtureOutput:
        """Logits (B, T, V), or only at ``logits_to_keep``: the last n positions (an int) or the given positions.

        With ``labels`` (B, T) the loss is the cross-entropy, in training mode plus ``aux_loss``. ``token_mask`` and
        ``output_routing``: see ``MixtureModel.forward`` and ``MixtureOutput``.
        """
        routing = {"token_mask": token_mask, "output_routing": output_routing}
        places = (input_ids, attention_mask, position_ids, past_key_values, inputs_embeds)
        outputs = self.model(*places, use_cache=use_cache, **routing, **kwargs)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits_BTV = self.lm_head(outputs.last_hidden_state[:, kept])
        if self.config.logit_scale != 1:  # a copy of the logits is the largest tensor of a small model
            logits_BTV = logits_BTV * self.config.logit_scale
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits_BTV, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
            if outputs.aux_loss is not None:
                loss = loss + outputs.aux_loss * share_of_step(labels, kwargs.get("num_items_in_batch"))
        return MixtureOutput(
            loss=loss,
            logits=logits_BTV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            aux_loss=outputs.aux_loss,
            router_logits=outputs.router_logits,
            attention_gates=outputs.attention_gates,
        )


def share_of_step(labels: Tensor, items_in_step: Tensor | int | None) -> Tensor | float:
    """How much of a step's targets these labels are.

    transformers' Trainer adds up micro-batches whose cross-entropies are divided by the targets of the whole step; the
    auxiliary loss takes the same share, or accumulating four micro-batches would count it four times.
    """
    if items_in_step is None:
        return 1.0
    return (labels[:, 1:] != -100).sum() / items_in_step


class MixtureForSequenceClassification(MixturePreTrainedModel):
    """A score per row, read at the last token the attention mask keeps; ``num_labels=1`` makes it a reward model."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels or 1
        self.model = MixtureModel(config)
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
        logits = self.score(last_kept(outputs.last_hidden_state, attention_mask))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=None, labels=labels, pooled_logits=logits, config=self.config)
            if outputs.aux_loss is not None:
                loss = loss + outputs.aux_loss
        return SequenceClassifierOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def register() -> None:
    """Make the Auto classes know the mixture; may be called any number of times."""
    AutoConfig.register(MixtureConfig.model_type, MixtureConfig, exist_ok=True)
    AutoModel.register(MixtureConfig, MixtureModel, exist_ok=True)
    AutoModelForCausalLM.register(MixtureConfig, MixtureForCausalLM, exist_ok=True)
    AutoModelForSequenceClassification.register(MixtureConfig, MixtureForSequenceClassification, exist_ok=True)


register()
