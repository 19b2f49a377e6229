"""Reward models and generative judges on preference pairs: which answer wins, and by how much.

Both become the same ``Outcomes``: one value for each pair, 1 where the preferred answer won. A reward model must score
it strictly higher, a tie is a loss; a judge's tie or unreadable verdict is worth a half (both as in RewardBench's code,
papers/reward-critiques.md section 3). What is scored never says which answer is preferred: answers are named by their
text, and only for judges' games, whose prompts do not show names, by their side.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.evaluation.games import STRENGTH
from paribus.evaluation.items import ItemRow
from paribus.evaluation.prompts import cluster_of
from paribus.records import Completion, Message, PreferencePair, Prompt, Verdict

CHOSEN, REJECTED = "chosen", "rejected"
_TELLING = (CHOSEN, REJECTED, "margin", "label", "preferred", "winner")


class Scorer(Protocol):
    """Anything that scores answers, higher is better: every ``feedback.arbiters.Arbiter`` is one."""

    @property
    def identity(self) -> str: ...

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> NDArray[np.float64]:
        """One score for each (prompt, completion) pair, shape (n,)."""


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs with the scores of both answers, ``chosen`` and ``rejected`` of shape (n,), by the scorer ``by``."""

    by: str
    pairs: tuple[PreferencePair, ...]
    chosen: NDArray[np.float64]
    rejected: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, scores in ((CHOSEN, self.chosen), (REJECTED, self.rejected)):
            if scores.shape != (len(self.pairs),):
                raise DataError(f"The {name} answers have scores of shape {scores.shape} for {len(self.pairs)} pairs.")
            bad = np.flatnonzero(~np.isfinite(scores))
            if bad.size:
                raise DataError(
                    f"{self.by} gives the {name} answer of pair {self.pairs[bad[0]].id!r} the score {scores[bad[0]]}; "
                    "scores must be finite. Is the model damaged, or its number format too narrow?"
                )

    @property
    def margins(self) -> NDArray[np.float64]:
        """Score of the preferred answer minus the other's, (n,), in the scorer's unit."""
        return self.chosen - self.rejected

    def outcomes(self) -> "Outcomes":
        """1 where the preferred answer scores strictly higher, else 0."""
        tied = int(np.count_nonzero(self.margins == 0.0))
        return Outcomes(self.by, self.pairs, (self.margins > 0.0).astype(np.float64), tied=tied)


@dataclass(frozen=True)
class Outcomes:
    """What became of each pair: ``value`` (n,), 1 if the preferred answer won, 0 if it lost, between for judges' ties.

    ``tied`` and ``unparsed`` count what decided nothing: tied pairs of a scorer; tied and unread games of a judge.
    """

    by: str
    pairs: tuple[PreferencePair, ...]
    value: NDArray[np.float64]
    tied: int = 0
    unparsed: int = 0

    def rows(self, measure: str = "pair_accuracy", *, group: str | None = None) -> list[ItemRow]:
        """Item rows whose mean is the accuracy. ``group`` names the ``meta`` key that becomes the rows' group; without
        it, or where a pair lacks the key, the group is ``meta["task"]``, else empty.
        """
        return [
            ItemRow(measure, pair.id, cluster_of_pair(pair), pair.language, float(value), _group(pair, group))
            for pair, value in zip(self.pairs, self.value, strict=True)
        ]


def _group(pair: PreferencePair, key: str | None) -> str:
    task = str(pair.meta.get("task", ""))
    return task if key is None else str(pair.meta.get(key, task))


def cluster_of_pair(pair: PreferencePair) -> str:
    """What is resampled together with the pair: as for its prompt (``prompts.cluster_of``)."""
    return cluster_of(prompt_of(pair))


def prompt_of(pair: PreferencePair) -> Prompt:
    """The pair's prompt as a record of its own; it keeps the pair's ``meta``."""
    task = str(pair.meta.get("task", ""))
    return Prompt(id=pair.prompt_id, language=pair.language, messages=pair.prompt, task=task, meta=pair.meta)


