"""Any OpenAI-compatible server as an ``Engine``: chat or text completions, and log-probabilities where it offers them.

Requests go out side by side (from threads, over kept connections: ``endpoint_connections`` says why) and answers come
back in the order asked. What arrived is kept in a cache keyed by the full request (address, model, messages, sampling
settings, seed), so a killed call resumes item by item. A request that failed after its retries is a ``Reply`` with
``finish="error"``, never cached; a wrong key, an unknown model, an empty account, a reached price cap or a server that
is gone end the call with ``EngineError``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paribus.errors import ConfigError, EngineError
from paribus.inference.endpoint_answers import Reader
from paribus.inference.endpoint_calls import Call, Dispatcher
from paribus.inference.endpoint_http import CallError, JsonClient
from paribus.inference.endpoint_limits import Estimate, Meter, Pace, Prices, Usage
from paribus.inference.engine import GenerationRequest, Reply, Score, ScoreRequest, check_distinct
from paribus.inference.request_cache import Answer, RequestCache
from paribus.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from paribus.inference.chat import Chat

TEMPLATE_TOKENS = 32  # the most that a chat template is taken to add to a turn, when the cost of a request is bounded


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
        api: ``"chat"``, or ``"completions"``: the prompt is then rendered here by the tokenizer's chat template, for
            servers and models that have no chat of their own.
        token_prompts: send ``"completions"`` prompts as token ids, just what a local engine reads; False sends text,
            for servers that take no ids.
        reply_logprobs: ask for the log-probabilities of generated tokens too; ``Reply.logprob`` is their sum, or None
            where the server does not list one for each token.
        tokenizer: the served model's, for ``logprobs`` and ``api="completions"``: its chat template says which tokens
            are the prompt and which the completion.
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
        api: Literal["chat", "completions"] = "chat",
        token_prompts: bool = True,
        reply_logprobs: bool = False,
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
        if api not in ("chat", "completions"):
            raise ConfigError(f"The endpoint's api is {api!r}; use 'chat' or 'completions'.")
        self.model, self.name, self.tokenizer, self.progress = model, name or model, tokenizer, progress
        self.api, self.token_prompts, self.reply_logprobs = api, token_prompts, reply_logprobs
        self.cache, self.fields, self.extra = cache, dict(fields or {}), dict(extra or {})
        self._client = JsonClient(base_url, api_key_variable=api_key_variable, timeout=timeout)
        self._reader = Reader(self._client.base_url, self._client.masked, logprobs=reply_logprobs)
        self._prices = prices
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
        return self._generate(requests, threading.Event())

    async def agenerate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
        """``generate`` for code inside an event loop, which goes on meanwhile. Cancelling it sends no further request;
        answers under way are still kept in the cache."""
        stop = threading.Event()
        try:
            return await asyncio.to_thread(self._generate, requests, stop)
        except asyncio.CancelledError:
            stop.set()
            raise

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Summed log-probability of each completion, from ``/completions`` with ``echo``.

        Raises ``EngineError`` without a tokenizer, for a server that does not echo log-probabilities (many do not),
        and for any request that failed: a score has no room for a failure. Those that arrived are cached.
        """
        check_distinct(request.id for request in requests)
        calls = [self._score_call(*pair) for pair in self._chat("Log-probabilities").completions(requests)]
        answers = self._answers(calls, threading.Event())
        scores = []
        for request, call in zip(requests, calls, strict=True):
            answer = answers[call.key]
            if isinstance(answer, CallError):
                raise EngineError(f"Score request {request.id!r} failed: {answer}.")
            scores.append(Score(request_id=request.id, **answer))
        return scores

    def estimate(self, requests: Sequence[GenerationRequest]) -> Estimate:
        """What ``generate`` would send and at most cost now; nothing is sent, and no file is made."""
        calls = {call.key: call for call in self._generation_calls(requests)}
        kept: dict[str, Answer] = {}
        if self.cache is not None and Path(self.cache).exists():
            with RequestCache(self.cache) as cache:
                kept = cache.find(calls)
        sent = [call for key, call in calls.items() if key not in kept]
        read, written = sum(call.most_in for call in sent), sum(call.most_out for call in sent)
        price = None if self._prices is None else self._prices.of(read, written)
        return Estimate(len(requests), len(sent), len(kept), read, written, price)

    def _generate(self, requests: Sequence[GenerationRequest], stop: threading.Event) -> list[Reply]:
        calls = self._generation_calls(requests)
        answers = self._answers(calls, stop)
        return [reply(request.id, answers[call.key]) for request, call in zip(requests, calls, strict=True)]

    def _generation_calls(self, requests: Sequence[GenerationRequest]) -> list[Call]:
        check_distinct(request.id for request in requests)
        if self.api == "chat":
            return [self._chat_call(request) for request in requests]
        chat = self._chat("Text completions")
        conversations = [request.messages for request in requests]
        ids = chat.prompts(conversations)
        prompts: Sequence[list[int] | str] = ids if self.token_prompts else chat.plain_texts(conversations)
        return [self._text_call(*row) for row in zip(requests, prompts, map(len, ids), strict=True)]

    def _chat(self, purpose: str) -> Chat:
        if self.tokenizer is None:
            raise EngineError(
                f"{purpose} from {self.name} need the served model's tokenizer, whose chat template says which "
                "tokens are the prompt; pass tokenizer=... when making the engine."
            )
        from paribus.inference.chat import Chat

        return Chat(self.tokenizer)

    def _answers(self, calls: Sequence[Call], stop: threading.Event) -> dict[str, Answer | CallError]:
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

            return known | self._dispatcher.run(list(missing.values()), keep, ended, stop)

    def _chat_call(self, request: GenerationRequest) -> Call:
        turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
        asked = {"messages": turns, **({"logprobs": True} if self.reply_logprobs else {})}
        return self._written_call("chat/completions", asked, request, most_read(request.messages), self._reader.chat)

    def _text_call(self, request: GenerationRequest, prompt: list[int] | str, most_in: int) -> Call:
        asked = {"prompt": prompt, **({"logprobs": 1} if self.reply_logprobs else {})}
        # One more than the ids: a server may put its own first token before a text.
        return self._written_call("completions", asked, request, most_in + 1, self._reader.completion)

    def _written_call(
        self,
        path: str,
        asked: dict[str, Any],
        request: GenerationRequest,
        most_in: int,
        parse: Callable[[Any], Answer],
    ) -> Call:
        seed = request_seed(request)
        settings = {"max_tokens": request.max_tokens, "temperature": request.temperature, "top_p": request.top_p}
        body = {"model": self.model, **asked, **self._named({**settings, "seed": seed}), **self.extra}
        return self._call(path, body, seed, most_in, request.max_tokens, parse)

    def _score_call(self, prompt: list[int], completion: list[int]) -> Call:
        # One new token is asked for and left out: not every server takes max_tokens 0.
        settings = self._named({"max_tokens": 1, "temperature": 0.0})
        body = {"model": self.model, "prompt": prompt + completion, "echo": True, "logprobs": 1, **settings}
        first, end = len(prompt), len(prompt) + len(completion)
        return self._call(
            "completions", {**body, **self.extra}, 0, end, 1, lambda got: self._reader.score(got, first, end)
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


def reply(request_id: str, answer: Answer | CallError) -> Reply:
    """The answer, or the failure, as a reply to a request."""
    if isinstance(answer, CallError):
        return Reply(request_id=request_id, text="", tokens=0, finish="error", error=str(answer), failure=answer.kind)
    return Reply(request_id=request_id, **answer)


def most_read(messages: Sequence[Message]) -> int:
    """The most tokens that a conversation is taken to have: one a byte, and ``TEMPLATE_TOKENS`` a turn and for the
    opened one."""
    return sum(len(turn.content.encode()) + TEMPLATE_TOKENS for turn in messages) + TEMPLATE_TOKENS


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
