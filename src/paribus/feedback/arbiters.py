"""Arbiters: who says how good an answer is. Their accuracy against the truth is always part of what is reported.

Aya Expanse (arXiv 2412.04261) routes and ranks with an internal reward model, the Arbiter. Here it is anything with a
``score``: the gold checker made noisy on purpose, or a trained Bradley-Terry model.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError, ModelError
from paribus.evaluation.items import ALL, ItemRow, summarise
from paribus.evaluation.prompts import cluster_of
from paribus.records import Completion, Message, Prompt

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

    Noise belongs to the (seed, prompt, text) triple: the same answer always gets the same score. A right answer (gold
    1) is ordered above a wrong one (gold 0) unless both scores were replaced and fall the other way, so pairwise
    accuracy is 1 - noise^2 / 2: from 1 at no noise to 0.5 at full noise (``noise_for`` inverts this). With partial
    credit it is lower; ``arbiter_accuracy`` measures it.
    """

    gold: Gold
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise ConfigError(f"noise={self.noise} cannot be used; it is a probability, from 0 to 1.")

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


def noise_for(accuracy: float) -> float:
    """The ``GoldArbiter.noise`` at which right and wrong answers are told apart with this probability (0.5 to 1)."""
    if not 0.5 <= accuracy <= 1:
        raise ConfigError(f"An arbiter accuracy of {accuracy} cannot be set; give a share from 0.5 (chance) to 1.")
    return float(np.sqrt(2 * (1 - accuracy)))


