"""Which critique belongs to which answer of which pair; what has none is refused, or left out and counted.

The join: a pair's side is named by ``meta["chosen_id"]`` or ``meta["rejected_id"]`` where the pair has them, else by
``evaluation.reward_models.completion_id`` (a function of prompt id and text). Its critique is the one with the pair's
``prompt_id`` and that ``completion_id``; without one, the one on the same prompt that was written about equal words
(``meta["content"]``). A critique found by name that was written about other words is refused.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from paribus.errors import DataError
from paribus.evaluation.reward_models import completion_id, prompt_of, without_labels
from paribus.feedback.critiques.critics import Critic
from paribus.feedback.critiques.templates import content_key
from paribus.records import Completion, Critique, PreferencePair, Prompt


def side_ids(pair: PreferencePair) -> tuple[str, str]:
    """The names of the chosen and the rejected answer."""
    named = ((pair.meta.get("chosen_id"), pair.chosen), (pair.meta.get("rejected_id"), pair.rejected))
    first, second = (str(name) if name else completion_id(pair.prompt_id, text) for name, text in named)
    return first, second


def answers_of(
    pairs: Sequence[PreferencePair], prompts: Mapping[str, Prompt] | None = None
) -> tuple[list[Prompt], list[Completion]]:
    """What a critic is asked about, each answer once, in an order that says nothing about the labels.

    ``prompts`` by id, where a critic needs more of them than pairs keep: a rule critic finds the truth in their meta.
    """
    prompts = prompts or {}
    found: dict[tuple[str, str], tuple[Prompt, Completion]] = {}
    for pair in pairs:
        prompt = without_labels(prompts.get(pair.prompt_id, prompt_of(pair)))
        for name, text in sorted(zip(side_ids(pair), (pair.chosen, pair.rejected), strict=True)):
            answer = Completion(id=name, prompt_id=pair.prompt_id, language=pair.language, model="answer", text=text)
            found.setdefault((pair.prompt_id, name), (prompt, answer))
    return [prompt for prompt, _ in found.values()], [answer for _, answer in found.values()]


def critique_pairs(
    critic: Critic, pairs: Sequence[PreferencePair], prompts: Mapping[str, Prompt] | None = None
) -> list[Critique]:
    """One critique for every answer of the pairs (``answers_of``), label and other answer hidden."""
    return critic.critique(*answers_of(pairs, prompts))


class CritiqueIndex:
    """Critiques of one critic by the answer they are about. Those of failed requests count as missing.

    Raises ``DataError`` for critiques by several critics, or for two different ones on one answer.
    """

    def __init__(self, critiques: Iterable[Critique]) -> None:
        rows = list(critiques)
        critics = sorted({row.critic for row in rows})
        if len(critics) > 1:
            raise DataError(
                f"The critiques are by {len(critics)} critics ({', '.join(critics[:5])}); give those of one."
            )
        self.critic = critics[0] if critics else ""
        self.failed = sum("error" in row.meta for row in rows)
        self._by_name: dict[tuple[str, str], Critique] = {}
        self._by_content: dict[tuple[str, str], Critique] = {}
        for row in rows:
            if "error" not in row.meta:
                self._add(row)

    def __len__(self) -> int:
        return len(self._by_name)

    def _add(self, row: Critique) -> None:
        earlier = self._by_name.setdefault((row.prompt_id, row.completion_id), row)
        if earlier.text != row.text or earlier.meta.get("content") != row.meta.get("content"):
            raise DataError(
                f"There are two different critiques of the answer {row.completion_id!r} to {row.prompt_id!r}; keep one."
            )
        if "content" in row.meta:
            self._by_content.setdefault((row.prompt_id, str(row.meta["content"])), row)

    def find(self, prompt: Prompt, name: str, text: str) -> Critique | None:
        """The critique of an answer by its name or its words, or None.

        Raises ``DataError`` where the critique of that name was written about other words.
        """
        content = content_key(prompt, text)
        found = self._by_name.get((prompt.id, name))
        if found is not None and found.meta.get("content", content) != content:
            raise DataError(
                f"The critique of {name!r} (prompt {prompt.id!r}) was written about another text than "
                f"{text!r:.80}; make the critiques again for these answers."
            )
        return found or self._by_content.get((prompt.id, content))


@dataclass(frozen=True)
class CritiquedPair:
    """A pair with the critiques of both answers; None for a reward model that reads none."""

    pair: PreferencePair
    chosen: Critique | None = None
    rejected: Critique | None = None

    @property
    def critiques(self) -> tuple[Critique, Critique]:
        """Both; ``DataError`` where one is missing."""
        if self.chosen is None or self.rejected is None:
            raise DataError(f"The pair {self.pair.id!r} has no critiques; join it with a critic's first.")
        return self.chosen, self.rejected


@dataclass(frozen=True)
class Joined:
    """Pairs with critiques, in the order of the pairs. ``missing``: pairs left out since an answer had none."""

    rows: tuple[CritiquedPair, ...]
    missing: int = 0
    missing_by_language: dict[str, int] = field(default_factory=dict)
    critic: str = ""


def join(
    pairs: Sequence[PreferencePair],
    critiques: Iterable[Critique] | CritiqueIndex,
    *,
    on_missing: Literal["fail", "skip"] = "fail",
) -> Joined:
    """Give every pair the critiques of its answers (see the module for which).

    Raises ``DataError`` for a pair without one of them (on ``fail``), and when no pair is left.
    """
    index = critiques if isinstance(critiques, CritiqueIndex) else CritiqueIndex(critiques)
    rows, without = list[CritiquedPair](), list[PreferencePair]()
    for pair in pairs:
        prompt, texts = prompt_of(pair), (pair.chosen, pair.rejected)
        chosen, rejected = (index.find(prompt, *side) for side in zip(side_ids(pair), texts, strict=True))
        if chosen is None or rejected is None:
            without.append(pair)
        else:
            rows.append(CritiquedPair(pair, chosen, rejected))
    if without and (on_missing == "fail" or not rows):
        raise DataError(
            f"{len(without)} of {len(pairs)} pairs have no critique of one of their answers, the first is "
            f"{without[0].id!r} (answers {' and '.join(map(repr, side_ids(without[0])))}); {index.failed} critiques "
            "are of failed requests. Let the critic write the rest, or skip such pairs."
        )
    by_language = dict(sorted(Counter(pair.language for pair in without).items()))
    return Joined(tuple(rows), len(without), by_language, index.critic)
