"""Builds one artifact: under its lock, from its specification, into a folder beside its final name."""

import json
import os
import platform
import random
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from paribus import __version__
from paribus.errors import ParibusError, StoreError
from paribus.lab.budget import Cost
from paribus.lab.context import RunContext, activate
from paribus.lab.identity import address_of, digest, encode_config, identity
from paribus.lab.locks import Lock
from paribus.lab.manifest import Manifest
from paribus.lab.redact import redact
from paribus.lab.source import sources
from paribus.lab.space import full_disk, is_full
from paribus.lab.stages import Stage
from paribus.lab.store import Store

TORCH_DEFAULT_SEED = 67280421310721
"""What a fresh torch starts from; a worker that ran another stage before returns to it."""


@dataclass(frozen=True)
class Outcome:
    """How one submission ended. ``busy``: another live process holds the address; ``lost``: the worker itself died."""

    state: Literal["done", "failed", "busy", "lost"]
    error: str = ""
    trace: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Machine:
    """Execution settings a worker was started with; none of them can enter an identity."""

    device: str = "cpu"
    threads: int = 1
    workers: int = 1


def execute(store: Store, address: str, machine: Machine) -> Outcome:
    """Build one artifact under its lock, unless it exists or somebody else is at it. A failing stage does not raise."""
    if store.has(address):
        return Outcome("done")
    try:
        lock = store.locks.acquire(address)
    except OSError as error:
        return _failure(store, address, error, 0.0)
    if lock is None:
        return Outcome("busy")
    with lock:
        return Outcome("done") if store.has(address) else _attempt(store, lock, machine)


def _attempt(store: Store, lock: Lock, machine: Machine) -> Outcome:
    started = time.perf_counter()
    try:
        published = _build(store, lock, machine)
    except (Exception, SystemExit) as error:
        return _failure(store, lock.address, error, time.perf_counter() - started)
    finally:
        _discard_quietly(store, lock)
    return Outcome("done" if published else "busy", seconds=time.perf_counter() - started)


def _discard_quietly(store: Store, lock: Lock) -> None:
    if lock.held():
        store.discard_partials(lock.address)


def _build(store: Store, lock: Lock, machine: Machine) -> bool:
    address = lock.address
    spec = store.read_spec(address)
    stage = load_stage(spec["function"])
    config = _config(stage, spec)
    parents = _check_parents(store, stage, config, spec)
    out = store.begin(lock)
    context = RunContext(
        machine.device,
        machine.threads,
        machine.workers,
        store.scratch(address),
        address,
        spec["hints"],
        store.progress(address),
    )
    started, clock = time.time(), time.perf_counter()
    measured = _call(stage, config, spec, store, out, context)
    manifest = _manifest(stage, config, spec, parents, measured)
    run = {"seconds": time.perf_counter() - clock, "started": started, "host": platform.node(), "pid": os.getpid()}
    run |= {"calls": context.calls, **asdict(machine)}
    return store.publish(lock, out, manifest.model_copy(update={"run": run}))


def _call(stage: Stage, config: Any, spec: dict[str, Any], store: Store, out: Path, context: RunContext) -> Cost:
    arguments = {name: _to_paths(store, value) for name, value in spec["inputs"].items()}
    if config is not None:
        arguments["config"] = config
    if stage.takes_seed and spec["seed"] is not None:
        arguments["seed"] = spec["seed"]
    _fresh_randomness(context.address)
    with activate(context):
        measured = stage.function(**arguments, out=out)
    if measured is not None and not isinstance(measured, Cost):
        raise TypeError(
            f"Stage {stage.name!r} returned {type(measured).__name__}; return the measured Cost, or nothing."
        )
    return measured or Cost()


def load_stage(reference: str) -> Stage:
    """Import ``module:function``. Raises ``StoreError`` if it is not a stage any more."""
    module, _, name = reference.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Stage):
        raise StoreError(
            f"{reference} is no stage; it was renamed or moved since the study was planned, so plan it again."
        )
    return found


def _config(stage: Stage, spec: dict[str, Any]) -> Any:
    return None if stage.config_type is None else stage.config_type.model_validate_json(json.dumps(spec["config"]))


def _check_parents(store: Store, stage: Stage, config: Any, spec: dict[str, Any]) -> dict[str, str]:
    """Recompute the identity from what the worker sees, and return the digests of the parents' bytes."""
    encoded = encode_config(config, owner=stage.name)
    full = digest(identity(stage.name, stage.version, encoded, spec["parent_digests"], spec["seed"]))
    if address_of(stage.name, full) != spec["address"]:
        raise StoreError(
            f"{spec['address']} was planned from another configuration or version of {spec['function']} than this "
            "worker imports; the code changed in between, or a field does not survive JSON. Plan the study again."
        )
    return {parent: store.manifest(parent).payload for parent in _leaves(spec["inputs"])}


def _manifest(stage: Stage, config: Any, spec: dict[str, Any], parents: dict[str, str], measured: Cost) -> Manifest:
    return Manifest(
        address=spec["address"],
        stage=stage.name,
        version=stage.version,
        function=spec["function"],
        config=encode_config(config, owner=stage.name),
        full_config=encode_config(config, owner=stage.name, defaults=True),
        inputs=spec["inputs"],
        parents=parents,
        seed=spec["seed"],
        planned=Cost.model_validate(spec["planned"]),
        measured=measured.comparable(),
        sources=sources(stage.function),
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Versions of Paribus, Python and of the libraries that the stage has loaded and that can change its output."""
    found = {"paribus": __version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "tokenizers", "numpy", "scipy", "sklearn", "sacrebleu", "vllm"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    return found


def _failure(store: Store, address: str, error: BaseException, seconds: float) -> Outcome:
    trace = redact("".join(traceback.format_exception(error)))
    sys.stderr.write(trace)
    shown: BaseException = error
    if is_full(error):
        shown = full_disk(store.root, f"stage {address}", error)
    text = str(shown) if isinstance(shown, ParibusError) else f"{type(shown).__name__}: {shown}"
    return Outcome("failed", redact(text), trace, seconds)


def _fresh_randomness(address: str) -> None:
    """Global generators as a fresh process would have them: a result may not depend on what the worker ran before."""
    random.seed(address)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(int(address[-8:], 16) % 2**32)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(TORCH_DEFAULT_SEED)


def _to_paths(store: Store, value: Any) -> Any:
    if isinstance(value, str):
        return store.path(value)
    if isinstance(value, dict):
        return {key: _to_paths(store, item) for key, item in value.items()}
    return None if value is None else [_to_paths(store, item) for item in value]


def _leaves(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value or ()
    return [leaf for item in items for leaf in _leaves(item)]