class RewardModelArbiter:
    """A one-label sequence classifier (any Hugging Face reward model) over the chat-formatted conversation.

    ``identity`` names the model for ``ensure_distinct``: its path or hub id. Conversations longer than the model's
    positions are refused, not cut.
    """

    def __init__(self, model: Any, tokenizer: Any, *, identity: str, batch_size: int = 128) -> None:
        if model.config.num_labels != 1:
            raise ModelError(
                f"The reward model {identity!r} has {model.config.num_labels} outputs; an arbiter needs num_labels=1."
            )
        self.model, self.tokenizer, self._identity, self.batch_size = model, tokenizer, identity, batch_size

    @classmethod
    def load(cls, path_or_id: str | Path, *, device: str = "cpu", dtype: str = "auto", batch_size: int = 128) -> Self:
        """From a directory or hub id; raises ``ModelError`` as ``paribus.models.load.load_reward``."""
        from paribus.models.load import load_reward, load_tokenizer

        model = load_reward(path_or_id, dtype=dtype, device=device)
        return cls(model, load_tokenizer(path_or_id, model=model), identity=str(path_or_id), batch_size=batch_size)

    @property
    def identity(self) -> str:
        """As given, usually a path or hub id."""
        return self._identity

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> NDArray[np.float64]:
        """Rewards in the order given; answers are batched by length, since padding is most of the cost otherwise."""
        import torch

        from paribus.data.chat import encode_many
        from paribus.data.pairs import collate

        rows = encode_many(self.tokenizer, [_conversation(p, c) for p, c in zip(prompts, completions, strict=True)])
        self._check_lengths([len(row) for row in rows], completions)
        pad = self._pad_id()
        scores = np.zeros(len(rows))
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(rows), self.batch_size):
                members = order[start : start + self.batch_size]
                batch = collate([rows[index] for index in members], pad)
                inputs = {name: batch[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
                scores[members] = self.model(**inputs).logits[:, 0].double().cpu().numpy()
        return scores

    def _pad_id(self) -> int:
        # transformers' classification heads find the last token by the configured padding id; without one they refuse
        # batches. Any id will do for the batch itself, since the attention mask hides it.
        configured = self.model.config.pad_token_id
        if configured is None:
            self.model.config.pad_token_id = configured = self.tokenizer.pad_token_id or 0
        return int(configured)

    def _check_lengths(self, lengths: Sequence[int], completions: Sequence[Completion]) -> None:
        longest = getattr(self.model.config, "max_position_embeddings", None)
        for length, row in zip(lengths, completions, strict=True):
            if longest is not None and length > longest:
                raise DataError(
                    f"The completion {row.id!r} makes a conversation of {length} tokens; the reward model "
                    f"{self._identity!r} reads {longest}. Shorten it, or leave it out of the pool."
                )


def _conversation(prompt: Prompt, completion: Completion) -> tuple[Message, ...]:
    # An empty answer is a legal completion and must get a score, though a Message may not be empty.
    return (*prompt.messages, Message.model_construct(role="assistant", content=completion.text))


class HasIdentity(Protocol):
    """An arbiter or a judge."""

    @property
    def identity(self) -> str: ...


def ensure_distinct(arbiter: HasIdentity | str, judge: HasIdentity | str) -> None:
    """Raise ``ConfigError`` when one model would both choose the training data and mark the result.

    Same means: the same name (case, hub revision and trailing slash aside), the same directory, or two directories with
    the same weights.
    """
    names = [value if isinstance(value, str) else value.identity for value in (arbiter, judge)]
    if _plain(names[0]) == _plain(names[1]) or _same_directory(*map(Path, names)):
        raise ConfigError(
            f"The arbiter ({names[0]!r}) and the judge ({names[1]!r}) are the same: a student trained on its choices "
            "would be marked by it. Give the evaluation a different judge."
        )


def _plain(name: str) -> str:
    return name.strip().rstrip("/").split("@")[0].casefold()


def _same_directory(first: Path, second: Path) -> bool:
    if not (first.is_dir() and second.is_dir()):
        return False
    if first.resolve() == second.resolve():
        return True
    from paribus.weights import weights_hash

    try:
        return weights_hash(first) == weights_hash(second)
    except ModelError:
        return False  # one of them holds no readable weights, so nothing shows that they are the same


@dataclass(frozen=True)
class Accuracy:
    """Share of (better, worse) answer pairs that the arbiter orders as the truth does, ties counting half."""

    language: str
    accuracy: float
    low: float
    high: float
    pairs: int


def arbiter_accuracy(
    prompts: Mapping[str, Prompt],
    scored: Sequence[Completion],
    gold: Gold,
    *,
    cluster: Callable[[Prompt], str] = cluster_of,
    resamples: int = 1000,
) -> list[Accuracy]:
    """Pairwise accuracy of the scores of a pool against the truth, for all languages together and each alone.

    Intervals (95%) resample clusters: one question with all its languages. Where every pair is right, or every one
    wrong, the bootstrap has no width; there it is Wilson's over the clusters. Languages without any pair to compare are
    left out. Pairs and errors as in ``agreements``.
    """
    rows = agreements(prompts, scored, gold, cluster=cluster)
    pairs = Counter(language for row in rows for language in (ALL, row.language))
    found = summarise(rows, by_group=False, resamples=resamples) if rows else []
    return [
        Accuracy(row.language, row.interval.estimate, row.interval.low, row.interval.high, pairs[row.language])
        for row in found
    ]


def agreements(
    prompts: Mapping[str, Prompt],
    scored: Sequence[Completion],
    gold: Gold,
    *,
    cluster: Callable[[Prompt], str] = cluster_of,
) -> list[ItemRow]:
    """One row for every two different answers to one prompt that differ in gold score: 1 where the scores order them as
    the gold ones do, 0.5 where the scores tie, else 0.

    ``prompts`` are by id. Raises ``DataError`` for a completion without a score, or to a prompt that is not among them.
    """
    rows = []
    for prompt_id, answers in _by_prompt(scored).items():
        if prompt_id not in prompts:
            raise DataError(f"The completion {answers[0].id!r} answers {prompt_id!r}, which is not among the prompts.")
        prompt = prompts[prompt_id]
        for number, value in enumerate(_agreements(prompt, answers, gold)):
            name = f"{prompt_id}/{number}"
            rows.append(ItemRow("arbiter_accuracy", name, cluster(prompt), prompt.language, value, prompt.task))
    return rows


def _by_prompt(scored: Sequence[Completion]) -> dict[str, list[Completion]]:
    grouped: dict[str, list[Completion]] = {}
    for row in scored:
        grouped.setdefault(row.prompt_id, []).append(row)
    return grouped


def score_of(completion: Completion) -> float:
    """An answer's score; ``DataError`` if it has none or not a finite one."""
    if completion.score is None or not np.isfinite(completion.score):
        raise DataError(
            f"The completion {completion.id!r} has the score {completion.score}; let an arbiter score it first."
        )
    return float(completion.score)


def _agreements(prompt: Prompt, answers: Sequence[Completion], gold: Gold) -> list[float]:
    marks = [(gold(prompt, answer.text), score_of(answer)) for answer in {a.text: a for a in answers}.values()]
    return [
        0.5 if x == y else float((x > y) == (a > b)) for i, (a, x) in enumerate(marks) for b, y in marks[:i] if a != b
    ]
