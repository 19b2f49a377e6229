"""The default launcher: a bounded pool of worker processes on this machine.

Workers stay alive between stages, because importing torch and transformers costs seconds. Each one is started with its
thread settings in the environment, listens on a pipe, and dies when the runner's end of that pipe closes.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from paribus.lab.execution import Machine, Outcome
from paribus.lab.launchers.contract import POLL_SECONDS, worker_command, worker_environment

STOP_SECONDS = 5.0
"""How long a worker may take to give up its lock before it is killed."""


class _Worker:
    """One process, the address it is busy with, and what it has said so far."""

    def __init__(self, store: Path, machine: Machine) -> None:
        environment = worker_environment(machine.threads)
        command = worker_command(store, machine)
        # Its own session: Ctrl-C in the terminal reaches the runner alone, which then ends the workers in order.
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        self.machine = machine
        self.address = ""
        self.runs = 0
        self._buffer = b""

    def run(self, address: str) -> None:
        """Hand over an address. A worker that has just died is found out by its closed answers, not here."""
        assert self.process.stdin is not None
        self.address, self.runs = address, self.runs + 1
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(address.encode() + b"\n")

    def read(self) -> list[Outcome] | None:
        """Outcomes that have arrived; None when the worker has died."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        rows = [json.loads(line) for line in lines]
        return [Outcome(**{k: v for k, v in row.items() if k != "address"}) for row in rows if "address" in row]

    def death(self) -> Outcome:
        """Why the process ended, as an outcome."""
        code = self.process.wait()
        how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        hint = "; SIGKILL often means that the machine ran out of memory" if code == -signal.SIGKILL else ""
        return Outcome(
            "lost", f"The worker process {self.process.pid} ended with {how} while running {self.address}{hint}."
        )

    def terminate(self) -> None:
        """Ask the worker to stop: it gives up its lock and keeps its checkpoints."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def dismiss(self) -> None:
        """Let an idle worker end."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(b"\n")

    def end(self) -> None:
        """Wait for the end, then make sure of it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class ProcessPool:
    """At most ``workers`` stages at once. ``devices`` are handed round (``cuda:0``, ``cuda:1`` ...).

    ``stages_per_worker`` bounds how many stages share a process; 1 gives each a fresh one, 0 means no bound.
    """

    def __init__(
        self,
        store: Path,
        *,
        workers: int = 1,
        threads: int = 1,
        devices: tuple[str, ...] = ("cpu",),
        stages_per_worker: int = 0,
    ) -> None:
        self.slots = workers
        self._store = store
        self._machines = cycle(Machine(device, threads, workers) for device in devices)
        self._limit = stages_per_worker
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    def submit(self, addresses: Iterator[str | None]) -> Iterator[tuple[str, Outcome]]:
        """See ``Launcher.submit``."""
        more = True
        while more or any(worker.address for worker in self._workers):
            more = more and self._hand_out(addresses)
            for worker in self._ready():
                yield from self._collect(worker)

    def _hand_out(self, addresses: Iterator[str | None]) -> bool:
        while sum(1 for worker in self._workers if worker.address) < self.slots:
            try:
                address = next(addresses)
            except StopIteration:
                return False
            if address is None:
                return True
            self._free_worker().run(address)
        return True

    def _free_worker(self) -> _Worker:
        for worker in self._workers:
            if not worker.address:
                return worker
        worker = _Worker(self._store, next(self._machines))
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        self._workers.append(worker)
        return worker

    def _ready(self) -> list[_Worker]:
        return [key.data for key, _ in self._selector.select(POLL_SECONDS)] if self._workers else _pause()

    def _collect(self, worker: _Worker) -> Iterator[tuple[str, Outcome]]:
        outcomes = worker.read()
        if outcomes is None:
            outcomes = [worker.death()] if worker.address else []
            self._remove(worker)
        for outcome in outcomes:
            address, worker.address = worker.address, ""
            if self._limit and worker.runs >= self._limit and worker in self._workers:
                worker.dismiss()
                self._remove(worker)
            yield address, outcome

    def _remove(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        worker.end()

    def close(self, *, stop: bool = False) -> None:
        """See ``Launcher.close``."""
        for worker in self._workers:
            worker.terminate() if stop else worker.dismiss()
        for worker in list(self._workers):
            self._remove(worker)


def _pause() -> list[_Worker]:
    import time

    time.sleep(POLL_SECONDS)
    return []
