"""What a run shows: a live table on a terminal, plain lines anywhere else."""

import json
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from paribus.lab.budget import Cost
from paribus.lab.redact import redact

if TYPE_CHECKING:
    from paribus.lab.execution import Outcome
    from paribus.lab.runner import RunReport
    from paribus.lab.scheduling import Schedule
    from paribus.lab.store import Store
    from paribus.lab.study import Plan

PLAIN_INTERVAL = 15.0
"""Seconds between two progress lines of a running stage in a plain log."""
LIVE_INTERVAL = 0.5


class Display:
    """Plain lines, one per event, and a progress line per running stage from time to time. The base of the live one."""

    def __init__(self, plan: "Plan", store: "Store", stream: TextIO | None = None) -> None:
        self.plan = plan
        self.store = store
        self.stream = stream or sys.stderr
        self.begun: dict[str, float] = {}
        self.interval = PLAIN_INTERVAL
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> "Display":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=2.0)

    # ---- events -----------------------------------------------------------------------------------------------------

    def start(self, schedule: "Schedule") -> None:
        """The run begins."""
        self.schedule = schedule
        total, done = len(self.plan.graph), len(schedule.done)
        for notice in self.plan.notices:
            self.note(notice)
        self.line(
            f"{self.plan.study.name} [{self.plan.settings.scale}]: {total} stages, {done} done, {total - done} to do"
        )

    def started(self, address: str) -> None:
        """A stage was handed to a worker."""
        with self._lock:
            self.begun[address] = time.monotonic()
        self.line(f"{self.count()} starts    {self.plan.title_of(address)}  {address}")

    def finished(self, address: str, cost: Cost | None) -> None:
        """A stage is done, here or (without a cost) in another run."""
        with self._lock:
            self.begun.pop(address, None)
        how = "by another run" if cost is None else f"in {cost.seconds:.1f} s"
        self.line(f"{self.count()} done      {self.plan.title_of(address)} {how}")

    def failed(self, address: str, outcome: "Outcome", log: Path) -> None:
        """A stage failed; its traceback is shown, and where its log lies."""
        with self._lock:
            self.begun.pop(address, None)
        blocked = len(self.plan.graph.descendants(address))
        self.line(f"{self.count()} FAILED    {self.plan.title_of(address)}  {address}")
        self.line(outcome.trace.rstrip() or outcome.error)
        self.line(f"  {outcome.error}\n  Log: {log}. {blocked} stages that need it are blocked; the others go on.")

    def note(self, text: str) -> None:
        """Something worth saying."""
        self.line(f"note: {text}")

    def end(self, report: "RunReport") -> None:
        """The run is over."""
        self.line(summary(report))

    def count(self) -> str:
        """``[done/total]``."""
        return f"[{len(self.schedule.done)}/{len(self.plan.graph)}]"

    # ---- output -----------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Write a line, without secrets."""
        print(redact(text), file=self.stream, flush=True)

    def _watch(self) -> None:
        while not self._stop.wait(self.interval):
            self.refresh()

    def refresh(self) -> None:
        """Show how far the running stages are."""
        for address in self.running():
            text = progress_text(read_progress(self.store.progress(address)))
            if text:
                self.line(f"{self.count()} running   {self.plan.title_of(address)}  {text}")

    def running(self) -> list[str]:
        """Addresses at work, oldest first."""
        with self._lock:
            return list(self.begun)


class LiveDisplay(Display):
    """A table of the running stages that redraws itself in place; events scroll by above it."""

    def __init__(self, plan: "Plan", store: "Store", stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(plan, store, stream)
        self.interval = LIVE_INTERVAL
        self.console = Console(file=self.stream)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)

    def __enter__(self) -> "LiveDisplay":
        self._live.start()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._live.stop()

    def started(self, address: str) -> None:
        """A stage was handed to a worker; the table shows it."""
        with self._lock:
            self.begun[address] = time.monotonic()

    def line(self, text: str) -> None:
        """Write a line above the table, without secrets."""
        self.console.print(redact(text), markup=False, highlight=False, soft_wrap=True)

    def refresh(self) -> None:
        """Redraw the table."""
        self._live.update(self._table(), refresh=True)

    def _table(self) -> Any:
        from rich.box import SIMPLE
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=f"{self.plan.study.name} {self.count() if hasattr(self, 'schedule') else ''}",
            title_justify="left",
            box=SIMPLE,
        )
        for column in ("stage", "step", "rate", "loss", "left"):
            table.add_column(column)
        for address in self.running():
            row = read_progress(self.store.progress(address))
            table.add_row(Text(self.plan.title_of(address)), *progress_cells(row, self.begun.get(address)))
        return table


def make_display(plan: "Plan", store: "Store", stream: TextIO | None = None) -> Display:
    """A live display on a terminal, plain lines otherwise."""
    stream = stream or sys.stderr
    return LiveDisplay(plan, store, stream) if stream.isatty() else Display(plan, store, stream)


def read_progress(path: Path) -> dict[str, Any]:
    """The last progress a stage wrote; empty if there is none."""
    try:
        row: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return row


def progress_cells(row: dict[str, Any], begun: float | None) -> tuple[str, str, str, str]:
    """Step, tokens per second, loss and time left (or the time it has run) as texts."""
    if not row:
        return "", "", "", f"{clock(time.monotonic() - begun)} so far" if begun is not None else ""
    step, total, metrics, first = row["step"], row.get("total"), row.get("metrics", {}), row["first"]
    spent, steps = row["time"] - first["time"], row["step"] - first["step"]
    tokens = metrics.get("tokens", 0.0) - first["tokens"]
    rate = f"{tokens / spent:,.0f} tokens/s" if tokens > 0 and spent > 0 else ""
    loss = f"{metrics['loss']:.4g}" if "loss" in metrics else ""
    left = clock(spent * (total - step) / steps) if total and steps > 0 else ""
    return f"{step}/{total}" if total else str(step), rate, loss, left


def progress_text(row: dict[str, Any]) -> str:
    """The same on one line."""
    step, rate, loss, left = progress_cells(row, None)
    parts = [f"step {step}" if step else "", rate, f"loss {loss}" if loss else "", f"{left} left" if left else ""]
    return " · ".join(part for part in parts if part)


def clock(seconds: float) -> str:
    """``75`` as ``1:15``, ``4000`` as ``1:06:40``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def summary(report: "RunReport") -> str:
    """The last line of a run: what was done, and what to do next."""
    counts = f"{len(report.built)} built, {len(report.reused)} reused, in {clock(report.seconds)}"
    if report.interrupted:
        return f"Stopped ({counts}); checkpoints are kept. To resume:\n  {report.resume}"
    if report.failed:
        ended = f"{len(report.failed)} failed, {len(report.blocked)} blocked ({counts})."
        return f"{ended} To try these again:\n  {report.resume}"
    return f"Finished: {counts}."
