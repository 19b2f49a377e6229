"""The process that runs stages: gets an address, reads its specification from the store, fills a folder, publishes it.

    python -m paribus.lab.worker --store S                 addresses on stdin, one outcome per line on stdout
    python -m paribus.lab.worker --store S --once ADDRESS  one address (cluster jobs)
"""

import argparse
import gc
import json
import os
import platform
import queue
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
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
    """Build one artifact under its lock, unless it exists or somebody else is at it. Never raises for a failing stage."""
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
        machine.device, machine.threads, machine.workers, store.scratch(address), address, spec["hints"], store.progress(address)
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
        raise TypeError(f"Stage {stage.name!r} returned {type(measured).__name__}; return the measured Cost, or nothing.")
    return measured or Cost()


def load_stage(reference: str) -> Stage:
    """Import ``module:function``. Raises ``StoreError`` if it is not a stage any more."""
    module, _, name = reference.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Stage):
        raise StoreError(f"{reference} is no stage; it was renamed or moved since the study was planned, so plan it again.")
    return found


def _config(stage: Stage, spec: dict[str, Any]) -> Any:
    return None if stage.config_type is None else stage.config_type.model_validate_json(json.dumps(spec["config"]))


def _check_parents(store: Store, stage: Stage, config: Any, spec: dict[str, Any]) -> dict[str, str]:
    """Recompute the identity from what the worker sees, and return the digests of the parents' bytes."""
    encoded = encode_config(config, owner=stage.name)
    full = digest(identity(stage.name, stage.version, encoded, spec["parent_digests"], spec["seed"]))
    if address_of(stage.name, full) != spec["address"]:
        raise StoreError(
            f"{spec['address']} was planned from another configuration or version of {spec['function']} than the one this "
            "worker imports; the code changed in between, or a field does not survive JSON. Plan the study again."
        )
    return {parent: store.manifest(parent).payload for parent in _leaves(spec["inputs"])}


def _manifest(
    stage: Stage, config: Any, spec: dict[str, Any], parents: dict[str, str], measured: Cost
) -> Manifest:
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


# ---- the process ----------------------------------------------------------------------------------------------------


class _Stopped(BaseException):
    """Raised in the main thread by SIGTERM: unwinds the running stage, so that its lock and partial folder go."""


def _serve(store: Store, machine: Machine, reply: Callable[[dict[str, Any]], None]) -> None:
    addresses: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(addresses,), daemon=True).start()
    reply({"ready": os.getpid()})
    while address := addresses.get():
        reply({"address": address, **asdict(run_logged(store, address, machine))})


def _listen(addresses: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        addresses.put(line.strip())
    # End of input without the empty line that means "no more": the runner is dead, and nobody will read the outcome.
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def run_logged(store: Store, address: str, machine: Machine) -> Outcome:
    """``execute`` with the output of the stage in its log."""
    from paribus.lab import logs

    logs.begin(address)
    print(f"--- {address} starts at {time.strftime('%Y-%m-%d %H:%M:%S')} in process {os.getpid()}")
    outcome = execute(store, address, machine)
    print(f"--- {address} {outcome.state} after {outcome.seconds:.1f} s")
    logs.end()
    _tidy()
    return outcome


def _tidy() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


def main(arguments: list[str] | None = None) -> int:
    """Entry point; see the module's first lines."""
    parser = argparse.ArgumentParser(prog="python -m paribus.lab.worker")
    parser.add_argument("--store", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--once", metavar="ADDRESS")
    options = parser.parse_args(arguments)
    store, machine = Store(options.store), Machine(options.device, options.threads, options.workers)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _run(store, machine, answers, options.once)


def _run(store: Store, machine: Machine, answers: Any, once: str | None) -> int:
    from paribus.lab.logs import redirect_output

    def reply(row: dict[str, Any]) -> None:
        answers.write(json.dumps(row) + "\n")
        answers.flush()

    redirect_output(store.root / "logs")
    try:
        if once is None:
            _serve(store, machine, reply)
            return 0
        outcome = run_logged(store, once, machine)
        reply({"address": once, **asdict(outcome)})
        return 0 if outcome.state in ("done", "busy") else 1
    except (_Stopped, BrokenPipeError):
        return 143


if __name__ == "__main__":
    # Straight out: exit handlers of loaded libraries have been seen to hang, and everything is on disk by now.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
