"""``paribus annotate`` and ``paribus arena``: people rate or compare answers in a browser; out come records."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.parts_inputs import Language, Languages, Limit, OnBadRow, Reading, Split, one_answer_each
from paribus.cli.parts_options import Prompts, Seed

if TYPE_CHECKING:
    from paribus.feedback.server.database import Database

Forms = Annotated[
    list[str] | None,
    typer.Argument(metavar="FORMS...", help="Forms to add (`paribus ratings design`); none goes on with the file's."),
]
NewFile = Annotated[
    Path, typer.Option("--db", metavar="FILE", help="Where forms and answers are kept (SQLite); made if missing.")
]
OldFile = Annotated[Path, typer.Argument(metavar="DB", help="The file of forms and answers that was served.")]
OutFile = Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to make (.jsonl, .jsonl.gz, .parquet).")]
Overlap = Annotated[int, typer.Option(min=1, help="Raters that are to answer each form.")]
Host = Annotated[str, typer.Option(help="Address to serve; any but this machine's own needs PARIBUS_UI_TOKEN.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to serve; 0 takes a free one.")]
Names = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="A further name it is reached by, such as a proxy's."),
]
Https = Annotated[bool, typer.Option("--https", help="A proxy in front speaks HTTPS: cookies are sent over it alone.")]
Lease = Annotated[
    float, typer.Option("--lease", metavar="MINUTES", min=1, help="How long a form waits for the rater who has it.")
]


def annotate_serve(
    db: NewFile,
    forms: Forms = None,
    overlap: Overlap = 1,
    host: Host = "127.0.0.1",
    port: Port = 8020,
    allow_host: Names = None,
    https: Https = False,
    lease: Lease = 30.0,
    on_bad_row: OnBadRow = "fail",
) -> None:
    """Serve forms to raters: errors, quality and style are separate tasks, and a rater does one of them.

    \b
    Example: paribus annotate serve forms.jsonl --db ratings.sqlite
             PARIBUS_UI_TOKEN=... paribus annotate serve --db ratings.sqlite --host 0.0.0.0

    Raters open the address, sign in by name and rate by mouse or keyboard; they may stop and come back. To let other
    machines in, set the access code in PARIBUS_UI_TOKEN and give it to raters.
    """
    from paribus.feedback.server.tasks import RATING

    address = _address(host, port, allow_host, https)
    database = _database(db)
    for path in forms or []:
        for name, task in RATING.items():
            rows = [task.row(form) for form in _forms(path, db, on_bad_row) if form.pass_ == name]
            _tell_added(path, name, database.add_forms(name, rows, overlap), len(rows))
    _serve(database, address, lease)


def arena_serve(
    prompts: Prompts,
    a: Annotated[str, typer.Argument(metavar="A", help="Completions of one model (`paribus generate`).")],
    b: Annotated[str, typer.Argument(metavar="B", help="Completions of the other model, to the same prompts.")],
    db: NewFile,
    overlap: Overlap = 1,
    seed: Seed = 0,
    host: Host = "127.0.0.1",
    port: Port = 8020,
    allow_host: Names = None,
    https: Https = False,
    lease: Lease = 30.0,
    languages: Languages = "",
    language: Language = None,
    split: Split = None,
    on_bad_row: OnBadRow = "fail",
    limit: Limit = None,
) -> None:
    """Let people compare two models' answers blindly, side by side in a random order that is kept.

    \b
    Example: paribus arena serve prompts.jsonl a.jsonl b.jsonl --db arena.sqlite
             paribus arena serve prompts.jsonl a.jsonl b.jsonl --db arena.sqlite --overlap 3

    Give the same command again to go on, or another pair of models to add their games to the file.
    """
    from paribus.feedback.games import games
    from paribus.feedback.server.tasks import ARENA

    address = _address(host, port, allow_host, https)
    database = _database(db)
    reading = Reading(db, languages, language, split, on_bad_row, limit)
    sides = [one_answer_each(reading.completions(path), path) for path in (a, b)]
    rows = [ARENA.row(game) for game in games(reading.prompts(prompts), *sides, protocol="single", seed=seed)]
    _tell_added(f"{a} and {b}", "arena", database.add_forms("arena", rows, overlap), len(rows))
    _serve(database, address, lease)


def annotate_export(db: OldFile, out: OutFile) -> None:
    """Write what raters answered as ratings, for `paribus ratings audit`.

    \b
    Example: paribus annotate export ratings.sqlite --out ratings.jsonl

    It can be given at any time, also while the server runs.
    """
    from paribus.feedback.server.export import ratings

    database = _database(db, there=True)
    _write(out, ratings(database), database)


def arena_export(
    db: OldFile,
    out: OutFile,
    judge: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Call all raters by one name, as win rates want.", show_default="by rater"),
    ] = None,
) -> None:
    """Write the votes as verdicts, for `paribus winrate`.

    \b
    Example: paribus arena export arena.sqlite --out verdicts.jsonl --judge people

    It can be given at any time, also while the server runs.
    """
    from paribus.feedback.server.export import verdicts

    database = _database(db, there=True)
    _write(out, verdicts(database, judge), database)


def _database(path: Path, *, there: bool = False) -> "Database":
    from paribus.errors import DataError
    from paribus.feedback.server.database import Database

    if there and not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    return Database(path)


def _forms(path: str, db: Path, on_bad_row: Any) -> list[Any]:
    from paribus.feedback.annotation.design import Form
    from paribus.records import read_records

    bad_rows = db.with_name(f"{db.name}.{Path(path).name}.bad.jsonl")
    return list(read_records(path, Form, on_bad_row=on_bad_row, bad_rows=bad_rows))


def _tell_added(source: str, task: str, added: int, of: int) -> None:
    from paribus.cli.parts_progress import say

    if of:
        say(f"{source}: {added} new forms of the task {task}, {of - added} that were there.")


def _address(host: str, port: int, names: Sequence[str] | None, https: bool) -> Any:
    """The address, refused before anything is read or written where it may not be served."""
    from paribus.feedback.server.serving import Address, admitted, token_from_environment

    address = Address(host, port, tuple(names or ()), https)
    admitted(address, token_from_environment())
    return address


def _serve(database: "Database", address: Any, lease: float) -> None:
    from paribus.cli.parts_progress import say
    from paribus.errors import DataError
    from paribus.feedback.server.serving import application, serve, token_from_environment

    if not database.tasks():
        raise DataError(f"{database.path} holds no forms; give some, such as those of `paribus ratings design`.")
    served = application(database, address, token_from_environment(), lease * 60)
    _show(database)
    tasks = database.tasks()

    def started(url: str) -> None:
        say(f"Serving {url} - stop with Ctrl-C; answers are kept as they come.")
        say("\n".join(f"  {task}: {url}{task}" for task in tasks))

    serve(served, address, started)


def _write(out: Path, rows: Sequence[Any], database: "Database") -> None:
    from paribus.records import write_records

    write_records(out, rows)
    _show(database)
    print(out)


def _show(database: "Database") -> None:
    from paribus.cli.parts_progress import print_table
    from paribus.feedback.server.export import fills

    columns = ["task", "language", "forms", "answers", "wanted", "in hand", "raters"]
    rows = [
        [row.task, row.language, row.forms, row.answered, row.wanted, row.in_hand, row.raters]
        for row in fills(database)
    ]
    print_table(str(database.path), columns, rows)


def register(app: typer.Typer) -> None:
    """Add the two groups to the app."""
    groups: tuple[tuple[str, Any, Any, str], ...] = (
        ("annotate", annotate_serve, annotate_export, "People rate answers in a browser."),
        ("arena", arena_serve, arena_export, "People compare two models blindly."),
    )
    for name, serve, export, summary in groups:
        group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
        group.command("serve", short_help="Serve pages to raters.")(serve)
        group.command("export", short_help="Write what they answered as records.")(export)
        app.add_typer(group, name=name, help=summary, short_help=summary)
