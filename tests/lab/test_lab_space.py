"""A full disk fails with the path and the free bytes, leaves nothing half-written, and costs nothing but the retry."""

import errno
import os
import re
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_toy import STUDY

from paribus.errors import StoreError
from paribus.lab import Ledger, Store
from paribus.lab.space import free_bytes, is_full, ledger_error

TOY = Path(__file__).with_name("lab_toy_main.py")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"this machine does not let tests mount a file system: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def toy(store: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(TOY), str(store), "--workers", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("left", "where"), [(0, "opening the store"), (60_000, "the ledger"), (400_000, "stage corpus")]
)
def test_a_full_disk_is_said_and_survived(small_disk: Path, left: int, where: str) -> None:
    """``left`` bytes are free at the start: too few for the store's marker, the ledger, or the first artifact."""
    store, large = small_disk / "store", ("--set", "corpus_size=30000")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * max(0, free_bytes(small_disk) - left))
    run = toy(store, *large)
    assert run.returncode in (1, 2), run.stderr
    assert re.search(rf"The disk is full: {where}.* could not write .*\d bytes free", run.stderr), run.stderr
    assert str(small_disk) in run.stderr
    assert not list(store.glob("artifacts/*")) and not list(store.glob("artifacts/.partial*"))
    filler.unlink()
    again = toy(store, *large)
    assert again.returncode == 0, again.stderr
    plan = STUDY.plan(STUDY.at("smoke", ["corpus_size=30000"]))
    assert Store(store).verify_all(plan.graph.nodes) == {}


def test_a_file_size_limit_fails_the_stage_and_not_the_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    large = ("--set", "corpus_size=30000")
    command = [sys.executable, str(TOY), str(store), "--workers", "1", *large]
    limit = 400_000  # bytes: this corpus is larger, the ledger is smaller

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=lower)
    assert run.returncode != 0 and "The disk is full" in run.stderr
    assert not list(store.glob("artifacts/*"))
    assert toy(store, *large).returncode == 0


def test_full_disks_are_recognised_through_other_libraries() -> None:
    assert is_full(OSError(errno.ENOSPC, "No space left on device"))
    assert is_full(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"))
    try:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as cause:
            raise ValueError("could not save") from cause
    except ValueError as error:
        assert is_full(error)
    assert not is_full(FileNotFoundError(errno.ENOENT, "none"))
    assert not is_full(ValueError("code: 280"))


def test_sqlite_failures_name_the_ledger(tmp_path: Path) -> None:
    full = ledger_error(tmp_path / "ledger.sqlite", sqlite3.OperationalError("database or disk is full"))
    assert isinstance(full, StoreError) and "The disk is full" in str(full) and "ledger.sqlite" in str(full)
    (tmp_path / "ledger.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match=r"ledger\.sqlite.*moved away"):
        Ledger(tmp_path / "ledger.sqlite")
