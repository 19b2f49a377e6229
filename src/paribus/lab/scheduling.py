"""Which stage comes next: parents first, long chains before short ones, and no stage below a failed one."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from paribus.lab.execution import Outcome
from paribus.lab.graph import Graph

ELSEWHERE_POLL_SECONDS = 0.5
LOST_RETRIES = 1
"""How often a stage whose worker died is started again within one run (it resumes from its checkpoints)."""


@dataclass
class Schedule:
    """The state of every address of a graph during one run.

    ``exists`` tells whether an artifact is there (used for stages that another run is building), ``locked`` whether a
    live process holds the address.
    """

    graph: Graph
    done: set[str]
    exists: Callable[[str], bool]
    locked: Callable[[str], bool]
    seconds: dict[str, float] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    failed: dict[str, Outcome] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    _lost: dict[str, int] = field(default_factory=dict)
    _polled: float = 0.0

    def __post_init__(self) -> None:
        self._waiting = {a: sum(p not in self.done for p in self.graph.parents[a]) for a in self.graph.nodes}
        self._height = self._heights()
        self._ready = {a for a, count in self._waiting.items() if count == 0 and a not in self.done}

    def _heights(self) -> dict[str, float]:
        """Seconds (or at least steps) from a stage to the end of its longest chain: what the run must wait for."""
        heights: dict[str, float] = {}
        for address in reversed(self.graph.nodes):
            below = max((heights[child] for child in self.graph.children[address]), default=0.0)
            heights[address] = below + max(self.seconds.get(address, 0.0), 1e-3)
        return heights

    def addresses(self) -> Iterator[str | None]:
        """What a launcher draws from: the next address, None for "ask again", the end when nothing can follow."""
        while not self.finished:
            self._look_elsewhere()
            yield self._take()

    @property
    def finished(self) -> bool:
        """Whether nothing is ready, running, or being built by another run."""
        return not (self._ready or self.running or self.elsewhere)

    def _take(self) -> str | None:
        if not self._ready:
            return None
        address = max(self._ready, key=lambda a: (self._height[a], a))
        self._ready.discard(address)
        self.running.add(address)
        return address

    def settle(self, address: str, outcome: Outcome) -> str:
        """Take in an outcome; returns what becomes of the address: done, failed, retry or elsewhere."""
        self.running.discard(address)
        if outcome.state == "done":
            self._finish(address)
            return "done"
        if outcome.state == "busy":
            self.elsewhere.add(address)
            return "elsewhere"
        if outcome.state == "lost" and self._lost.get(address, 0) < LOST_RETRIES:
            self._lost[address] = self._lost.get(address, 0) + 1
            self._ready.add(address)
            return "retry"
        self._fail(address, outcome)
        return "failed"

    def _finish(self, address: str) -> None:
        self.done.add(address)
        for child in self.graph.children[address]:
            self._waiting[child] -= 1
            if self._waiting[child] == 0 and child not in self.done and child not in self.blocked:
                self._ready.add(child)

    def _fail(self, address: str, outcome: Outcome) -> None:
        self.failed[address] = outcome
        for child in self.graph.descendants(address):
            self.blocked.setdefault(child, address)

    def _look_elsewhere(self) -> None:
        """Stages that another run was building: finished there, or given up there and ours again."""
        if not self.elsewhere or time.monotonic() - self._polled < ELSEWHERE_POLL_SECONDS:
            return
        self._polled = time.monotonic()
        for address in sorted(self.elsewhere):
            if self.exists(address):
                self.elsewhere.discard(address)
                self.fetched.add(address)
                self._finish(address)
            elif not self.locked(address):
                self.elsewhere.discard(address)
                self._ready.add(address)

    def take_fetched(self) -> Iterable[str]:
        """Addresses that another run has finished since the last call."""
        fetched, self.fetched = self.fetched, set()
        return sorted(fetched)
