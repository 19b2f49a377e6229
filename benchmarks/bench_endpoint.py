"""Requests a second of ``EndpointEngine`` against a sequential loop, with a server that answers after 50 ms.

    python benchmarks/bench_endpoint.py [repeats [rounds]]     # 3 repeats of 40 requests a place: two minutes

The server is a process of its own, asynchronous, and waits 50 ms before each answer, so a client with ``n`` requests
under way can have at most ``20 n`` answers a second: the share of that limit is what the last column shows (goal: 90%).
The loop is urllib's, one request after the other, as in a script that asks a server; where httpx2 is installed, its
asynchronous client is a second peer, with kept connections and the same number under way. The engine runs with and
without a cache file, as its users run it: prices, pace and caps are checked for every request. The sides take turns
within each repeat and the medians are shown. Processor milliseconds a request are the client's alone. Prompts differ.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from paribus.inference.endpoint import EndpointEngine
from paribus.inference.engine import GenerationRequest
from paribus.records import Message

LATENCY = 0.05
PLACES = (8, 32, 128)
LOOP = 20  # requests of the sequential loop: a second
SERVER = """
import asyncio, json, sys
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "a short answer"}, "finish_reason": "stop"}
BODY = json.dumps({"choices": [CHOICE], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}).encode()
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(BODY)
class Served(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.read = transport, b""
    def data_received(self, data):
        self.read += data
        head, end, body = self.read.partition(b"\\r\\n\\r\\n")
        if end and len(body) >= int(head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0]):
            self.read = b""
            asyncio.get_running_loop().call_later(float(sys.argv[1]), self.transport.write, HEAD + BODY)
async def main():
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def requests(count: int) -> list[GenerationRequest]:
    """Prompts of some ten words, no two the same."""
    text = "Which of the two answers to question {} is the better one, and why?"
    return [
        GenerationRequest(id=str(i), messages=(Message(role="user", content=text.format(i)),)) for i in range(count)
    ]


def body(request: GenerationRequest) -> dict[str, object]:
    return {"model": "m", "messages": [turn.model_dump() for turn in request.messages], "max_tokens": 64}


def loop(url: str, asked: list[GenerationRequest]) -> None:
    """One request after the other, each over a new connection."""
    for request in asked:
        data, headers = json.dumps(body(request)).encode(), {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}/chat/completions", data, headers)) as answer:
            json.loads(answer.read())


def peer(url: str, asked: list[GenerationRequest], places: int) -> None:
    """httpx2's asynchronous client."""
    import httpx2

    async def work() -> None:
        left, limits = iter(asked), httpx2.Limits(max_connections=places, max_keepalive_connections=places)
        async with httpx2.AsyncClient(limits=limits, timeout=60.0) as client:

            async def place() -> None:
                for request in left:
                    (await client.post(f"{url}/chat/completions", json=body(request))).json()

            await asyncio.gather(*(place() for _ in range(places)))

    asyncio.run(work())


def engine(url: str, asked: list[GenerationRequest], places: int, *, cached: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "c.sqlite" if cached else None
        replies = EndpointEngine(url, "m", concurrency=places, cache=cache).generate(asked)
    assert all(reply.finish == "stop" for reply in replies)


def timed(work: Callable[[], None], count: int) -> tuple[float, float]:
    """(requests a second, processor milliseconds a request)."""
    start, spent = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - start), (time.process_time() - spent) * 1e3 / count


def compare(url: str, places: int, repeats: int, rounds: int) -> list[str]:
    """Table rows for one number of requests under way."""
    asked = requests(places * rounds)
    sides: dict[str, tuple[Callable[[], None], int]] = {
        "sequential loop": (lambda: loop(url, asked[:LOOP]), LOOP),
        "EndpointEngine": (lambda: engine(url, asked, places, cached=False), len(asked)),
        "EndpointEngine, cache file": (lambda: engine(url, asked, places, cached=True), len(asked)),
    }
    if importlib.util.find_spec("httpx2"):
        sides["httpx2, asynchronous"] = (lambda: peer(url, asked, places), len(asked))
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, (work, count) in sides.items():
            found[side].append(timed(work, count))
    base = statistics.median(speed for speed, _ in found["sequential loop"])
    rows = []
    for side, values in found.items():
        speed, spent = (statistics.median(column) for column in zip(*values, strict=True))
        limit = (1 if side == "sequential loop" else places) / LATENCY
        rows.append(f"| {places} | {side} | {speed:,.0f} | {speed / base:.1f} | {spent:.2f} | {speed / limit:.0%} |")
    return rows


def main(repeats: int = 3, rounds: int = 40) -> None:
    """Print a markdown table."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(LATENCY)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    columns = ["under way", "side", "requests/s", "times the loop", "CPU ms a request", "share of the limit"]
    print(f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    try:
        loop(url, requests(2))
        for places in PLACES:
            print("\n".join(compare(url, places, repeats, rounds)), flush=True)
    finally:
        server.kill()


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:3]))
