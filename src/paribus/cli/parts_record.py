"""``run.json``: what a command was asked, on what, with which versions, and what it cost.

It is also what makes a command resumable: the same options and inputs go on (or are done already), any other ones are
refused, difference by difference, instead of overwriting what is there.
"""

import hashlib
import json
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from paribus.errors import ConfigError, DataError

NAME = "run.json"
PACKAGES = ("paribus", "torch", "transformers", "tokenizers", "numpy")


@dataclass
class Run:
    """One command on one output. ``state`` says what was found there; ``finish`` writes what came of it."""

    path: Path
    part: str
    options: dict[str, Any]
    inputs: dict[str, Any]
    state: Literal["new", "unfinished", "complete"] = "new"
    found: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def complete(self) -> bool:
        """Whether an earlier run with the same options and inputs was finished."""
        return self.state == "complete"

    @property
    def results(self) -> dict[str, Any]:
        """What a finished run found, as it was written."""
        return dict(self.found.get("results", {}))

    def finish(self, *, cost: Mapping[str, Any], results: Mapping[str, Any] | None = None) -> None:
        """Mark the run complete, with what it spent and found."""
        spent = {"seconds": round(time.monotonic() - self.started, 3), **cost}
        self._write("complete", {"cost": spent, "results": dict(results or {})})

    def begin(self) -> None:
        """Claim the output: from now on another setting is refused here."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write("unfinished", {})

    def _write(self, state: str, more: Mapping[str, Any]) -> None:
        from paribus.lab.redact import redact

        content = {
            "part": self.part,
            "state": state,
            "command": redact(shlex.join(["paribus", *sys.argv[1:]])),
            "options": self.options,
            "inputs": self.inputs,
            "versions": versions(),
            **more,
        }
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(self.path)


def open_folder(out: Path, part: str, options: Mapping[str, Any], inputs: Mapping[str, Any]) -> Run:
    """The run whose output is the folder ``out``.

    Raises ``ConfigError`` when the folder holds another run, or files that no run of this program left there.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; --out must name a folder.")
    if _left_nothing(out / NAME, out.rglob("*")):
        return Run(out / NAME, part, _plain(options), _plain(inputs))
    run = _open(out / NAME, part, options, inputs)
    if run.state == "new" and out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty and holds no {NAME}; name a new folder, or remove what is there.")
    return run


def open_file(out: Path, part: str, options: Mapping[str, Any], inputs: Mapping[str, Any]) -> Run:
    """The same for an output that is one file; its record lies beside it as ``<out>.run.json``."""
    if out.is_dir():
        raise ConfigError(f"{out} is a folder; --out must name a file, such as {out / (part + '.jsonl')}.")
    if not out.name.endswith((".jsonl", ".jsonl.gz", ".parquet")):
        raise ConfigError(f"--out {out} has the ending {out.suffix!r}; use .jsonl, .jsonl.gz or .parquet.")
    path = out.with_name(f"{out.name}.{NAME}")
    if _left_nothing(path, out.parent.glob(f"{out.name}*")):
        return Run(path, part, _plain(options), _plain(inputs))
    run = _open(path, part, options, inputs)
    if run.state == "new" and out.exists():
        raise ConfigError(f"{out} is there already and no {run.path.name} says what made it; name another file.")
    return run


def _left_nothing(record: Path, files: Iterable[Path]) -> bool:
    """Whether a run began and ended without a single file: a mended command may then take its place."""
    if not record.exists() or any(path.is_file() and path != record for path in files):
        return False
    return '"state": "unfinished"' in record.read_text(encoding="utf-8")


def _open(path: Path, part: str, options: Mapping[str, Any], inputs: Mapping[str, Any]) -> Run:
    run = Run(path, part, _plain(options), _plain(inputs))
    if not path.exists():
        return run
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        earlier = {"part": found["part"], **found["options"], **found["inputs"]}
        run.state, run.found = found["state"], found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as the record of a run ({error}); name another --out.") from error
    differences = _differences(earlier, {"part": part, **run.options, **run.inputs})
    if differences:
        raise ConfigError(
            f"{path.parent if path.name == NAME else path.name.removesuffix('.' + NAME)} holds another run:\n- "
            + "\n- ".join(differences)
            + "\nGive the same settings to go on with it, or another --out; nothing was overwritten."
        )
    return run


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    return [
        f"{key.replace('_', '-')}: {there.get(key)!r} there, {asked.get(key)!r} asked for"
        for key in dict.fromkeys([*there, *asked])
        if there.get(key) != asked.get(key)
    ]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON would give them back, so that what is asked compares with what was written."""
    content: dict[str, Any] = json.loads(json.dumps(dict(values), default=str))
    return content


def rows_hash(rows: Iterable[BaseModel]) -> str:
    """SHA-256 of records: the same rows from another file are the same data."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.model_dump_json().encode() + b"\n")
    return digest.hexdigest()


def file_hash(path: str) -> str:
    """SHA-256 of a file's bytes; ``DataError`` if there is no such file."""
    if not Path(path).is_file():
        raise DataError(f"There is no file {path}; check the path.")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_identity(model: str) -> dict[str, str]:
    """A model by name and, for a local directory, by its weights. A hub id is taken by name."""
    from paribus.weights import weights_hash

    return {"name": model, "weights": weights_hash(Path(model))} if Path(model).is_dir() else {"name": model}


def versions() -> dict[str, str]:
    """Installed versions of what computes."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
