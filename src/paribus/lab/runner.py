"""Runs a plan: verifies what is there, builds what is missing, and writes the ledger."""

import os
import platform
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from paribus.errors import StoreError
from paribus.lab.display import Display, make_display
from paribus.lab.execution import Outcome
from paribus.lab.launchers.contract import Launcher
from paribus.lab.ledger import Ledger
from paribus.lab.manifest import Manifest
from paribus.lab.redact import redact
from paribus.lab.results import ArmSummary, StudyResult
from paribus.lab.scheduling import Schedule
from paribus.lab.specification import specification
from paribus.lab.state import changed_sources, default_changes
from paribus.lab.store import Store
from paribus.lab.study import Plan


@dataclass(frozen=True)
class RunReport:
    """How a run ended. ``built`` counts stages this run executed; ``reused`` those that were there and sound."""

    built: tuple[str, ...]
    reused: tuple[str, ...]
    failed: dict[str, Outcome]
    blocked: dict[str, str]
    repaired: dict[str, list[str]]
    seconds: float
    interrupted: bool = False
    resume: str = ""

    @property
    def ok(self) -> bool:
        """Whether every stage of the plan is done."""
        return not (self.failed or self.blocked or self.interrupted)


def run_plan(
    plan: Plan,
    store: Store,
    *,
    launcher: Launcher | None = None,
    workers: int | None = None,
    threads: int = 1,
    devices: tuple[str, ...] = ("cpu",),
    display: Display | None = None,
    resume: str | None = None,
    verify: bool = True,
) -> RunReport:
    """Build everything in ``plan`` that ``store`` does not hold, and record it in the ledger.

    Artifacts that are there are checked against their checksums first (every byte; ``verify=False`` skips it); damaged
    ones are moved to quarantine and built again. A failing stage stops only what depends on it. Ctrl-C ends the
    workers, keeps their checkpoints, and the report's ``interrupted`` and ``resume`` say how to go on. Raises
    ``StoreError``.
    """
    shown = display or make_display(plan, store)
    with Ledger(store.ledger_path) as ledger, shown:
        run = _Run(plan, store, ledger, shown, resume or shlex.join(sys.orig_argv))
        run.prepare(verify)
        return run.execute(launcher or _default_launcher(store, workers, threads, devices))


def _default_launcher(store: Store, workers: int | None, threads: int, devices: tuple[str, ...]) -> Launcher:
    from paribus.lab.launchers.pool import ProcessPool

    return ProcessPool(store.root, workers=workers or default_workers(threads), threads=threads, devices=devices)


