"""Tables of the study commands for a terminal: the catalogue, a priced plan, a status."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from paribus.lab import Plan, Price, Status
    from paribus.lab.budget import Cost
    from paribus.lab.comparison import Differences
    from paribus.lab.state import StageStatus

NARROW = 100
"""Below this many columns words take the place of columns."""

LONGEST_VALUE = 100
"""Characters of a changed value that a status shows."""

_FOLLOWING = ("inputs", "arms")
"""What changes in a stage because something before it did: its inputs, and in the analysis the list of arms."""
_WRAPS = ("Stage", "To spend", "Question", "What it is", "Seeds", "Contrast", "Expected", "Matched by")
"""Columns of words; the others are read at a glance and never broken."""
_WORDS = {"greater": "above", "less": "below", "equivalent": "equal to", "different": "other than"}


def print_catalogue() -> None:
    """Every study: name, state, claims, question; as paragraphs where a table would be too narrow to read."""
    from rich.padding import Padding

    console = _console()
    table = _table("", "Study", "State", "Claims", "Question")
    for name, state, claims, question in _catalogue():
        if console.width < NARROW:
            console.print(f"{name}: {state}{f', {claims} claims' if claims else ''}", highlight=False, markup=False)
            console.print(Padding(question, (0, 0, 0, 4)))
        table.add_row(name, state, claims, question)
    if console.width >= NARROW:
        console.print(table)


def _catalogue() -> Iterable[tuple[str, str, str, str]]:
    from paribus.studies.catalogue import CATALOGUE, load

    for entry in CATALOGUE:
        study = load(entry.name) if entry.built else None
        claims = str(len(study.claims_at(study.at()))) if study else ""
        yield entry.name, "built" if study else "not built yet", claims, entry.question


def print_plan(plan: "Plan", price: "Price", workers: int) -> None:
    """What a run will cost, by stage; then the arms, and the contrasts with what they are matched by."""
    console = _console()
    console.print(f"{plan.study.title} ({plan.study.name}, {plan.settings.scale} scale)", style="bold", markup=False)
    console.print(plan.study.question, markup=False)
    console.print(_price_table(price, console.width))
    console.print(_hours(price, workers), markup=False, highlight=False)
    console.print(_arms_table(plan))
    console.print(_contrasts_table(plan))
    for notice in plan.notices:
        console.print(f"note: {notice}", markup=False, highlight=False, soft_wrap=True)


def _price_table(price: "Price", width: int) -> "Table":
    """One row for each label and a total; currencies in which nothing is to be spent have no column."""
    from paribus.lab.budget import CURRENCIES
    from paribus.report.formatting import show_seconds

    spent = [name for name in CURRENCIES if name != "seconds" and price.todo.get(name)]
    columns = ["To spend"] if width < NARROW else [_heading(name) for name in spent]
    table = _table("Stages", "Stage", "Done", *columns, "Time")
    for row in price.rows:
        time = show_seconds(row.seconds) if row.seconds else ""
        table.add_row(row.label, f"{row.done}/{row.stages}", *_amounts(row.todo, spent, width), time)
    table.add_section()
    total = f"{price.stages_done}/{price.stages_done + price.stages_todo}"
    table.add_row("all", total, *_amounts(price.todo, spent, width), show_seconds(sum(r.seconds for r in price.rows)))
    return table


def _amounts(cost: "Cost", spent: Sequence[str], width: int) -> list[str]:
    from paribus.report.formatting import show_cost

    texts = {name: show_cost(name, cost.get(name)) for name in spent if cost.get(name)}
    if width >= NARROW:
        return [texts.get(name, "").removesuffix("FLOP").rstrip() for name in spent]
    return [", ".join(text if name == "flops" else f"{text} {_heading(name).lower()}" for name, text in texts.items())]


def _heading(currency: str) -> str:
    named = {"flops": "FLOP", "body_flops": "Body FLOP", "generated_tokens": "Generated", "parameters": "Params"}
    return named.get(currency, currency.capitalize())


def _hours(price: "Price", workers: int) -> str:
    from paribus.lab.pricing import ASSUMED_FLOPS_PER_SECOND
    from paribus.report.formatting import show_cost, show_seconds

    done = f"{price.stages_done} of {price.stages_done + price.stages_todo} stages are done"
    if not price.stages_todo:
        return f"{done}: nothing is left to run."
    known = "assumed, nothing is measured in this store yet"
    if price.measured:
        known = "measured in this store"
    elif price.flops_per_second != ASSUMED_FLOPS_PER_SECOND:
        known = "as given"
    rate = show_cost("flops", price.flops_per_second)
    time = show_seconds(price.hours * 3600)
    text = f"{done}. The rest takes about {time} with {_count(workers, 'worker')}, at {rate}/s each ({known})."
    if not price.training_bytes:
        return text
    memory = f"{price.training_bytes / 1e9:,.3g} GB"
    return f"{text} Training the largest model takes {memory} in full fp32 AdamW, and its activations."


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


def print_status(status: "Status", everything: bool) -> None:
    """How many stages are in each state, then what wants attention; with ``everything`` one line for every stage."""
    console = _console()
    console.print(", ".join(f"{n} {state}" for state, n in status.counts.items()), style="bold", highlight=False)
    lines = [line for row in status.stages for line in _stage(row)] if everything else _attention(status.stages)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _stage(row: "StageStatus") -> Iterable[str]:
    yield f"{row.state:<8} {row.title}  {row.address}{f'  ({row.detail})' if row.detail else ''}"
    yield from _changes(row.differences)
    if row.changed_sources:
        yield f"         source changed since it was built: {', '.join(row.changed_sources)}"


def _changes(differences: "Differences") -> Iterable[str]:
    return (f"         {key}: {_short(old)} -> {_short(new)}" for key, (old, new) in differences.items())


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _attention(stages: Sequence["StageStatus"]) -> Iterable[str]:
    """Single stages that run, failed or are damaged; groups of those that are stale, blocked or missing; old source."""
    for row in stages:
        if row.state in ("running", "failed", "damaged") or (row.state == "done" and row.detail):
            yield from _stage(replace(row, changed_sources=()))
    yield from _stale(stages)
    for state in ("blocked", "missing"):
        labels = Counter(row.label for row in stages if row.state == state)
        if labels:
            yield f"{state:<8} {', '.join(_times(label, n) for label, n in labels.items())}"
    yield from _changed_sources(stages)


def _stale(stages: Sequence["StageStatus"]) -> Iterable[str]:
    """Stale stages with the same label and the same changes are one entry; those with other inputs only are counted."""
    groups: dict[tuple[str, ...], int] = {}
    followers = 0
    for row in stages:
        own = {key: pair for key, pair in row.differences.items() if key.partition(".")[0] not in _FOLLOWING}
        if row.state == "stale" and own:
            key = (row.label, *_changes(own))
            groups[key] = groups.get(key, 0) + 1
        followers += row.state == "stale" and not own
    for (label, *changes), number in groups.items():
        yield f"stale    {_times(label, number)}"
        yield from changes
    if followers:
        yield f"stale    {followers} more, because their inputs are"


def _changed_sources(stages: Sequence["StageStatus"]) -> Iterable[str]:
    old = [row for row in stages if row.changed_sources]
    if old:
        modules = dict.fromkeys(module for row in old for module in row.changed_sources)
        yield f"source   {_count(len(old), 'finished stage')} built by code that has changed: {', '.join(modules)}"
        yield "         They are reused; raise the version of a stage whose meaning changed."


def _times(label: str, number: int) -> str:
    return label if number == 1 else f"{label} ({number})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        wraps = column in _WRAPS
        table.add_column(column, no_wrap=not wraps, overflow="fold" if wraps else "ellipsis")
    return table
