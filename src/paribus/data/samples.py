"""Scored samples as token arrays: a row is a prompt with all its answers, as leave-one-out baselines need them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import dropwhile
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paribus.data.chat import Encoded, encode, encode_many
from paribus.data.packing import array_hash
from paribus.data.pairs import collate, padding_id
from paribus.errors import DataError
from paribus.records import Completion, Message, Prompt

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class SampleDataset:
    """n prompts with k answers each.

    answers           n * k conversations, the k of a prompt side by side
    rewards           (n, k) float64, the arbiter's scores
    sampled_logprobs  (n, k) float64, summed log-probabilities of the answers under the policy that drew them, or None
    reference         (n, k) float64, the same under the reference model, or None
    """

    answers: tuple[Encoded, ...]
    rewards: NDArray[np.float64]
    sampled_logprobs: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    pad_id: int = 0
    pad_to: int | None = None

    def __post_init__(self) -> None:
        if self.rewards.ndim != 2 or self.rewards.size != len(self.answers):
            raise DataError(
                f"Rewards have shape {self.rewards.shape} for {len(self.answers)} answers; give (prompts, samples)."
            )

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def samples(self) -> int:
        """Answers a prompt."""
        return int(self.rewards.shape[1])

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of tokens, masks and rewards; log-probabilities are left out (they follow from data and models)."""
        sizes = np.asarray([len(row) for row in self.answers])
        ids = np.concatenate([row.input_ids for row in self.answers])
        masks = np.concatenate([row.completion_mask for row in self.answers])
        return array_hash(sizes, ids, masks, self.rewards)

    def with_logprobs(self, sampled: NDArray[np.float64], reference: NDArray[np.float64]) -> "SampleDataset":
        """The same samples with log-probabilities, each (n, k); ``DataError`` for another shape."""
        for name, values in (("Sampled", sampled), ("Reference", reference)):
            if values.shape != self.rewards.shape:
                raise DataError(
                    f"{name} log-probabilities have shape {values.shape}; {len(self)} prompts with {self.samples} "
                    f"samples each need {self.rewards.shape}."
                )
        return replace(self, sampled_logprobs=sampled, reference=reference)

    def batch(self, rows: NDArray[np.int64]) -> "dict[str, torch.Tensor]":
        """Tensors of the given prompts, r = len(rows) * k conversations, those of a prompt side by side.

        ``input_ids``, ``attention_mask``, ``completion_mask`` (r, longest) right-padded; ``rewards`` (r,);
        ``sampled_logprobs`` and ``reference`` (r,) where they are known.
        """
        import torch

        members = [self.answers[row * self.samples + number] for row in rows for number in range(self.samples)]
        batch = collate(members, self.pad_id, self.pad_to)
        known = {"rewards": self.rewards, "sampled_logprobs": self.sampled_logprobs, "reference": self.reference}
        for name, values in known.items():
            if values is not None:
                batch[name] = torch.from_numpy(values[rows].reshape(-1))
        return batch


def encode_samples(
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Prompt],
    pool: Sequence[Completion],
    samples: int,
    *,
    pad_to: int | None = None,
) -> SampleDataset:
    """Encode the scored answers of ``pool`` to ``prompts``; answers to other prompts are left out.

    Only what the model said is kept: an answer that ran into the length limit (``finish="length"``) has no end of turn,
    and what some templates write behind the end of turn (a newline, say) is cut.

    Raises ``DataError`` for no prompts, a prompt that stands twice or has another number of answers than ``samples``,
    and an answer without a finite score or of a failed request.
    """
    rows = _grouped(prompts, pool, samples)
    encoded = encode_many(
        tokenizer,
        [
            (*prompt.messages, Message.model_construct(role="assistant", content=answer.text))
            for prompt, answers in rows
            for answer in answers
        ],
    )
    closing = _closing_length(tokenizer)
    unsaid = [closing if a.finish == "length" else max(closing - 1, 0) for _, answers in rows for a in answers]
    answers = [_without_last(row, count) for row, count in zip(encoded, unsaid, strict=True)]
    rewards = np.asarray([[answer.score for answer in answers] for _, answers in rows], np.float64)
    return SampleDataset(tuple(answers), rewards, pad_id=padding_id(tokenizer), pad_to=pad_to)


def _grouped(
    prompts: Sequence[Prompt], pool: Sequence[Completion], samples: int
) -> list[tuple[Prompt, list[Completion]]]:
    if not prompts:
        raise DataError("There are no prompts to encode samples of; check the source.")
    grouped: dict[str, list[Completion]] = {prompt.id: [] for prompt in prompts}
    if len(grouped) < len(prompts):
        raise DataError(f"{len(prompts)} prompts share {len(grouped)} ids; give every prompt its own id.")
    for answer in pool:
        if answer.prompt_id in grouped:
            grouped[answer.prompt_id].append(_usable(answer))
    for name, answers in grouped.items():
        if len(answers) != samples:
            raise DataError(
                f"The prompt {name!r} has {len(answers)} answers in the pool, expected {samples}; draw the same number "
                "for every prompt, or leave the prompt out."
            )
    return [(prompt, grouped[prompt.id]) for prompt in prompts]


def _usable(answer: Completion) -> Completion:
    if answer.finish == "error":
        raise DataError(f"The answer {answer.id!r} comes from a failed request; ask again, or leave its prompt out.")
    if answer.score is None or not isfinite(answer.score):
        raise DataError(f"The answer {answer.id!r} has the score {answer.score}; score the pool with an arbiter first.")
    return answer


def _closing_length(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Learned tokens that the template writes behind an answer: from its first special token on."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    row = encode(tokenizer, turns)
    special = set(tokenizer.all_special_ids)
    return len(list(dropwhile(lambda token: token not in special, row.input_ids[row.completion_mask].tolist())))


def _without_last(row: Encoded, count: int) -> Encoded:
    """The conversation up to its last learned token but ``count``."""
    stop = int(np.flatnonzero(row.completion_mask)[-1]) + 1 - count
    return Encoded(row.input_ids[:stop], row.completion_mask[:stop])
