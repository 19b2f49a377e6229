"""The application on an address: who may reach it is settled, and the port taken, before anything is served."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paribus.errors import ConfigError
from paribus.feedback.server.database import Database
from paribus.feedback.server.queue import LEASE_SECONDS
from paribus.feedback.server.security import TOKEN_VARIABLE, Door, allowed_hosts


@dataclass(frozen=True)
class Address:
    """Where to serve. ``names`` are further host names it is reached by; ``https`` says that a proxy speaks HTTPS."""

    host: str = "127.0.0.1"
    port: int = 8020
    names: tuple[str, ...] = ()
    https: bool = False


def token_from_environment() -> str | None:
    """The access token; None if the variable is not set or empty."""
    return os.environ.get(TOKEN_VARIABLE) or None


def check_installed() -> None:
    """Raise ``ConfigError`` if the packages of the server are not installed."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"The server needs a package that is not installed ({error.name}); run: pip install 'paribus[ui]'"
        ) from error


def admitted(address: Address, token: str | None) -> frozenset[str] | None:
    """The host names to be answered at an address (None = any), once it is sure that it may be served.

    Raises ``ConfigError`` where the packages are missing, and as ``allowed_hosts``: nothing has been touched by then.
    """
    check_installed()
    return allowed_hosts(address.host, address.names, token)


def application(database: Database, address: Address, token: str | None, lease: float = LEASE_SECONDS) -> Any:
    """The application for an address. Raises ``ConfigError`` as ``admitted``."""
    hosts = admitted(address, token)
    from paribus.feedback.server.app import Site, make_app

    return make_app(Site(database, Door(database.key, token), lease, address.https), hosts)


def serve(application: Any, address: Address, started: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; ``started`` gets the address to open. Raises ``ConfigError`` if the port cannot be taken."""
    import uvicorn

    # No access log: who rated what, and when, is in the database, and no address carries a secret anyway.
    config = uvicorn.Config(
        application, log_level="warning", access_log=False, server_header=False, proxy_headers=False
    )
    with _taken(address) as taken:
        host, port = taken.getsockname()[:2]
        started(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        uvicorn.Server(config).run(sockets=[taken])


def _taken(address: Address) -> socket.socket:
    try:
        return socket.create_server((address.host, address.port), family=_family(address.host))
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{address.host} port {address.port} cannot be served ({error}); choose another with --host and --port."
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
