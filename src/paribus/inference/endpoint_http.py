"""One POST to a server: the key from the environment, failures sorted into those worth a retry and those not."""

from __future__ import annotations

import json
import os
import ssl
import time
from email.message import Message as Headers
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from paribus.errors import EngineError

RETRIED = frozenset({408, 409, 425, 429})  # and every 5xx
FATAL = frozenset({401, 402, 404})  # wrong key, no credit, no such model or path: every further request ends the same
SHOWN = 400  # characters of a server's message that an error shows
PLACEHOLDER = 8  # shorter keys ("EMPTY" for servers that want none) are no secrets and may be words of an answer


class CallError(Exception):
    """An attempt that failed.

    ``retry``: again could help, after ``wait`` seconds if the server said so. ``fatal``: other requests would fail the
    same way. ``sent``: the server may have worked (and charged) for it.
    """

    def __init__(
        self, message: str, *, retry: bool = False, wait: float | None = None, fatal: bool = False, sent: bool = False
    ) -> None:
        super().__init__(message)
        self.retry, self.wait, self.fatal, self.sent = retry, wait, fatal, sent


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key to another address."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class JsonClient:
    """POSTs JSON below ``base_url``. The key is read from its variable for each request and kept nowhere."""

    def __init__(self, base_url: str, *, api_key_variable: str, timeout: float) -> None:
        self.base_url, self.key_variable, self.timeout = checked_url(base_url), api_key_variable, timeout
        self._opener = build_opener(_NoRedirect)  # proxies of the environment are used

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The parsed JSON of the answer; ``CallError`` for anything else. ``timeout`` bounds the whole exchange."""
        request = Request(f"{self.base_url}/{path}", data=json.dumps(body).encode(), headers=self._headers())
        deadline = time.monotonic() + self.timeout
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                return self._parsed(response, read_until(response, deadline))
        except HTTPError as error:
            raise self._refused(error, path) from None
        except URLError as error:
            broken = isinstance(error.reason, ssl.SSLCertVerificationError)
            message = f"{self.base_url} could not be reached: {error.reason}"
            raise CallError(self.masked(message), retry=not broken, fatal=broken) from None
        except TimeoutError:
            raise CallError(
                f"{self.base_url} gave no full answer within {self.timeout:g} seconds", retry=True, sent=True
            ) from None
        except (OSError, HTTPException) as error:
            message = f"the connection to {self.base_url} broke: {type(error).__name__} {error}"
            raise CallError(self.masked(message), retry=True, sent=True) from None

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
        return {"Content-Type": "application/json", "Accept": "application/json", **authorization}

    def _parsed(self, response: HTTPResponse, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            kind = response.headers.get("Content-Type", "no content type")
            message = f"{self.base_url} answered something that is not JSON ({kind}): {self._shown(body)}"
            raise CallError(message, retry=True, sent=True) from None

    def _refused(self, error: HTTPError, path: str) -> CallError:
        with error:
            try:
                body = error.read(1 << 16)
            except (OSError, HTTPException):
                body = b""
        said, code = server_message(body)
        spent = code == "insufficient_quota"  # sent as 429, yet waiting does not help
        message = f"{self.base_url}/{path} answered {error.code}: {self._shown(said or body)}"
        if error.code == 401 and not self._key():
            message += f" (the environment variable {self.key_variable} is not set)"
        if 300 <= error.code < 400:
            message += f" (redirects to {error.headers.get('Location')}; give that address as base_url if you trust it)"
        return CallError(
            self.masked(message),
            retry=(error.code in RETRIED or error.code >= 500) and not spent,
            wait=retry_after(error.headers),
            fatal=error.code in FATAL or error.code < 400 or spent,
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


def read_until(response: HTTPResponse, deadline: float) -> bytes:
    """The whole body; ``TimeoutError`` after the deadline (the socket's own timeout restarts with every byte)."""
    parts = []
    while part := response.read1(1 << 16):
        parts.append(part)
        if time.monotonic() > deadline:
            raise TimeoutError
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
