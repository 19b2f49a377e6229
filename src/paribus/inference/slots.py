"""A running batch whose rows sit at their own positions: the key/value cache behind ``LocalEngine``.

Row r keeps the keys of its tokens 0..n-1 in places 0..n-1 of its slot, whatever its neighbours do. So rows can join
and leave at any step, a step writes one token in place instead of copying the cache, and a row's arithmetic depends on
its own tokens only: masked places beyond its position add exact zeros. What could still differ with the batch is which
kernel the matrix library takes for a shape; rows and lengths are therefore padded to fixed steps (``ROWS``,
``PLACES``).

Shapes: R slots, N rows in use (padded), P distinct prompts, T tokens, L places in view, H key/value heads, A head
width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from paribus.errors import EngineError

ROWS = 8  # rows of a step come in multiples of this: below about 4 rows matrix libraries switch kernels
PLACES = 32  # places in view come in multiples of this: softmax sums run over whole vector registers


def rounded(count: int, step: int) -> int:
    """``count`` rounded up to a multiple of ``step``, at least one step."""
    return max(1, -(-count // step)) * step


def padded_length(length: int) -> int:
    """The length a prompt is padded to: a function of its own length alone, at most an eighth (or 15 tokens) longer."""
    return rounded(length, max(16, 1 << max(0, length.bit_length() - 4)))


class Aim:
    """Where the present step writes and how much of the cache it sees; shared by all layers."""

    def __init__(self, slots: int, places: int) -> None:
        self.slots, self.places = slots, places
        self.rows = self.view = 0
        self.position_N = torch.empty(0, dtype=torch.long)
        self._flat: dict[int, Tensor] = {}

    def set(self, position_N: Tensor, *, view: int) -> None:
        """Point each row at its next place and show ``view`` places."""
        self.rows, self.position_N, self.view = len(position_N), position_N, view
        self._flat = {}

    def flat(self, heads: int) -> Tensor:
        """Index of (row, head, position) in a store seen as (slots * heads * places, head width)."""
        if heads not in self._flat:
            row_head = torch.arange(self.rows * heads, device=self.position_N.device).view(self.rows, heads)
            self._flat[heads] = (row_head * self.places + self.position_N[:, None]).flatten()
        return self._flat[heads]


class SlotLayer(DynamicLayer):
    """One layer's keys and values, (R, H, places, A), allocated once; windows are the mask's business."""

    def __init__(self, aim: Aim) -> None:
        super().__init__()
        self.aim = aim

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        room = (self.aim.slots, key_states.shape[1], self.aim.places)
        # zeros, not empty: a masked place must hold a finite number, since 0 * nan is nan
        self.keys = key_states.new_zeros(*room, key_states.shape[-1])
        self.values = value_states.new_zeros(*room, value_states.shape[-1])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one token for each row, return the places in view."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        index = self.aim.flat(key_states.shape[1])
        for store, states in ((self.keys, key_states), (self.values, value_states)):
            store.view(-1, store.shape[-1]).index_copy_(0, index, states.reshape(-1, store.shape[-1]).to(store.dtype))
        seen = (slice(self.aim.rows), slice(None), slice(self.aim.view))
        return self.keys[seen], self.values[seen]

    def fill(self, slot_N: Tensor, prompt_N: Tensor, keys_PHTA: Tensor, values_PHTA: Tensor) -> None:
        """Copy the states of prompt ``prompt_N[i]`` into slot ``slot_N[i]``, from its first place on.

        A prompt's padding may be longer than a slot; only padding is cut off then.
        """
        if not self.is_initialized:
            self.lazy_initialization(keys_PHTA, values_PHTA)
        assert self.keys is not None and self.values is not None
        places = min(keys_PHTA.shape[2], self.aim.places)
        self.keys[slot_N, :, :places] = keys_PHTA[prompt_N, :, :places]
        self.values[slot_N, :, :places] = values_PHTA[prompt_N, :, :places]

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy the slots ``source`` over the slots ``target``."""
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            self.keys[target] = self.keys[source]
            self.values[target] = self.values[source]

    def get_seq_length(self) -> int:
        return 0 if not self.is_initialized else self.aim.view

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.aim.view, 0


