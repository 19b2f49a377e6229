"""Launchers: one contract, bounded pools, dead workers told apart from failed stages, missing extras said."""

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paribus.errors import ConfigError
from paribus.lab import Graph, Handle, Store, current, stage
from paribus.lab.execution import Outcome
from paribus.lab.launchers.contract import worker_command, worker_environment
from paribus.lab.launchers.pool import ProcessPool
from paribus.lab.launchers.remote import outcome_of, run_once
from paribus.lab.scheduling import Schedule
from paribus.lab.specification import specification


@stage
def environment(*, out: Path) -> None:
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PYTHONHASHSEED")
    facts = [f"{name}={os.environ[name]}" for name in names]
    context = current()
    facts += [f"device={context.device}", f"threads={context.threads}", f"pid={os.getpid()}"]
    (out / "facts").write_text("\n".join(facts))


@stage
def suicide(*, out: Path, seed: int) -> None:
    """Dies once by a signal, as an out-of-memory killer would do it, and on every further try if the seed is odd."""
    mark = current().scratch / "tried"
    if seed % 2 or not mark.exists():
        mark.touch()
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


@stage
def leave(*, out: Path) -> None:
    sys.exit(3)


@stage
def noise(*, out: Path, seed: int) -> None:
    import random

    print(f"words of {seed}")
    os.write(1, f"raw words of {seed}\n".encode())
    os.system(f"echo child words of {seed}")
    (out / "number").write_text(str(random.random()))


def run(store: Store, handles: list[Handle], **options: object) -> dict[str, Outcome]:
    graph = Graph(handles)
    for handle in graph:
        store.write_spec(handle.address, specification(handle))
    schedule = Schedule(graph, set(), store.has, lambda a: False)
    pool = ProcessPool(store.root, **options)  # type: ignore[arg-type]
    ends = {}
    for address, outcome in pool.submit(schedule.addresses()):
        schedule.settle(address, outcome)
        ends[address] = outcome
    pool.close()
    return ends


def facts(store: Store, handle: Handle) -> dict[str, str]:
    return dict(line.split("=") for line in (store.path(handle.address) / "facts").read_text().splitlines())


def test_workers_start_with_one_passive_compute_thread(tmp_path: Path) -> None:
    store, handle = Store(tmp_path), environment()
    run(store, [handle], workers=1, devices=("cuda:3",))
    found = facts(store, handle)
    assert (found["OMP_NUM_THREADS"], found["OMP_WAIT_POLICY"], found["PYTHONHASHSEED"]) == ("1", "passive", "0")
    assert (found["device"], found["threads"]) == ("cuda:3", "1")
    assert int(found["pid"]) != os.getpid()
    assert worker_environment(4)["OMP_NUM_THREADS"] == "4"


def test_a_worker_that_dies_is_replaced_and_its_stage_tried_once_more(tmp_path: Path) -> None:
    store, weak = Store(tmp_path), suicide(seed=0)
    assert run(store, [weak], workers=1)[weak.address].state == "done"


def test_a_stage_that_kills_every_worker_fails_with_the_signal(tmp_path: Path) -> None:
    store, deadly, harmless = Store(tmp_path), suicide(seed=1), environment()
    ends = run(store, [deadly, harmless], workers=1)
    assert ends[deadly.address].state == "lost"
    assert "SIGKILL" in ends[deadly.address].error and "memory" in ends[deadly.address].error
    assert ends[harmless.address].state == "done"
    assert "last words" in store.log(deadly.address).read_text()


def test_leaving_the_interpreter_is_a_failure_of_the_stage(tmp_path: Path) -> None:
    store, handle = Store(tmp_path), leave()
    outcome = run(store, [handle], workers=1)[handle.address]
    assert outcome.state == "failed" and "SystemExit" in outcome.error


def test_logs_hold_the_words_of_their_own_stage_from_every_source(tmp_path: Path) -> None:
    store, handles = Store(tmp_path), [noise(seed=n) for n in range(3)]
    run(store, handles, workers=1)
    for n, handle in enumerate(handles):
        text = store.log(handle.address).read_text()
        assert {f"words of {n}", f"raw words of {n}", f"child words of {n}"} <= set(text.splitlines())
        assert f"words of {(n + 1) % 3}" not in text.splitlines()


def test_results_do_not_depend_on_what_a_worker_ran_before(tmp_path: Path) -> None:
    handles = [noise(seed=n) for n in range(4)]
    one, fresh = Store(tmp_path / "one"), Store(tmp_path / "fresh")
    run(one, handles, workers=1)
    run(fresh, handles[::-1], workers=2, stages_per_worker=1)
    for handle in handles:
        assert (one.path(handle.address) / "number").read_text() == (fresh.path(handle.address) / "number").read_text()


def test_a_fresh_process_per_stage_if_asked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    handles = [environment(), second(), third()]
    run(store, handles, workers=1, stages_per_worker=1)
    assert len({facts(store, handle)["pid"] for handle in handles}) == 3


@stage
def second(*, out: Path) -> None:
    environment.function(out=out)


@stage
def third(*, out: Path) -> None:
    environment.function(out=out)


def test_a_cluster_job_runs_one_address_and_answers_in_plain_text(tmp_path: Path) -> None:
    from paribus.lab.execution import Machine

    store, handle, bad = Store(tmp_path), environment(), leave()
    for each in (handle, bad):
        store.write_spec(each.address, specification(each))
    command = worker_command(store.root, Machine("cpu", 1, 1))
    answer = run_once(command, worker_environment(1), handle.address)
    assert outcome_of(answer, handle.address).state == "done" and store.has(handle.address)
    assert outcome_of(run_once(command, worker_environment(1), bad.address), bad.address).state == "failed"
    assert outcome_of("", "x-1").state == "lost"


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [("paribus.lab.launchers.slurm", "Slurm", "submitit"), ("paribus.lab.launchers.ray_cluster", "RayCluster", "ray")],
)
def test_a_missing_extra_is_said_in_one_line(tmp_path: Path, module: str, name: str, extra: str) -> None:
    if importlib.util.find_spec(extra) is not None:
        pytest.skip(f"{extra} is installed here")
    launcher = getattr(importlib.import_module(module), name)
    with pytest.raises(ConfigError, match="pip install"):
        launcher(tmp_path)


@pytest.mark.slow
def test_slurm_launcher_runs_a_graph_through_submitit(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    from paribus.lab.launchers.slurm import Slurm

    _through(tmp_path, Slurm(tmp_path, workers=2, device="cpu", cluster="local"))


@pytest.mark.slow
def test_ray_launcher_runs_a_graph(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from paribus.lab.launchers.ray_cluster import RayCluster

    _through(tmp_path, RayCluster(tmp_path, workers=2, device="cpu"))


def _through(root: Path, launcher: object) -> None:
    store, handles = Store(root), [noise(seed=n) for n in range(3)]
    for handle in handles:
        store.write_spec(handle.address, specification(handle))
    todo = [h.address for h in handles]

    def addresses() -> Iterator[str | None]:
        while todo:
            yield todo.pop()

    ends = dict(launcher.submit(addresses()))  # type: ignore[attr-defined]
    launcher.close()  # type: ignore[attr-defined]
    assert {outcome.state for outcome in ends.values()} == {"done"} and all(store.has(h.address) for h in handles)
