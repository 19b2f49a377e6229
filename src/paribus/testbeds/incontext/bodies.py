"""Vectors through a language model: any causal body of transformers between a trained read-in and a trained read-out.

    logits = out(body(in(x)))      in: input_size -> D,  out: D -> outputs,  D the body's width

The body may be frozen, which asks what a pre-trained model already computes, or drawn anew by Xavier's rule, which is
the control for it (in-context learning of discrete functions, arXiv 2310.03016, section on pre-trained models). Its
token embedding is never looked at here and is left out of the model, hence of every count of parameters.

Shapes: B prompts, T vectors, E = input_size, D width of the body. ``x_BTE`` is a tensor of shape (B, T, E).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    initialization,
)
from transformers.utils import ModelOutput

import paribus.models.load  # noqa: F401  (makes the Auto classes know this package's models)
from paribus.data.lengths import context_of
from paribus.errors import ModelError

Frozen = Literal["nothing", "all", "all_but_norms"]
FREEZES: tuple[Frozen, ...] = ("nothing", "all", "all_but_norms")
HEADS = ("linear", "mlp")


@strict
class VectorHeadsConfig(PreTrainedConfig):
    """A body's own configuration, and what stands around it.

    ``body_config``: the configuration of any causal language model (or its dictionary). ``input_size``: numbers a
    vector. ``outputs``: logits a position. ``heads``: "linear", or "mlp" for three layers with ReLU of ``head_width``
    on either side, as around the paper's frozen GPT-2 (E -> 256 -> 256 -> D and D -> 256 -> 256 -> 1). ``freeze``:
    what of the body does not learn: "nothing", "all", or "all_but_norms".

    Raises ``ModelError`` for a body that is no causal language model, for unknown words and sizes below one.
    """

    model_type = "paribus_vector_heads"
    sub_configs = {"body_config": AutoConfig}  # noqa: RUF012 (transformers' own convention)

    body_config: dict[str, Any] | PreTrainedConfig | None = None
    input_size: int = 1
    outputs: int = 1
    heads: str = "linear"
    head_width: int = 256
    freeze: str = "nothing"
    use_cache: bool = False
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.body_config, dict):
            self.body_config = AutoConfig.for_model(**self.body_config)
        if self.body_config is not None:  # transformers makes an empty one to see what differs from the defaults
            _check_causal(self.body_config)
        _check_word("heads", self.heads, HEADS)
        _check_word("freeze", self.freeze, FREEZES)
        for name in ("input_size", "outputs", "head_width"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        super().__post_init__(**kwargs)


def _check_causal(config: PreTrainedConfig) -> None:
    if type(config) not in AutoModelForCausalLM._model_mapping or config.is_encoder_decoder:
        raise ModelError(
            f"The body is a {type(config).__name__}, no causal language model of transformers or of this package; a "
            "model that sees later vectors would read the labels it is asked for, so give a causal one."
        )


def _check_word(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ModelError(f"{name} is {value!r}; use one of {', '.join(choices)}.")


@dataclass
class VectorHeadsOutput(ModelOutput):
    """``logits`` (B, T, outputs)."""

    logits: Tensor | None = None


class NoTokens(nn.Module):
    """Stands where the body's token embedding was, and has no weights."""

    def forward(self, ids: Tensor) -> Tensor:
        raise ModelError(
            "The body looks tokens up although it is given vectors; it cannot stand between vector heads. Use a "
            "causal language model that takes inputs_embeds alone."
        )