class SlotBatch:
    """Rows of a running batch on one model. Rows are numbered 0..n-1; ``drop`` renumbers them."""

    def __init__(self, model: PreTrainedModel, *, slots: int, places: int, mask_dtype: torch.dtype) -> None:
        self.model, self.mask_dtype = model, mask_dtype
        self.aim = Aim(rounded(slots, ROWS), rounded(places, PLACES))
        self.windows = attention_windows(model)
        self.layers = [SlotLayer(self.aim) for _ in range(self.windows.layers)]
        self.cache = Cache(layers=list(self.layers))
        self.cached: list[int] = []  # tokens of each row in the cache
        self._places = torch.arange(self.aim.places, device=model.device)

    def __len__(self) -> int:
        return len(self.cached)

    def room(self, waiting: Sequence[Sequence[int]]) -> int:
        """How many of the waiting prompts should join now: none until a quarter of the slots is free, then all fitting.

        A prompt's prefill costs about as much overhead as a step, so they join in groups.
        """
        free = self.aim.slots - len(self)
        return min(free, len(waiting)) if not self.cached or free >= self.aim.slots // 4 else 0

    def admit(self, prompts: Sequence[Sequence[int]]) -> None:
        """Add a row for each prompt; equal prompts are computed once. The last token of each is left for ``step``."""
        rows: dict[tuple[int, ...], list[int]] = {}
        for row, prompt in enumerate(prompts, start=len(self)):
            rows.setdefault(tuple(prompt), []).append(row)
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for prompt in rows:
            if len(prompt) > 1:
                by_length.setdefault(self._prefill_length(len(prompt) - 1), []).append(prompt)
        for length, group in by_length.items():
            self._prefill(length, group, [rows[prompt] for prompt in group])
        self.cached += [len(prompt) - 1 for prompt in prompts]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Feed each row its next token; logits (n, V) for the one after it."""
        rows = rounded(len(self), ROWS)
        idle = [0] * (rows - len(self))  # rows of padding write to place 0 of free slots
        position_N = torch.tensor(self.cached + idle, device=self.model.device)
        self.aim.set(position_N, view=rounded(max(self.cached) + 1, PLACES))
        output = self.model(
            input_ids=torch.tensor([*tokens, *idle], device=self.model.device)[:, None],
            attention_mask=self._mask(position_N),
            position_ids=position_N[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cached = [count + 1 for count in self.cached]
        return output.logits[: len(self), -1]

    def drop(self, finished: set[int]) -> list[int]:
        """Free the finished rows; returns the survivors' old numbers in their new order. Few rows move."""
        count = len(self) - len(finished)
        order = list(range(count))
        holes = [row for row in order if row in finished]
        movers = [row for row in range(count, len(self)) if row not in finished]
        for hole, mover in zip(holes, movers, strict=True):
            order[hole] = mover
        if holes:
            source, target = (torch.tensor(rows, device=self.model.device) for rows in (movers, holes))
            for layer in self.layers:
                layer.move(source, target)
        self.cached = [self.cached[row] for row in order]
        return order

    def _prefill_length(self, length: int) -> int:
        """The padded length, but no more than the model's positions: learned ones end there."""
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return min(padded_length(length), context) if context else padded_length(length)

    def _prefill(self, length: int, prompts: list[tuple[int, ...]], rows: list[list[int]]) -> None:
        device = self.model.device
        ids = torch.tensor([[*prompt[:-1], *[0] * (length - len(prompt) + 1)] for prompt in prompts], device=device)
        # Padding lies behind the prompt, where a causal model cannot see it and later tokens overwrite it.
        cache = DynamicCache()
        self.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
        slot_N = torch.tensor([row for owners in rows for row in owners], device=device)
        prompt_N = torch.tensor([index for index, owners in enumerate(rows) for _ in owners], device=device)
        for layer, filled in zip(self.layers, cache.layers, strict=True):
            assert isinstance(filled, DynamicLayer) and filled.keys is not None and filled.values is not None
            layer.fill(slot_N, prompt_N, filled.keys, filled.values)

    def _mask(self, position_N: Tensor) -> Tensor | dict[str, Tensor]:
        places = self._places[: self.aim.view]
        full = self._additive(places <= position_N[:, None])
        if self.windows.window is None:
            return full
        near = (places <= position_N[:, None]) & (places > position_N[:, None] - self.windows.window)
        windowed = self._additive(near)
        return {"full_attention": full, "sliding_attention": windowed} if self.windows.mixed else windowed

    def _additive(self, allowed_NL: Tensor) -> Tensor:
        lowest = torch.finfo(self.mask_dtype).min
        mask = torch.zeros(allowed_NL.shape, dtype=self.mask_dtype, device=allowed_NL.device)
        return mask.masked_fill_(~allowed_NL, lowest)[:, None, None]


class Windows(NamedTuple):
    """How a model's layers look back: ``window`` tokens (None: all), in every layer or (``mixed``) in some."""

    layers: int
    window: int | None
    mixed: bool


def attention_windows(model: PreTrainedModel) -> Windows:
    """Read the windows off the cache that transformers would build; ``EngineError`` for layers other than attention."""
    layers = DynamicCache(config=model.config).layers
    strange = {type(layer).__name__ for layer in layers if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer)}
    # The cache keeps a chunk as it keeps a window, but what a token may see of it differs.
    named = set(getattr(model.config.get_text_config(), "layer_types", None) or [])
    strange |= named - {"full_attention", "sliding_attention"}
    if strange:
        raise EngineError(f"Slots hold attention layers only; {type(model).__name__} also keeps {sorted(strange)}.")
    windows = {layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)}
    if len(windows) > 1:
        raise EngineError(f"Slots take one attention window; {type(model).__name__} has {sorted(windows)}.")
    mixed = any(type(layer) is DynamicLayer for layer in layers)
    return Windows(len(layers), next(iter(windows), None), mixed)


PROBE = ([3, 1, 4, 1, 5, 9, 2], [2, 7, 1])  # two short prompts of unequal length


def slots_agree(model: PreTrainedModel, mask_dtype: torch.dtype) -> bool:
    """Whether the model, run in slots, gives the logits of plain forward passes on two short rows.

    Models whose masks or positions do not pass through the arguments used here (position biases made from a padding
    mask, recurrent states, flash kernels that take no mask) fail this or raise; both mean no.
    """
    vocabulary = model.config.get_text_config().vocab_size
    prompts = [[token % vocabulary for token in prompt] for prompt in PROBE]
    plain = torch.stack([model(torch.tensor([row], device=model.device)).logits[0, -1] for row in prompts]).float()
    try:
        batch = SlotBatch(model, slots=len(prompts), places=PLACES, mask_dtype=mask_dtype)
        batch.admit(prompts)
        slotted = batch.step([prompt[-1] for prompt in prompts]).float()
    except (EngineError, TypeError, ValueError, RuntimeError, AttributeError, LookupError, NotImplementedError):
        return False
    return close(slotted, plain, mask_dtype)


def close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    """Whether logits differ by no more than rounding in ``dtype`` explains, and by far less than they vary."""
    tolerance = 1e-3 if torch.finfo(dtype).bits >= 32 else 0.1
    return bool((found - wanted).abs().max() <= tolerance * wanted.std())
