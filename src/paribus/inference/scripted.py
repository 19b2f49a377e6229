"""An engine that follows a rule: for tests, and for studies whose truth is planted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from paribus.errors import EngineError
from paribus.inference.engine import GenerationRequest, Reply, Score, ScoreRequest, check_distinct


class ScriptedEngine:
    """Answers each request with ``rule(request)``; scores with ``score(request)`` where that is given.

    A "token" here is a word between spaces: ``max_tokens`` cuts there, and ``Reply.tokens`` counts words. An exception
    in the rule is the caller's bug and is let through.
    """

    def __init__(
        self,
        rule: Callable[[GenerationRequest], str],
        *,
        name: str = "scripted",
        score: Callable[[ScoreRequest], float] | None = None,
    ) -> None:
        self.name = name
        self._rule = rule
        self._score = score

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
        """One reply for each request, in their order."""
        check_distinct(request.id for request in requests)
        return [self._answer(request) for request in requests]

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """One score for each request; ``EngineError`` if the engine was made without ``score``."""
        if self._score is None:
            raise EngineError(f"Scripted engine {self.name!r} has no score rule; pass score=... when making it.")
        check_distinct(request.id for request in requests)
        return [
            Score(request_id=request.id, logprob=self._score(request), tokens=len(request.completion.split()))
            for request in requests
        ]

    def _answer(self, request: GenerationRequest) -> Reply:
        text = self._rule(request)
        words = list(re.finditer(r"\S+", text))
        if len(words) > request.max_tokens:
            kept = text[: words[request.max_tokens - 1].end()]
            return Reply(request_id=request.id, text=kept, tokens=request.max_tokens, finish="length")
        return Reply(request_id=request.id, text=text, tokens=len(words), finish="stop")
