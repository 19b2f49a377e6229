"""The order of stages: parents first, long chains first, nothing below a failure, patience with other runs."""

from pathlib import Path

from paribus.lab import Graph, Handle, stage
from paribus.lab import scheduling as module
from paribus.lab.execution import Outcome
from paribus.lab.scheduling import Schedule

DONE, FAILED, BUSY, LOST = (Outcome(state) for state in ("done", "failed", "busy", "lost"))  # type: ignore[arg-type]


@stage
def step(before: list[Path], *, out: Path, seed: int) -> None:
    """Never run: only scheduled here."""


def diamond() -> tuple[Graph, list[Handle]]:
    top = step(before=[], seed=0)
    left, right = step(before=[top], seed=1), step(before=[top], seed=2)
    end = step(before=[left, right], seed=3)
    return Graph([end]), [top, left, right, end]


def schedule(graph: Graph, **options: object) -> Schedule:
    given = {"done": set(), "exists": lambda a: False, "locked": lambda a: False, **options}
    return Schedule(graph, **given)  # type: ignore[arg-type]


def drain(plan: Schedule) -> list[str]:
    found = []
    while (address := plan._take()) is not None:
        found.append(address)
    return found


def test_parents_come_first_and_the_end_is_seen() -> None:
    graph, (top, left, right, end) = diamond()
    plan = schedule(graph)
    assert drain(plan) == [top.address]
    plan.settle(top.address, DONE)
    assert set(drain(plan)) == {left.address, right.address}
    plan.settle(left.address, DONE)
    assert drain(plan) == [] and not plan.finished
    plan.settle(right.address, DONE)
    assert drain(plan) == [end.address]
    plan.settle(end.address, DONE)
    assert plan.finished and list(plan.addresses()) == []


def test_the_longest_chain_goes_first() -> None:
    short = step(before=[], seed=10)
    first = step(before=[], seed=11)
    long = step(before=[step(before=[first], seed=12)], seed=13)
    assert drain(schedule(Graph([short, long])))[0] == first.address
    heavy = schedule(Graph([short, long]), seconds={short.address: 100.0})
    assert drain(heavy)[0] == short.address


def test_a_failure_blocks_what_is_below_and_nothing_else() -> None:
    graph, (top, left, right, end) = diamond()
    plan = schedule(graph, done={top.address})
    drain(plan)
    assert plan.settle(left.address, FAILED) == "failed"
    assert plan.settle(right.address, DONE) == "done"
    assert plan.blocked == {end.address: left.address} and plan.finished


def test_a_lost_worker_is_forgiven_once() -> None:
    graph, (top, *_) = diamond()
    plan = schedule(graph)
    for expected in ("retry", "failed"):
        assert drain(plan) == [top.address]
        assert plan.settle(top.address, LOST) == expected


def test_a_stage_of_another_run_is_awaited_fetched_or_taken_back(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "ELSEWHERE_POLL_SECONDS", 0.0)
    there: set[str] = set()
    locked: set[str] = set()
    graph, (top, left, right, _) = diamond()
    plan = schedule(graph, exists=there.__contains__, locked=locked.__contains__, done={top.address})
    drain(plan)
    locked |= {left.address, right.address}
    for address in (left.address, right.address):
        assert plan.settle(address, BUSY) == "elsewhere"
    offers = plan.addresses()
    assert next(offers) is None
    there.add(left.address)
    locked.discard(right.address)  # the other run gave up
    assert next(offers) == right.address
    assert list(plan.take_fetched()) == [left.address]
