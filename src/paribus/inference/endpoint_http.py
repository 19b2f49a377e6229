"""One POST to a server: the key from the environment, failures sorted into those worth a retry and those not."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from email.message import Message as Headers
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from paribus.errors import EngineError
from paribus.inference.endpoint_connections import Connections
from paribus.inference.engine import Failure

RETRIED = frozenset({408, 409, 425, 429})  # and every 5xx
FATAL = frozenset({401, 402, 404})  # wrong key, no credit, no such model or path: every further request ends the same
SHOWN = 400  # characters of a server's message that an error shows
PLACEHOLDER = 8  # shorter keys ("EMPTY" for servers that want none) are no secrets and may be words of an answer


class CallError(Exception):
    """An attempt that failed; ``kind`` says to a program why, None where no request failed (a cap, a stopped run).

    ``retry``: again could help, after ``wait`` seconds if the server said so. ``fatal``: other requests would fail the
    same way. ``sent``: the server may have worked (and charged) for it.
    """

    def __init__(
        self,
        message: str,
        kind: Failure | None = None,
        *,
        retry: bool = False,
        wait: float | None = None,
        fatal: bool = False,
        sent: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind, self.retry, self.wait, self.fatal, self.sent = kind, retry, wait, fatal, sent


class JsonClient:
    """POSTs JSON below ``base_url``. The key is read from its variable for each request and kept nowhere.

    Redirects are not followed: one would carry the key to another address.
    """

    def __init__(self, base_url: str, *, api_key_variable: str, timeout: float) -> None:
        self.base_url, self.key_variable, self.timeout = checked_url(base_url), api_key_variable, timeout
        self.connections = Connections(self.base_url)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The parsed JSON of the answer; ``CallError`` for anything else. ``timeout`` bounds the whole exchange."""
        payload, headers = json.dumps(body).encode(), self._headers()
        deadline = time.monotonic() + self.timeout
        connection = self._connected()
        try:
            response, content = self._exchange(connection, path, payload, headers, deadline)
        except TimeoutError:
            raise self._late(sent=True) from None
        except (OSError, HTTPException) as error:
            message = f"the connection to {self.base_url} broke: {type(error).__name__} {error}"
            raise CallError(self.masked(message), "connection", retry=True, sent=True) from None
        if not 200 <= response.status < 300:
            raise self._refused(response, content, path)
        return self._parsed(response, content)

    def _connected(self) -> HTTPConnection:
        try:
            return self.connections.take(self.timeout)
        except TimeoutError:
            raise self._late(sent=False) from None
        except (OSError, HTTPException) as error:
            broken = isinstance(error, ssl.SSLCertVerificationError)  # no further attempt would end otherwise
            message = f"{self.base_url} could not be reached: {error}"
            raise CallError(self.masked(message), "connection", retry=not broken, fatal=broken) from None

    def _exchange(
        self, connection: HTTPConnection, path: str, payload: bytes, headers: dict[str, str], deadline: float
    ) -> tuple[HTTPResponse, bytes]:
        """One request and its answer; the connection is kept for the next one if both sides are through."""
        whole = False
        try:
            sock = connection.sock  # http.client lets go of it when the answer is to be the last
            sock.settimeout(left_until(deadline))
            where, more = self.connections.target(path)
            connection.request("POST", where, payload, {**headers, **more})
            response = connection.getresponse()
            try:
                content = read_until(response, sock, deadline)
                whole = not response.will_close
            except (OSError, HTTPException):
                if response.status < 400:
                    raise
                content = b""  # the status says enough
            response.close()
            return response, content
        finally:
            if whole:
                self.connections.give(connection)
            else:
                connection.close()

    def _late(self, *, sent: bool) -> CallError:
        message = f"{self.base_url} gave no full answer within {self.timeout:g} seconds"
        return CallError(message, "timeout", retry=True, sent=sent)

    def masked(self, text: str) -> str:
        """The text without the key, should a server have sent it back."""
        key = self._key()
        return text.replace(key, "[key]") if len(key) >= PLACEHOLDER else text

    def _key(self) -> str:
        return os.environ.get(self.key_variable, "").strip()

    def _headers(self) -> dict[str, str]:
        key = self._key()
        if not (key.isascii() and key.isprintable()):  # http.client would show the value in its complaint
            raise EngineError(
                f"The environment variable {self.key_variable} holds characters that no HTTP header can carry; set it "
                "to the bare key."
            )
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        return {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "paribus",
            **authorization,
        }

    def _parsed(self, response: HTTPResponse, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            kind = response.headers.get("Content-Type", "no content type")
            message = f"{self.base_url} answered something that is not JSON ({kind}): {self._shown(body)}"
            raise CallError(message, "bad_body", retry=True, sent=True) from None

    def _refused(self, response: HTTPResponse, body: bytes, path: str) -> CallError:
        said, code = server_message(body)
        spent = code == "insufficient_quota"  # sent as 429, yet waiting does not help
        message = f"{self.base_url}/{path} answered {response.status}: {self._shown(said or body)}"
        if response.status == 401 and not self._key():
            message += f" (the environment variable {self.key_variable} is not set)"
        if 300 <= response.status < 400:
            message += (
                f" (redirects to {response.headers.get('Location')}; give that address as base_url if you trust it)"
            )
        return CallError(
            self.masked(message),
            "refused" if code == "content_filter" else failure_of(response.status),
            retry=(response.status in RETRIED or response.status >= 500) and not spent,
            wait=retry_after(response.headers),
            fatal=response.status in FATAL or response.status < 400 or spent,
        )

    def _shown(self, said: str | bytes) -> str:
        # masked before it is cut: half a key at the edge would not be recognised
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        return self.masked(" ".join(text.split()))[:SHOWN] or "(an empty body)"


def checked_url(base_url: str) -> str:
    """The address without its last slash; ``EngineError`` if it is none, or carries what may be a secret."""
    parts = urlsplit(base_url)
    if "@" in parts.netloc or parts.query or parts.fragment:  # not shown: it may be a password
        raise EngineError(
            f"The base_url of the server {parts.hostname!r} carries a user, a query or a fragment; give the bare "
            "address, and the key through its environment variable."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EngineError(
            f"The base_url is {base_url!r}; give the server's address up to its version, as in http://localhost:8000/v1"
        )
    return base_url.rstrip("/")


def failure_of(status: int) -> Failure:
    """The kind of failure that an HTTP status means."""
    named: dict[int, Failure] = {408: "timeout", 429: "rate_limit"}
    return named.get(status, "server_error" if status >= 500 else "rejected")


def left_until(deadline: float) -> float:
    """Seconds up to a moment of the monotonic clock; ``TimeoutError`` when it is past."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def read_until(response: HTTPResponse, sock: socket.socket, deadline: float) -> bytes:
    """The whole body; ``TimeoutError`` after the deadline (the socket's own timeout restarts with every byte)."""
    parts = []
    while part := response.read1(1 << 16):
        parts.append(part)
        sock.settimeout(left_until(deadline))
    if response.length:  # read1 does not complain about a body cut short
        raise HTTPException(f"{response.length} bytes of the body are missing")
    return b"".join(parts)


def server_message(body: bytes) -> tuple[str, str]:
    """(message, code) of an error body in one of the usual shapes; empty texts where it has none."""
    try:
        found = json.loads(body)
    except ValueError:
        return "", ""
    error = found.get("error", found) if isinstance(found, dict) else found
    if not isinstance(error, dict):
        return str(error), ""
    said = next((error[name] for name in ("message", "detail", "error") if error.get(name)), "")
    return str(said), str(error.get("code") or "")


def retry_after(headers: Headers) -> float | None:
    """Seconds that the server asks to wait: a number or a date; None if it says nothing that can be read."""
    said = (headers.get("Retry-After") or "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None
