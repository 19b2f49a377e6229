"""A model as judge, through any engine: games become requests, replies become verdicts. Words are in ``judge_prompts``.

Every verdict's ``meta`` says under which words it was given (``template``, ``template_version``, ``judge_language``),
how its label stood in the reply (``brackets``, absent where none was read), and how the reply ended if not by itself
(``finish``: ``"length"`` for one that was cut off, where more ``max_tokens`` would help).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from paribus.errors import ConfigError, EngineError
from paribus.feedback.games import Game, verdict
from paribus.feedback.judge_prompts import (
    OWN_LANGUAGE,
    TEMPLATES,
    Labels,
    answer_language,
    framed,
    judge_texts,
    marker_code,
    read_label,
    rules_for,
    template_for,
)
from paribus.inference.engine import Engine, GenerationRequest, Reply, Score, ScoreRequest
from paribus.languages import get
from paribus.records import Message, Verdict, VerdictLabel

WEIGHED = ("[[A]]", "[[B]]")
"""The replies whose log-probabilities make a preference."""


class EngineJudge:
    """A model as judge, through any engine. Every raw reply is kept; an unparsed one has label None.

    Args:
        labels: ``"five"`` (Arena-Hard), ``"three"`` (A, B, TIE as in the Aya papers) or ``"two"`` (A or B, as in
            AlpacaEval); see ``judge_prompts``.
        system: whether the rules go into a system turn (some chat templates have none; they then lead the user turn).
        judge_language: in which language the rules are given: a code, or ``"prompt"`` for that of each prompt.
        logprobs: with two labels, read the verdict off the log-probabilities of the replies ``[[A]]`` and ``[[B]]``
            instead of one reply: ``meta["preference"]`` is then the probability of ``a``, between 0 and 1. The engine
            must offer ``logprobs``.
        check_language: say in ``meta["answer_languages"]`` which language was asked for and which one each answer is
            in (None: undetermined).

    Raises:
        ConfigError: unknown labels or judge language, or ``logprobs`` with other labels than two.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        labels: Labels = "five",
        max_tokens: int = 1024,
        temperature: float = 0.0,
        system: bool = True,
        seed: int = 0,
        judge_language: str = "en",
        logprobs: bool = False,
        check_language: bool = False,
    ) -> None:
        if labels not in TEMPLATES:
            raise ConfigError(
                f"The judge's labels are {labels!r}; use 'five' (Arena-Hard), 'three' (A, B, TIE) or 'two' (A, B)."
            )
        if logprobs and labels != "two":
            raise ConfigError(f"A preference by log-probabilities needs labels 'two' and was asked with {labels!r}.")
        if judge_language != OWN_LANGUAGE:
            judge_texts(get(judge_language).code)
        self.engine, self.labels, self.system, self.seed = engine, labels, system, seed
        self.max_tokens, self.temperature = max_tokens, temperature
        self.judge_language, self.logprobs, self.check_language = judge_language, logprobs, check_language
        self._tokens = control_tokens(engine)

    @property
    def identity(self) -> str:
        """The engine's name: the same model under two settings is still the same judge."""
        return self.engine.name

    def judge(self, games: Sequence[Game]) -> list[Verdict]:
        """Ask for a verdict on every game; a request that failed is an unparsed game, its reason in ``meta["error"]``.

        Raises ``EngineError`` if every request failed, or one for log-probabilities did.
        """
        requests = [self.request(game) for game in games]
        if self.logprobs:
            scores = self.engine.logprobs([score for request in requests for score in _score_requests(request)])
            pairs = zip(scores[::2], scores[1::2], strict=True)
            return [self._weighed(game, *pair) for game, pair in zip(games, pairs, strict=True)]
        replies = self.engine.generate(requests)
        if games and all(reply.finish == "error" for reply in replies):
            raise EngineError(
                f"All {len(games)} requests to the judge {self.identity} failed; the first said: {replies[0].error}"
            )
        return [self._read(game, reply) for game, reply in zip(games, replies, strict=True)]

    def request(self, game: Game) -> GenerationRequest:
        """What the engine is asked about a game.

        Raises ``ConfigError`` where the rules are not written in the language of the prompt and that was asked for.
        """
        key = (game.prompt.id, game.prompt.language, game.a.model, game.b.model, game.order)
        texts = [*(turn.content for turn in game.prompt.messages), game.a.text, game.b.text]
        code = marker_code(key, texts, self.seed)
        rules = rules_for(game.prompt, template_for(game.prompt, self.labels, self.judge_language), code)
        return GenerationRequest(
            id="|".join(key),
            messages=self._messages(rules, framed(game, code, self._tokens)),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
        )

    def _messages(self, rules: str, material: str) -> tuple[Message, ...]:
        if self.system:
            return Message(role="system", content=rules), Message(role="user", content=material)
        return (Message(role="user", content=f"{rules}\n\n{material}"),)

    def _read(self, game: Game, reply: Reply) -> Verdict:
        label, brackets = read_label(reply.text, self.labels)
        about: dict[str, Any] = {} if brackets is None else {"brackets": brackets}
        if reply.finish != "stop":
            about["finish"] = reply.finish
        if reply.finish == "error":
            about["error"] = reply.error or "no reason given"
        return self._noted(game, verdict(game, self.identity, label, reply.error or reply.text), about)

    def _weighed(self, game: Game, a: Score, b: Score) -> Verdict:
        first = 0.5 * (1.0 + math.tanh((a.logprob - b.logprob) / 2))  # the logistic function, which cannot overflow
        shown: VerdictLabel = "A=B" if a.logprob == b.logprob else "A>B" if a.logprob > b.logprob else "B>A"
        raw = f"log-probabilities: {WEIGHED[0]} {a.logprob:.6f}, {WEIGHED[1]} {b.logprob:.6f}"
        about = {"preference": first if game.order == "ab" else 1.0 - first}
        return self._noted(game, verdict(game, self.identity, shown, raw), about)

    def _noted(self, game: Game, row: Verdict, about: dict[str, Any]) -> Verdict:
        """The verdict with what is known about how it came to be."""
        template = template_for(game.prompt, self.labels, self.judge_language)
        words = {
            "template": template.name,
            "template_version": template.version,
            "judge_language": template.language,
        }
        spoken = {"answer_languages": _answer_languages(game)} if self.check_language else {}
        return row.model_copy(update={"meta": {**row.meta, **words, **spoken, **about}})


def control_tokens(engine: Engine) -> tuple[str, ...]:
    """The special tokens of a model in this process, which an answer must not bring into a prompt; () for a server."""
    tokenizer = getattr(getattr(engine, "chat", None), "tokenizer", None)
    if tokenizer is None:
        return ()
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(dict.fromkeys([*map(str, tokenizer.all_special_tokens), *added]))


def _score_requests(request: GenerationRequest) -> list[ScoreRequest]:
    return [ScoreRequest(id=f"{request.id}|{label}", messages=request.messages, completion=label) for label in WEIGHED]


def _answer_languages(game: Game) -> dict[str, str | None]:
    from paribus.evaluation.language_check import language_for

    asked = answer_language(game.prompt)
    return {"asked": asked, "a": language_for(game.a.text, asked), "b": language_for(game.b.text, asked)}