def default_workers(threads: int = 1) -> int:
    """As many workers as this process may use cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


@dataclass
class _Run:
    plan: Plan
    store: Store
    ledger: Ledger
    display: Display
    resume: str
    started: float = field(default_factory=time.monotonic)
    repaired: dict[str, list[str]] = field(default_factory=dict)
    built: list[str] = field(default_factory=list)

    def prepare(self, verify: bool) -> None:
        """Open the run in the ledger, check what is there, write specifications for what is not."""
        settings = self.plan.settings
        dumped = settings.model_dump(mode="json")
        self.id = self.ledger.start_run(self.plan.study.name, settings.scale, dumped, self.resume, platform.node())
        self.store.sweep()
        present = {address for address in self.plan.graph.nodes if self.store.has(address)}
        if verify:
            self._repair(present)
        present -= self.repaired.keys()
        self._report_drift(present)
        self.schedule = Schedule(self.plan.graph, present, self.store.has, self._locked, self._expected_seconds())
        self.reused = tuple(sorted(present))
        self._write_specs(present)
        self._record_start(present)

    def _repair(self, present: set[str]) -> None:
        for address, problems in self.store.verify_all(sorted(present)).items():
            moved = self.store.quarantine(address)
            self.repaired[address] = problems
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            self.display.note(f"Damaged: {problems[0]}{more}. Moved to {moved}; it is built again.")

    def _report_drift(self, present: set[str]) -> None:
        """An artifact whose parent was rebuilt to other bytes is whole, but no longer made from what is there."""
        manifests = {address: self.store.manifest(address) for address in present}
        self._report_sources(manifests)
        for address, manifest in sorted(manifests.items()):
            for line in default_changes(self.plan.graph[address], manifest):
                self.display.note(f"{address} {line}; raise the stage's version to build it again.")
            for parent, payload in manifest.parents.items():
                if parent in present and manifests[parent].payload != payload:
                    self.display.note(f"{address} was made from other bytes than {parent} holds now.")

    def _report_sources(self, manifests: dict[str, Manifest]) -> None:
        old = [a for a, manifest in manifests.items() if changed_sources(self.plan.graph[a], manifest)]
        if old:
            self.display.note(
                f"{len(old)} of {len(manifests)} finished stages were built by source that has changed since; they "
                "are reused (`status` names the modules). Raise the version of a stage whose meaning changed."
            )

    def _locked(self, address: str) -> bool:
        return self.store.locks.holder(address) is not None

    def _expected_seconds(self) -> dict[str, float]:
        from paribus.lab.pricing import Rate, expected_seconds

        rate = Rate(self.ledger.flops_per_second())
        return {handle.address: expected_seconds(handle.planned, rate) for handle in self.plan.graph}

    def _write_specs(self, present: set[str]) -> None:
        for handle in self.plan.graph:
            if handle.address not in present:
                self.store.write_spec(handle.address, specification(handle))

    def _record_start(self, present: set[str]) -> None:
        rows = [(r.arm, r.seed, r.label, address) for address, roles in self.plan.roles.items() for r in roles]
        self.ledger.record_labels(self.id, self.plan.study.name, self.plan.settings.scale, rows)
        known = {address for address, row in self.ledger.states().items() if row["state"] == "done"}
        for address in present:
            self.store.forget(address)
            if address not in known:  # built by a run that was killed before it could say so
                self.ledger.record_artifact(self.store.manifest(address), self.id)
        self.ledger.flush()

    # ---- running ----------------------------------------------------------------------------------------------------

    def execute(self, launcher: Launcher) -> RunReport:
        """Run to the end, to a failure of the store, or to Ctrl-C."""
        interrupted = False
        self.display.start(self.schedule)
        try:
            with _interruptible():
                self._loop(launcher)
                launcher.close()
        except KeyboardInterrupt:
            interrupted = True
            launcher.close(stop=True)
        except BaseException:
            launcher.close(stop=True)
            raise
        return self._close(interrupted)

    def _loop(self, launcher: Launcher) -> None:
        for address, outcome in launcher.submit(self._noted(self.schedule.addresses())):
            became = self.schedule.settle(address, outcome)
            getattr(self, f"_on_{became}")(address, outcome)
            self._take_fetched()
        self._take_fetched()

    def _noted(self, addresses: Iterator[str | None]) -> Iterator[str | None]:
        for address in addresses:
            if address is not None:
                handle = self.plan.graph[address]
                self.ledger.record_state(address, handle.stage.name, handle.seed, "running", self.id)
                self.display.started(address)
            yield address

    def _on_done(self, address: str, outcome: Outcome) -> None:
        manifest = self.store.manifest(address)
        self.built.append(address)
        self.ledger.record_artifact(manifest, self.id)
        self.display.finished(address, manifest.cost)

    def _on_failed(self, address: str, outcome: Outcome) -> None:
        self._record(address, "failed", outcome.error)
        for child in self.plan.graph.descendants(address):
            self._record(child, "blocked", f"needs {address}")
        self.display.failed(address, outcome, self.store.log(address))

    def _on_retry(self, address: str, outcome: Outcome) -> None:
        self.display.note(f"{outcome.error} It is started again.")

    def _on_elsewhere(self, address: str, outcome: Outcome) -> None:
        self.display.note(f"{self.plan.title_of(address)} is being built by another run; waiting for it.")

    def _take_fetched(self) -> None:
        for address in self.schedule.take_fetched():
            self.ledger.record_artifact(self.store.manifest(address), self.id)
            self.display.finished(address, None)

    def _record(self, address: str, state: str, error: str) -> None:
        handle = self.plan.graph[address]
        self.ledger.record_state(address, handle.stage.name, handle.seed, state, self.id, error)

    def _close(self, interrupted: bool) -> RunReport:
        report = RunReport(
            tuple(self.built),
            self.reused,
            dict(self.schedule.failed),
            dict(self.schedule.blocked),
            self.repaired,
            time.monotonic() - self.started,
            interrupted,
            redact(self.resume),
        )
        if report.ok:
            self.ledger.record_result(self.result(), self.id)
        for address in self.schedule.running:
            self._record(address, "stopped", "")
        self.ledger.end_run(self.id, "done" if report.ok else "stopped" if interrupted else "failed")
        self.ledger.flush()
        self.display.end(report)
        return report

    def result(self) -> StudyResult:
        return read_result(self.plan, self.store)


def read_result(plan: Plan, store: Store) -> StudyResult:
    """The result of a finished plan, with the seconds of its arms and the address of its analysis added.

    Raises ``StoreError`` if the study has not been run to the end.
    """
    from paribus.lab.analysis import load_result

    if not store.has(plan.result.address):
        raise StoreError(
            f"Study {plan.study.name!r} has no result at this scale and setting in {store.root}; run it first."
        )
    result = load_result(store.path(plan.result.address))
    seconds = {a: store.manifest(a).cost.seconds for a in plan.graph.nodes if store.has(a)}
    arms = tuple(_with_seconds(plan, seconds, arm) for arm in result.arms)
    provenance = {**result.provenance, "analysis": plan.result.address}
    return result.model_copy(update={"arms": arms, "provenance": provenance})


def _with_seconds(plan: Plan, seconds: Mapping[str, float], summary: ArmSummary) -> ArmSummary:
    runs = plan.arms[summary.name].labelled.values()
    sums = [sum(seconds.get(handle.address, 0.0) for handle in run.values()) for run in runs]
    return summary.model_copy(update={"cost": {**summary.cost, "seconds": sum(sums) / len(sums)}})


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM stops a run as Ctrl-C does. A second signal while stopping is not swallowed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
