"""``run_study``: the whole way from a study to its result, in one call, for notebooks and the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paribus.errors import StoreError
from paribus.lab.results import StudyResult
from paribus.lab.runner import RunReport, read_result, run_plan
from paribus.lab.settings import Settings
from paribus.lab.store import Store
from paribus.lab.study import Study


def run_study(
    study: Study,
    store: Store | Path | str,
    *,
    scale: str = "pocket",
    overrides: Sequence[str] = (),
    settings: Settings | None = None,
    **execution: Any,
) -> StudyResult:
    """Plan, run and read a study. ``execution`` goes to ``run_plan`` (``workers``, ``threads``, ``devices``,
    ``launcher`` ...).

    Raises ``KeyboardInterrupt`` when stopped by Ctrl-C, ``StoreError`` when stages failed (naming the first), and
    whatever planning raises.
    """
    plan = study.plan(settings or study.at(scale, overrides))
    opened = store if isinstance(store, Store) else Store(store)
    report = run_plan(plan, opened, **execution)
    if report.interrupted:
        raise KeyboardInterrupt
    if not report.ok:
        raise StoreError(failure_text(report, opened))
    return read_result(plan, opened)


def failure_text(report: RunReport, store: Store) -> str:
    """One paragraph on what failed and what to do."""
    address, outcome = next(iter(report.failed.items()))
    return (
        f"{len(report.failed)} stages failed and {len(report.blocked)} are blocked; the first is {address}: "
        f"{outcome.error} Its log is {store.log(address)}. Mend it and run again: only what is missing is built."
    )
