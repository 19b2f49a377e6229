"""A file of records that grows item by item: what was paid for once is kept, whatever happens to the process.

Rows go to ``<name>.partial.jsonl`` as they come, each batch flushed to the disk; the file takes its real name, whole
and in the order asked for, when nothing is missing any more. So the real name never holds half an answer set, and a
run that was killed and resumed ends with the bytes of one that was not.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from paribus.errors import DataError
from paribus.records.writing import as_row, write_records

R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")
logger = logging.getLogger(__name__)


class GrowingFile(Generic[R]):
    """Rows of one record type under their keys, kept beside ``final`` until ``finish``.

    Opening reads what an earlier process left; a line that it did not finish is cut off (and will be made again).
    """

    def __init__(self, final: Path, kind: type[R], key: Callable[[R], str]) -> None:
        self.final, self.kind, self.key = final, kind, key
        self.partial = final.with_name(f"{final.name}.partial.jsonl")
        self.rows: dict[str, R] = {}
        if self.partial.exists():
            self._reopen()

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, rows: Iterable[R]) -> None:
        """Append rows that are not there yet, and flush them to the disk."""
        fresh = {self.key(row): row for row in rows if self.key(row) not in self.rows}
        if not fresh:
            return
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        with self.partial.open("ab") as file:
            file.write(b"".join(_line(row) for row in fresh.values()))
            file.flush()
            os.fsync(file.fileno())
        self.rows |= fresh

    def finish(self, keys: Sequence[str]) -> list[R]:
        """Write the rows of ``keys``, in that order, under the real name; returns them.

        Raises ``DataError`` when one is missing.
        """
        missing = [key for key in keys if key not in self.rows]
        if missing:
            raise DataError(
                f"{self.partial} lacks {len(missing)} of {len(keys)} rows, such as {missing[0]!r}; run it again."
            )
        rows = [self.rows[key] for key in keys]
        write_records(self.final, rows)
        self.partial.unlink(missing_ok=True)
        return rows

    def _reopen(self) -> None:
        content, sound = self.partial.read_bytes(), 0
        for line in content.splitlines(keepends=True):
            row = self._parsed(line)
            if row is None:
                logger.warning("%s ends in the middle of a row; that row is made again.", self.partial)
                break
            self.rows[self.key(row)] = row
            sound += len(line)
        if sound < len(content):
            os.truncate(self.partial, sound)

    def _parsed(self, line: bytes) -> R | None:
        if not line.endswith(b"\n"):
            return None
        try:
            return self.kind.model_validate_json(line)
        except ValidationError:
            return None


def _line(row: BaseModel) -> bytes:
    return json.dumps(as_row(row), ensure_ascii=False).encode() + b"\n"


def fill(
    file: GrowingFile[R],
    items: Sequence[T],
    keys: Callable[[T], Sequence[str]],
    answer: Callable[[Sequence[T]], Sequence[R]],
    *,
    size: int,
    failed: Callable[[R], str | None] = lambda row: None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[tuple[R, str]]:
    """Have every item answered that still lacks one of its rows, ``size`` items at a time; returns what failed.

    Args:
        items: what is to be answered, in the order in which it is asked.
        keys: the keys of an item's rows.
        answer: rows for some items.
        failed: why a row is no answer, or None. Such rows are not kept, so the next run asks for them again.
        progress: is told how many items are done, failures included.
    """
    # Chunks are counted from the first item, not from the first missing one: what is computed together, and with it the
    # last bits of a score, is then the same after a kill.
    failures = list[tuple[R, str]]()
    for start in range(0, len(items), size):
        chunk = [item for item in items[start : start + size] if any(key not in file.rows for key in keys(item))]
        rows = answer(chunk) if chunk else []
        reasons = [failed(row) for row in rows]
        file.add(row for row, reason in zip(rows, reasons, strict=True) if reason is None)
        failures += [(row, reason) for row, reason in zip(rows, reasons, strict=True) if reason is not None]
        progress(min(start + size, len(items)))
    return failures
