"""The artifact store: one directory per address, which exists whole or not at all.

artifacts/<address>/   payload files and manifest.json; written beside as .partial-*, fsynced, hashed, renamed
specs/  scratch/  locks/  logs/  progress/  quarantine/  ledger.sqlite
"""

import json
import shutil
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from paribus.errors import StoreError
from paribus.lab.identity import digest
from paribus.lab.locks import Lock, Locks, guard
from paribus.lab.manifest import Manifest, hash_file, hash_tree, read_manifest, sync_folder, write_manifest
from paribus.lab.space import full_disk, is_full

FORMAT = 1
_FOLDERS = ("artifacts", "specs", "scratch", "locks", "logs", "progress", "quarantine")


class Store:
    """A folder of artifacts. Opening creates it; raises ``StoreError`` if it is something else or too new."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self._open()
        self.locks = Locks(self.root / "locks")

    @classmethod
    def existing(cls, root: Path | str) -> "Store | None":
        """The store in a folder; None where there is nothing yet (nothing is created). Raises as opening does."""
        folder = Path(root)
        return cls(folder) if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) else None

    def _open(self) -> None:
        marker = self.root / "store.json"
        try:
            if not marker.exists():
                self._create(marker)
            found = json.loads(marker.read_text())
        except (OSError, json.JSONDecodeError) as error:
            if is_full(error):
                raise full_disk(self.root, "opening the store", error) from error
            raise StoreError(f"{self.root} cannot be opened as a store ({error}); give a writable folder.") from error
        if found.get("format") != FORMAT:
            raise StoreError(
                f"{self.root} has store format {found.get('format')!r}, this version reads {FORMAT}; use a new folder."
            )

    def _create(self, marker: Path) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"{self.root} is a file; give a folder for the store.")
        # Another run may be creating the same store right now: what it writes is no foreign file.
        foreign = [p.name for p in self.root.glob("*") if not _is_own(p.name)]
        if foreign:
            raise StoreError(f"{self.root} is no store and holds {foreign[0]!r}; give a new or empty folder.")
        for name in _FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        _replace_text(marker, json.dumps({"format": FORMAT}))

    # ---- where things lie -------------------------------------------------------------------------------------------

    def path(self, address: str) -> Path:
        """Folder of an artifact, whether it exists or not."""
        return self.root / "artifacts" / address

    def scratch(self, address: str) -> Path:
        """Folder for checkpoints of an unfinished stage (created)."""
        folder = self.root / "scratch" / address
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, address: str) -> Path:
        """The log file of an address."""
        return self.root / "logs" / f"{address}.log"

    def progress(self, address: str) -> Path:
        """The progress file of a running address."""
        return self.root / "progress" / f"{address}.json"

    @property
    def ledger_path(self) -> Path:
        """The SQLite file."""
        return self.root / "ledger.sqlite"

    # ---- reading ----------------------------------------------------------------------------------------------------

    def has(self, address: str) -> bool:
        """Whether the artifact is there (whole, by construction; ``verify`` checks that it is still sound)."""
        return (self.path(address) / "manifest.json").exists()

    def addresses(self) -> list[str]:
        """Every finished artifact, sorted."""
        folder = self.root / "artifacts"
        return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".") and (p / "manifest.json").exists())

    def manifest(self, address: str) -> Manifest:
        """The manifest of a finished artifact. Raises ``StoreError`` if it is missing or damaged."""
        return read_manifest(self.path(address))

    def write_spec(self, address: str, spec: dict[str, Any]) -> None:
        """Leave a stage's specification where a worker finds it by address."""
        try:
            _replace_text(
                self.root / "specs" / f"{address}.json", json.dumps(spec, indent=1, sort_keys=True, ensure_ascii=False)
            )
        except OSError as error:
            if is_full(error):
                raise full_disk(self.root, "writing a specification", error) from error
            raise StoreError(f"{self.root} cannot be written to ({error}); check its owner and permissions.") from error

    def read_spec(self, address: str) -> dict[str, Any]:
        """What ``write_spec`` left. Raises ``StoreError`` if there is none."""
        path = self.root / "specs" / f"{address}.json"
        try:
            spec: dict[str, Any] = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise StoreError(
                f"The specification {path} cannot be read ({error}); run the study again to write it."
            ) from error
        return spec

    # ---- writing ----------------------------------------------------------------------------------------------------

    def begin(self, lock: Lock) -> Path:
        """A fresh folder to fill, after clearing what an earlier, killed attempt at this address left."""
        self.discard_partials(lock.address)
        partial = self.root / "artifacts" / f".partial-{lock.address}-{uuid.uuid4().hex[:8]}"
        partial.mkdir()
        return partial

    def discard_partials(self, address: str) -> None:
        """Remove half-written folders of an address. Only for the owner of its lock."""
        for leftover in (self.root / "artifacts").glob(f".partial-{address}-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def sweep(self) -> None:
        """Remove half-written folders whose builder is dead, whether or not anybody will build them again."""
        with guard(self.locks.folder):
            for leftover in (self.root / "artifacts").glob(".partial-*"):
                address = leftover.name.removeprefix(".partial-").rpartition("-")[0]
                if self.locks.holder(address) is None:
                    shutil.rmtree(leftover, ignore_errors=True)

    def publish(self, lock: Lock, partial: Path, manifest: Manifest) -> bool:
        """Make a filled folder the artifact. False if somebody else took the lock over and the work must be dropped."""
        sealed = manifest.with_files(hash_tree(partial, sync=True))
        write_manifest(partial, sealed)
        sync_folder(partial)
        with guard(self.locks.folder):
            if not lock.held() or self.has(lock.address):
                shutil.rmtree(partial, ignore_errors=True)
                return False
            partial.rename(self.path(lock.address))
        sync_folder(self.root / "artifacts")
        self.forget(lock.address)
        return True

    def forget(self, address: str) -> None:
        """Remove scratch space and progress of a finished address."""
        shutil.rmtree(self.root / "scratch" / address, ignore_errors=True)
        self.progress(address).unlink(missing_ok=True)

    # ---- trust ------------------------------------------------------------------------------------------------------

    def verify(self, address: str) -> list[str]:
        """What is wrong with an artifact, by its checksums; an empty list when it is sound. Reads every byte."""
        folder = self.path(address)
        try:
            manifest = read_manifest(folder)
        except StoreError as error:
            return [str(error)]
        found = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()} - {"manifest.json"}
        problems = [f"{folder / name} is not in the manifest" for name in sorted(found - set(manifest.files))]
        for name, entry in manifest.files.items():
            problems.extend(_check_file(folder / name, entry["size"], entry["sha256"]))
        return problems

    def verify_all(self, addresses: Iterable[str], *, threads: int = 4) -> dict[str, list[str]]:
        """``verify`` for many artifacts at once; only the unsound ones are in the answer."""
        wanted = list(addresses)
        with ThreadPoolExecutor(threads) as pool:
            return {a: problems for a, problems in zip(wanted, pool.map(self.verify, wanted), strict=True) if problems}

    def quarantine(self, address: str) -> Path | None:
        """Move a damaged artifact aside. Returns where it lies now; None if it was already gone."""
        target = self.root / "quarantine" / f"{address}.{time.strftime('%Y%m%dT%H%M%S')}.{uuid.uuid4().hex[:4]}"
        with guard(self.locks.folder):
            try:
                self.path(address).rename(target)
            except FileNotFoundError:
                return None
        return target


