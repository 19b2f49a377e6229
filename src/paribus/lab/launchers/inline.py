"""Runs stages in the calling process, one after the other: for notebooks, debuggers and stages without a module."""

import time
from collections.abc import Iterator
from pathlib import Path

from paribus.lab.execution import Machine, Outcome, execute
from paribus.lab.launchers.contract import POLL_SECONDS


class Inline:
    """No processes and no logs: output goes where the caller's output goes."""

    slots = 1

    def __init__(self, store: Path, *, threads: int = 1, device: str = "cpu") -> None:
        from paribus.lab.store import Store

        self._store = Store(store)
        self._machine = Machine(device, threads, 1)

    def submit(self, addresses: Iterator[str | None]) -> Iterator[tuple[str, Outcome]]:
        """See ``Launcher.submit``."""
        for address in addresses:
            if address is None:
                time.sleep(POLL_SECONDS)
            else:
                yield address, execute(self._store, address, self._machine)

    def close(self, *, stop: bool = False) -> None:
        """Nothing to release."""
