"""Short ways to call the command: in process, or as a user would, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from paribus.cli.app import app

LAB_TESTS = Path(__file__).parent.parent / "lab"
TOY = "lab_toy:STUDY"
MAIN = "from paribus.cli import main; main()"


def call(*words: object) -> Result:
    """In process; stages run in process as well when ``--launcher inline`` is given."""
    return CliRunner().invoke(app, [str(word) for word in words])


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", MAIN, *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PARIBUS_", "TOY_"))}
    return {**kept, "PYTHONPATH": str(LAB_TESTS), "COLUMNS": "120", **more}


def process(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), env=environment(**more), capture_output=True, text=True, check=False)


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sentence(result: Result) -> str:
    """The one line on stderr of a refused command."""
    assert result.exit_code == 2, (result.output, result.exception)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: "), lines
    return lines[0]
