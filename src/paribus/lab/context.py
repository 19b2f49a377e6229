"""What a running stage may ask about its run: device, threads, scratch space, and where to report progress.

None of this can enter an identity. Outside a run (a notebook, a unit test) ``current()`` answers with a context that
has its own temporary scratch folder (gone with the process) and reports nowhere, so parts of stages can be called
directly.
"""

import atexit
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRESS_INTERVAL = 0.3
"""Seconds between two writes of a progress file; a stage may report every step."""


@dataclass
class RunContext:
    """The run around a stage.

    device    "cpu", "cuda" or a name that the launcher was given
    threads   compute threads this stage may use
    workers   how many workers run beside each other on this machine
    scratch   folder of this address: survives a kill (for checkpoints), is removed once the artifact is published
    hints     facts about this machine that are no part of the identity
    """

    device: str = "cpu"
    threads: int = 1
    workers: int = 1
    scratch: Path = field(default_factory=lambda: _temporary())
    address: str = ""
    hints: Mapping[str, str] = field(default_factory=dict)
    progress_file: Path | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    _written: float = 0.0
    _first: dict[str, Any] = field(default_factory=dict)

    def progress(self, step: int, total: int | None = None, **metrics: float) -> None:
        """Report a step. Known metrics: ``tokens`` (so far), ``loss``; any others are shown as they are."""
        # Rates count from the first report: a resumed stage starts in the middle.
        self._first = self._first or {"step": step, "tokens": metrics.get("tokens", 0.0), "time": time.time()}
        now = time.monotonic()
        if self.progress_file is None or (now - self._written < PROGRESS_INTERVAL and step != total):
            return
        self._written = now
        self._write({"step": step, "total": total, "metrics": metrics, "first": self._first, "time": time.time()})

    def record_calls(self, engine: str, *, calls: int, **counts: float) -> None:
        """Tell the ledger of requests to an engine; ``counts``: cached, prompt_tokens, generated_tokens, price ..."""
        self.calls.append({"engine": engine, "calls": calls, **counts})

    def _write(self, row: dict[str, Any]) -> None:
        assert self.progress_file is not None
        partial = self.progress_file.with_suffix(f".{os.getpid()}")
        # Progress is a courtesy: a full disk must fail the stage where it writes its results, not here.
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps(row, default=float))
            partial.replace(self.progress_file)


_current: ContextVar[RunContext | None] = ContextVar("paribus_run_context", default=None)


def current() -> RunContext:
    """The context of the running stage, or a bare one outside of any run."""
    return _current.get() or RunContext()


def _temporary() -> Path:
    """A folder that goes with this process."""
    folder = tempfile.mkdtemp(prefix="paribus-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextlib.contextmanager
def activate(context: RunContext) -> Iterator[RunContext]:
    """Make ``context`` the current one for the time of a stage."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
