"""Log files per address, written by a small process of their own that also keeps secrets out.

A worker's stdout and stderr are one pipe into this process. It outlives the worker, so the last words of a crash are
kept, and it reads without the worker's interpreter lock, so native code that prints a lot cannot hang. Marker lines in
the stream say whose output follows. Run as ``python -m paribus.lab.logs FOLDER``.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

from paribus.lab.redact import redact

_BEGIN = b"\x00paribus-begin "
_END = b"\x00paribus-end"
_LONGEST_LINE = 65536
BETWEEN = "workers"
"""Name of the log for what a worker says outside of any stage, such as while it starts."""


def redirect_output(folder: Path) -> "subprocess.Popen[bytes]":
    """Send this process's stdout and stderr, at file-descriptor level, through a new log process."""
    command = [sys.executable, "-m", "paribus.lab.logs", str(folder)]
    pump = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    assert pump.stdin is not None
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(pump.stdin.fileno(), 1)
    os.dup2(pump.stdin.fileno(), 2)
    pump.stdin.close()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return pump


def begin(address: str) -> None:
    """From here on, output belongs to ``address``."""
    _mark(_BEGIN + address.encode())


def end() -> None:
    """The output of the current address is complete."""
    _mark(_END)


def _mark(line: bytes) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, b"\n" + line + b"\n")


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, or an empty text if there is none."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


class _Pump:
    """Copies lines from the pipe into the log of the address they belong to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: BinaryIO | None = None
        self._open(BETWEEN)

    def line(self, raw: bytes) -> None:
        if raw.startswith(_BEGIN):
            self._open(raw[len(_BEGIN) :].strip().decode())
        elif raw.startswith(_END):
            self._open(BETWEEN)
        elif self.file is not None and raw.strip():
            self._write(redact(raw.decode("utf-8", errors="replace")).encode())

    def _open(self, address: str) -> None:
        self._close()
        try:
            self.file = (self.folder / f"{address}.log").open("ab", buffering=0)
        except OSError:
            self.file = None  # no room for a log: the stage itself will fail where it writes its results

    def _write(self, data: bytes) -> None:
        assert self.file is not None
        try:
            self.file.write(data)
        except OSError:
            self._close()

    def _close(self) -> None:
        if self.file is not None:
            self.file.close()
        self.file = None


def main(folder: str) -> None:
    """Read stdin until every writer is gone."""
    pump = _Pump(Path(folder))
    while raw := sys.stdin.buffer.readline(_LONGEST_LINE):
        pump.line(raw)


if __name__ == "__main__":
    main(sys.argv[1])
