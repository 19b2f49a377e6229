"""Slurm, through submitit: one job per stage; the store must lie on a file system that every node sees."""

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paribus.errors import ConfigError
from paribus.lab.execution import Machine, Outcome
from paribus.lab.launchers.contract import POLL_SECONDS, worker_command, worker_environment
from paribus.lab.launchers.remote import outcome_of, run_once


class Slurm:
    """At most ``workers`` jobs at once. ``parameters`` go to ``submitit`` as they are (``slurm_partition``,
    ``gpus_per_node``, ``timeout_min`` ...); ``cluster`` is its executor (``slurm``, or ``local`` to try it without a
    cluster).

    Raises ``ConfigError`` if submitit is not installed.
    """

    def __init__(
        self,
        store: Path,
        *,
        workers: int = 16,
        threads: int = 1,
        device: str = "cuda",
        cluster: str | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise ConfigError("The slurm launcher needs submitit; install it with `pip install 'paribus[slurm]'`.")
        import submitit

        self.slots = workers
        self._command = worker_command(store, Machine(device, threads, workers))
        self._environment = worker_environment(threads)
        self._executor = submitit.AutoExecutor(folder=store / "logs" / "slurm", cluster=cluster)
        self._executor.update_parameters(**(parameters or {}))
        self._jobs: dict[str, Any] = {}

    def submit(self, addresses: Iterator[str | None]) -> Iterator[tuple[str, Outcome]]:
        """See ``Launcher.submit``."""
        more = True
        while more or self._jobs:
            while more and len(self._jobs) < self.slots:
                address = next(addresses, "")
                if not address:
                    more = address is None
                    break
                self._jobs[address] = self._executor.submit(run_once, self._command, self._environment, address)
            finished = [address for address, job in self._jobs.items() if job.done()]
            for address in finished:
                yield address, _result(self._jobs.pop(address), address)
            if not finished:
                # The scheduler answers slowly and dislikes being asked often.
                time.sleep(POLL_SECONDS * 10)

    def close(self, *, stop: bool = False) -> None:
        """See ``Launcher.close``."""
        for job in self._jobs.values() if stop else ():
            job.cancel()


def _result(job: Any, address: str) -> Outcome:
    error = job.exception()
    if error is not None:
        return Outcome("lost", f"The job {job.job_id} of {address} ended without an answer ({error}).")
    return outcome_of(job.result(), address)
