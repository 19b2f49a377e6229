"""Where a plan stands in a store: done, running, failed, stale or missing, and which source code has changed since."""

from dataclasses import dataclass, field
from typing import Any, Literal

from paribus.errors import StoreError
from paribus.lab.comparison import Differences
from paribus.lab.identity import MISSING, encode_config, field_differences, flatten
from paribus.lab.ledger import Ledger
from paribus.lab.manifest import Manifest
from paribus.lab.source import changed, sources
from paribus.lab.stages import Handle
from paribus.lab.store import Store
from paribus.lab.study import Plan

State = Literal["done", "running", "failed", "blocked", "stale", "missing", "damaged"]


@dataclass(frozen=True)
class StageStatus:
    """One stage of a plan.

    ``differences``: for a stale stage, field to (value in the artifact that this label last had, value now).
    ``changed_sources``: for a finished one, modules whose code is not what it was built with (reported, never rerun).
    """

    address: str
    label: str
    title: str
    state: State
    detail: str = ""
    differences: Differences = field(default_factory=dict)
    changed_sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """A plan's stages, parents first, and how many are in each state."""

    stages: tuple[StageStatus, ...]

    @property
    def counts(self) -> dict[str, int]:
        """State to number of stages."""
        found: dict[str, int] = {}
        for row in self.stages:
            found[row.state] = found.get(row.state, 0) + 1
        return found

    def __str__(self) -> str:
        return "\n".join([", ".join(f"{n} {s}" for s, n in self.counts.items()), *(_text(row) for row in self.stages)])


def status(plan: Plan, store: Store) -> Status:
    """Hold a plan against a store. Reads manifests and the ledger, runs and changes nothing."""
    known: dict[str, dict[str, Any]] = {}
    last: dict[tuple[str, int, str], str] = {}
    if store.ledger_path.exists():
        with Ledger(store.ledger_path) as ledger:
            known, last = ledger.states(), ledger.last_labels(plan.study.name, plan.settings.scale)
    return Status(tuple(_stage_status(plan, store, handle, known, last) for handle in plan.graph))


def _stage_status(
    plan: Plan, store: Store, handle: Handle, known: dict[str, Any], last: dict[tuple[str, int, str], str]
) -> StageStatus:
    address, title = handle.address, plan.title_of(handle.address)
    if store.has(address):
        return _finished(store, handle, title)
    owner = store.locks.holder(address)
    if owner is not None:
        return StageStatus(address, handle.label, title, "running", f"process {owner.pid} on {owner.host}")
    row = known.get(address, {})
    if row.get("state") in ("failed", "blocked"):
        detail = f"{row['error'].rstrip('.')}. Log: {store.log(address)}" if row["state"] == "failed" else row["error"]
        return StageStatus(address, handle.label, title, row["state"], detail)
    return _stale(plan, store, handle, title, last)


def _finished(store: Store, handle: Handle, title: str) -> StageStatus:
    try:
        manifest = store.manifest(handle.address)
    except StoreError as error:
        return StageStatus(handle.address, handle.label, title, "damaged", f"{error}; the next run builds it again")
    code = changed_sources(handle, manifest)
    detail = "; ".join(default_changes(handle, manifest))
    return StageStatus(handle.address, handle.label, title, "done", detail, changed_sources=code)


def changed_sources(handle: Handle, manifest: Manifest) -> tuple[str, ...]:
    """Modules whose code is not what the artifact was built with, and the stage function if it moved."""
    reference = handle.stage.reference
    moved = (f"{manifest.function} -> {reference}",) if manifest.function != reference else ()
    return (*moved, *changed(manifest.sources, sources(handle.stage.function)))


def _stale(plan: Plan, store: Store, handle: Handle, title: str, last: dict[tuple[str, int, str], str]) -> StageStatus:
    """Missing; or stale, if an artifact stands where this label last stood."""
    for role in plan.roles[handle.address]:
        before = last.get((role.arm, role.seed, role.label))
        if before is not None and before != handle.address and store.has(before):
            rows = _differences(store.manifest(before), handle)
            return StageStatus(handle.address, handle.label, title, "stale", f"last built as {before}", rows)
    return StageStatus(handle.address, handle.label, title, "missing")


def default_changes(handle: Handle, manifest: Manifest) -> list[str]:
    """Fields whose default is another one now than when the artifact was built: same address, other meaning."""
    now = encode_config(handle.config, owner=handle.stage.name, defaults=True)
    rows = field_differences(manifest.full_config, now)
    return [
        f"was built with {key}={old!r}, which was the default; now it is {new!r}"
        for key, (old, new) in rows.items()
        if old is not MISSING and new is not MISSING
    ]


def _differences(old: Manifest, handle: Handle) -> Differences:
    """Why the address is another one: fields that differ, but not those the code has gained since, at their default."""
    owner = handle.stage.name
    now = _identified(handle, encode_config(handle.config, owner=owner, defaults=True))
    given = flatten(_identified(handle, encode_config(handle.config, owner=owner)))
    then = {
        "config": old.full_config,
        "inputs": old.inputs,
        "stage": old.stage,
        "version": old.version,
        "seed": old.seed,
    }
    rows = field_differences(then, now)
    return {k.removeprefix("config."): pair for k, pair in rows.items() if pair[0] is not MISSING or k in given}


def _identified(handle: Handle, config: dict[str, Any]) -> dict[str, Any]:
    stage = handle.stage
    inputs = handle.parent_addresses()
    return {"config": config, "inputs": inputs, "stage": stage.name, "version": stage.version, "seed": handle.seed}


def _text(row: StageStatus) -> str:
    lines = [f"{row.state:<8} {row.title}  {row.address}{f'  ({row.detail})' if row.detail else ''}"]
    lines += [f"         {key}: {old!r} -> {new!r}" for key, (old, new) in row.differences.items()]
    if row.changed_sources:
        lines.append(f"         source changed since it was built: {', '.join(row.changed_sources)}")
    return "\n".join(lines)
