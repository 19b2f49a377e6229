"""What every launcher does: ``submit(addresses) -> iterator of (address, outcome)``."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from paribus.lab.execution import Machine, Outcome

POLL_SECONDS = 0.1


class Launcher(Protocol):
    """Runs addresses somewhere.

    ``addresses`` yields the next address to run, or None for "nothing is ready now, ask again after the next outcome or
    in a moment", and ends when nothing will ever follow. The answers come in the order in which stages end.
    """

    slots: int

    def submit(self, addresses: Iterator[str | None]) -> Iterator[tuple[str, Outcome]]:
        """Run addresses as they become ready; yields each one's outcome as it ends."""
        ...

    def close(self, *, stop: bool = False) -> None:
        """Release the workers; with ``stop`` the running stages are ended (their checkpoints stay)."""
        ...


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a worker: one compute thread, passive waiting, stable hashing; set before Python starts.

    Two compute threads beside any other busy process have been measured many times slower than one.
    """
    count = str(threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")
    fixed = {
        "OMP_WAIT_POLICY": "passive",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
    }
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if "zip" not in Path(entry).suffix)
    return {**os.environ, **dict.fromkeys(names, count), **fixed, "PYTHONPATH": path}


def worker_command(store: Path, machine: Machine) -> list[str]:
    """The command line of a worker process on this machine."""
    options = ["--store", str(store), "--device", machine.device, "--threads", str(machine.threads)]
    return [sys.executable, "-m", "paribus.lab.worker", *options, "--workers", str(machine.workers)]
