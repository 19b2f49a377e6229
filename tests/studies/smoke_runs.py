"""A study at smoke scale as a user runs it: through the command line, in a process of its own."""

import subprocess
import sys
from pathlib import Path


def command(study: str) -> list[str]:
    return [sys.executable, "-m", "paribus", "run", study, "--scale", "smoke", "--workers", "2", "--plain"]


def sets(overrides: tuple[str, ...]) -> list[str]:
    return [word for text in overrides for word in ("--set", text)]


def run(study: str, store: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*command(study), "--store", str(store), *options], capture_output=True, text=True, check=False
    )
