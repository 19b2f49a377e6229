"""``run_study``: the whole way from a study to its result, in one call, for notebooks and the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paribus.errors import StoreError
from paribus.lab.analysis import load_result
from paribus.lab.ledger import Ledger
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


def last_result(store: Store, study: str, scale: str) -> StudyResult:
    """The result of the last finished run of a study at a scale, from the store alone: the study's code may be another
    by now, or gone.

    Raises ``StoreError`` if there is none.
    """
    with Ledger(store.ledger_path) as ledger:
        found = [r for r in ledger.results() if (r.study, r.scale) == (study, scale)]
    address = str(found[0].provenance.get("analysis", "")) if found else ""
    if not address or not store.has(address):
        raise StoreError(f"Study {study!r} has no finished run at scale {scale!r} in {store.root}; run it first.")
    return found[0].model_copy(update={"panels": load_result(store.path(address)).panels})


def failure_text(report: RunReport, store: Store) -> str:
    """One paragraph on what failed and what to do."""
    address, outcome = next(iter(report.failed.items()))
    return (
        f"{len(report.failed)} stages failed and {len(report.blocked)} are blocked; the first is {address}: "
        f"{outcome.error} Its log is {store.log(address)}. Mend it and run again: only what is missing is built."
    )
