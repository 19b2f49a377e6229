"""Checkpoints that can be trusted: one counts only when every file of it has the checksum written at its end.

Trainer writes a checkpoint file by file, so a kill can leave half of one. ``seal`` adds a list of checksums as the very
last file; ``latest`` passes over folders that have none, or whose files differ from it.
"""

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import ConfigError

SEAL = "sealed.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A sound checkpoint: where it is, the step it was written after, and what its seal holds besides checksums."""

    path: Path
    step: int
    extra: dict[str, Any]


def seal(checkpoint: Path, identity: dict[str, Any], extra: dict[str, Any]) -> None:
    """Write checksums of all files, the run's ``identity`` and ``extra`` as the checkpoint's last file."""
    files = {
        path.name: _checksum(path) for path in sorted(checkpoint.iterdir()) if path.is_file() and path.name != SEAL
    }
    for name in files:
        _sync(checkpoint / name)
    partial = checkpoint / f"{SEAL}.partial"
    partial.write_text(json.dumps({"files": files, "identity": identity, "extra": extra}))
    _sync(partial)
    partial.replace(checkpoint / SEAL)


def latest(directory: Path, identity: dict[str, Any]) -> Checkpoint | None:
    """The newest sound checkpoint of a directory, or None. Says which damaged ones it passed over.

    Raises ``ConfigError`` when it was written by a run with another ``identity``.
    """
    for step in sorted(_steps(directory), reverse=True):
        checkpoint = directory / f"checkpoint-{step}"
        problem, record = _inspect(checkpoint)
        if problem is None:
            _check_identity(checkpoint, record["identity"], identity)
            return Checkpoint(checkpoint, step, record["extra"])
        logger.warning("The checkpoint %s is not used: %s.", checkpoint, problem)
    return None


def keep_newest(directory: Path, step: int) -> None:
    """Delete all checkpoints but that of ``step`` and the one before it.

    Later ones are damaged leftovers (a run resumes behind every sound one), and by age they would outlive sound ones.
    """
    kept = {step, max((other for other in _steps(directory) if other < step), default=step)}
    for other in _steps(directory) - kept:
        shutil.rmtree(directory / f"checkpoint-{other}")


def _steps(directory: Path) -> set[int]:
    return {int(path.name[11:]) for path in directory.glob("checkpoint-*") if path.name[11:].isdigit()}


def _inspect(checkpoint: Path) -> tuple[str | None, dict[str, Any]]:
    try:
        record = json.loads((checkpoint / SEAL).read_text())
    except (OSError, ValueError):
        return "it was not finished", {}
    for name, expected in record["files"].items():
        path = checkpoint / name
        if not path.is_file() or _checksum(path) != expected:
            return f"its file {name} is missing or damaged", {}
    return None, record


def _check_identity(checkpoint: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    # Through JSON, as the seal's was: tuples become lists.
    now = json.loads(json.dumps(now))
    changed = [
        f"{name}={then.get(name)!r} then, {value!r} now" for name, value in now.items() if then.get(name) != value
    ]
    if changed:
        raise ConfigError(
            f"{checkpoint} belongs to another run ({'; '.join(changed)}); give this run a directory of its own, or "
            "delete that checkpoint to start over."
        )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
