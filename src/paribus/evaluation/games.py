"""Judged games as arrays: the common ground of win rates, position bias, Bradley-Terry and style control."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.records import Verdict

Unparsed = Literal["drop-prompt", "drop-game", "fail"]
Protocol = Literal["single", "double"]
T = TypeVar("T", bound=Hashable)
Question = Callable[[Verdict], Hashable]

# Strength of a label from a's side: strong win 2, win 1, tie 0, and the same for losses below zero.
STRENGTH = {"A>>B": 2.0, "A>B": 1.0, "A=B": 0.0, "B>A": -1.0, "B>>A": -2.0}


def question_of(verdict: Verdict) -> Hashable:
    """The question behind a verdict, shared by all its languages: ``meta["question_id"]``, else the prompt id."""
    return verdict.meta.get("question_id", verdict.prompt_id)


@dataclass(frozen=True)
class Kept:
    """Verdicts with a label, and what was lost on the way.

    ``unparsed`` counts the games whose reply could not be parsed; ``dropped`` the parsed games dropped along with them.
    """

    verdicts: tuple[Verdict, ...]
    unparsed: int
    dropped: int


@dataclass(frozen=True)
class Games:
    """Games of ``model`` against ``baseline``, all arrays of shape ``(n,)``, seen from the model's side.

    strength: 2 strong win, 1 win, 0 tie, -1 loss, -2 strong loss.
    first: the model's answer was shown first.
    prompt, question, language: codes into ``prompts`` (pairs of prompt id and language), ``questions``, ``languages``.
    protocol: how the games were played, unparsed ones included.
    """

    model: str
    baseline: str
    judge: str
    strength: NDArray[np.float64]
    first: NDArray[np.bool_]
    prompt: NDArray[np.int64]
    question: NDArray[np.int64]
    language: NDArray[np.int64]
    prompts: tuple[tuple[str, str], ...]
    questions: tuple[Hashable, ...]
    languages: tuple[str, ...]
    protocol: Protocol
    unparsed: int
    dropped: int

    def __len__(self) -> int:
        return len(self.strength)


def keep_parsed(verdicts: Sequence[Verdict], unparsed: Unparsed = "drop-prompt") -> Kept:
    """Take out games without a label.

    ``"drop-prompt"`` also drops the other game of the same prompt, language, pair and judge (one game alone would carry
    the judge's position bias; Arena-Hard v2.0 does so), ``"drop-game"`` only the game itself (v0.1), ``"fail"`` raises
    ``DataError`` on the first.
    """
    if unparsed not in ("drop-prompt", "drop-game", "fail"):
        raise ConfigError(f"unparsed is {unparsed!r}; use 'drop-prompt', 'drop-game' or 'fail'.")
    lost = [verdict for verdict in verdicts if verdict.label is None]
    if lost and unparsed == "fail":
        raise DataError(
            f"{len(lost)} of {len(verdicts)} games have no label, the first on prompt {lost[0].prompt_id!r} "
            f"({lost[0].language}); judge them again or choose unparsed='drop-prompt'."
        )
    parsed = [verdict for verdict in verdicts if verdict.label is not None]
    broken = {_pair_key(verdict) for verdict in lost} if unparsed == "drop-prompt" else set()
    kept = tuple(verdict for verdict in parsed if _pair_key(verdict) not in broken)
    return Kept(kept, len(lost), len(parsed) - len(kept))


def _pair_key(verdict: Verdict) -> tuple[str, str, frozenset[str], str]:
    return verdict.prompt_id, verdict.language, frozenset((verdict.a, verdict.b)), verdict.judge


def games_of(
    verdicts: Sequence[Verdict],
    model: str,
    baseline: str | None = None,
    *,
    language: str | None = None,
    unparsed: Unparsed = "drop-prompt",
    question: Question = question_of,
) -> Games:
    """The games of ``model`` against ``baseline``; ``baseline`` may be left out where the model met only one opponent.

    Raises ``DataError`` for no such games, none with a label, or more than one judge; ``ConfigError`` for an opponent
    that must be named.
    """
    own = [v for v in verdicts if model in (v.a, v.b) and (language is None or v.language == language)]
    baseline = _opponent(own, model, baseline)
    own = [v for v in own if baseline in (v.a, v.b)]
    judges = sorted({v.judge for v in own})
    if len(judges) != 1:
        raise DataError(
            f"The {len(own)} games of {model!r} against {baseline!r} were judged by {', '.join(judges)}; "
            "give the verdicts of one judge."
        )
    kept = keep_parsed(own, unparsed)
    if not kept.verdicts:
        raise DataError(
            f"None of the {len(own)} games of {model!r} against {baseline!r} can be counted ({kept.unparsed} replies "
            "were not parsed); look at Verdict.raw and repair the judge's format."
        )
    return _arrays(kept, model, baseline, protocol_of(own), question)


def _opponent(own: Sequence[Verdict], model: str, baseline: str | None) -> str:
    opponents = sorted({v.b if v.a == model else v.a for v in own})
    if not opponents:
        raise DataError(f"No verdict names the model {model!r}; check the spelling against Verdict.a and Verdict.b.")
    if baseline is None and len(opponents) > 1:
        raise ConfigError(f"{model!r} met {len(opponents)} opponents ({', '.join(opponents)}); name one as baseline.")
    if baseline is not None and baseline not in opponents:
        raise ConfigError(f"{model!r} never met {baseline!r}; its opponents are {', '.join(opponents)}.")
    return opponents[0] if baseline is None else baseline


def _arrays(kept: Kept, model: str, baseline: str, protocol: Protocol, question: Question) -> Games:
    verdicts = kept.verdicts
    side = np.array([1.0 if v.a == model else -1.0 for v in verdicts])
    a_first = np.array([v.order == "ab" for v in verdicts])
    prompt, prompts = codes([(v.prompt_id, v.language) for v in verdicts])
    asked, questions = codes([question(v) for v in verdicts])
    language, languages = codes([v.language for v in verdicts])
    return Games(
        model=model,
        baseline=baseline,
        judge=verdicts[0].judge,
        # Adding zero turns the -0.0 of a swapped tie into 0.0.
        strength=strengths(verdicts) * side + 0.0,
        first=a_first == (side > 0),
        prompt=prompt,
        question=asked,
        language=language,
        prompts=prompts,
        questions=questions,
        languages=languages,
        protocol=protocol,
        unparsed=kept.unparsed,
        dropped=kept.dropped,
    )


def strengths(verdicts: Sequence[Verdict]) -> NDArray[np.float64]:
    """Strength of each parsed verdict from its ``a`` side, shape ``(n,)``."""
    return np.array([STRENGTH[v.label] for v in verdicts if v.label is not None])


def scores_and_weights(
    strength: NDArray[np.float64], *, strong: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score per game (win 1, tie 0.5, loss 0) and its weight (``strong`` for strong verdicts, otherwise 1)."""
    return (np.sign(strength) + 1.0) / 2.0, np.where(np.abs(strength) == 2.0, strong, 1.0)


def codes(keys: Sequence[T]) -> tuple[NDArray[np.int64], tuple[T, ...]]:
    """Number hashable keys 0..k-1 in order of first appearance; returns the codes and the keys in that order."""
    seen: dict[T, int] = {}
    numbers = [seen.setdefault(key, len(seen)) for key in keys]
    return np.array(numbers, dtype=np.int64), tuple(seen)


def protocol_of(verdicts: Sequence[Verdict]) -> Protocol:
    """Read off how the games were played: one per prompt, or two with the positions swapped.

    Raises ``DataError`` naming the prompt where it is neither, or where prompts differ. Unparsed games count as played.
    """
    played: dict[tuple[str, str, frozenset[str], str], list[bool]] = defaultdict(list)
    for v in verdicts:
        played[_pair_key(v)].append((v.order == "ab") == (v.a < v.b))
    sizes = Counter(len(orders) for orders in played.values())
    if set(sizes) == {1}:
        return "single"
    for key, orders in played.items():
        if len(orders) != 2 or orders[0] == orders[1]:
            raise DataError(
                f"Prompt {key[0]!r} ({key[1]}) has {len(orders)} game(s) of {' and '.join(sorted(key[2]))} "
                f"in {len(set(orders))} order(s); play one game on every prompt, or two with the positions swapped."
            )
    return "double"
