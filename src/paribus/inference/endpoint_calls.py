"""Calls sent side by side: bounded concurrency, pace, price cap, retries with growing waits."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from paribus.errors import EngineError
from paribus.inference.endpoint_http import CallError, JsonClient
from paribus.inference.endpoint_limits import Meter, Pace
from paribus.inference.request_cache import Answer

FIRST_WAIT = 1.0  # seconds before the first retry; doubled for each further one
LONGEST_OWN_WAIT = 60.0
LONGEST_ASKED = 300.0  # a server that asks for a longer wait ends the request instead
LOST_IN_A_ROW = 20  # requests that failed after all their retries, one behind another: the server is gone


@dataclass(frozen=True)
class Call:
    """One HTTP request: ``key`` hashes all of it; ``most_in`` and ``most_out`` bound its tokens."""

    path: str
    body: dict[str, Any]
    key: str
    most_in: int
    most_out: int
    parse: Callable[[Any], Answer]  # raises CallError for a response that cannot be used


class Dispatcher:
    """Sends calls; what comes back depends neither on their order nor on the concurrency.

    ``sleep`` None waits on the clock, and wakes up when the run is stopped.
    """

    def __init__(
        self,
        client: JsonClient,
        meter: Meter,
        *,
        requests: Pace,
        tokens: Pace,
        concurrency: int,
        retries: int,
        sleep: Callable[[float], object] | None,
    ) -> None:
        self.client, self.meter, self.requests, self.tokens = client, meter, requests, tokens
        self.concurrency, self.retries, self.sleep = concurrency, retries, sleep

    def run(
        self,
        calls: Sequence[Call],
        keep: Callable[[Call, Answer], None],
        done: Callable[[Call], None],
        stop: threading.Event,
    ) -> dict[str, Answer | CallError]:
        """Answer or failure by key. ``keep`` is called in a worker thread as soon as an answer is there, ``done`` in
        this thread. Raises ``EngineError`` if going on is pointless or another thread set ``stop``; calls under way are
        waited for and kept then, as they are after Ctrl-C."""
        results: dict[str, Answer | CallError] = {}
        lost = 0
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="endpoint")
        try:
            futures: dict[Future[Answer], Call] = {pool.submit(self._answer, call, keep, stop): call for call in calls}
            for future in as_completed(futures):
                if stop.is_set():
                    raise EngineError(f"Stopped with {len(results)} of {len(calls)} requests to the server done.")
                call, error = futures[future], future.exception()
                if error is not None and not isinstance(error, CallError):
                    raise error
                lost = lost + 1 if error is not None and error.retry else 0
                if error is not None and (error.fatal or lost >= LOST_IN_A_ROW):
                    raise EngineError(self._stopped(error, lost, len(results), len(calls)))
                results[call.key] = future.result() if error is None else error
                done(call)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self.client.connections.close()
        return results

    def _answer(self, call: Call, keep: Callable[[Call, Answer], None], stop: threading.Event) -> Answer:
        for attempt in range(self.retries + 1):
            try:
                answer = self._attempt(call, stop)
            except CallError as error:
                self.meter.add(fault=error.kind)
                if attempt == self.retries or not error.retry:
                    raise
                if error.wait is not None and error.wait > LONGEST_ASKED:
                    message = f"{error}; it asks to wait {error.wait:.0f} seconds, more than {LONGEST_ASKED:.0f}"
                    raise CallError(message, error.kind, retry=True) from None
                self._rest(waiting(call.key, attempt, error.wait), stop)
                self.meter.add(retries=1)
            else:
                keep(call, answer)
                return answer
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, call: Call, stop: threading.Event) -> Answer:
        most = self.meter.prices.of(call.most_in, call.most_out)
        self._rest(max(self.requests.take(1), self.tokens.take(call.most_in + call.most_out)), stop)
        if not self.meter.start(most):
            raise CallError(
                f"the price cap {self.meter.cap:g} holds: {self.meter.usage.price:.6g} is spent and one more request "
                f"could cost {most:.3g}; raise price_cap to go on",
                fatal=True,
            )
        prompt = completion = 0
        price: float | None = most  # until the server says what it counted
        unused = 0
        try:
            response = self.client.post(call.path, call.body)
            prompt, completion = reported_tokens(response)
            if prompt or completion:
                price, unused = None, call.most_in + call.most_out - prompt - completion
        except CallError as error:
            if not error.sent:
                price, unused = 0.0, call.most_in + call.most_out
            raise
        finally:
            self.meter.settle(most, prompt_tokens=prompt, completion_tokens=completion, price=price)
            self.tokens.give_back(unused)
        return call.parse(response)

    def _rest(self, seconds: float, stop: threading.Event) -> None:
        if seconds > 0:
            (stop.wait if self.sleep is None else self.sleep)(seconds)
        if stop.is_set():
            raise CallError("the run was stopped before this request was sent")

    def _stopped(self, error: CallError, lost: int, answered: int, total: int) -> str:
        why = str(error) if error.fatal else f"{lost} requests in a row failed after all retries, the last one: {error}"
        return (
            f"Stopped with {answered} of {total} requests to the server done: {why}. Answers that arrived are in the "
            "request cache, if one was given; the same call then sends only the missing ones."
        )


def waiting(key: str, attempt: int, asked: float | None) -> float:
    """Seconds before the next attempt: doubled each time up to a minute, spread over [1/2, 1] of that by the request's
    own hash, so that requests refused together do not come back together; never less than the server asked for."""
    spread = random.Random(f"{key}|{attempt}").random()
    own = min(LONGEST_OWN_WAIT, FIRST_WAIT * 2**attempt) * (0.5 + 0.5 * spread)
    return own if asked is None else max(own, asked + FIRST_WAIT * spread)


def reported_tokens(response: Any) -> tuple[int, int]:
    """(prompt, completion) tokens as the server counted them; zeros if it does not say."""
    usage = response.get("usage") if isinstance(response, dict) else None
    counts = [usage.get(name) if isinstance(usage, dict) else 0 for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (count if isinstance(count, int) and count >= 0 else 0 for count in counts)
    return prompt, completion
