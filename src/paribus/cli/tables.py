"""Tables of the study commands for a terminal: the catalogue, a priced plan, a status."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from paribus.lab import Plan, Price, Status
    from paribus.lab.pricing import PriceRow
    from paribus.lab.state import StageStatus

CURRENCIES = ("tokens", "flops", "generated_tokens", "calls", "parameters")
HEADINGS = ("Trained tokens", "Compute", "Generated tokens", "Calls", "Parameters")


def print_catalogue() -> None:
    """Every study: name, state, claims, question."""
    from paribus.studies.catalogue import CATALOGUE, load

    table = _table("", "Study", "State", "Claims", "Question")
    for entry in CATALOGUE:
        study = load(entry.name) if entry.built else None
        claims = str(len(study.claims_at(study.at()))) if study else "–"
        table.add_row(entry.name, "built" if study else "not built yet", claims, entry.question)
    _console().print(table)


def print_plan(plan: "Plan", price: "Price", workers: int) -> None:
    """What a run will cost, by stage; then the arms, and the contrasts with what they are matched by."""
    console = _console()
    console.print(f"{plan.study.title} ({plan.study.name}, {plan.settings.scale} scale)", style="bold", markup=False)
    console.print(plan.study.question, markup=False)
    console.print(_price_table(price))
    console.print(_hours(price, workers), markup=False, highlight=False)
    console.print(_arms_table(plan))
    console.print(_contrasts_table(plan))
    for notice in plan.notices:
        console.print(f"note: {notice}", markup=False, highlight=False)


def _price_table(price: "Price") -> "Table":
    table = _table("Stages to run", "Stage", "Done", "To do", *HEADINGS, "Time")
    for row in price.rows:
        table.add_row(row.label, str(row.done), str(row.stages - row.done), *_price_cells(row))
    return table


def _price_cells(row: "PriceRow") -> list[str]:
    from paribus.report.formatting import show_cost, show_seconds

    amounts = [row.todo.get(currency) for currency in CURRENCIES]
    cells = [show_cost(name, amount) if amount else "" for name, amount in zip(CURRENCIES, amounts, strict=True)]
    return [*cells, show_seconds(row.seconds) if row.seconds else ""]


def _hours(price: "Price", workers: int) -> str:
    from paribus.report.formatting import show_cost, show_seconds

    done = f"{price.stages_done} of {price.stages_done + price.stages_todo} stages are done"
    if not price.stages_todo:
        return f"{done}: nothing is left to run."
    known = "measured in this store" if price.measured else "assumed, nothing is measured in this store yet"
    rate = show_cost("flops", price.flops_per_second)
    time = show_seconds(price.hours * 3600)
    return f"{done}. The rest takes about {time} with {_count(workers, 'worker')}, at {rate}/s each ({known})."


def _arms_table(plan: "Plan") -> "Table":
    table = _table("Arms", "Arm", "What it is", "Seeds")
    for arm in plan.arms.arms:
        table.add_row(arm.name, arm.description, ", ".join(map(str, arm.seeds)))
    return table


def _contrasts_table(plan: "Plan") -> "Table":
    table = _table("Contrasts", "Contrast", "Expected", "Matched by")
    for c in plan.contrasts:
        margin = f" by more than {c.margin:g}" if c.margin and c.direction != "equivalent" else ""
        within = f" within {c.margin:g}" if c.direction == "equivalent" else ""
        expected = f"{c.measure}: {c.arm} {_WORDS[c.direction]} {c.baseline}{margin}{within}"
        table.add_row(c.name, expected, c.matched.describe())
    return table


_WORDS = {"greater": "above", "less": "below", "equivalent": "equal to", "different": "other than"}


def print_status(status: "Status", everything: bool) -> None:
    """How many stages are in each state, then what wants attention; with ``everything`` one line for every stage."""
    console = _console()
    console.print(", ".join(f"{n} {state}" for state, n in status.counts.items()), style="bold", highlight=False)
    lines = str(status).splitlines()[1:] if everything else _attention(status.stages)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _attention(stages: Sequence["StageStatus"]) -> Iterable[str]:
    """Running, failed, damaged and stale stages, what is missing by label, and which source has changed."""
    followers = 0
    for row in stages:
        own = {key: pair for key, pair in row.differences.items() if not key.startswith("inputs")}
        if row.state == "stale" and not own:
            followers += 1
        elif row.state in ("running", "failed", "damaged", "stale") or row.detail:
            yield f"{row.state:<8} {row.title}  {row.address}{f'  ({row.detail})' if row.detail else ''}"
            yield from (f"         {key}: {old!r} -> {new!r}" for key, (old, new) in own.items())
    if followers:
        yield f"stale    {_count(followers, 'more stage')}, because their inputs are"
    yield from _missing(stages)
    yield from _changed_sources(stages)


def _missing(stages: Sequence["StageStatus"]) -> Iterable[str]:
    counts: dict[str, int] = {}
    for row in stages:
        if row.state == "missing":
            counts[row.label] = counts.get(row.label, 0) + 1
    if counts:
        yield "missing  " + ", ".join(f"{label} ({n})" if n > 1 else label for label, n in counts.items())


def _changed_sources(stages: Sequence["StageStatus"]) -> Iterable[str]:
    old = [row for row in stages if row.changed_sources]
    if old:
        modules = dict.fromkeys(module for row in old for module in row.changed_sources)
        yield f"source   changed since {_count(len(old), 'finished stage')} were built: {', '.join(modules)}"
        yield "         They are reused; raise the version of a stage whose meaning changed."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column == columns[0])
    return table
