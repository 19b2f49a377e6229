"""A model in this process: continuous batches in slots, and log-probabilities of given completions.

Requests are sorted by length and grouped so that slots of one group differ at most twofold in room; rows that end make
place for waiting ones. Against ``generate`` on mixed lengths this saves the steps that a batch spends waiting for its
longest row, the padding, and a copy of the cache at every step (benchmarks/bench_generation.py).

What a request gets does not depend on its batch, as far as the arithmetic allows: random numbers belong to the request
(sampling.py) and the cache layout makes a row's sums its own (slots.py). On the CPUs tried this is exact in float32; on
a GPU, or with another matrix library, last bits can differ with the batch, and a choice between two tokens within about
1e-6 of each other can then flip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paribus.errors import EngineError
from paribus.inference.chat import Chat
from paribus.inference.engine import GenerationRequest, Reply, Score, ScoreRequest, check_distinct
from paribus.inference.lockstep import LockstepBatch, lockstep_agrees
from paribus.inference.sampling import choose, uniforms
from paribus.inference.scoring import completion_logprobs, evaluating
from paribus.inference.slots import SlotBatch, slots_agree

MAX_ROWS = 128  # more rows than this gained nothing on a CPU and waste room in the last steps of a group


@dataclass
class Row:
    """A request under way."""

    index: int
    request: GenerationRequest
    prompt: list[int]
    uniforms: np.ndarray | None  # None: greedy
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0

    @property
    def length(self) -> int:
        """Places this request may need at most."""
        return len(self.prompt) + self.request.max_tokens

    @property
    def next_input(self) -> int:
        return self.tokens[-1] if self.tokens else self.prompt[-1]

    @property
    def next_uniform(self) -> float:
        return 0.0 if self.uniforms is None else float(self.uniforms[len(self.tokens)])


class LocalEngine:
    """Any causal model of transformers and its tokenizer (with a chat template) as an ``Engine``.

    ``max_batch_tokens`` bounds rows times room (prompt + max_tokens) of a batch; ``autocast`` (say ``torch.bfloat16``)
    runs the forward passes under autocast; ``progress(done, total)`` is called as requests end. ``batching`` says how
    the model is run: "slots", or "lockstep" where its cache or its masks do not fit slots.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str | None = None,
        max_batch_tokens: int = 16_384,
        device: str | torch.device | None = None,
        autocast: torch.dtype | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.model = model if device is None else nn.Module.to(model, device)
        self.chat = Chat(tokenizer)
        self.name = name or model.name_or_path or type(model).__name__
        self.max_batch_tokens, self.autocast, self.progress = max_batch_tokens, autocast, progress
        self.stop_ids = self.chat.stop_ids(model)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
        """One reply for each request, in their order; ``EngineError`` for a prompt that does not fit the model."""
        check_distinct(request.id for request in requests)
        prompts = self.chat.prompts([request.messages for request in requests])
        rows = [self._row(index, *pair) for index, pair in enumerate(zip(requests, prompts, strict=True))]
        replies: dict[int, Reply] = {}
        with self._running():
            for group, slots in self._groups(rows):
                for row, finish in self._decode(group, slots):
                    replies[row.index] = self._reply(row, finish)
                    if self.progress is not None:
                        self.progress(len(replies), len(rows))
        return [replies[index] for index in range(len(rows))]

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Summed log-probability of each completion given its messages, in request order."""
        check_distinct(request.id for request in requests)
        pairs = self.chat.completions(requests)
        for request, (prompt, completion) in zip(requests, pairs, strict=True):
            self._check_fits(request.id, len(prompt), len(completion))
        with self._running():
            sums = completion_logprobs(self.model, pairs, max_batch_tokens=self.max_batch_tokens)
        return [
            Score(request_id=request.id, logprob=total, tokens=len(completion))
            for request, (_, completion), total in zip(requests, pairs, sums, strict=True)
        ]

    @cached_property
    def batching(self) -> Literal["slots", "lockstep"]:
        """Tried once on two short rows: slots must give the logits of plain forward passes, or lockstep is used, which
        must give them too."""
        with self._running():
            if slots_agree(self.model, self._mask_dtype):
                return "slots"
            if lockstep_agrees(self.model):
                return "lockstep"
        raise EngineError(
            f"{type(self.model).__name__} gives other logits with its key/value cache than without, or takes no cache "
            "of transformers; generate with a served model, or mend the model's cache."
        )

    def _row(self, index: int, request: GenerationRequest, prompt: list[int]) -> Row:
        self._check_fits(request.id, len(prompt), request.max_tokens)
        drawn = uniforms(request.seed, request.id, request.max_tokens) if request.temperature > 0 else None
        return Row(index, request, prompt, drawn)

    def _check_fits(self, request_id: str, prompt: int, answer: int) -> None:
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if prompt == 0:
            raise EngineError(f"Request {request_id!r}: the chat template renders its messages to no tokens at all.")
        if context is not None and prompt + answer > context:
            raise EngineError(
                f"Request {request_id!r}: {prompt} prompt tokens and {answer} for the answer exceed the {context} "
                f"positions of {self.name}; shorten the prompt or lower max_tokens."
            )

    def _groups(self, rows: list[Row]) -> Iterator[tuple[list[Row], int]]:
        """Longest first: (rows, slots) such that slots times room keeps the token budget."""
        ordered = sorted(rows, key=lambda row: (-row.length, row.prompt))
        while ordered:
            slots = max(1, min(MAX_ROWS, self.max_batch_tokens // ordered[0].length))
            # Where room is what limits the slots, rows of half the length wait for a batch with twice the slots.
            shortest = ordered[0].length // 2 if slots < min(MAX_ROWS, len(ordered)) else 0
            group = [row for row in ordered if row.length > shortest]
            ordered = ordered[len(group) :]
            yield group, min(slots, len(group))

    def _decode(self, group: list[Row], slots: int) -> Iterator[tuple[Row, Literal["stop", "length"]]]:
        """Run a group to its end, handing out rows as they finish."""
        batch = self._batch(slots, group[0].length)
        prompts, joined, rows = [row.prompt for row in group], 0, list[Row]()
        while joined < len(group) or rows:
            joining = batch.room(prompts[joined:])
            if joining:
                batch.admit(prompts[joined : joined + joining])
                rows += group[joined : joined + joining]
                joined += joining
            finished = self._advance(rows, batch.step([row.next_input for row in rows]))
            if finished:
                yield from ((rows[place], finish) for place, finish in finished.items())
                rows = [rows[place] for place in batch.drop(set(finished))]

    def _advance(self, rows: list[Row], logits: Tensor) -> dict[int, Literal["stop", "length"]]:
        """Give each row its next token; the places of the rows that end with it, and how they end."""
        logits = logits.cpu() if logits.device.type == "mps" else logits  # choosing sums in float64, which MPS lacks
        settings = [(row.request.temperature, row.request.top_p, row.next_uniform) for row in rows]
        temperature, top_p, uniform = torch.tensor(settings, dtype=torch.float64, device=logits.device).unbind(-1)
        chosen, logprobs = choose(logits, temperature, top_p, uniform)
        finished: dict[int, Literal["stop", "length"]] = {}
        for place, (row, token, logprob) in enumerate(zip(rows, chosen.tolist(), logprobs.tolist(), strict=True)):
            row.tokens.append(token)
            row.logprob += logprob
            if token in self.stop_ids:
                finished[place] = "stop"
            elif len(row.tokens) == row.request.max_tokens:
                finished[place] = "length"
        return finished

    def _batch(self, slots: int, places: int) -> SlotBatch | LockstepBatch:
        if self.batching == "lockstep":
            return LockstepBatch(self.model, rows=slots)
        return SlotBatch(self.model, slots=slots, places=places, mask_dtype=self._mask_dtype)

    def _reply(self, row: Row, finish: Literal["stop", "length"]) -> Reply:
        said = row.tokens[:-1] if finish == "stop" else row.tokens
        return Reply(
            request_id=row.request.id,
            text=self.chat.text(said),
            tokens=len(row.tokens),
            finish=finish,
            logprob=row.logprob,
        )

    @property
    def _mask_dtype(self) -> torch.dtype:
        return self.autocast or self.model.dtype

    def _running(self) -> AbstractContextManager[None]:
        return evaluating(self.model, self.autocast)
