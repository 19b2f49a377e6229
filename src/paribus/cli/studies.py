"""Commands for whole studies: list, plan, run, status, report, scoreboard."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paribus.cli.request import (
    DEFAULT_SCALE,
    DEFAULT_STORE,
    Overrides,
    Request,
    Scale,
    SeedCount,
    StoreFolder,
    StudyName,
    Workers,
)
from paribus.errors import StoreError

if TYPE_CHECKING:
    from paribus.lab import Store, StudyResult

EXIT_FAILED = 1
EXIT_STOPPED = 130

Devices = Annotated[
    str,
    typer.Option(
        "--devices", "--device", help="cpu, cuda:0,cuda:1 ...: handed round among the workers.", metavar="D,D"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (list_studies, plan, run, status, report, scoreboard):
        app.command("list" if command is list_studies else None)(command)


def list_studies() -> None:
    """Show the ten studies. For each: its question, whether it can be run, how many claims it tests."""
    from paribus.cli.tables import print_catalogue

    print_catalogue()


def plan(
    study: StudyName,
    scale: Scale = DEFAULT_SCALE,
    store: StoreFolder = DEFAULT_STORE,
    workers: Workers = None,
    seed_count: SeedCount = None,
    changes: Overrides = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", min=1.0, metavar="FLOP/S", help="Price at this speed of one worker, such as 2e14 for a GPU."
        ),
    ] = None,
) -> None:
    """Price a study and show what it compares. Runs nothing."""
    from paribus.cli.tables import print_plan
    from paribus.lab import Store, price
    from paribus.lab.runner import default_workers

    asked = Request(study, scale, store, seed_count, changes or ())
    planned = asked.plan()
    count = workers or default_workers()
    print_plan(planned, price(planned, Store.existing(store), workers=count, flops_per_second=rate), count)


def run(
    ctx: typer.Context,
    study: StudyName,
    scale: Scale = DEFAULT_SCALE,
    store: StoreFolder = DEFAULT_STORE,
    workers: Workers = None,
    seed_count: SeedCount = None,
    changes: Overrides = None,
    devices: Devices = "",
    threads: Annotated[int, typer.Option(min=1, help="Compute threads of each worker.")] = 1,
    launcher: Annotated[str, typer.Option(help="pool (this machine), slurm, ray, or inline (no processes).")] = "pool",
    launcher_options: Annotated[
        list[str] | None,
        typer.Option("--launcher-option", metavar="K=V", help="For slurm (slurm_partition=gpu) and ray (num_gpus=1)."),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Check what is there against its checksums first.")] = True,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines even on a terminal.")] = False,
) -> None:
    """Build what is missing, write the report. The last line printed is the report's path.

    Ctrl-C stops cleanly; the same command goes on where it stopped.
    """
    from paribus.lab import Store, read_result, run_plan
    from paribus.lab.display import Display
    from paribus.lab.launchers.choosing import make_launcher, parse_options

    asked = Request(study, scale, store, seed_count, changes or ())
    planned = asked.plan()
    options = parse_options(launcher_options or ())
    opened = Store(store)
    where = [name.strip() for name in devices.split(",") if name.strip()]
    ended = run_plan(
        planned,
        opened,
        launcher=make_launcher(launcher, opened.root, workers=workers, threads=threads, devices=where, options=options),
        display=Display(planned, opened) if plain else None,
        resume=ctx.obj,
        verify=verify,
    )
    if ended.interrupted:
        raise typer.Exit(EXIT_STOPPED)
    if not ended.ok:
        raise typer.Exit(EXIT_FAILED)
    _publish(asked, read_result(planned, opened))


def status(
    study: StudyName,
    scale: Scale = DEFAULT_SCALE,
    store: StoreFolder = DEFAULT_STORE,
    seed_count: SeedCount = None,
    changes: Overrides = None,
    everything: Annotated[bool, typer.Option("--all", help="One line for every stage.")] = False,
) -> None:
    """Show what is done, failed, out of date. Says why; runs and changes nothing."""
    from paribus.cli.tables import print_status
    from paribus.lab import Store
    from paribus.lab import status as status_of

    asked = Request(study, scale, store, seed_count, changes or ())
    planned = asked.plan()
    opened = Store.existing(store)
    if opened is None:
        typer.echo(f"{store} holds no store yet: none of the {len(planned.graph)} stages is built.")
        return
    print_status(status_of(planned, opened), everything)


def report(
    study: StudyName,
    scale: Scale = DEFAULT_SCALE,
    store: StoreFolder = DEFAULT_STORE,
    seed_count: SeedCount = None,
    changes: Overrides = None,
) -> None:
    """Write the report again from stored records. Without --set or --seed-count: that of the last finished run."""
    from paribus.lab import read_result
    from paribus.lab.running import last_result

    asked = Request(study, scale, store, seed_count, changes or ())
    settings, opened = asked.settings, _existing(store)
    if asked.overrides:
        result = read_result(asked.study.plan(settings), opened)
    else:
        result = last_result(opened, asked.study.name, scale)
    _publish(asked, result)


def scoreboard(store: StoreFolder = DEFAULT_STORE) -> None:
    """Show the verdict on every claim. Covers every study run in the store, with intervals and cost."""
    from rich.console import Console

    from paribus.lab import Ledger
    from paribus.report.scoreboard import scoreboard_rows, write_scoreboard
    from paribus.report.terminal import print_scoreboard

    opened = _existing(store)
    with Ledger(opened.ledger_path) as ledger:
        rows = scoreboard_rows(ledger.results())
    if not rows:
        raise StoreError(f"{store} holds no finished study yet; finish one with `paribus run STUDY --store {store}`.")
    print_scoreboard(rows, Console())
    typer.echo(write_scoreboard(rows, store / "reports" / "scoreboard.html"))


def _existing(store: Path) -> "Store":
    from paribus.lab import Store

    opened = Store.existing(store)
    if opened is None:
        raise StoreError(f"{store} holds no store; give the folder of an earlier `paribus run` with --store.")
    return opened


def _publish(asked: Request, result: "StudyResult") -> None:
    """Print the result, write its page, and say last where that lies."""
    from rich.console import Console

    from paribus.report.study import write_study
    from paribus.report.terminal import print_study

    page = asked.store / "reports" / f"{result.study}-{result.scale}.html"
    write_study(result, page, rerun_command=asked.rerun(result))
    print_study(result, Console())
    typer.echo(page)
