"""``run_study``: the whole way from a study to its result, in one call, for notebooks and the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paribus.errors import ConfigError, StoreError
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


def last_settings(study: Study, store: Store, scale: str) -> Settings | None:
    """The settings of the study's last finished run at a scale in this store; None if there is none.

    Raises ``ConfigError`` if the study's settings have other fields by now.
    """
    with Ledger(store.ledger_path) as ledger:
        found = ledger.rows(
            "select settings from runs where study = ? and scale = ? and state = 'done' order by ended desc limit 1",
            (study.name, scale),
        )
    if not found:
        return None
    try:
        return study.settings.model_validate_json(found[0]["settings"])
    except ValidationError as error:
        raise ConfigError(
            f"The last finished run of {study.name!r} at scale {scale!r} had settings that this version does not read "
            f"({error.errors(include_url=False)[0]['loc']}); run the study again."
        ) from error


def failure_text(report: RunReport, store: Store) -> str:
    """One paragraph on what failed and what to do."""
    address, outcome = next(iter(report.failed.items()))
    return (
        f"{len(report.failed)} stages failed and {len(report.blocked)} are blocked; the first is {address}: "
        f"{outcome.error} Its log is {store.log(address)}. Mend it and run again: only what is missing is built."
    )
