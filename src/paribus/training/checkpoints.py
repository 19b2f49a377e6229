"""Checkpoints that can be trusted: one counts only when every file of it has the checksum written at its end.

Trainer writes a checkpoint file by file, so a kill can leave half of one. ``seal`` adds a list of checksums as the very
last file; ``latest`` passes over folders that have none, or whose files differ from it.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

SEAL = "sealed.json"
logger = logging.getLogger(__name__)


def seal(checkpoint: Path, extra: dict[str, Any]) -> None:
    """Write checksums of all files, and ``extra`` (counters, compute path), as the checkpoint's last file."""
    files = {
        path.name: _checksum(path) for path in sorted(checkpoint.iterdir()) if path.is_file() and path.name != SEAL
    }
    for name in files:
        _sync(checkpoint / name)
    partial = checkpoint / f"{SEAL}.partial"
    partial.write_text(json.dumps({"files": files, "extra": extra}))
    _sync(partial)
    partial.replace(checkpoint / SEAL)


def latest(directory: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest sound checkpoint of a directory and its ``extra``, or None. Says which damaged ones it passed over."""
    found = [path for path in directory.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    for checkpoint in sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True):
        problem, extra = _inspect(checkpoint)
        if problem is None:
            return checkpoint, extra
        logger.warning("The checkpoint %s is not used: %s.", checkpoint, problem)
    return None


def _inspect(checkpoint: Path) -> tuple[str | None, dict[str, Any]]:
    try:
        record = json.loads((checkpoint / SEAL).read_text())
    except (OSError, ValueError):
        return "it was not finished", {}
    for name, expected in record["files"].items():
        path = checkpoint / name
        if not path.is_file() or _checksum(path) != expected:
            return f"its file {name} is missing or damaged", {}
    return None, record["extra"]


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
