"""An OpenAI-compatible server on 127.0.0.1 that answers by a rule and misbehaves as it is told."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What goes over the wire. ``body`` is JSON unless bytes; ``after`` runs before it is sent; ``cut`` resets the
    connection instead; ``missing`` announces so many bytes more than are sent; ``last`` closes behind the answer,
    without having said so."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: Callable[[], object] | None = None
    cut: bool = False
    missing: int = 0
    last: bool = False


def completion(text: str, *, finish: str | None = "stop", prompt_tokens: int = 10, tokens: int | None = None) -> Answer:
    """A chat completion; a token is a word unless told."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(text.split()) if tokens is None else tokens}
    message = {"role": "assistant", "content": text}
    return Answer({"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage})


def echo(body: dict[str, Any]) -> Answer:
    return completion("you said: " + body["messages"][-1]["content"])


class Listener(ThreadingHTTPServer):
    request_queue_size = 256  # a burst of new connections is not to be refused


class LoopbackServer:
    """``rule(body)`` answers; ``faults`` are used up first. ``bodies``, ``paths`` and ``headers`` keep what came,
    ``connections`` counts those that were opened."""

    def __init__(self) -> None:
        self.rule: Callable[[dict[str, Any]], Answer] = echo
        self.faults: list[Answer] = []
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.http = Listener(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def said(self) -> list[str]:
        """The last message of each request, in the order they came."""
        return [body["messages"][-1]["content"] for body in self.bodies]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def _take(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
        with self.lock:
            self.bodies.append(body)
            self.paths.append(path)
            self.headers.append(headers)
            return self.faults.pop(0) if self.faults else self.rule(body)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with server.lock:
                    server.connections += 1

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = server._take(self.path, dict(self.headers), body)
                if answer.after is not None:
                    answer.after()
                self.close_connection = answer.cut or bool(answer.missing) or answer.last
                if answer.cut:  # a linger of zero turns the close into a reset
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    return
                payload = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                headers = {"Content-Type": "application/json", **answer.headers}
                self.send_response(answer.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload) + answer.missing))
                self.end_headers()
                self.wfile.write(payload)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # the client gave up, or the connection was cut on purpose
                    self.close_connection = True

            def finish(self) -> None:
                try:
                    super().finish()
                except (OSError, ValueError):
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        return Handler
