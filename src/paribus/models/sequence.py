"""Small sequence models: one block, nine mixers from plain recurrent nets to attention, to compare on equal terms.

    x = x + mixer(norm(x));  x = x + ffn(norm(x))        pre-norm, then a last norm and a linear head

The mixers are in ``sequence_attention``, ``recurrent``, ``state_space``, ``retention``, ``rwkv`` and ``hyena``; the
models here are transformers models, trained, saved and loaded like any other. Inputs are token ids or vectors, outputs
are logits at every position. Beside the parallel form there is a step form, whose state is counted by
``sequence_shape`` and traced in the tests.

Shapes: B batch, T tokens, D width, E width of input vectors, F feed-forward width, O logits a position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput, TokenClassifierOutput
from transformers.utils import can_return_tuple
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from paribus.errors import ModelError
from paribus.models.hyena import Hyena
from paribus.models.recurrent import GRU, LSTM, Elman, Kernel, Mixer, State, check_kernel
from paribus.models.retention import Retention
from paribus.models.rwkv import RWKV
from paribus.models.sequence_attention import Attention, AttentionCore
from paribus.models.sequence_config import SequenceConfig
from paribus.models.sequence_shape import check_length
from paribus.models.state_space import DSS, Mamba2

__all__ = ["SequenceConfig", "SequenceForPrediction", "SequenceModel", "SequenceState", "register"]

BUILDERS: dict[str, Callable[[SequenceConfig], Mixer]] = {
    "attention": Attention,
    "elman": Elman,
    "lstm": LSTM,
    "gru": GRU,
    "dss": DSS,
    "retention": Retention,
    "mamba2": Mamba2,
    "hyena": Hyena,
    "rwkv": RWKV,
}
"""The class of each mixer."""


@dataclass(frozen=True)
class SequenceState:
    """What a model carries from token to token: how many it has read, and each layer's state."""

    position: int
    layers: tuple[State, ...]

    @property
    def numbers(self) -> int:
        """Numbers carried for one sequence; the position, a clock that runs by itself, is not counted."""
        return sum(part[0].numel() for layer in self.layers for part in layer)


class FeedForward(nn.Module):
    """down(activation(up x))."""

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        width = config.shape.feed_forward
        self.up_proj = nn.Linear(config.hidden_size, width, bias=config.linear_bias)
        self.down_proj = nn.Linear(width, config.hidden_size, bias=config.linear_bias)
        self.activation = ACT2FN[config.ffn_activation]

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down_proj(self.activation(self.up_proj(x_BTD)))


