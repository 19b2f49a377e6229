"""Kills a run again and again, with ``kill -9``, to show that what it builds does not depend on it.

    report = run_through_kills(command, store, kill_after=(0.5, 1.2, 0.8))
    assert report.code == 0 and not report.orphans
    assert payload_differences(Store(store), Store(undisturbed)) == []

``command`` is any command line that runs a study into ``store`` and ends with exit code 0 when it is complete.
"""

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Victim = Literal["runner", "worker", "any"]


@dataclass(frozen=True)
class KillReport:
    """What happened. ``orphans``: workers that outlived their runner by seconds; ``output``: that of the last run."""

    code: int
    runs: int
    runners_killed: int
    workers_killed: int
    orphans: tuple[int, ...]
    output: str


def run_through_kills(
    command: Sequence[str],
    store: Path,
    kill_after: Sequence[float],
    *,
    victim: Victim = "any",
    seed: int = 0,
    environment: Mapping[str, str] | None = None,
    timeout: float = 600.0,
) -> KillReport:
    """Run ``command``; each time that so many seconds have passed, kill it or one of its workers; then finish it.

    A run that was killed is started again; one that lost a worker goes on, and may lose another. A run that ends before
    its time is not killed. Linux only (reads ``/proc``).
    """
    dice = random.Random(seed)
    counts = {"runner": 0, "worker": 0}
    orphans: list[int] = []
    running: _Running | None = None
    runs = 0
    for delay in kill_after:
        who = dice.choice(("runner", "worker")) if victim == "any" else victim
        if running is None:
            running, runs = _start(command, environment), runs + 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.process.wait(delay)
        if running.process.poll() is None:
            counts[who] += _kill(running.process, store, who, dice)
        if who == "runner" or running.process.poll() is not None:
            _finish(running, 10.0)
            orphans += _orphans(store)
            running = None
    if running is not None:
        _finish(running, timeout)
    running = _start(command, environment)
    text = _finish(running, timeout)
    code = running.process.returncode
    return KillReport(code, runs + 1, counts["runner"], counts["worker"], tuple(orphans), text)


def workers_of(store: Path) -> list[int]:
    """Process ids of the living workers on a store, of whichever runner."""
    return [pid for pid, words in _processes() if "paribus.lab.worker" in words and str(store.absolute()) in words]


@dataclass(frozen=True)
class _Running:
    process: "subprocess.Popen[bytes]"
    output: Path


def _start(command: Sequence[str], environment: Mapping[str, str] | None) -> _Running:
    handle, name = tempfile.mkstemp(suffix=".log")
    process = subprocess.Popen(
        list(command),
        stdout=handle,
        stderr=subprocess.STDOUT,
        env=dict(environment or os.environ),
        start_new_session=True,
    )
    os.close(handle)
    return _Running(process, Path(name))


def _kill(process: "subprocess.Popen[bytes]", store: Path, who: str, dice: random.Random) -> int:
    """``kill -9``; returns how many were killed. Waits for a worker to start, and finds none if the run ends first."""
    if who == "runner":
        # The whole group: the command may be a shell or a launcher around the runner.
        os.killpg(process.pid, signal.SIGKILL)
        return 1
    while not (workers := workers_of(store)):
        if process.poll() is not None:
            return 0
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.kill(dice.choice(workers), signal.SIGKILL)
    return 1


def _finish(running: _Running, timeout: float) -> str:
    try:
        running.process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()
    text = running.output.read_text(errors="replace")
    running.output.unlink()
    return text


def _orphans(store: Path, patience: float = 5.0) -> list[int]:
    end = time.monotonic() + patience
    while (alive := workers_of(store)) and time.monotonic() < end:
        time.sleep(0.05)
    return alive


def _processes() -> list[tuple[int, list[str]]]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if state != "Z":
                    found.append((int(folder.name), words))
    return found
