"""Batches for models that ``slots`` cannot hold: recurrent states, position biases made from a padding mask, and so on.

Every row of a batch has the same prompt length, so nothing is padded and the model's own cache does the rest; rows that
finish leave the batch, rows join only an empty one. Slower on mixed lengths, right for any causal model whose cache is
one of transformers' and is named ``past_key_values`` or ``cache_params``; ``lockstep_agrees`` tries it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import takewhile
from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from paribus.inference.slots import close


class LockstepBatch:
    """The same verbs as ``SlotBatch``: ``room``, ``admit``, ``step``, ``drop``."""

    def __init__(self, model: PreTrainedModel, *, rows: int) -> None:
        self.model, self.rows = model, rows
        self.count = 0
        self._waiting: list[Sequence[int]] = []
        self._expand: Tensor | None = None
        # Mamba's models take their state under another name, and ignore a cache of the usual one.
        taken = inspect.signature(model.forward).parameters
        self._cache_name = "cache_params" if "cache_params" in taken else "past_key_values"

    def __len__(self) -> int:
        return self.count

    def room(self, waiting: Sequence[Sequence[int]]) -> int:
        """The leading waiting prompts of one length, if the batch is empty."""
        if self.count or not waiting:
            return 0
        alike = takewhile(lambda prompt: len(prompt) == len(waiting[0]), waiting)
        return min(self.rows, sum(1 for _ in alike))

    def admit(self, prompts: Sequence[Sequence[int]]) -> None:
        """Take prompts of one length into the empty batch; equal prompts are computed once."""
        distinct = {tuple(prompt): index for index, prompt in reversed(list(enumerate(prompts)))}
        self._waiting = list(distinct)
        places = {prompt: index for index, prompt in enumerate(distinct)}
        self._expand = torch.tensor([places[tuple(prompt)] for prompt in prompts], device=self.model.device)
        self.cache = DynamicCache(config=self.model.config)
        self.count = len(prompts)

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Feed each row its next token (at first: the whole prompt); logits (n, V) for the one after it."""
        if self._expand is not None:
            logits = self._forward(torch.tensor(self._waiting, device=self.model.device))[self._expand]
            self.cache.reorder_cache(cast(torch.LongTensor, self._expand))
            self._expand = None
            return logits
        return self._forward(torch.tensor(tokens, device=self.model.device)[:, None])

    def drop(self, finished: set[int]) -> list[int]:
        """Take the finished rows out of the batch and the cache; returns the survivors' old numbers."""
        order = [row for row in range(self.count) if row not in finished]
        index = torch.tensor(order, dtype=torch.long, device=self.model.device)
        self.cache.reorder_cache(cast(torch.LongTensor, index))
        self.count = len(order)
        return order

    def _forward(self, ids: Tensor) -> Tensor:
        return self.model(input_ids=ids, use_cache=True, **{self._cache_name: self.cache}).logits[:, -1]


PROBE = ([3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8])


def lockstep_agrees(model: PreTrainedModel) -> bool:
    """Whether one step from the cache, after a row has left, gives the logits of a plain forward pass."""
    vocabulary = model.config.get_text_config().vocab_size
    prompts = [[token % vocabulary for token in prompt] for prompt in PROBE]
    plain = model(torch.tensor(prompts[1:], device=model.device), use_cache=False).logits[:, -1].float()
    batch = LockstepBatch(model, rows=len(prompts))
    try:
        batch.admit([prompt[:-1] for prompt in prompts])
        batch.step([])
        batch.drop({0})
        cached = batch.step([prompts[1][-1]]).float()
    except (TypeError, ValueError, RuntimeError, AttributeError, LookupError, NotImplementedError):
        return False
    return close(cached, plain, model.dtype)
