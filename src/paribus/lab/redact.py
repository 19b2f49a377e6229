"""Keeps keys, tokens and headers out of everything that is written: ledger, logs, messages, specifications."""

import os
import re

MASK = "[redacted]"

_SECRET_VARIABLE = re.compile(
    r"(?:^|_)(?:API)?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH|AUTHORIZATION)S?(?:$|_)", re.IGNORECASE
)
# Shapes of well-known secrets, each long enough that ordinary words and hashes do not match.
_SECRET_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_\-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|xox[abprs]-[A-Za-z0-9\-]{10,}|AKIA[A-Z0-9]{16}|AIza[A-Za-z0-9_\-]{30,}"
    r"|eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,})"
)
_HEADER = re.compile(
    r"""(?ix) (["']?(?:proxy-)?authorization["']?\s*[:=]\s*["']?) (?:(?:bearer|basic|token)\s+)? [^\s"',}]+
      | (\bbearer\s+) [A-Za-z0-9._\-+/=]{8,}
      | (["']?\b(?:x-)?(?:api|access|auth|secret)[-_]?(?:key|token)["']?\s*[:=]\s*["']?) [^\s"',;}&]{6,}
      | (\bpassword["']?\s*[:=]\s*["']?) [^\s"',;}&]+
      | (\bset-cookie\s*:\s*|\bcookie\s*:\s*) [^\r\n]+ """
)
_MINIMUM_LENGTH = 8


def secret_values() -> tuple[str, ...]:
    """Values of environment variables whose names say that they hold a secret, longest first."""
    found = {
        value
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name) and len(value) >= _MINIMUM_LENGTH and not value.startswith("/")
    }
    return tuple(sorted(found, key=len, reverse=True))


def looks_secret(text: str) -> bool:
    """Whether a text holds the shape of a well-known key or token, or the value of a secret environment variable."""
    if len(text) < _MINIMUM_LENGTH:
        return False
    return bool(_SECRET_SHAPES.search(text)) or any(value in text for value in secret_values())


def redact(text: str, secrets: tuple[str, ...] | None = None) -> str:
    """The text with every known secret, header and key-shaped word replaced by ``[redacted]``.

    ``secrets`` is ``secret_values()`` for callers that clean many texts at once.
    """
    for value in secret_values() if secrets is None else secrets:
        text = text.replace(value, MASK)
    text = _SECRET_SHAPES.sub(MASK, text)
    return _HEADER.sub(lambda match: next(group for group in match.groups() if group is not None) + MASK, text)