def without_labels(prompt: Prompt) -> Prompt:
    """The prompt without what its ``meta`` says about a label: keys that name a side, a margin or a winner."""
    kept = {key: value for key, value in prompt.meta.items() if not any(word in key.lower() for word in _TELLING)}
    return prompt if len(kept) == len(prompt.meta) else prompt.model_copy(update={"meta": kept})


def completion_id(prompt_id: str, text: str) -> str:
    """A name for an answer that follows from prompt and text alone, so it cannot tell which one is preferred."""
    return f"{prompt_id}#{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def sides(pairs: Sequence[PreferencePair]) -> tuple[list[Prompt], list[Completion], list[Completion]]:
    """Prompts, preferred answers and other answers, each in the order of the pairs, as scorers and critics take them.

    Answers are named by ``completion_id``, their model is ``"answer"``, prompts are bare: nothing shows the label.
    """
    prompts = [without_labels(prompt_of(pair)) for pair in pairs]
    answers = [
        [
            Completion(
                id=completion_id(pair.prompt_id, text),
                prompt_id=pair.prompt_id,
                language=pair.language,
                model="answer",
                text=text,
            )
            for pair, text in rows
        ]
        for rows in ([(p, p.chosen) for p in pairs], [(p, p.rejected) for p in pairs])
    ]
    return prompts, answers[0], answers[1]


def score_pairs(scorer: Scorer, pairs: Sequence[PreferencePair]) -> ScoredPairs:
    """Let a scorer read both answers of every pair; raises ``DataError`` for no pairs or a score that is not finite.

    All answers are scored in one call, in the order of their names, so their place does not show the label either.
    """
    if not pairs:
        raise DataError("There are no pairs to score; check the source, or what was left out of it.")
    prompts, chosen, rejected = sides(pairs)
    both, answers = [*prompts, *prompts], [*chosen, *rejected]
    order = sorted(range(len(both)), key=lambda place: answers[place].id)
    found = np.asarray(scorer.score([both[i] for i in order], [answers[i] for i in order]), dtype=np.float64)
    if found.shape != (len(order),):
        raise DataError(f"{scorer.identity} gave scores of shape {found.shape} for {len(order)} answers.")
    scores = np.empty(len(order))
    scores[order] = found
    return ScoredPairs(scorer.identity, tuple(pairs), scores[: len(pairs)], scores[len(pairs) :])


def scored_rows(scored: ScoredPairs) -> list[Completion]:
    """Both answers of every pair with their scores, for files: ``<pair id>/chosen`` and ``<pair id>/rejected``."""
    both = zip(scored.pairs, scored.chosen, scored.rejected, strict=True)
    return [
        _played(pair, side, text).model_copy(update={"score": float(score)})
        for pair, *scores in both
        for side, text, score in zip((CHOSEN, REJECTED), (pair.chosen, pair.rejected), scores, strict=True)
    ]


def scores_of_rows(by: str, pairs: Sequence[PreferencePair], rows: Sequence[Completion]) -> ScoredPairs:
    """The scores that ``scored_rows`` wrote; pairs without any are left out, in the others both must be there."""
    found = {row.id: row.score for row in rows}
    kept = [pair for pair in pairs if f"{pair.id}/{CHOSEN}" in found]
    names = [[f"{pair.id}/{side}" for pair in kept] for side in (CHOSEN, REJECTED)]
    missing = [name for column in names for name in column if found.get(name) is None]
    if missing or not kept:
        raise DataError(f"{len(missing)} answers have no score, the first is {(missing or ['any'])[0]!r}; score them.")
    chosen, rejected = (np.array([found[name] for name in column], dtype=np.float64) for column in names)
    return ScoredPairs(by, tuple(kept), chosen, rejected)


