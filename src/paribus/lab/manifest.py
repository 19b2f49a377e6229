"""``manifest.json``: what an artifact is, what it was made from, and the checksum of every file in it."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from paribus.errors import StoreError
from paribus.lab.budget import Cost
from paribus.lab.identity import digest

NAME = "manifest.json"


class Manifest(BaseModel):
    """Everything but ``run`` is the same however often the stage is run; ``run`` holds times, host, seconds and calls.

    config       the non-default fields (what the identity holds); ``full_config`` holds all of them
    inputs       the parents' addresses by input name
    parents      address to the digest of the bytes it had when this stage read it
    files        relative name to {"size", "sha256"}
    sources      module name to SHA-256 of its source, for the modules the stage function can reach
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    stage: str
    version: str
    function: str
    config: dict[str, Any]
    full_config: dict[str, Any]
    inputs: dict[str, Any]
    parents: dict[str, str]
    seed: int | None
    planned: Cost
    measured: Cost
    sources: dict[str, str]
    versions: dict[str, str]
    files: dict[str, dict[str, Any]] = {}
    run: dict[str, Any] = {}

    def with_files(self, files: dict[str, dict[str, Any]]) -> "Manifest":
        """A copy that lists the payload files."""
        return self.model_copy(update={"files": files})

    @property
    def payload(self) -> str:
        """Digest over the names and checksums of the payload files."""
        return digest({name: entry["sha256"] for name, entry in self.files.items()})

    @property
    def cost(self) -> Cost:
        """What was measured, with the seconds of the run."""
        return self.measured.model_copy(update={"seconds": float(self.run.get("seconds", 0.0))})


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_tree(folder: Path, *, sync: bool = False) -> dict[str, dict[str, Any]]:
    """Size and checksum of every file below ``folder`` but the manifest; with ``sync``, each is flushed to the disk
    first.

    Raises ``StoreError`` for a link: what it points to may change or vanish.
    """
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise StoreError(f"{path} is a link; an artifact must hold its own bytes, so copy the file instead.")
        if path.is_file() and name != NAME:
            if sync:
                _sync_file(path)
            files[name] = {"size": path.stat().st_size, "sha256": hash_file(path)}
    return files


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write and flush the manifest, with a checksum of itself."""
    data = manifest.model_dump(mode="json")
    data["checksum"] = digest(data)
    path = folder / NAME
    if path.exists():
        raise StoreError(f"A stage wrote its own {path}; that name belongs to the store, so give the file another one.")
    path.write_text(json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")
    _sync_file(path)


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest. Raises ``StoreError`` if it is missing or was changed."""
    path = folder / NAME
    try:
        data = json.loads(path.read_bytes().decode("utf-8"))
        claimed = data.pop("checksum", None)
        if claimed != digest(data):
            raise StoreError(f"{path} has changed since it was written: its own checksum does not match")
        return Manifest.model_validate(data)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, ValidationError, AttributeError) as error:
        raise StoreError(f"{path} cannot be read ({type(error).__name__}: {error})") from error


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename or a new file survives a power cut."""
    for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())] if folder.name != "artifacts" else [folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
