"""Ray: one task per stage; the store must lie on a file system that every node sees."""

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paribus.errors import ConfigError
from paribus.lab.execution import Machine, Outcome
from paribus.lab.launchers.contract import POLL_SECONDS, worker_command, worker_environment
from paribus.lab.launchers.remote import outcome_of, run_once


class RayCluster:
    """At most ``workers`` tasks at once; ``resources`` go to ``ray.remote`` (``num_cpus``, ``num_gpus`` ...).

    Connects to the running cluster, or starts a local one. Raises ``ConfigError`` if ray is not installed.
    """

    def __init__(
        self,
        store: Path,
        *,
        workers: int = 16,
        threads: int = 1,
        device: str = "cuda",
        resources: dict[str, Any] | None = None,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("The ray launcher needs ray; install it with `pip install 'paribus[ray]'`.")
        import ray

        self.slots = workers
        self._ray = ray
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
        self._command = worker_command(store, Machine(device, threads, workers))
        self._environment = worker_environment(threads)
        self._task = ray.remote(**{"num_cpus": threads, "max_retries": 0, **(resources or {})})(run_once)
        self._running: dict[Any, str] = {}

    def submit(self, addresses: Iterator[str | None]) -> Iterator[tuple[str, Outcome]]:
        """See ``Launcher.submit``."""
        more = True
        while more or self._running:
            while more and len(self._running) < self.slots:
                address = next(addresses, "")
                if not address:
                    more = address is None
                    break
                self._running[self._task.remote(self._command, self._environment, address)] = address
            yield from self._finished()

    def _finished(self) -> Iterator[tuple[str, Outcome]]:
        if not self._running:
            time.sleep(POLL_SECONDS)
            return
        done, _ = self._ray.wait(list(self._running), timeout=POLL_SECONDS * 5)
        for reference in done:
            address = self._running.pop(reference)
            try:
                yield address, outcome_of(self._ray.get(reference), address)
            except self._ray.exceptions.RayError as error:
                yield address, Outcome("lost", f"The ray task of {address} ended without an answer ({error}).")

    def close(self, *, stop: bool = False) -> None:
        """See ``Launcher.close``."""
        for reference in self._running if stop else ():
            self._ray.cancel(reference, force=True)
