"""How far a command is: a bar on a terminal, a plain line from time to time in a log. Everything goes to stderr."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

INTERVAL = 15.0
"""Seconds between two lines of a plain log."""


class Steps:
    """Progress of ``total`` steps of one kind of work; a context manager, called with the number done.

    ``Steps("training", 300, "step")(12, loss=2.31, tokens=49_152)`` shows rate, numbers and time left. ``tokens`` is a
    running total and is shown as tokens a second.
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.first: tuple[float, int, int] | None = None
        self.shown = 0.0
        self.bar: Progress | None = None

    def __enter__(self) -> "Steps":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
            )
            self.bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
            self.task = self.bar.add_task(self.title, total=self.total, facts="")
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, done: int, *, tokens: int = 0, **numbers: float) -> None:
        """Show that ``done`` steps are done."""
        now = time.monotonic()
        if self.first is None:
            self.first = now, done, tokens
        facts = self._facts(now, done, tokens, numbers)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, facts=facts)
        elif done >= self.total or now - self.shown >= INTERVAL:
            self.shown = now
            say(f"{self.title}: {self.unit} {done}/{self.total}{' · ' if facts else ''}{facts}")

    def _facts(self, now: float, done: int, tokens: int, numbers: dict[str, float]) -> str:
        from paribus.lab.display import clock

        assert self.first is not None
        spent, steps, fresh = now - self.first[0], done - self.first[1], tokens - self.first[2]
        facts = [f"{fresh / spent:,.0f} tokens/s"] if fresh > 0 and spent > 0 else []
        facts += [f"{name} {value:.4g}" for name, value in numbers.items()]
        if steps > 0 and done < self.total:
            facts.append(f"{clock(spent * (self.total - done) / steps)} left")
        return " · ".join(facts)


def say(text: str) -> None:
    """One line for a person, on stderr and without secrets: stdout is for results."""
    from paribus.lab.redact import redact

    print(redact(text), file=sys.stderr, flush=True)


def print_table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """A title and a table on stdout; the first column is text, the others are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(str(cell), overflow="fold") for cell in row))
    # A file or a pipe has no width; cells must not be broken for one.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160)
    console.print(Text(title), soft_wrap=True)
    console.print(table)
