"""The configuration of a small sequence model: every field, its default and what is refused."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from paribus.models.sequence_shape import SequenceShape, default_positions


@strict
class SequenceConfig(PreTrainedConfig):
    """Shape of a sequence model: one of nine mixers in the same block, so that mixers can be compared.

    Ends:
        ``mixer``: one of ``sequence_shape.MIXERS``. ``vocab_size``: 0 has no token embedding, the model then takes
        vectors. ``input_size``: width of the vectors; above 0 a linear layer reads them in, 0 means that they come with
        ``hidden_size``. ``outputs``: logits a position.

    Block:
        ``x = x + mixer(norm(x)); x = x + ffn(norm(x))``, a last norm, a linear head. ``ffn_size``: None is four times
        the width, 0 is no feed-forward layer. ``norm="none"``, ``residual=False`` and ``ffn_size=0`` make the plain
        recurrent nets. ``positions``: "learned" or "none", None chooses by the mixer (``default_positions``).
        ``max_positions``: rows of that table, and the reach of Hyena's filters. ``linear_bias``: of read-in,
        feed-forward layer, head, and the in- and output products of dss and hyena.

    Attention:
        ``head_dim``: None is ``hidden_size / num_attention_heads``. ``attention_scale`` multiplies the scores: None is
        ``head_dim ** -0.5``. ``causal=False`` lets every position see all. ``attention_bias``: of all four products.

    Other mixers:
        ``state_size``: state per channel of dss and mamba2. ``hyena_order``: gates of hyena, one more than its long
        convolutions; ``filter_size``: width of the network that makes its filters. 3 and 64 are the values of
        Bhattamishra et al. 2023 (arXiv 2310.03016).

    ``initializer_range``: matrices start from N(0, initializer_range^2), except those whose papers ask for something
    else; the mixers say which. 0 is one over the root of the width: at these widths the usual 0.02 makes the first
    hundreds of steps a crawl. Raises ``ModelError`` as ``SequenceShape`` does.
    """

    model_type = "paribus_sequence"

    mixer: str = "attention"
    vocab_size: int = 0
    input_size: int = 0
    outputs: int = 2
    hidden_size: int = 64
    num_hidden_layers: int = 1
    num_attention_heads: int = 4
    head_dim: int | None = None
    ffn_size: int | None = None
    ffn_activation: str = "gelu"
    state_size: int = 16
    hyena_order: int = 3
    filter_size: int = 64
    norm: str = "layer"
    norm_eps: float = 1e-5
    residual: bool = True
    positions: str | None = None
    max_positions: int = 512
    causal: bool = True
    attention_scale: float | None = None
    attention_bias: bool = True
    linear_bias: bool = True
    initializer_range: float = 0.0
    tie_word_embeddings: bool = False
    use_cache: bool = False
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if self.positions is None:
            self.positions = default_positions(self.mixer)
        if not self.initializer_range:
            self.initializer_range = self.hidden_size**-0.5
        SequenceShape.of(self)
        super().__post_init__(**kwargs)

    @property
    def shape(self) -> SequenceShape:
        """The sizes that cost depends on."""
        return SequenceShape.of(self)
