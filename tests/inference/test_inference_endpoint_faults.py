"""A server that fails three times in ten, over 2,000 requests; a client that is killed; what failures are called."""

import collections
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from loopback_server import Answer, LoopbackServer, completion

from paribus.errors import EngineError
from paribus.inference.endpoint import EndpointEngine, Prices
from paribus.inference.request_cache import RequestCache

COUNT = 2000
FAULTY = 0.3
NEVER = {"empty": 3, "refused": 5, "rejected": 7}
"""Questions that the server never answers: those whose number is this modulo 100."""


def filtered() -> Answer:
    return completion("", finish="content_filter")


def wordless() -> Answer:
    answer = completion("")
    answer.body["choices"][0]["message"]["content"] = None
    return answer


class FaultyServer(LoopbackServer):
    """Fails by (seed, question, attempt), so that every run sees the same faults whatever the order of the requests;
    ``delivered`` and ``attempts`` are its own books. Answers are counted as delivered when they were sent whole."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed, self.rule = seed, self.answer
        self.attempts: collections.Counter[str] = collections.Counter()
        self.delivered: collections.Counter[str] = collections.Counter()
        self.faults_made: collections.Counter[str] = collections.Counter()
        self.over = threading.Event()

    def answer(self, body) -> Answer:
        question = body["messages"][-1]["content"]
        self.attempts[question] += 1
        kind = self.fault(question, self.attempts[question])
        if kind is None:
            self.delivered[question] += 1
            return completion(f"answer to {question}")
        self.faults_made[kind] += 1
        return self.failing(kind)

    def fault(self, question: str, attempt: int) -> str | None:
        number = int(question.removeprefix("q"))
        for kind, rest in NEVER.items():
            if number % 100 == rest:
                return kind
        draw = random.Random(f"{self.seed}/{question}/{attempt}")
        if draw.random() >= FAULTY:
            return None
        # Time-outs are kept few, since each is waited for.
        kinds = ["timeout", *["reset", "cut", "rate_limit", "server_error", "truncated", "no choices"] * 5]
        return draw.choice(kinds)

    def failing(self, kind: str) -> Answer:
        made = {
            "timeout": Answer(after=lambda: self.over.wait(60), cut=True),
            "reset": Answer(cut=True),
            "cut": Answer({"choices": []}, missing=40),
            "rate_limit": Answer({"error": "slow down"}, status=429, headers={"Retry-After": "2"}),
            "server_error": Answer(b"<h1>oops</h1>", status=500),
            "truncated": Answer(b'{"choices": [{"mess'),
            "no choices": Answer({"choices": [], "usage": {"completion_tokens": 0}}, status=503),
            "empty": wordless(),
            "refused": filtered(),
            "rejected": Answer({"error": {"message": "context too long"}}, status=400),
        }
        return made[kind]

    def close(self) -> None:
        self.over.set()
        super().close()


CALLED = {
    "timeout": "timeout",
    "reset": "connection",
    "cut": "connection",
    "rate_limit": "rate_limit",
    "server_error": "server_error",
    "truncated": "bad_body",
    "no choices": "server_error",
    **{kind: kind for kind in NEVER},
}
"""What the client must call each fault."""


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = FaultyServer(seed=3)
    yield started
    started.close()


@pytest.mark.slow
def test_with_three_faults_in_ten_nothing_is_lost_or_paid_twice_and_every_failure_is_a_record(faulty, ask, tmp_path):
    asked = [ask(f"q{i}") for i in range(COUNT)]
    seen = []
    engine = EndpointEngine(
        faulty.url,
        "m",
        cache=tmp_path / "c.sqlite",
        concurrency=32,
        timeout=2.0,
        retries=4,
        sleep=lambda seconds: None,
        progress=lambda done, total: seen.append(done),
        prices=Prices(1.0, 1.0),
    )
    got = engine.generate(asked)

    assert [reply.request_id for reply in got] == [request.id for request in asked]
    good = {reply.request_id: reply for reply in got if reply.finish == "stop"}
    bad = {reply.request_id: reply for reply in got if reply.finish == "error"}
    assert all(reply.text == f"answer to {question}" for question, reply in good.items())
    assert all(reply.error and reply.failure and not reply.text for reply in bad.values())
    # By the server's books each question was answered once or never, and those answers all arrived.
    assert faulty.delivered == dict.fromkeys(good, 1)
    for kind, rest in NEVER.items():
        assert {bad[f"q{i}"].failure for i in range(rest, COUNT, 100)} == {kind}
        assert all(faulty.attempts[f"q{i}"] == 1 for i in range(rest, COUNT, 100))
    hopeless = {question for question in bad if not any(int(question[1:]) % 100 == rest for rest in NEVER.values())}
    expected = {f"q{i}" for i in range(COUNT) if all(faulty.fault(f"q{i}", n) for n in range(1, 6))}
    assert hopeless == {question for question in expected if int(question[1:]) % 100 not in NEVER.values()}
    # Client and server agree on what went wrong, fault by fault.
    called = collections.Counter()
    for kind, count in faulty.faults_made.items():
        called[CALLED[kind]] += count
    assert engine.usage.faults == called
    assert engine.usage.calls == sum(faulty.attempts.values())
    assert engine.usage.retries == sum(called.values()) - len(bad)
    assert seen == list(range(1, COUNT + 1))

    # The same call again pays for the failures alone.
    before = faulty.attempts.copy()
    again = EndpointEngine(faulty.url, "m", cache=tmp_path / "c.sqlite", timeout=2.0, sleep=lambda seconds: None)
    estimate = again.estimate(asked)
    assert (estimate.calls, estimate.cached) == (len(bad), len(good))
    second = again.generate(asked)
    assert {question for question in faulty.attempts if faulty.attempts[question] > before[question]} == set(bad)
    assert [reply for reply in second if reply.request_id in good] == list(good.values())
    assert max(faulty.delivered.values()) == 1


def test_a_killed_process_loses_at_most_what_was_under_way(ask, tmp_path, monkeypatch):
    """SIGKILL half-way: what the cache holds is never asked again, and what was in the air is bounded."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    count, concurrency, cache = 300, 4, tmp_path / "c.sqlite"
    server, half = LoopbackServer(), threading.Event()

    def rule(body):
        if len(server.bodies) >= count // 2:
            half.set()
        return Answer(completion("x " + body["messages"][-1]["content"]).body, after=lambda: time.sleep(0.002))

    server.rule = rule
    client = [sys.executable, str(Path(__file__).with_name("faulty_client.py")), server.url, str(cache)]
    child = subprocess.Popen([*client, str(count), str(concurrency)])
    assert half.wait(120)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    time.sleep(0.1)  # what it sent last is still being read
    asked_before = collections.Counter(server.said)
    with RequestCache(cache) as kept:
        known = len(kept)
    assert count // 2 - 2 * concurrency <= known < count
    assert len(asked_before) - known <= concurrency

    engine = EndpointEngine(server.url, "m", cache=cache)
    got = engine.generate([ask(f"q{i}") for i in range(count)])
    assert [reply.text for reply in got] == [f"x q{i}" for i in range(count)]
    assert engine.usage.cache_hits == known
    assert engine.usage.calls == count - known
    asked_after = collections.Counter(server.said)
    assert sum(asked_after.values()) - count <= concurrency
    server.close()


