"""Arbiters: who says how good an answer is. Their accuracy against the truth is always part of what is reported.

Aya Expanse (arXiv 2412.04261) routes and ranks with an internal reward model, the Arbiter. Here it is anything with a
``score``: the gold checker made noisy on purpose, or a trained Bradley-Terry model.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError
from paribus.records import Completion, Prompt

Gold = Callable[[Prompt, str], float]
"""The truth: the quality of an answer, 1 = right."""


class Arbiter(Protocol):
    """Scores answers; higher is better. ``identity`` names the judge behind it, so that no judge marks its own work."""

    @property
    def identity(self) -> str: ...

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> NDArray[np.float64]:
        """One score for each (prompt, completion) pair, shape (n,)."""


def unit_noise(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


@dataclass(frozen=True)
class GoldArbiter:
    """The gold score, replaced by a uniform random one with probability ``noise``.

    Noise belongs to the (seed, prompt, text) triple: the same answer always gets the same score. Of a right and a wrong
    answer the right one scores higher with probability (1-n)^2 + n(1-n) + n^2/2, n = ``noise``.
    """

    gold: Gold
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise ConfigError(f"noise={self.noise} cannot be used; it is a probability.")

    @property
    def identity(self) -> str:
        """Name with its noise."""
        return f"gold checker (noise {self.noise:g})"

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> NDArray[np.float64]:
        """Gold or noise for each answer."""
        return np.array([self._one(p, c.text) for p, c in zip(prompts, completions, strict=True)], dtype=np.float64)

    def _one(self, prompt: Prompt, text: str) -> float:
        if unit_noise("flip", self.seed, prompt.id, text) < self.noise:
            return unit_noise("score", self.seed, prompt.id, text)
        return float(self.gold(prompt, text))


class RewardModelArbiter:
    """A one-label sequence classifier (any Hugging Face reward model) over the chat-formatted conversation."""

    def __init__(self, model: Any, tokenizer: Any, *, identity: str, batch_size: int = 128) -> None:
        self.model, self.tokenizer, self._identity, self.batch_size = model, tokenizer, identity, batch_size

    @property
    def identity(self) -> str:
        """As given, usually a path or hub id."""
        return self._identity

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> NDArray[np.float64]:
        """Rewards in the order given; answers are batched by length, since padding is most of the cost otherwise."""
        import torch

        from paribus.data.chat import encode_many
        from paribus.data.pairs import collate
        from paribus.records import Message

        rows = encode_many(
            self.tokenizer,
            [
                (*p.messages, Message.model_construct(role="assistant", content=c.text))
                for p, c in zip(prompts, completions, strict=True)
            ],
        )
        scores = np.zeros(len(rows))
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(rows), self.batch_size):
                members = order[start : start + self.batch_size]
                batch = collate([rows[index] for index in members], self.tokenizer.pad_token_id or 0)
                logits = self.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
                scores[members] = logits[:, 0].double().numpy()
        return scores


def ensure_distinct(arbiter_identity: str, judge_identity: str) -> None:
    """Raise ``ConfigError`` when one model would both choose the training data and mark the result."""
    if arbiter_identity == judge_identity:
        raise ConfigError(
            f"The arbiter and the judge are the same ({arbiter_identity!r}): a student trained on its choices would be "
            "marked by it. Give the evaluation a different judge."
        )


@dataclass(frozen=True)
class Accuracy:
    """Share of (better, worse) answer pairs that the arbiter orders as the truth does, ties counting half."""

    language: str
    accuracy: float
    low: float
    high: float
    pairs: int


def arbiter_accuracy(
    prompts: Mapping[str, Prompt], scored: Sequence[Completion], gold: Gold, *, resamples: int = 1000
) -> list[Accuracy]:
    """Pairwise accuracy of the scores of a pool against the truth, for all languages together and each alone.

    Compares every two answers to one prompt whose gold scores differ; intervals resample prompts. Languages without any
    such pair are left out.
    """
    rows = [
        row
        for prompt_id, answers in _by_prompt(scored).items()
        for row in _agreements(prompts[prompt_id], answers, gold)
    ]
    groups = ["all", *sorted({language for language, _, _ in rows})]
    return [
        _accuracy(name, [row for row in rows if name in ("all", row[0])], resamples)
        for name in groups
        if any(name in ("all", row[0]) for row in rows)
    ]


def _by_prompt(scored: Sequence[Completion]) -> dict[str, list[Completion]]:
    grouped: dict[str, list[Completion]] = {}
    for row in scored:
        grouped.setdefault(row.prompt_id, []).append(row)
    return grouped


def _agreements(prompt: Prompt, answers: Sequence[Completion], gold: Gold) -> list[tuple[str, str, float]]:
    marks = [(gold(prompt, answer.text), answer.score or 0.0) for answer in {a.text: a for a in answers}.values()]
    return [
        (prompt.language, prompt.id, 0.5 if x == y else float((x > y) == (a > b)))
        for i, (a, x) in enumerate(marks)
        for b, y in marks[:i]
        if a != b
    ]


def _accuracy(language: str, rows: Sequence[tuple[str, str, float]], resamples: int) -> Accuracy:
    from paribus.statistics import clustered_bootstrap

    values = np.array([value for _, _, value in rows])
    interval = clustered_bootstrap(values, [prompt for _, prompt, _ in rows], resamples=resamples, rng=0)
    return Accuracy(language, float(values.mean()), interval.low, interval.high, len(rows))
