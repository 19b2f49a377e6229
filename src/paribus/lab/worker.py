"""The process that runs stages: gets an address, reads its specification from the store, fills a folder, publishes it.

python -m paribus.lab.worker --store S                 addresses on stdin, one outcome per line on stdout
python -m paribus.lab.worker --store S --once ADDRESS  one address (cluster jobs)
"""

import argparse
import gc
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from types import FrameType
from typing import Any

from paribus.lab.execution import Machine, Outcome, execute
from paribus.lab.store import Store


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
