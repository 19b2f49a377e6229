"""Rows of any source a user names: a file, a directory in Hugging Face form, or a data set of the hub.

JSONL and Parquet files are streamed by our own reader wherever they come from, so that every bad row is told by file
and number; what ``datasets`` alone can read (Arrow, CSV, hub data sets) goes through it.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import DataError
from paribus.records.rows import is_row_file, raw_rows

Row = tuple[str, int, Any]
"""The file (or data set) a row is from, its number there (from 1), and the raw row as ``raw_rows`` gives it."""


@dataclass(frozen=True)
class Table:
    """One split of a source: ``rows`` to iterate once, and ``home``, the path it came from (None: the hub)."""

    rows: Iterable[Row]
    home: Path | None

    def relative(self, file: str) -> str:
        """A row's file as named from the directory that the source is in: the same wherever that directory lies."""
        if self.home is None:
            return file
        parent = os.path.abspath(self.home.parent)  # noqa: PTH100 (hub snapshots are links, which must not be resolved)
        return Path(os.path.relpath(file, parent)).as_posix()


def open_table(source: str | Path, split: str | None = None, config: str | None = None) -> Table:
    """Find the source and its split; nothing is read yet.

    ``split=None`` takes ``train``, or the only split where there is just one. ``config`` is a configuration of a hub
    data set (or of a directory whose README.md declares some).

    Raises ``DataError`` when there is no such file, directory, data set, configuration or split.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return Table(_file_rows([path]), path)
    if path.is_dir():
        saved = (path / "state.json").exists() or (path / "dataset_dict.json").exists()
        return Table(_saved_rows(path, split) if saved else _directory_rows(path, split, config), path)
    if is_local(source):
        raise DataError(f"There is no file or directory {source}; check the path.")
    return Table(_loaded_rows(str(source), split, config), None)


def config_names(source: str | Path) -> list[str]:
    """Configurations of a hub data set or of a directory in its form; none for a file or a saved data set."""
    path = Path(source).expanduser()
    if path.is_file() or (path / "state.json").exists() or (path / "dataset_dict.json").exists():
        return []
    if not path.is_dir() and is_local(source):
        raise DataError(f"There is no file or directory {source}; check the path.")
    import datasets

    with _explained(str(source)):
        return list(datasets.get_dataset_config_names(str(path) if path.is_dir() else str(source)))


def is_local(source: str | Path) -> bool:
    """Whether a source is, or is meant as, a path; the id of a hub data set has at most one slash and no ending."""
    if isinstance(source, Path) or Path(source).expanduser().exists():
        return True
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or is_row_file(source)


def _file_rows(files: Iterable[Path]) -> Iterator[Row]:
    for file in files:
        for number, raw in raw_rows(file):
            yield str(file), number, raw


def _saved_rows(path: Path, split: str | None) -> Iterator[Row]:
    import datasets

    with _explained(str(path)):
        saved = datasets.load_from_disk(str(path))
    if not isinstance(saved, datasets.DatasetDict):
        return _dataset_rows(str(path), saved)
    chosen = _chosen_split(str(path), [str(name) for name in saved], split)
    return _dataset_rows(f"{path}/{chosen}", saved[chosen])


def _directory_rows(path: Path, split: str | None, config: str | None) -> Iterator[Row]:
    import datasets

    with _explained(str(path)):
        found = datasets.load_dataset_builder(str(path), config).config.data_files or {}
    name = _chosen_split(str(path), [str(key) for key in found], split)
    files = [Path(file) for file in found[name]]
    if all(is_row_file(file.name) for file in files):
        return _file_rows(files)
    return _loaded_rows(str(path), name, config)


def _loaded_rows(name: str, split: str | None, config: str | None) -> Iterator[Row]:
    import datasets

    with _explained(name):
        loaded = datasets.load_dataset(name, config)
    chosen = _chosen_split(name, [str(key) for key in loaded], split)
    return _dataset_rows("/".join(part for part in (name, config, chosen) if part), loaded[chosen])


def _dataset_rows(name: str, rows: Any) -> Iterator[Row]:
    return ((name, number, row) for number, row in enumerate(rows, start=1))


def _chosen_split(name: str, splits: list[str], split: str | None) -> str:
    wanted = split if split is not None else splits[0] if len(splits) == 1 else "train"
    if wanted not in splits:
        raise DataError(f"{name} has no split {wanted!r}; pass split= one of {', '.join(splits) or '(it is empty)'}.")
    return wanted


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """What ``datasets`` says, with what to do about it."""
    import datasets

    try:
        yield
    except DataError:
        raise
    except (ConnectionError, datasets.exceptions.DatasetNotFoundError) as error:
        raise DataError(
            f"Cannot get the data set {name!r} ({_shortly(error)}). It is neither a path here nor in the cache, and "
            "the hub did not give it: check the spelling, log in if it is gated, or, without a network, download it "
            "elsewhere (save_to_disk or its Parquet files) and give the directory."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read the data set {name!r}: {_shortly(error)}") from error


def _shortly(error: Exception, limit: int = 300) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:limit].rstrip(".")
