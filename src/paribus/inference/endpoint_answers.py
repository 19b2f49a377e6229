"""What a server's answers say: text, tokens, end, log-probabilities. One that cannot be used is a ``CallError``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from paribus.inference.endpoint_http import CallError
from paribus.inference.request_cache import Answer

FINISHES = {"stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "length": "length"}


class Reader:
    """Reads parsed JSON bodies of ``/chat/completions`` and ``/completions``.

    ``masked`` removes secrets from what is kept or shown; ``logprobs`` says whether they were asked for.
    """

    def __init__(self, server: str, masked: Callable[[str], str], *, logprobs: bool) -> None:
        self.server, self.masked, self.logprobs = server, masked, logprobs

    def chat(self, response: Any) -> Answer:
        """A chat completion; a refusal is what the model said."""
        return self._written(response, lambda choice: said(choice["message"]))

    def completion(self, response: Any) -> Answer:
        """A text completion."""
        return self._written(response, lambda choice: choice["text"])

    def score(self, response: Any, first: int, end: int) -> Answer:
        """Summed log-probability of the echoed tokens ``first`` to ``end`` (exclusive)."""
        try:
            values = response["choices"][0]["logprobs"]["token_logprobs"][first:end]
        except (KeyError, IndexError, TypeError):
            values = []
        if len(values) < end - first or not all(isinstance(value, (int, float)) for value in values):
            raise CallError(
                f"the server {self.server} does not echo log-probabilities of the prompt (it ignored echo and "
                "logprobs); score with a local engine, or a server that does (vLLM's /completions)",
                "bad_body",
                fatal=True,
            )
        return {"logprob": math.fsum(values), "tokens": end - first}

    def _written(self, response: Any, text_of: Callable[[Any], Any]) -> Answer:
        try:
            choice = response["choices"][0]
            text, finish, tokens = text_of(choice), choice["finish_reason"], response["usage"]["completion_tokens"]
        except (KeyError, IndexError, TypeError, AttributeError):
            raise CallError(f"the answer has no {missing(response)}: {self._shown(response)}", "bad_body") from None
        self._check(choice, text, finish, tokens)
        answer = {
            "text": whole_characters(self.masked(text or "")),
            "tokens": tokens,
            "finish": FINISHES[finish],
        }
        return {**answer, "logprob": listed_logprob(choice, tokens)} if self.logprobs else answer

    def _check(self, choice: Any, text: Any, finish: Any, tokens: Any) -> None:
        if finish == "content_filter":
            raise CallError(f"the server withheld the answer (finish_reason {finish!r})", "refused")
        if finish not in FINISHES or not isinstance(text, str | None) or not isinstance(tokens, int):
            raise CallError(
                f"the answer ended with finish_reason {finish!r} and cannot be used: {self._shown(choice)}", "bad_body"
            )
        # A text of no letters is an answer; none at all is one only where hidden reasoning used up max_tokens.
        if text is None and FINISHES[finish] == "stop":
            raise CallError(f"the answer holds no text: {self._shown(choice)}", "empty")

    def _shown(self, response: Any) -> str:
        return self.masked(json.dumps(response, ensure_ascii=False))[:300]


def said(message: Any) -> Any:
    """The text of an assistant's message: its content, or its refusal."""
    content = message.get("content")
    return content if content is not None else message.get("refusal")


def listed_logprob(choice: Any, tokens: int) -> float | None:
    """Summed log-probability of the generated tokens; None where the server does not list a finite one for each of the
    ``tokens`` that it counted (some leave the stop token out: the sum would be another quantity)."""
    listed = choice.get("logprobs")
    entries = (listed.get("content") or listed.get("token_logprobs")) if isinstance(listed, dict) else None
    if not isinstance(entries, list) or len(entries) != tokens:
        return None
    values = [entry.get("logprob") if isinstance(entry, dict) else entry for entry in entries]
    numbers = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    return math.fsum(numbers) if len(numbers) == tokens else None


def whole_characters(text: str) -> str:
    """Half a surrogate pair (an emoji cut by ``max_tokens``) replaced, since no UTF-8 file can hold it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def missing(response: Any) -> str:
    """Which part an answer lacks, in words."""
    if not isinstance(response, dict) or not response.get("choices"):
        return "choices"
    return "message or text with a finish_reason" if response.get("usage") else "usage, from which tokens are counted"
