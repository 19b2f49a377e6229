"""A study at smoke scale as a user runs it: through the command line, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from paribus.lab import Panel, Store, Study, read_result

MARKS = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.xdist_group("smoke study")]
"""Of every module that runs a study."""


def command(study: str) -> list[str]:
    return [sys.executable, "-m", "paribus", "run", study, "--scale", "smoke", "--workers", "2", "--plain"]


def sets(overrides: tuple[str, ...]) -> list[str]:
    return [word for text in overrides for word in ("--set", text)]


def run(study: str, store: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*command(study), "--store", str(store), *options], capture_output=True, text=True, check=False
    )


def finished(study: str, folder: Path, *options: str) -> Path:
    """A store with a study's run in it, which ended well and said where its report is."""
    store = folder / "store"
    done = run(study, store, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    report = Path(done.stdout.strip().splitlines()[-1])
    assert report.is_file() and report.suffix == ".html"
    return store


def panels_of(study: Study, store: Path) -> dict[str, Panel]:
    """The panels of a whole smoke run, by id."""
    return {panel.id: panel for panel in read_result(study.plan(study.at("smoke")), Store(store)).panels}


def published(store: Path) -> dict[str, int]:
    """When each artifact of a store was published, by address."""
    return {path.parent.name: path.stat().st_mtime_ns for path in store.glob("artifacts/*/manifest.json")}


def run_again(study: str, store: Path) -> dict[str, int]:
    """What was published before a run that must end well and publish nothing: asserts that it did."""
    before = published(store)
    done = run(study, store)
    assert done.returncode == 0, done.stdout + done.stderr
    assert published(store) == before
    return before
