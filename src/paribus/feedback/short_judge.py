"""A judge trained on pairs: a language model that was shown two answers and learned to name the better one.

Its prompt is short, without rules, for models too small to follow them; a judge that is asked in words is
``engine_judge.EngineJudge``. Answers may carry critiques (``critiques.pairs_to_read`` puts them behind the text).
"""

import re
from collections.abc import Mapping, Sequence

from paribus.errors import EngineError
from paribus.feedback.critiques.templates import conversation
from paribus.feedback.games import Game, verdict
from paribus.inference.engine import Engine, GenerationRequest
from paribus.records import Example, Message, Prompt, Verdict, VerdictLabel

_LABELS: Mapping[str, VerdictLabel] = {"A": "A>B", "B": "B>A"}
_MARKS = re.compile(r"(?m)^(\[(?:A|B|better)\])\s*$")


def judge_messages(prompt: Prompt, first: str, second: str) -> tuple[Message, ...]:
    """What the judge reads: conversation, answer A, answer B. Lines of theirs that look like marks are moved in by a
    space, so that no answer can end itself and bring the other one."""
    asked, a, b = (_MARKS.sub(r" \1", text) for text in (conversation(prompt), first, second))
    return (Message(role="user", content=f"{asked}\n\n[A]\n{a}\n\n[B]\n{b}\n\n[better]"),)


def judge_examples(rows: Sequence[tuple[Prompt, str, str]]) -> list[Example]:
    """Training rows from (prompt, preferred answer, other answer), each pair in both orders."""
    found = []
    for number, (prompt, chosen, rejected) in enumerate(rows):
        for letter, sides in (("A", (chosen, rejected)), ("B", (rejected, chosen))):
            messages = (*judge_messages(prompt, *sides), Message(role="assistant", content=letter))
            found.append(
                Example(id=f"judge/{number}/{letter}", language=prompt.language, messages=messages, source="judge")
            )
    return found


class ShortJudge:
    """A trained judge behind any engine. A reply other than A or B is an unparsed game; every reply is kept."""

    def __init__(self, engine: Engine, *, max_tokens: int = 4) -> None:
        self.engine, self.max_tokens = engine, max_tokens

    @property
    def identity(self) -> str:
        """The engine's name."""
        return self.engine.name

    def judge(self, games: Sequence[Game]) -> list[Verdict]:
        """A verdict on every game. Raises ``EngineError`` if every request failed."""
        replies = self.engine.generate([self._request(game) for game in games])
        if games and all(reply.finish == "error" for reply in replies):
            raise EngineError(
                f"All {len(games)} requests to the judge {self.identity} failed; the first said: {replies[0].error}"
            )
        return [
            verdict(game, self.identity, _LABELS.get(reply.text.strip()), reply.error or reply.text)
            for game, reply in zip(games, replies, strict=True)
        ]

    def _request(self, game: Game) -> GenerationRequest:
        first, second = (game.a, game.b) if game.order == "ab" else (game.b, game.a)
        key = (game.prompt.id, game.prompt.language, game.a.model, game.b.model, game.order)
        return GenerationRequest(
            id="|".join(key),
            messages=judge_messages(game.prompt, first.text, second.text),
            max_tokens=self.max_tokens,
            temperature=0.0,
        )
