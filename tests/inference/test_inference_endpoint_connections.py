"""Kept connections: reuse, servers that close them, the environment's proxies, timeouts before anything was sent."""

import base64
import json
import socket
import threading
from urllib.parse import urlsplit

import pytest
from loopback_server import Answer, LoopbackServer, completion

from paribus.inference.endpoint import EndpointEngine
from paribus.inference.endpoint_connections import Connections, is_quiet, proxy_of
from paribus.inference.endpoint_http import CallError, JsonClient


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = LoopbackServer()
    yield started
    started.close()


@pytest.mark.parametrize("concurrency", [1, 5])
def test_a_call_opens_no_more_connections_than_it_sends_at_once(server, ask, concurrency):
    EndpointEngine(server.url, "m", concurrency=concurrency).generate([ask(f"q{i}") for i in range(40)])
    assert len(server.bodies) == 40
    assert 1 <= server.connections <= concurrency


def test_nothing_stays_open_behind_a_call(server, ask):
    engine = EndpointEngine(server.url, "m")
    engine.generate([ask("a")])
    assert not engine._client.connections._idle


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(server, ask):
    """Without the look before each request every second one would break, and be paid for twice."""
    server.rule = lambda body: Answer(completion("x").body, last=True)
    engine = EndpointEngine(server.url, "m", concurrency=1, sleep=lambda seconds: None)
    client = engine._client
    for _ in range(5):
        client.post("chat/completions", {"messages": [{"role": "user", "content": "a"}]})
        [idle] = client.connections._idle
        while is_quiet(idle):  # until the end of the stream has arrived
            pass
    assert (len(server.bodies), server.connections) == (5, 5)
    client.connections.close()


def test_an_error_does_not_cost_the_connection(server, ask):
    server.faults = [Answer({"error": "slow down"}, status=429), Answer({"error": "oops"}, status=500)]
    EndpointEngine(server.url, "m", concurrency=1, sleep=lambda seconds: None).generate([ask("a"), ask("b")])
    assert (len(server.bodies), server.connections) == (4, 1)


def test_a_broken_answer_does_not_reach_the_next_request(server, ask):
    server.faults = [Answer({"choices": []}, missing=7), Answer(cut=True)]
    engine = EndpointEngine(server.url, "m", concurrency=1, sleep=lambda seconds: None)
    assert [reply.text for reply in engine.generate([ask("a"), ask("b")])] == ["you said: a", "you said: b"]


def test_a_server_that_takes_no_connection_in_time_was_sent_nothing(monkeypatch):
    """So a price cap counts nothing for it."""
    client = JsonClient("http://127.0.0.1:9/v1", api_key_variable="NONE", timeout=0.01)

    def late(timeout):
        raise TimeoutError

    monkeypatch.setattr(client.connections, "take", late)
    with pytest.raises(CallError) as caught:
        client.post("chat/completions", {})
    assert (caught.value.kind, caught.value.sent, caught.value.retry) == ("timeout", False, True)


def test_a_thread_that_finds_another_was_faster_opens_a_connection(server, monkeypatch):
    connections = Connections(server.url)

    class Emptied:
        def __bool__(self):
            return True

        def pop(self):
            raise IndexError

    connections._idle = Emptied()
    connection = connections.take(5.0)
    assert connection.sock is not None
    connection.close()


# --- proxies


@pytest.mark.parametrize(
    ("environment", "url", "host"),
    [
        ({}, "http://api.example/v1", None),
        ({"http_proxy": "http://proxy:3128"}, "http://api.example/v1", "proxy"),
        ({"http_proxy": "proxy:3128"}, "http://api.example/v1", "proxy"),
        ({"http_proxy": "http://proxy:3128"}, "https://api.example/v1", None),
        ({"https_proxy": "http://proxy:3128"}, "https://api.example/v1", "proxy"),
        ({"http_proxy": "http://proxy:3128", "no_proxy": ".example"}, "http://api.example:80/v1", None),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "other"}, "http://api.example/v1", "proxy"),
    ],
)
def test_which_proxy_the_environment_names(monkeypatch, environment, url, host):
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_of(urlsplit(url))
    assert (found and found.hostname) == host


def test_a_proxy_reads_the_whole_address_and_its_own_password(server, ask, monkeypatch):
    """The loopback server plays the proxy: no name of the far address is looked up here."""
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:pass%20word@").removesuffix("/v1"))
    [got] = EndpointEngine("http://far.example/api/v1", "m").generate([ask("hi")])
    assert got.text == "you said: hi"
    assert server.paths == ["http://far.example/api/v1/chat/completions"]
    scheme, code = server.headers[0]["Proxy-Authorization"].split()
    assert (scheme, base64.b64decode(code)) == ("Basic", b"me:pass word")


def test_a_secure_address_is_reached_through_a_tunnel(monkeypatch, ask):
    """The proxy sees CONNECT and the address; neither the key nor the request."""
    seen, listener = [], socket.create_server(("127.0.0.1", 0))

    def refuse():
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(1 << 16))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=refuse)
    thread.start()
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setenv("PLANTED_KEY", "sk-planted-secret-0123456789")
    engine = EndpointEngine("https://far.example/v1", "m", api_key_variable="PLANTED_KEY", retries=0)
    [got] = engine.generate([ask("hi")])
    thread.join()
    listener.close()
    assert (got.finish, got.failure) == ("error", "connection")
    assert "403" in got.error
    assert seen[0].startswith(b"CONNECT far.example:443 HTTP/1")
    assert b"planted" not in seen[0] and json.dumps("hi").encode() not in seen[0]
