"""How many parameters a model has and how many floating-point operations a token costs, without allocating it.

The decoder and the mixture have closed formulas (``shapes``); any other transformers configuration is built on the meta
device and counted there. Conventions (Kaplan et al. 2020, section 2.1; PaLM, appendix B): a multiply-add is two
operations; only matrix products count; attention counts the full square of the context, masked half included, as
``torch.utils.flop_counter`` does; a backward pass costs two forward passes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedConfig, PreTrainedModel

from paribus.errors import ModelError
from paribus.models.shapes import COUNTED, MixtureShape


class ParameterCount(NamedTuple):
    """Parameters in input and output embeddings (counted once if tied), in everything else, and together."""

    embedding: int
    body: int
    total: int


def parameters(config: PreTrainedConfig) -> ParameterCount:
    """Parameters of the (causal, else sequence-to-sequence, else bare) model that the configuration describes.

    For the decoder: embedding V*D (twice if untied); body L*(2*D*H*A + 2*D*K*A + 3*D*F + D) + D, whose lone terms are
    the norms. That reproduces both counts printed in Aya 23, table 1. A mixture's are BAM's, see ``shapes``.
    """
    if config.model_type in COUNTED:
        shape = MixtureShape.of(config)
        embedding, total = shape.embedding_parameters, shape.total_parameters
        return ParameterCount(embedding, total - embedding, total)
    return count_module(on_meta(config))


def flops_per_token(config: PreTrainedConfig, context: int, *, with_logits: bool = True) -> int:
    """Forward operations for one token of a sequence of ``context`` tokens, averaged over the sequence.

    For the decoder: 2 per entry of a block's matrices, 4*H*A*context per block for attention, 2*D*V for the logits; of
    a mixture's FFN experts those that a token is sent to.
    ``with_logits=False`` leaves the output layer out, as in a prompt whose logits nobody reads.
    """
    if context < 1:
        raise ModelError(f"context is {context}; it is a sequence length in tokens and must be at least 1.")
    if config.model_type in COUNTED:
        return MixtureShape.of(config).flops_per_token(context, with_logits=with_logits)
    return round(measured_flops(on_meta(config), context, with_logits=with_logits) / context)


def training_flops(
    config: PreTrainedConfig,
    context: int,
    tokens: int,
    *,
    with_logits: bool = True,
    activation_checkpointing: bool = False,
) -> int:
    """Forward and backward operations for ``tokens`` tokens in sequences of ``context``: three forward passes.

    ``activation_checkpointing`` adds the second forward pass through the body (not through the output layer).
    """
    whole = flops_per_token(config, context, with_logits=with_logits)
    again = flops_per_token(config, context, with_logits=False) if activation_checkpointing else 0
    return (3 * whole + again) * tokens


def count_module(model: PreTrainedModel) -> ParameterCount:
    """Count a built model, each shared tensor once."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    embedded = {id(weight): weight.numel() for end in ends if end is not None for weight in end.parameters()}
    total = sum(weight.numel() for weight in model.parameters())
    embedding = sum(embedded.values())
    return ParameterCount(embedding, total - embedding, total)


def on_meta(config: PreTrainedConfig) -> PreTrainedModel:
    """The model without storage, with eager attention, whose matrix products the counter sees on every device."""
    config = copy.deepcopy(config)
    options: dict[str, Any] = {"attn_implementation": "eager"}
    if any(hasattr(config, name) for name in ("num_local_experts", "num_experts", "n_routed_experts")):
        # grouped_mm has no entry in torch's FLOP table; batched_mm does the same products as plain bmm
        options["experts_implementation"] = "batched_mm"
    for auto in (AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModel):
        if type(config) in auto._model_mapping:
            with torch.device("meta"):
                return auto.from_config(config, **options)
    raise ModelError(
        f"Configuration {type(config).__name__} has no model class in transformers; register one with AutoModel."
    )


def measured_flops(model: PreTrainedModel, context: int, *, with_logits: bool) -> int:
    """Operations of one forward pass over ``context`` tokens on the meta device, counted by torch.

    Raises ``ModelError`` if the model looks at values, which the meta device does not have.
    """
    body = model if with_logits else model.base_model
    problems = []
    for inputs in meta_inputs(model, context):
        try:
            with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
                body(**inputs)
            return counter.get_total_flops()
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            problems.append(str(error).splitlines()[0])
    raise ModelError(
        f"The operations of {type(model).__name__} cannot be counted without running it ({problems[-1]}); measure a "
        "real forward pass under torch.utils.flop_counter.FlopCounterMode instead."
    )


def meta_inputs(model: PreTrainedModel, context: int) -> Iterator[dict[str, Tensor | bool]]:
    """Inputs to try in turn: which kind of mask lets a model build its own without looking at values differs."""
    ids = torch.zeros(1, context, dtype=torch.long, device="meta")
    inputs: dict[str, Tensor | bool] = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    yield {**inputs, "attention_mask": torch.ones_like(ids), "use_cache": False}
    yield {**inputs, "attention_mask": torch.ones(1, 1, context, context, device="meta")}
    yield {**inputs, "use_cache": False}
    yield inputs
