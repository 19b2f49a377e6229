"""Who may come in: addresses that may be served, the access token, CSRF tokens, and the headers of every reply.

The token and the session are secrets. They are compared in constant time, are never part of an address or a log line,
and of a session only the hash is stored.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

from paribus.errors import ConfigError

TOKEN_VARIABLE = "PARIBUS_UI_TOKEN"
SHORTEST_TOKEN = 16
COOKIE = "paribus_session"
LARGEST_BODY = 64 * 1024
"""Bytes that a posted form may have; ours have below 4 kB."""

_MAKE_ONE = "python -c 'import secrets; print(secrets.token_urlsafe(24))'"

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every reply: nothing inline, nothing from elsewhere, in nobody's frame, in no cache."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, names: Collection[str], token: str | None) -> frozenset[str] | None:
    """The names that a request's ``Host`` may have (None = any), for a server bound to ``host``.

    On the loopback only its own names, so that a page elsewhere cannot reach the server under a name of its own (DNS
    rebinding); ``names`` are further ones, such as a proxy's. Raises ``ConfigError`` when others than this machine
    could come in and there is no token, or the token is too short.
    """
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"The access token has {len(token)} characters; give at least {SHORTEST_TOKEN} in {TOKEN_VARIABLE}, such "
            f"as the output of: {_MAKE_ONE}"
        )
    local = is_loopback(host)
    if token is None and not (local and all(is_loopback(name) for name in names)):
        raise ConfigError(
            f"Serving {host}{f' as {chr(44).join(names)}' if names else ''} lets other machines in, and there is no "
            f"access token; set {TOKEN_VARIABLE} (make one with: {_MAKE_ONE}), or serve 127.0.0.1."
        )
    if local:
        return frozenset({"localhost", "127.0.0.1", "::1", host.strip("[]"), *names})
    return frozenset({host, *names}) if names else None


@dataclass(frozen=True)
class Door:
    """The access token (None = nobody is asked for one) and the key that CSRF tokens are made with."""

    key: bytes
    token: str | None = None

    def admits(self, given: str) -> bool:
        """Whether the access token is right."""
        return self.token is None or _same(given, self.token)

    def csrf(self, session: str) -> str:
        """The token that forms of this session carry: another session's is another one."""
        return hmac.new(self.key, session.encode(), hashlib.sha256).hexdigest()

    def csrf_fits(self, session: str, given: str) -> bool:
        """Whether a posted form comes from a page of this session."""
        return bool(session) and _same(given, self.csrf(session))


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode())


def new_secret() -> str:
    """A session or a nonce, from 192 random bits."""
    return secrets.token_urlsafe(24)


def digest(session: str) -> str:
    """What is stored of a session."""
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()


class Guard:
    """ASGI middleware: refuses a wrong ``Host`` and an oversized body, and adds the headers."""

    def __init__(self, app: Any, hosts: frozenset[str] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_RAW_HEADERS]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if self.hosts is not None and host_name(headers.get("host", "")) not in self.hosts:
            await _refuse(guarded, 421, "This server is not known by that name.")
        elif not headers.get("content-length", "0").isdecimal() or "transfer-encoding" in headers:
            await _refuse(guarded, 411, "Say the length of what is sent.")
        elif int(headers.get("content-length", "0")) > LARGEST_BODY:
            await _refuse(guarded, 413, "Too long.")
        else:
            await self.app(scope, receive, guarded)


_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def host_name(header: str) -> str:
    """The name in a ``Host`` header, without its port and brackets: ``[::1]:8000`` is ``::1``."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = sentence.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
