"""Kept-alive connections to one server, through the proxy that the environment names, if any.

Threads take a connection, have one exchange over it and give it back. Why threads: with a server that answers after
50 ms, and 32 or 128 requests under way, they reached about 1.5 and 4 times the requests a second of an asynchronous
client of the httpx family, at 0.35 against 0.9 ms of the processor a request (``benchmarks/bench_endpoint.py``).
"""

from __future__ import annotations

import base64
import selectors
from collections import deque
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass


class Connections:
    """Idle connections of one server; a missing one is opened by ``take``, in the caller's thread."""

    def __init__(self, base_url: str) -> None:
        self.url = urlsplit(base_url)
        self.proxy = proxy_of(self.url)
        self._idle: deque[HTTPConnection] = deque()  # its append and pop are atomic

    def take(self, timeout: float) -> HTTPConnection:
        """A connection that is open; ``OSError`` (``TimeoutError`` after ``timeout`` seconds) if there can be none."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if is_quiet(connection):
                return connection
            connection.close()
        return opened(self.url, self.proxy, timeout)

    def give(self, connection: HTTPConnection) -> None:
        """Keep a connection whose last answer was read to its end."""
        self._idle.append(connection)

    def target(self, path: str) -> tuple[str, dict[str, str]]:
        """What the request line names for a path below the address, and the header that a proxy wants beside it."""
        below = f"{self.url.path}/{path}"
        if self.proxy is None or self.url.scheme == "https":  # through a tunnel, the server is spoken to directly
            return below, {}
        return f"http://{self.url.netloc}{below}", proxy_authorization(self.proxy)

    def close(self) -> None:
        """Close what is idle; connections in use close when they are through."""
        while self._idle:
            self._idle.pop().close()


def is_quiet(connection: HTTPConnection) -> bool:
    """Whether nothing waits to be read: a server that closed an idle connection sent its end."""
    if connection.sock is None:
        return False
    with selectors.DefaultSelector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        return not selector.select(0)


def opened(url: SplitResult, proxy: SplitResult | None, timeout: float) -> HTTPConnection:
    """A new connection to the address, straight or through a proxy."""
    near = proxy or url
    host, kind = near.hostname or "", HTTPSConnection if "https" in (url.scheme, near.scheme) else HTTPConnection
    port = near.port or (443 if near.scheme == "https" else 80)
    connection = kind(host, port, timeout=timeout)
    if proxy is not None and url.scheme == "https":
        connection.set_tunnel(url.hostname or "", url.port or 443, proxy_authorization(proxy))
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    return connection


def proxy_of(url: SplitResult) -> SplitResult | None:
    """The proxy for an address by ``http_proxy``, ``https_proxy`` and ``no_proxy`` (or the system's settings)."""
    said = getproxies().get(url.scheme)
    if not said or proxy_bypass(url.netloc):
        return None
    return urlsplit(said if "://" in said else f"http://{said}")


def proxy_authorization(proxy: SplitResult) -> dict[str, str]:
    """The header for a proxy whose address names a user."""
    if proxy.username is None:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
