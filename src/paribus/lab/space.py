"""Recognises a full disk behind any exception, and says so with the path and the free bytes."""

import errno
import re
import shutil
import sqlite3
from pathlib import Path

from paribus.errors import StoreError

_SQLITE_NEEDS = 1 << 18
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Libraries that write through Rust or C++ only say it in words (safetensors, sqlite, arrow).
_WORDS = re.compile(
    r"no space left on device|database or disk is full|disk quota exceeded|file too large|code: 28\b", re.I
)


def free_bytes(path: Path) -> int:
    """Free bytes on the file system that holds ``path`` (or its nearest existing parent)."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def is_full(error: BaseException | None) -> bool:
    """Whether the exception, or any exception behind it, says that the disk is full."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if _WORDS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def full_disk(path: Path, action: str, error: BaseException) -> StoreError:
    """The ``StoreError`` for a full disk."""
    place = getattr(error, "filename", None) or path
    return StoreError(
        f"The disk is full: {action} could not write {place} ({free_bytes(path):,} bytes free at {path}; {error}). "
        "Nothing half-written was kept; free some space and run again."
    )


def ledger_error(path: Path, error: sqlite3.Error) -> StoreError:
    """The ``StoreError`` for any SQLite failure."""
    # SQLite reports a disk that fills up while it writes as a plain I/O error.
    if is_full(error) or ("disk I/O error" in str(error) and free_bytes(path.parent) < _SQLITE_NEEDS):
        return full_disk(path, "the ledger", error)
    return StoreError(
        f"The ledger {path} cannot be used ({error}; {free_bytes(path):,} bytes free); check the disk and the file's "
        "permissions. It can be moved away: the next run writes a new one from the artifacts' manifests."
    )
