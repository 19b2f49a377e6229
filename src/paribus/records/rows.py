"""Rows of JSONL and Parquet files one at a time, before anyone says what they mean."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from paribus.errors import DataError

MAX_LINE = 10_000_000
"""Bytes a JSONL line may have; a longer one is a broken file, and is skipped without being held in memory."""

JSONL = (".jsonl", ".jsonl.gz", ".json.gz", ".ndjson")

_CHUNK = 1 << 16
_BOM = b"\xef\xbb\xbf"


class BadRow(Exception):
    """What is wrong with one row: where in it, the value found there, and what was expected.

    Readers turn it into a ``DataError`` or an entry of the file of bad rows; it never reaches a caller of theirs.
    """

    def __init__(self, where: str, value: object, expected: str) -> None:
        super().__init__(where)
        self.where, self.value, self.expected = where, value, expected


class Told(str):
    """A value of a ``BadRow`` told in words: shown as it is, without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


NOTHING = Told("nothing")


def is_row_file(name: str) -> bool:
    """Whether the file's ending is one that ``raw_rows`` reads."""
    return name.endswith((*JSONL, ".parquet"))


def raw_rows(path: Path, max_line: int = MAX_LINE) -> Iterator[tuple[int, Any]]:
    """Row numbers (from 1; lines in JSONL) with bytes of a line, a dictionary, or the ``BadRow`` found instead.

    Raises ``DataError`` for another ending and for a Parquet file that cannot be read.
    """
    if path.name.endswith(JSONL):
        return _jsonl_rows(path, max_line)
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    raise DataError(
        f"Cannot read records from {path}: its ending is {path.suffix!r}; use .jsonl, .jsonl.gz or .parquet."
    )


def parsed(raw: Any) -> dict[str, Any]:
    """A raw row as a dictionary. Raises ``BadRow``."""
    if isinstance(raw, BadRow):
        raise raw
    row = _from_json(raw) if isinstance(raw, bytes) else raw
    if not isinstance(row, dict):
        raise BadRow("the row", row, "a JSON object")
    return row


def _from_json(line: bytes) -> Any:
    try:
        row = json.loads(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise BadRow("the line", line[error.start : error.start + 8], "UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise BadRow(f"column {error.colno}", error.doc, f"valid JSON ({error.msg})") from None
    except RecursionError:
        raise BadRow("the line", line, "JSON that is not nested so deep") from None
    if b"\\ud" in line.lower():
        _refuse_half_letters(row)
    return row


def _refuse_half_letters(row: Any) -> None:
    """JSON can escape half of a surrogate pair, which is no letter and cannot be written again."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRow("the line", text[max(0, error.start - 20) : error.end], "whole Unicode letters") from None


def _jsonl_rows(path: Path, max_line: int) -> Iterator[tuple[int, bytes | BadRow]]:
    opener: Callable[..., Any] = gzip.open if path.name.endswith(".gz") else open
    number = 0
    with opener(path, "rb") as file:
        try:
            for number, line in _lines(file, max_line):
                yield number, line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield number + 1, BadRow("the compressed file", Told(error), "an undamaged gzip file; nothing follows here")


def _lines(file: IO[bytes], max_line: int) -> Iterator[tuple[int, bytes | BadRow]]:
    number = 0
    while line := file.readline(max_line + 1):
        number += 1
        if len(line) > max_line and not line.endswith(b"\n"):
            size = len(line) + _skip_line(file)
            yield number, BadRow("the line", Told(f"{size} bytes"), f"at most {max_line} bytes a line")
            continue
        if number == 1:
            line = line.removeprefix(_BOM)
        if line.strip():
            yield number, line


def _skip_line(file: IO[bytes]) -> int:
    """Read on to the end of an overlong line in chunks, and return how many bytes that was."""
    skipped = 0
    while chunk := file.readline(_CHUNK):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file after row {number} ({error}); write it again."
        ) from error
