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
    """Start ``command`` once per entry of ``kill_after``, kill it (or a worker) after so many seconds; then finish it.

    A run that ends before its time is not killed. Linux only (reads ``/proc``).
    """
    dice = random.Random(seed)
    counts = {"runner": 0, "worker": 0}
    orphans: list[int] = []
    for delay in kill_after:
        who = dice.choice(("runner", "worker")) if victim == "any" else victim
        process, output = _start(command, environment)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        if process.poll() is None:
            counts[who] += _kill(process, store, who, dice)
        _finish(process, output, timeout if who == "worker" else 10.0)
        orphans += _orphans(store)
    process, output = _start(command, environment)
    text = _finish(process, output, timeout)
    runs = len(kill_after) + 1
    return KillReport(process.returncode, runs, counts["runner"], counts["worker"], tuple(orphans), text)


def workers_of(store: Path) -> list[int]:
    """Process ids of the living workers on a store, of whichever runner."""
    return [pid for pid, words in _processes() if "paribus.lab.worker" in words and str(store.absolute()) in words]


def _start(command: Sequence[str], environment: Mapping[str, str] | None) -> tuple["subprocess.Popen[bytes]", Path]:
    handle, name = tempfile.mkstemp(suffix=".log")
    process = subprocess.Popen(
        list(command),
        stdout=handle,
        stderr=subprocess.STDOUT,
        env=dict(environment or os.environ),
        start_new_session=True,
    )
    os.close(handle)
    return process, Path(name)


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


def _finish(process: "subprocess.Popen[bytes]", output: Path, timeout: float) -> str:
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    text = output.read_text(errors="replace")
    output.unlink()
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
