"""Any OpenAI-compatible server as an ``Engine``: chat completions, and log-probabilities where the server echoes them.

Requests go out side by side and answers come back in the order asked. What arrived is kept in a cache keyed by the full
request (address, model, messages, sampling settings, seed), so a killed call resumes item by item. A request that
failed after its retries is a ``Reply`` with ``finish="error"``, never cached; a wrong key, an unknown model, an empty
account, a reached price cap or a server that is gone end the call with ``EngineError``.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.errors import ConfigError, EngineError
from paribus.inference.endpoint_calls import Call, Dispatcher
from paribus.inference.endpoint_http import CallError, JsonClient
from paribus.inference.endpoint_limits import Meter, Pace, Prices, Usage
from paribus.inference.engine import GenerationRequest, Reply, Score, ScoreRequest, check_distinct
from paribus.inference.request_cache import Answer, RequestCache

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATE_TOKENS = 32  # the most that a chat template is taken to add to a turn, when the cost of a request is bounded
FINISHES = {"stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "length": "length"}


class EndpointEngine:
    """A served model. Nothing is sent before ``generate`` or ``logprobs`` is called.

    Args:
        base_url: the address up to the version, as in ``http://localhost:8000/v1``.
        api_key_variable: the environment variable that holds the key; unset sends none (local servers).
        cache: SQLite file for answers; None keeps nothing beyond a call.
        concurrency: requests under way at once.
        requests_per_minute, tokens_per_minute: pace, evenly spaced; a request books its bound of tokens.
        prices, price_cap: a request is sent only if it cannot lead over the cap. Its bound: a token a byte of the
            messages, ``TEMPLATE_TOKENS`` a turn, and all of ``max_tokens``.
        timeout: seconds for one attempt; ``retries`` further ones follow a 429, a 5xx, a timeout, a broken connection
            or body, with growing waits (or what Retry-After says).
        tokenizer: the served model's, for ``logprobs``: its chat template says which tokens are the completion.
        fields: the server's names for ``max_tokens``, ``temperature``, ``top_p`` and ``seed`` where they differ, None
            for those it does not take, as in ``{"max_tokens": "max_completion_tokens", "seed": None}``.
        extra: further fields of every request body.
        progress: called with (done, total) as requests end.
        sleep, clock: for tests.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_variable: str = "OPENAI_API_KEY",
        cache: Path | None = None,
        name: str | None = None,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        prices: Prices | None = None,
        price_cap: float | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        tokenizer: PreTrainedTokenizerBase | None = None,
        fields: Mapping[str, str | None] | None = None,
        extra: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        positive = {"concurrency": concurrency, "timeout": timeout, "requests_per_minute": requests_per_minute}
        check_positive({**positive, "tokens_per_minute": tokens_per_minute, "price_cap": price_cap})
        if not model:
            raise ConfigError(f"The model to ask at {base_url!r} has no name; pass the name that the server lists.")
        if price_cap is not None and prices is None:
            raise ConfigError(f"A price_cap of {price_cap:g} needs prices=Prices(...) a million tokens to count with.")
        self.model, self.name, self.tokenizer, self.progress = model, name or model, tokenizer, progress
        self.cache, self.fields, self.extra = cache, dict(fields or {}), dict(extra or {})
        self._client = JsonClient(base_url, api_key_variable=api_key_variable, timeout=timeout)
        self._meter = Meter(prices or Prices(0.0, 0.0), price_cap)
        self._dispatcher = Dispatcher(
            self._client,
            self._meter,
            requests=Pace(requests_per_minute, clock),
            tokens=Pace(tokens_per_minute, clock),
            concurrency=concurrency,
            retries=retries,
            sleep=sleep,
        )

    @property
    def usage(self) -> Usage:
        """Calls, tokens, cache hits and price of this engine so far."""
        return self._meter.usage

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
        """One reply for each request, in their order; requests that are equal but for a greedy one's id are sent
        once."""
        check_distinct(request.id for request in requests)
        calls = [self._chat_call(request) for request in requests]
        answers = self._answers(calls)
        return [reply(request.id, answers[call.key]) for request, call in zip(requests, calls, strict=True)]

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Summed log-probability of each completion, from ``/completions`` with ``echo``.

        Raises ``EngineError`` without a tokenizer, for a server that does not echo log-probabilities (many do not),
        and for any request that failed: a score has no room for a failure. Those that arrived are cached.
        """
        check_distinct(request.id for request in requests)
        if self.tokenizer is None:
            raise EngineError(
                f"Log-probabilities from {self.name} need the served model's tokenizer, whose chat template says which "
                "tokens are the completion; pass tokenizer=... when making the engine."
            )
        from paribus.inference.chat import Chat

        calls = [self._score_call(*pair) for pair in Chat(self.tokenizer).completions(requests)]
        answers = self._answers(calls)
        scores = []
        for request, call in zip(requests, calls, strict=True):
            answer = answers[call.key]
            if isinstance(answer, CallError):
                raise EngineError(f"Score request {request.id!r} failed: {answer}.")
            scores.append(Score(request_id=request.id, **answer))
        return scores

    def _answers(self, calls: Sequence[Call]) -> dict[str, Answer | CallError]:
        """Answer or failure of each call by key: from the cache, or sent."""
        asked = Counter(call.key for call in calls)
        with ExitStack() as stack:
            cache = None if self.cache is None else stack.enter_context(RequestCache(self.cache))
            known: dict[str, Answer | CallError] = {} if cache is None else dict(cache.find(asked))
            missing = {call.key: call for call in calls if call.key not in known}
            self._meter.add(cache_hits=len(calls) - len(missing))
            done = sum(asked[key] for key in known)
            if done and self.progress is not None:
                self.progress(done, len(calls))

            def keep(call: Call, answer: Answer) -> None:
                if cache is not None:
                    cache.keep(call.key, answer)

            def ended(call: Call) -> None:
                nonlocal done
                done += asked[call.key]
                if self.progress is not None:
                    self.progress(done, len(calls))

            return known | self._dispatcher.run(list(missing.values()), keep, ended)

    def _chat_call(self, request: GenerationRequest) -> Call:
        seed = request_seed(request)
        settings = {"max_tokens": request.max_tokens, "temperature": request.temperature, "top_p": request.top_p}
        turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
        body = {"model": self.model, "messages": turns, **self._named({**settings, "seed": seed}), **self.extra}
        most_in = sum(len(turn.content.encode()) + TEMPLATE_TOKENS for turn in request.messages) + TEMPLATE_TOKENS
        return self._call("chat/completions", body, seed, most_in, request.max_tokens, self._read_chat)

    def _score_call(self, prompt: list[int], completion: list[int]) -> Call:
        # One new token is asked for and left out: not every server takes max_tokens 0.
        settings = self._named({"max_tokens": 1, "temperature": 0.0})
        body = {"model": self.model, "prompt": prompt + completion, "echo": True, "logprobs": 1, **settings}
        first, end = len(prompt), len(prompt) + len(completion)
        return self._call(
            "completions", {**body, **self.extra}, 0, end, 1, lambda got: self._read_score(got, first, end)
        )

    def _call(
        self, path: str, body: dict[str, Any], seed: int, most_in: int, most_out: int, parse: Callable[[Any], Answer]
    ) -> Call:
        # The seed stands beside the body, for a server that is sent none: samples must stay apart.
        whole = json.dumps([self._client.base_url, path, body, seed], sort_keys=True)
        return Call(path, body, hashlib.sha256(whole.encode()).hexdigest(), most_in, most_out, parse)

    def _named(self, settings: dict[str, Any]) -> dict[str, Any]:
        names = {ours: self.fields.get(ours, ours) for ours in settings}
        return {theirs: settings[ours] for ours, theirs in names.items() if theirs is not None}

    def _read_chat(self, response: Any) -> Answer:
        try:
            choice = response["choices"][0]
            message, finish, tokens = choice["message"], choice["finish_reason"], response["usage"]["completion_tokens"]
            said = message.get("content")
            text = said if said is not None else message.get("refusal") or ""
        except (KeyError, IndexError, TypeError, AttributeError):
            raise CallError(f"the answer has no {self._missing(response)}: {self._shown(response)}") from None
        if finish not in FINISHES or not isinstance(text, str) or not isinstance(tokens, int):
            raise CallError(f"the answer ended with finish_reason {finish!r} and cannot be used: {self._shown(choice)}")
        return {"text": whole_characters(self._client.masked(text)), "tokens": tokens, "finish": FINISHES[finish]}

    def _read_score(self, response: Any, first: int, end: int) -> Answer:
        try:
            values = response["choices"][0]["logprobs"]["token_logprobs"][first:end]
        except (KeyError, IndexError, TypeError):
            values = []
        if len(values) < end - first or not all(isinstance(value, (int, float)) for value in values):
            raise CallError(
                f"the server {self._client.base_url} does not echo log-probabilities of the prompt (it ignored echo "
                "and logprobs); score with a local engine, or a server that does (vLLM's /completions)",
                fatal=True,
            )
        return {"logprob": math.fsum(values), "tokens": end - first}

    def _missing(self, response: Any) -> str:
        if not isinstance(response, dict) or not response.get("choices"):
            return "choices"
        return "message with a finish_reason" if response.get("usage") else "usage, from which tokens are counted"

    def _shown(self, response: Any) -> str:
        return self._client.masked(json.dumps(response, ensure_ascii=False))[:300]


def reply(request_id: str, answer: Answer | CallError) -> Reply:
    """The answer, or the failure, as a reply to a request."""
    if isinstance(answer, CallError):
        return Reply(request_id=request_id, text="", tokens=0, finish="error", error=str(answer))
    return Reply(request_id=request_id, **answer)


def whole_characters(text: str) -> str:
    """Half a surrogate pair (an emoji cut by ``max_tokens``) replaced, since no UTF-8 file can hold it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def request_seed(request: GenerationRequest) -> int:
    """The seed sent: for a sampled request a hash of seed and id (samples of a prompt differ by id), 31 bits; else the
    request's own."""
    if request.temperature == 0:
        return request.seed
    digest = hashlib.sha256(f"{request.seed}\0{request.id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def check_positive(settings: Mapping[str, float | None]) -> None:
    """Raise ``ConfigError`` for a setting that is given and not above zero."""
    for name, value in settings.items():
        if value is not None and not value > 0:
            raise ConfigError(f"The endpoint's {name} is {value!r}; give a number above zero, or leave it out.")
