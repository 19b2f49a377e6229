"""The command line: one file per family of commands. A command parses, calls the rooms below, and prints.

What lives here: options, the words of messages, tables for the terminal, exit codes. What may not: anything that a
notebook user would miss. Heavy libraries are imported inside the commands, so that ``--help`` answers at once.
"""


def main() -> None:
    """The console script ``paribus``."""
    from paribus.cli.app import app

    app()
