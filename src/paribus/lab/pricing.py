"""What a plan will cost before it starts, and what of it is already paid."""

from dataclasses import dataclass

from paribus.lab.budget import Cost, total
from paribus.lab.store import Store
from paribus.lab.study import Plan

ASSUMED_FLOPS_PER_SECOND = 3e10
"""One CPU core on small models: used until a stage has been measured (``Price.measured`` says which it was)."""


@dataclass(frozen=True)
class Rate:
    """Floating-point operations per second of one worker; None where nothing has been measured yet."""

    flops_per_second: float | None = None

    @property
    def value(self) -> float:
        """The measured rate, or the assumed one."""
        return self.flops_per_second or ASSUMED_FLOPS_PER_SECOND


def expected_seconds(cost: Cost, rate: Rate) -> float:
    """Declared seconds, or FLOPs over the rate."""
    return cost.seconds or cost.flops / rate.value


@dataclass(frozen=True)
class PriceRow:
    """All stages with one label: how many, how many done, and what the others will cost."""

    label: str
    stages: int
    done: int
    todo: Cost
    seconds: float


@dataclass(frozen=True)
class Price:
    """A priced plan. ``hours``: the work to do over the workers, but at least the longest chain of stages.

    ``training_bytes``: what training the largest model still to be trained takes in fp32 with AdamW, activations apart.
    ``measured``: whether the rate is this store's own.
    """

    done: Cost
    todo: Cost
    stages_done: int
    stages_todo: int
    hours: float
    rows: tuple[PriceRow, ...]
    flops_per_second: float
    measured: bool

    @property
    def training_bytes(self) -> float:
        """Weights, gradients and two moments, four bytes each."""
        return 16 * max((row.todo.parameters for row in self.rows if row.todo.tokens), default=0.0)


def price(plan: Plan, store: Store | None = None, *, flops_per_second: float | None = None, workers: int = 1) -> Price:
    """Price a plan against a store (None: nothing is done), at the rate given, the store's own, or an assumed one."""
    rate = Rate(flops_per_second or _measured_rate(store))
    there = {address for address in plan.graph.nodes if store is not None and store.has(address)}
    todo = {h.address: expected_seconds(h.planned, rate) for h in plan.graph if h.address not in there}
    seconds = max(sum(todo.values()) / workers, _longest_chain(plan, todo))
    return Price(
        done=total(h.planned for h in plan.graph if h.address in there),
        todo=total(h.planned for h in plan.graph if h.address not in there),
        stages_done=len(there),
        stages_todo=len(todo),
        hours=seconds / 3600,
        rows=_rows(plan, there, todo),
        flops_per_second=rate.value,
        measured=rate.flops_per_second is not None and flops_per_second is None,
    )


def _measured_rate(store: Store | None) -> float | None:
    from paribus.lab.ledger import Ledger

    if store is None or not store.ledger_path.exists():
        return None
    with Ledger(store.ledger_path) as ledger:
        return ledger.flops_per_second()


def _longest_chain(plan: Plan, todo: dict[str, float]) -> float:
    ends: dict[str, float] = {}
    for address in plan.graph.nodes:
        before = max((ends[parent] for parent in plan.graph.parents[address]), default=0.0)
        ends[address] = before + todo.get(address, 0.0)
    return max(ends.values(), default=0.0)


def _rows(plan: Plan, there: set[str], todo: dict[str, float]) -> tuple[PriceRow, ...]:
    by_label: dict[str, list[str]] = {}
    for handle in plan.graph:
        by_label.setdefault(plan.roles[handle.address][0].label, []).append(handle.address)
    rows = []
    for label, addresses in by_label.items():
        open_ones = [a for a in addresses if a not in there]
        cost = total(plan.graph[a].planned for a in open_ones)
        rows.append(
            PriceRow(label, len(addresses), len(addresses) - len(open_ones), cost, sum(todo[a] for a in open_ones))
        )
    return tuple(rows)