class SequenceBlock(GradientCheckpointingLayer):
    """A mixer and, unless its width is 0, a feed-forward layer, each behind its norm and beside a residual path."""

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        self.residual = config.residual
        self.mixer_norm, self.mixer = _norm(config), BUILDERS[config.mixer](config)
        self.mlp: FeedForward | None = None
        if config.shape.feed_forward:
            self.mlp_norm, self.mlp = _norm(config), FeedForward(config)

    def forward(self, x_BTD: Tensor, **mask: Tensor) -> Tensor:
        return self._fed(self._joined(x_BTD, self.mixer(self.mixer_norm(x_BTD), **mask)))

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """One token (B, D)."""
        y_BD, state = self.mixer.step(self.mixer_norm(x_BD), state)
        return self._fed(self._joined(x_BD, y_BD)), state

    def _fed(self, x: Tensor) -> Tensor:
        return x if self.mlp is None else self._joined(x, self.mlp(self.mlp_norm(x)))

    def _joined(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y if self.residual else y


def _norm(config: SequenceConfig) -> nn.Module:
    return nn.Identity() if config.norm == "none" else nn.LayerNorm(config.hidden_size, eps=config.norm_eps)


class SequencePreTrainedModel(PreTrainedModel):
    """What transformers needs to know, how weights start, and how the mixers are run."""

    config_class = SequenceConfig
    config: SequenceConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["SequenceBlock"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_attention_backend = True
    _can_record_outputs = {  # noqa: RUF012
        "hidden_states": SequenceBlock,
        "attentions": OutputRecorder(AttentionCore, index=1),
    }

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Matrices from N(0, initializer_range^2), biases 0, norms 1; a mixer's own rules come after these."""
        if isinstance(module, Mixer):
            module.init_weights(self.config.initializer_range)
        elif not isinstance(module, nn.RNNBase):
            super()._init_weights(module)

    def set_kernel(self, kernel: Kernel) -> None:
        """How the mixers compute, see ``Mixer``; not part of the configuration. ``ModelError`` if it cannot be had."""
        for mixer in self._mixers():
            check_kernel(kernel, mixer)
            mixer.kernel = kernel

    @property
    def kernel(self) -> Kernel:
        """How the mixers compute."""
        return next(self._mixers()).kernel

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding, or what reads vectors in if there is none."""
        body: Any = self.base_model
        return body.embed_tokens if self.config.vocab_size else body.read_in

    def _mixers(self) -> Iterator[Mixer]:
        return (module for module in self.modules() if isinstance(module, Mixer))


class SequenceModel(SequencePreTrainedModel):
    """Token ids (B, T) or vectors (B, T, E) in, hidden states (B, T, D) out.

    Parameters, by name (a model of the second kind below has ``model.`` before each):

    ``embed_tokens.weight`` (vocab_size, D) if there is a vocabulary; ``embed_positions.weight`` (max_positions, D) if
    positions are learned, added to the input; ``read_in`` (D, E) if input_size is above 0.

    In ``layers.{i}``: ``mixer_norm`` and ``mlp_norm`` (``weight``, ``bias``) if norm is "layer"; ``mlp.up_proj``
    (F, D) and ``mlp.down_proj`` (D, F), unless ffn_size is 0, each with ``weight`` and, with linear_bias, ``bias``, as
    ``read_in`` has; and ``mixer``:

    - attention: ``qkv_proj.weight`` (3*H*A, D), rows of the queries of head 0, of head 1, ..., then all keys, then all
      values; ``o_proj.weight`` (D, H*A), columns of head 0, of head 1, ...; a ``bias`` each with attention_bias;
    - elman, lstm, gru: ``net.weight_ih_l0`` and ``net.weight_hh_l0`` (G*D, D), ``net.bias_ih_l0`` and
      ``net.bias_hh_l0`` (G*D), as in torch's nets;
    - others: see their classes.

    Then ``norm.weight`` and ``norm.bias`` if norm is "layer".
    """

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        if config.vocab_size:
            self.embed_tokens = nn.Embedding(config.vocab_size, width)
        if config.positions == "learned":
            self.embed_positions = nn.Embedding(config.max_positions, width)
        self.read_in = nn.Linear(config.input_size, width, config.linear_bias) if config.input_size else nn.Identity()
        self.layers = nn.ModuleList(SequenceBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = _norm(config)
        self.post_init()

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """``attention_mask`` (B, T): 0 at padding, which must come last in a row; other arguments are ignored.

        Raises ``ModelError`` unless there is exactly one input, of a width and a length that the model takes.
        """
        x_BTD = self._positioned(self._embedded(input_ids, inputs_embeds), 0)
        mask = self._mask(attention_mask)
        for block in self.layers:
            x_BTD = block(x_BTD, **mask)
        return BaseModelOutput(last_hidden_state=self.norm(x_BTD))

    def initial_state(self, batch: int, *, device: Any = None, dtype: torch.dtype | None = None) -> SequenceState:
        """The state before the first token of ``batch`` sequences; device and type are the weights' by default."""
        place = {"device": device or self.device, "dtype": dtype or self.dtype}
        layers: Any = self.layers
        return SequenceState(0, tuple(block.mixer.initial_state(batch, **place) for block in layers))

    def step(self, token: Tensor, state: SequenceState) -> tuple[Tensor, SequenceState]:
        """One token id (B,) or vector (B, E) a sequence; hidden states (B, D) and the state after it."""
        inputs = (None, token[:, None]) if token.is_floating_point() else (token[:, None], None)
        x_BD = self._positioned(self._embedded(*inputs), state.position)[:, 0]
        states: list[State] = []
        layers: Any = self.layers
        for block, before in zip(layers, state.layers, strict=True):
            x_BD, after = block.step(x_BD, before)
            states.append(after)
        return self.norm(x_BD), SequenceState(state.position + 1, tuple(states))

    def _embedded(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise ModelError("The sequence model takes exactly one of input_ids and inputs_embeds; pass one of them.")
        if inputs_embeds is None:
            if not self.config.vocab_size:
                raise ModelError(
                    "The sequence model has vocab_size=0, no tokens; pass inputs_embeds, or set vocab_size."
                )
            return self.embed_tokens(input_ids)
        wanted = self.config.input_size or self.config.hidden_size
        if inputs_embeds.ndim != 3 or inputs_embeds.shape[-1] != wanted:
            raise ModelError(
                f"inputs_embeds has shape {tuple(inputs_embeds.shape)}, the model reads (batch, length, {wanted}); "
                "change input_size or the vectors."
            )
        return self.read_in(inputs_embeds)

    def _positioned(self, x_BTD: Tensor, first: int) -> Tensor:
        length = x_BTD.shape[1]
        check_length(self.config, first + length)
        if self.config.positions == "none":
            return x_BTD
        return x_BTD + self.embed_positions.weight[first : first + length]

    def _mask(self, attention_mask: Tensor | None) -> dict[str, Tensor]:
        """Only attention that sees later tokens must be told of padding at the end of a row."""
        if attention_mask is None:
            return {}
        if attention_mask.ndim != 2 or bool((attention_mask[:, 1:] > attention_mask[:, :-1]).any()):
            raise ModelError(
                f"attention_mask of shape {tuple(attention_mask.shape)} is not (batch, length) with padding at the end "
                "of its rows; pad on the right."
            )
        return {} if self.config.causal else {"seen_BT": attention_mask != 0}


class SequenceForPrediction(SequencePreTrainedModel):
    """A ``SequenceModel`` as ``model``, and ``head`` (O, D), with a bias if linear_bias is set, on every position."""

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__(config)
        self.model = SequenceModel(config)
        self.head = nn.Linear(config.hidden_size, config.outputs, bias=config.linear_bias)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **ignored: Any,
    ) -> TokenClassifierOutput:
        """``logits`` (B, T, O). Labels are the objective's business. Errors as for ``SequenceModel``."""
        body = self.model(input_ids, attention_mask, inputs_embeds, **ignored)
        logits = self.head(body.last_hidden_state)
        return TokenClassifierOutput(logits=logits, hidden_states=body.hidden_states, attentions=body.attentions)

    def initial_state(self, batch: int, *, device: Any = None, dtype: torch.dtype | None = None) -> SequenceState:
        """See ``SequenceModel.initial_state``."""
        return self.model.initial_state(batch, device=device, dtype=dtype)

    def step(self, token: Tensor, state: SequenceState) -> tuple[Tensor, SequenceState]:
        """One token id (B,) or vector (B, E) a sequence; logits (B, O) and the state after it."""
        x_BD, state = self.model.step(token, state)
        return self.head(x_BD), state


def register() -> None:
    """Make the Auto classes know the sequence model; may be called any number of times."""
    AutoConfig.register(SequenceConfig.model_type, SequenceConfig, exist_ok=True)
    AutoModel.register(SequenceConfig, SequenceModel, exist_ok=True)
    AutoModelForTokenClassification.register(SequenceConfig, SequenceForPrediction, exist_ok=True)


register()
