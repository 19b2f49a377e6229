"""One lock file per address, so that any number of runs on one store build each artifact exactly once.

The file names host, process and a nonce, and its modification time is the owner's heartbeat. On one machine a dead
owner is known at once (no such process, or one that started at another time); on another machine it is dead when the
heartbeat is old. All decisions are taken under one short advisory lock (``flock``) on a guard file, so a takeover
cannot race.
"""

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from paribus.errors import StoreError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 90.0
"""A heartbeat older than this means a dead owner, if the owner is on another machine."""


@contextlib.contextmanager
def guard(folder: Path) -> Iterator[None]:
    """Exclusive access to the lock files of a store, for microseconds. Released by the kernel if the process dies."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "guard", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _flock(fcntl, descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _flock(fcntl: Any, descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise StoreError(
            f"The file system of {folder} refuses advisory locks ({error}); "
            "put the store on a local disk or on a network file system with flock."
        ) from error


@lru_cache(maxsize=1)
def machine() -> str:
    """This machine since its last boot, and the process namespace within it: where process ids mean something."""
    boot, namespace = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()}|{boot}|{namespace}"


def process_start(pid: int) -> str | None:
    """When a process of this machine started (an opaque text), or None if there is none. A reused id differs in it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _start_by_ps(pid)
    except (ProcessLookupError, PermissionError):
        return None
    # The second field is a name in brackets that may hold spaces; a zombie holds nothing and will never release.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def _start_by_ps(pid: int) -> str | None:
    import subprocess

    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


@dataclass(frozen=True)
class Owner:
    """Who holds a lock."""

    machine: str
    pid: int
    started: str
    nonce: str
    since: float

    @property
    def host(self) -> str:
        """Name of the owner's machine."""
        return self.machine.partition("|")[0]


class Locks:
    """The lock files of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, address: str) -> Path:
        """The lock file of an address."""
        return self.folder / f"{address}.json"

    def acquire(self, address: str) -> "Lock | None":
        """Take the lock, from a dead owner if need be; None while somebody alive holds it."""
        with guard(self.folder):
            if self.holder(address) is not None:
                return None
            lock = Lock(self, address, _myself())
            _write(self.path(address), lock.owner)
            return lock

    def holder(self, address: str) -> Owner | None:
        """The living owner of the lock, if there is one."""
        owner = self.read(address)
        return owner if owner is not None and self._alive(address, owner) else None

    def read(self, address: str) -> Owner | None:
        """Who the lock file names, dead or alive. A damaged file counts as no lock (its writer died while writing)."""
        try:
            return Owner(**json.loads(self.path(address).read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def _alive(self, address: str, owner: Owner) -> bool:
        if owner.machine == machine():
            return process_start(owner.pid) == owner.started
        try:
            # Age by the file system's own clock: machines may disagree about the time.
            beat, now = self.path(address).stat().st_mtime, _file_clock(self.folder)
        except FileNotFoundError:
            return False
        return now - beat < STALE_SECONDS


class Lock:
    """A lock that is held; as a context manager it beats until it is released."""

    def __init__(self, locks: Locks, address: str, owner: Owner) -> None:
        self._locks = locks
        self.address = address
        self.owner = owner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{address}", daemon=True)

    def held(self) -> bool:
        """Whether the file still names this owner (another machine may have taken it from a frozen one)."""
        return self._locks.read(self.address) == self.owner

    def release(self) -> None:
        """Give the lock back, unless somebody took it over meanwhile."""
        self._stop.set()
        with guard(self._locks.folder):
            if self.held():
                self._locks.path(self.address).unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self._locks.path(self.address))

    def __enter__(self) -> "Lock":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _myself() -> Owner:
    pid = os.getpid()
    return Owner(machine(), pid, process_start(pid) or "", uuid.uuid4().hex, time.time())


def _write(path: Path, owner: Owner) -> None:
    partial = path.with_suffix(f".{owner.nonce}")
    try:
        partial.write_text(json.dumps(owner.__dict__))
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _file_clock(folder: Path) -> float:
    os.utime(folder / "guard")
    return (folder / "guard").stat().st_mtime
