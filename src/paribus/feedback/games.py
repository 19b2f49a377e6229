"""Games: which answers are compared in which order, and how a label becomes a verdict.

Protocols: a swapped double game (each prompt judged twice, positions exchanged) or a randomised single game.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from paribus.errors import ConfigError, DataError
from paribus.evaluation.games import Protocol as GameProtocol
from paribus.evaluation.games import question_of
from paribus.evaluation.items import ItemRow, Summary, summarise
from paribus.evaluation.prompts import cluster_of
from paribus.feedback.arbiters import unit_noise
from paribus.records import Completion, Prompt, Verdict, VerdictLabel

Order = Literal["ab", "ba"]
_SWAPPED: dict[str, VerdictLabel] = {"A>>B": "B>>A", "A>B": "B>A", "A=B": "A=B", "B>A": "A>B", "B>>A": "A>>B"}


@dataclass(frozen=True)
class Game:
    """One comparison to be judged: answers ``a`` and ``b`` to ``prompt``, shown in ``order``.

    ``protocol`` says whether the same pair is also judged the other way round; it is declared in the verdict's meta.
    """

    prompt: Prompt
    a: Completion
    b: Completion
    order: Order
    protocol: GameProtocol = "double"


class Judge(Protocol):
    """Anything that gives verdicts on games, in their order."""

    @property
    def identity(self) -> str: ...

    def judge(self, games: Sequence[Game]) -> list[Verdict]: ...


def games(
    prompts: Sequence[Prompt],
    a: Mapping[str, Completion],
    b: Mapping[str, Completion],
    *,
    protocol: GameProtocol = "double",
    seed: int = 0,
) -> list[Game]:
    """The games of a protocol: both orders of every prompt, or one drawn by the seed.

    ``a`` and ``b`` are two models' answers by prompt id (which must differ between languages). Raises ``DataError`` for
    a prompt without an answer, or with one for another language, and ``ConfigError`` for two answers under one model's
    name: verdicts could not tell them apart.
    """
    if protocol not in get_args(GameProtocol):
        raise ConfigError(f"There is no protocol {protocol!r}; use 'double' or 'single'.")
    played = []
    for prompt in prompts:
        _check_answers(prompt, a, b)
        drawn: Order = "ab" if unit_noise("order", seed, prompt.id) < 0.5 else "ba"
        orders: tuple[Order, ...] = ("ab", "ba") if protocol == "double" else (drawn,)
        played += [Game(prompt, a[prompt.id], b[prompt.id], order, protocol) for order in orders]
    return played


def _check_answers(prompt: Prompt, a: Mapping[str, Completion], b: Mapping[str, Completion]) -> None:
    for name, answers in (("a", a), ("b", b)):
        if prompt.id not in answers:
            raise DataError(
                f"Model {name} has not answered the prompt {prompt.id!r} ({prompt.language}); both must answer all."
            )
        if answers[prompt.id].language != prompt.language:
            raise DataError(
                f"Model {name}'s answer to {prompt.id!r} is for {answers[prompt.id].language!r} and the prompt is in "
                f"{prompt.language!r}; give prompts an id of their own in every language."
            )
    if a[prompt.id].model == b[prompt.id].model:
        raise ConfigError(
            f"Both answers to {prompt.id!r} are by {a[prompt.id].model!r}; rename one of them, also to compare a model "
            "with itself."
        )


def verdict(game: Game, judge: str, shown: VerdictLabel | None, raw: str) -> Verdict:
    """A verdict from a label that speaks of the answers as shown (first = A)."""
    label = shown if shown is None or game.order == "ab" else _SWAPPED[shown]
    return Verdict(
        prompt_id=game.prompt.id,
        language=game.prompt.language,
        a=game.a.model,
        b=game.b.model,
        judge=judge,
        order=game.order,
        label=label,
        raw=raw,
        meta={"question_id": cluster_of(game.prompt), "task": game.prompt.task, "protocol": game.protocol},
    )


def parse_rates(verdicts: Sequence[Verdict], *, resamples: int = 1000) -> list[Summary]:
    """Share of games whose label could be read, over all languages and in each, with question-clustered intervals.

    One judge's verdicts; raises ``DataError`` for none, or for a game that is there twice.
    """
    rows = [
        ItemRow(
            "parsed",
            f"{row.prompt_id}/{row.language}/{row.a}/{row.b}/{row.order}",
            str(question_of(row)),
            row.language,
            float(row.label is not None),
        )
        for row in verdicts
    ]
    return summarise(rows, by_group=False, resamples=resamples)
