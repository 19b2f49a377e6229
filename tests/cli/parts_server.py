"""A scripted OpenAI-compatible server on the loopback: it answers every chat request by a rule, and counts."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[[list[dict[str, str]]], str | int]
"""Messages to the answer's text, or to an HTTP status that refuses."""


class Served:
    """The server's address and how often it was asked."""

    def __init__(self, url: str) -> None:
        self.url, self.calls = url, 0


@contextmanager
def serving(rule: Rule) -> Iterator[Served]:
    """A server for the length of a ``with`` block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.calls += 1
            answer = rule(body["messages"])
            if isinstance(answer, int):
                self._send(answer, {"error": {"message": "no"}})
                return
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}
            usage = {"prompt_tokens": 10, "completion_tokens": len(answer.split())}
            self._send(200, {"model": body["model"], "choices": [choice], "usage": usage})

        def _send(self, status: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Served(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