def players(pairs: Sequence[PreferencePair]) -> tuple[list[Prompt], dict[str, Completion], dict[str, Completion]]:
    """Prompts and two "models'" answers by prompt id, as ``feedback.games.games`` takes them.

    Each pair is a prompt of its own (named by the pair's id), the models are called ``chosen`` and ``rejected``: judges
    never see these names. Raises ``DataError`` for a pair id that stands twice.
    """
    prompts = [prompt_of(pair).model_copy(update={"id": pair.id}) for pair in pairs]
    models = {CHOSEN: [pair.chosen for pair in pairs], REJECTED: [pair.rejected for pair in pairs]}
    answers = {
        model: {pair.id: _played(pair, model, text) for pair, text in zip(pairs, texts, strict=True)}
        for model, texts in models.items()
    }
    if len(answers[CHOSEN]) < len(pairs):
        twice = next(pair.id for n, pair in enumerate(pairs) if pair.id in {p.id for p in pairs[:n]})
        raise DataError(f"The pair {twice!r} stands more than once; give every pair an id of its own.")
    return prompts, answers[CHOSEN], answers[REJECTED]


def _played(pair: PreferencePair, model: str, text: str) -> Completion:
    return Completion(id=f"{pair.id}/{model}", prompt_id=pair.id, language=pair.language, model=model, text=text)


def judged_pairs(pairs: Sequence[PreferencePair], verdicts: Sequence[Verdict]) -> Outcomes:
    """A judge's outcomes from its games of ``players``: win 1, tie or unread 0.5, loss 0; the mean of a pair's games.

    Raises ``DataError`` for several judges, a pair without a game, or a game twice in one order.
    """
    judges = sorted({verdict.judge for verdict in verdicts})
    if len(judges) != 1:
        raise DataError(f"The verdicts are by {len(judges)} judges ({', '.join(judges)}); give those of one.")
    games: dict[str, dict[str, Verdict]] = defaultdict(dict)
    for verdict in verdicts:
        if verdict.order in games[verdict.prompt_id]:
            raise DataError(f"The pair {verdict.prompt_id!r} was judged twice in the order {verdict.order!r}.")
        games[verdict.prompt_id][verdict.order] = verdict
    missing = [pair.id for pair in pairs if pair.id not in games]
    if missing:
        raise DataError(f"{len(missing)} of {len(pairs)} pairs have no game, the first is {missing[0]!r}; judge them.")
    played = [verdict for pair in pairs for verdict in games[pair.id].values()]
    return Outcomes(
        judges[0],
        tuple(pairs),
        np.array([np.mean([_worth(game) for game in games[pair.id].values()]) for pair in pairs]),
        tied=sum(game.label == "A=B" for game in played),
        unparsed=sum(game.label is None for game in played),
    )


def _worth(game: Verdict) -> float:
    strength = 0.0 if game.label is None else STRENGTH[game.label]
    return float((np.sign(strength if game.a == CHOSEN else -strength) + 1.0) / 2.0)


def fitting(
    pairs: Sequence[PreferencePair], tokenizer: Any, limit: int | None
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """The pairs whose conversations both fit into ``limit`` tokens under the tokenizer's chat template, and the others.

    Without a limit all fit. Errors as in ``paribus.data.chat.encode_many``.
    """
    from paribus.data.chat import encode_many

    if limit is None:
        return list(pairs), []
    texts = [(pair, text) for pair in pairs for text in (pair.chosen, pair.rejected)]
    turns = [(*pair.prompt, Message.model_construct(role="assistant", content=text)) for pair, text in texts]
    lengths = np.array([len(row) for row in encode_many(tokenizer, turns)]).reshape(-1, 2).max(axis=1)
    kept = [pair for pair, length in zip(pairs, lengths, strict=True) if length <= limit]
    return kept, [pair for pair, length in zip(pairs, lengths, strict=True) if length > limit]