class VectorHeads(PreTrainedModel):
    """``model(inputs_embeds=x_BTE).logits`` is (B, T, outputs), each position from the vectors up to it.

    Made ``around`` a model that is there, or from a configuration with fresh weights; saved and loaded as safetensors
    by ``save_pretrained`` and ``from_pretrained``, frozen parts included. A frozen body is always in evaluation mode:
    dropout would be noise that it cannot learn to bear. (So activation checkpointing, which transformers does in
    training mode only, does nothing for it.)
    """

    config_class = VectorHeadsConfig
    config: VectorHeadsConfig
    base_model_prefix = "body"
    main_input_name = "inputs_embeds"
    supports_gradient_checkpointing = True
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True

    def __init__(self, config: VectorHeadsConfig) -> None:
        super().__init__(config)
        self.body = AutoModel.from_config(config.body_config)
        width = self.body.get_input_embeddings().weight.shape[1]
        self.body.set_input_embeddings(NoTokens())
        if self.body.device.type != "meta":  # where from_pretrained lays out what was checked when it was made
            _check_blind_to_later(self.body, width)
        self.read_in = _head(config.input_size, width, config)
        self.read_out = _head(width, config.outputs, config)
        self.post_init()
        self.freeze(config.freeze)  # type: ignore[arg-type]  # checked by the configuration

    @classmethod
    def around(
        cls,
        model: PreTrainedModel,
        *,
        input_size: int,
        outputs: int = 1,
        heads: Literal["linear", "mlp"] = "linear",
        head_width: int = 256,
        freeze: Frozen = "nothing",
    ) -> VectorHeads:
        """Heads, drawn from torch's generator, around a copy of a causal language model's body."""
        body_config = copy.deepcopy(model.config)
        body_config.name_or_path = ""  # where the body lay is no part of what is saved
        config = VectorHeadsConfig(
            body_config=body_config,
            input_size=input_size,
            outputs=outputs,
            heads=heads,
            head_width=head_width,
            freeze=freeze,
            dtype=model.dtype,
        )
        made = cls(config).to(device=model.device, dtype=model.dtype)  # type: ignore[call-arg]
        there = made.body.state_dict().keys()
        made.body.load_state_dict({name: w for name, w in model.base_model.state_dict().items() if name in there})
        return made

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; what the configuration freezes is frozen again, since loading makes new parameters."""
        loaded = super().from_pretrained(*args, **kwargs)
        model: VectorHeads = loaded[0] if isinstance(loaded, tuple) else loaded
        model.freeze(model.config.freeze)  # type: ignore[arg-type]
        return loaded

    def freeze(self, what: Frozen) -> None:
        """Let the body learn all, nothing, or only its norms from now on; the heads always learn."""
        _check_word("freeze", what, FREEZES)
        self.config.freeze = what
        for module in self.body.modules():
            learns = what == "nothing" or (what == "all_but_norms" and "norm" in type(module).__name__.lower())
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(learns)
        self.train(self.training)

    def randomise_body(self, generator: torch.Generator | None = None) -> None:
        """Draw the body anew: matrices (position tables too) by Xavier's uniform rule, all else as its architecture
        starts. The control for what pre-training brought. ``generator``: a CPU one; None takes torch's own."""
        fresh = AutoModel.from_config(self.config.body_config).state_dict()
        with torch.no_grad():
            for name, parameter in self.body.named_parameters():
                start = fresh[name].float()
                if start.ndim == 2:
                    nn.init.xavier_uniform_(start, generator=generator)
                parameter.copy_(start)

    def train(self, mode: bool = True) -> VectorHeads:
        """Training mode, except for a frozen body."""
        super().train(mode)
        if self.config.freeze != "nothing":
            self.body.train(False)
        return self

    def forward(
        self, inputs_embeds: Tensor | None = None, attention_mask: Tensor | None = None, **ignored: Any
    ) -> VectorHeadsOutput:
        """Logits for vectors ``x_BTE``. Raises ``ModelError`` for token ids, another width, or too many vectors."""
        x_BTE = self._checked(inputs_embeds)
        embedded_BTD = self.read_in(x_BTE.to(next(self.read_in.parameters()).dtype))
        hidden_BTD = self.body(inputs_embeds=embedded_BTD, attention_mask=attention_mask, use_cache=False)[0]
        return VectorHeadsOutput(logits=self.read_out(hidden_BTD))

    def get_input_embeddings(self) -> nn.Module:
        """The read-in: nothing else embeds here."""
        return self.read_in

    def _checked(self, x_BTE: Tensor | None) -> Tensor:
        if x_BTE is None:
            raise ModelError("VectorHeads was called without inputs_embeds; it takes vectors (B, T, E), no token ids.")
        if x_BTE.ndim != 3 or x_BTE.shape[-1] != self.config.input_size:
            raise ModelError(
                f"inputs_embeds has the shape {tuple(x_BTE.shape)}; give (B, T, {self.config.input_size}), or make the "
                "heads with another input_size."
            )
        context = context_of(self.config.body_config)
        if context is not None and x_BTE.shape[1] > context:
            raise ModelError(
                f"A prompt of {x_BTE.shape[1]} vectors exceeds the {context} positions of the body "
                f"{type(self.body).__name__}; use fewer examples (two vectors each), or a body with more positions."
            )
        return x_BTE

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # torch's own rule for layers. transformers' small normal one would drown the vectors beside the body's
        # position table; the body starts by its own rule.
        if isinstance(module, nn.Linear):
            initialization.kaiming_uniform_(module.weight, a=math.sqrt(5))
            bound = 1 / math.sqrt(module.in_features)
            initialization.uniform_(module.bias, -bound, bound)


def _head(inputs: int, outputs: int, config: VectorHeadsConfig) -> nn.Module:
    if config.heads == "linear":
        return nn.Linear(inputs, outputs)
    inner = config.head_width
    layers = [nn.Linear(inputs, inner), nn.ReLU(), nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, outputs)]
    return nn.Sequential(*layers)


@torch.no_grad()
def _check_blind_to_later(body: PreTrainedModel, width: int) -> None:
    """Some classes of transformers are causal only if their configuration says so (BERT's); a try says it of all."""
    was_training = body.training
    body.eval()
    x_BTD = torch.linspace(-1.0, 1.0, 4 * width, dtype=body.dtype, device=body.device).view(1, 4, width)
    later_BTD = x_BTD.clone()
    later_BTD[:, 2:] *= -3.0
    seen, unseen = (body(inputs_embeds=x, use_cache=False)[0][:, :2] for x in (x_BTD, later_BTD))
    body.train(was_training)
    if not torch.allclose(seen, unseen, atol=1e-4):
        raise ModelError(
            f"The body {type(body).__name__} sees later vectors, where the labels are that it is asked for; give one "
            "that is causal (for BERT's classes: is_decoder=True in the configuration)."
        )