FAILURES = {
    "timeout": (Answer(after=lambda: time.sleep(0.4)), "no full answer within"),
    "connection": (Answer(cut=True), "broke"),
    "rate_limit": (Answer({}, status=429), "429"),
    "server_error": (Answer({}, status=502), "502"),
    "bad_body": (Answer(b"{"), "not JSON"),
    "rejected": (Answer({"error": "no"}, status=422), "422"),
    "refused": (filtered(), "withheld"),
    "empty": (wordless(), "holds no text"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_failures_are_named_for_programs_and_counted(kind, ask, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server, (fault, said) = LoopbackServer(), FAILURES[kind]
    server.faults = [fault] * 2
    engine = EndpointEngine(server.url, "m", timeout=0.2, retries=1, sleep=lambda seconds: None)
    [got] = engine.generate([ask("a")])
    server.close()
    assert (got.finish, got.failure) == ("error", kind)
    assert said in got.error
    assert engine.usage.faults == {kind: 1 + engine.usage.retries}


def test_a_filter_that_answers_400_is_a_refusal(ask, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = LoopbackServer()
    server.faults = [Answer({"error": {"message": "policy", "code": "content_filter"}}, status=400)]
    [got] = EndpointEngine(server.url, "m").generate([ask("a")])
    server.close()
    assert got.failure == "refused"


def test_no_text_at_the_length_limit_is_an_answer(ask, monkeypatch):
    """A model that reasons where nobody sees it can use up max_tokens; asking again would be paid for again."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server, cut = LoopbackServer(), wordless()
    cut.body["choices"][0]["finish_reason"] = "length"
    server.faults = [cut]
    [got] = EndpointEngine(server.url, "m").generate([ask("a")])
    server.close()
    assert (got.finish, got.text, got.failure) == ("length", "", None)


def test_a_server_that_is_gone_is_counted_too(ask, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = LoopbackServer()
    server.close()
    engine = EndpointEngine(server.url, "m", retries=0, sleep=lambda seconds: None, concurrency=1)
    with pytest.raises(EngineError, match="20 requests in a row"):
        engine.generate([ask(f"q{i}") for i in range(30)])
    assert engine.usage.faults["connection"] >= 20
    assert engine.usage.price == 0.0