def payload_digests(store: Store) -> dict[str, str]:
    """One digest per artifact over the names and bytes of its payload files (manifests left out), read from the files.

    Two stores that ran the same study must agree in it, however often their runs were killed.
    """
    return {
        address: digest({n: e["sha256"] for n, e in hash_tree(store.path(address)).items()})
        for address in store.addresses()
    }


def payload_digest(store: Store) -> str:
    """One digest for a whole store; see ``payload_digests``."""
    return digest(payload_digests(store))


def payload_differences(first: Store, second: Store) -> list[str]:
    """What two stores hold differently, one line per artifact; empty when they agree byte for byte."""
    one, two = payload_digests(first), payload_digests(second)
    lines = [f"{a} is only in {first.root}" for a in sorted(one.keys() - two.keys())]
    lines += [f"{a} is only in {second.root}" for a in sorted(two.keys() - one.keys())]
    for address in sorted(a for a in one.keys() & two.keys() if one[a] != two[a]):
        left, right = hash_tree(first.path(address)), hash_tree(second.path(address))
        names = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
        lines.append(f"{address} differs in {', '.join(names)}")
    return lines


def _is_own(name: str) -> bool:
    return name in (*_FOLDERS, "store.json") or name.startswith((".", "ledger.sqlite"))


def _check_file(path: Path, size: int, sha256: str) -> list[str]:
    if not path.is_file() or path.is_symlink():
        return [f"{path} is missing"]
    actual = path.stat().st_size
    if actual != size:
        return [f"{path} has {actual} bytes instead of {size}"]
    return [] if hash_file(path) == sha256 else [f"{path} has changed: its checksum does not match the manifest"]


def _replace_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
