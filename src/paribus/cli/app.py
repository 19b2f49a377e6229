"""The ``paribus`` command: its families of commands, and what becomes of an error.

Exit codes: 0 done, 1 a stage failed, 2 the command or its input cannot be used, 130 stopped by Ctrl-C. Every other
exception is a bug and keeps its traceback.
"""

import os
import shlex
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from paribus import __version__
from paribus.cli import parts, parts_probes, parts_ratings, parts_server, studies
from paribus.cli.studies import EXIT_STOPPED
from paribus.errors import ParibusError

EXIT_UNUSABLE = 2


class Sentences(TyperGroup):
    """The command group that answers a user's error with one sentence, and Ctrl-C with the command to go on with."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the command line as it was given, in ``ctx.obj``, for messages on how to go on."""
        ctx.obj = shlex.join(["paribus", *args])
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except ParibusError as error:
            complain(str(error))
            raise typer.Exit(EXIT_UNUSABLE) from error
        except KeyboardInterrupt as stop:
            typer.echo(f"\nStopped. To go on:\n  {ctx.obj}", err=True)
            raise typer.Exit(EXIT_STOPPED) from stop
        except BrokenPipeError:
            _forget_stdout()
            raise typer.Exit(0) from None


def complain(sentence: str) -> None:
    """Print an error in red, without secrets."""
    from paribus.lab.redact import redact

    typer.secho(f"Error: {redact(sentence)}", fg=typer.colors.RED, err=True)


def _forget_stdout() -> None:
    """The reader (``| head``) has left: what Python still holds for it would raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"paribus {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Controlled comparisons for multilingual language models: which factor gave how much, at what cost?

    Start with: paribus list, then paribus plan STUDY, then paribus run STUDY.
    """


app = typer.Typer(
    cls=Sentences,
    callback=_root,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text stays readable on a narrow terminal, and every error reads `Error: ...`
    context_settings={"help_option_names": ["-h", "--help"]},
)
studies.register(app)
parts.register(app)
parts_probes.register(app)
parts_ratings.register(app)
parts_server.register(app)
