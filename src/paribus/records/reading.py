"""Streaming readers that survive bad rows and say exactly what is wrong with each."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from paribus.errors import DataError, ParibusError

R = TypeVar("R", bound=BaseModel)

MAX_LINE = 10_000_000
"""Bytes a JSONL line may have; a longer one is a broken file, and is skipped without being held in memory."""

_CHUNK = 1 << 16


class _BadRow(Exception):
    """What is wrong with one row; never leaves this module."""

    def __init__(self, where: str, value: object, expected: str) -> None:
        super().__init__(where)
        self.where, self.value, self.expected = where, value, expected


@dataclass
class ReadReport:
    """Rows read and skipped of one file; filled while the iterator is consumed."""

    read: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def read_records(
    path: str | Path,
    kind: type[R],
    *,
    on_bad_row: Literal["fail", "skip"] = "fail",
    languages: Collection[str] | None = None,
    max_line: int = MAX_LINE,
    bad_rows: str | Path | None = None,
    report: ReadReport | None = None,
) -> Iterator[R]:
    """Yield the records of a ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` file, one at a time.

    Args:
        path: the file.
        kind: the record class each row must be.
        on_bad_row: ``fail`` raises at the first bad row; ``skip`` counts it and writes it to ``bad_rows``.
        languages: codes that are allowed (None = every code of the language registry).
        max_line: longest JSONL line in bytes.
        bad_rows: where skipped rows go (default ``<path>.bad.jsonl``; made only when there is one).
        report: is filled with counts.

    Raises:
        DataError: no such file, an unknown ending, or (on ``fail``) a row with bad encoding, invalid JSON, a missing,
            unknown or mistyped field, an empty text, an unknown language, a duplicate id, or too long a line. The
            message names file, line, field, value, and what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    return _checked_rows(path, kind, on_bad_row, languages, max_line, bad_rows, report or ReadReport())


def _checked_rows(
    path: Path,
    kind: type[R],
    on_bad_row: str,
    languages: Collection[str] | None,
    max_line: int,
    bad_rows: str | Path | None,
    report: ReadReport,
) -> Iterator[R]:
    seen: set[str] = set()
    bad_path = Path(bad_rows) if bad_rows is not None else path.with_name(path.name + ".bad.jsonl")
    bad_file: IO[str] | None = None
    try:
        for number, raw in _raw_rows(path, max_line):
            try:
                record = _record(raw, kind, languages, seen)
            except _BadRow as bad:
                if on_bad_row == "fail":
                    raise DataError(_sentence(path, number, bad)) from None
                bad_file = bad_file or bad_path.open("w", encoding="utf-8")
                bad_file.write(json.dumps(_bad_entry(number, bad), ensure_ascii=False) + "\n")
                report.skipped += 1
                report.reasons[bad.expected] += 1
            else:
                report.read += 1
                yield record
    finally:
        if bad_file is not None:
            bad_file.close()


def _sentence(path: Path, number: int, bad: _BadRow) -> str:
    return (
        f"{path}, row {number}, {bad.where}: got {_short(bad.value)}, expected {bad.expected}. "
        "Mend the row, or pass on_bad_row='skip' to set bad rows aside."
    )


def _bad_entry(number: int, bad: _BadRow) -> dict[str, Any]:
    return {"row": number, "field": bad.where, "value": _short(bad.value), "expected": bad.expected}


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _raw_rows(path: Path, max_line: int) -> Iterator[tuple[int, Any]]:
    if path.name.endswith((".jsonl", ".jsonl.gz", ".json.gz", ".ndjson")):
        return _jsonl_rows(path, max_line)
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    raise DataError(
        f"Cannot read records from {path}: its ending is {path.suffix!r}; use .jsonl, .jsonl.gz or .parquet."
    )


def _jsonl_rows(path: Path, max_line: int) -> Iterator[tuple[int, bytes | _BadRow]]:
    opener: Callable[..., Any] = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "rb") as file:
        number = 0
        while line := file.readline(max_line + 1):
            number += 1
            if len(line) > max_line and not line.endswith(b"\n"):
                size = len(line) + _skip_line(file)
                yield number, _BadRow("the line", f"{size} bytes", f"at most {max_line} bytes a line")
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
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

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}); write it again.") from error
    with file:
        number = 0
        for batch in file.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                number += 1
                yield number, row


def _record(raw: Any, kind: type[R], languages: Collection[str] | None, seen: set[str]) -> R:
    if isinstance(raw, _BadRow):
        raise raw
    row = _parsed(raw, kind)
    try:
        record = kind.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the row"
        value = "nothing" if first["type"] == "missing" else first["input"]
        raise _BadRow(f"field {where!r}", value, _expected(first)) from None
    _check_language(record, languages)
    _check_id(record, seen)
    return record


def _expected(problem: Any) -> str:
    if problem["type"] == "missing":
        return "a value"
    if problem["type"] == "extra_forbidden":
        return "no such field"
    return str(problem["msg"]).removeprefix("Value error, ")


def _parsed(raw: Any, kind: type[BaseModel]) -> dict[str, Any]:
    if isinstance(raw, bytes):
        try:
            row = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise _BadRow("the line", raw[error.start : error.start + 8], "UTF-8 text") from None
        except json.JSONDecodeError as error:
            raise _BadRow(f"column {error.colno}", error.doc, f"valid JSON ({error.msg})") from None
    else:
        row = {key: _unflattened(kind, key, value) for key, value in raw.items() if value is not None}
    if not isinstance(row, dict):
        raise _BadRow("the row", row, "a JSON object")
    return row


def _unflattened(kind: type[BaseModel], key: str, value: Any) -> Any:
    """Parquet keeps free-form dictionaries as JSON text."""
    field_info = kind.model_fields.get(key)
    if isinstance(value, str) and field_info is not None and str(field_info.annotation).startswith("dict"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise _BadRow(f"field {key!r}", value, "a JSON object as text") from None
    return value


def _check_language(record: BaseModel, languages: Collection[str] | None) -> None:
    code = getattr(record, "language", None)
    if code is None:
        return
    if languages is not None:
        if code not in languages:
            raise _BadRow("field 'language'", code, f"one of {', '.join(sorted(languages))}")
        return
    from paribus.languages import get

    try:
        get(code)
    except ParibusError:
        raise _BadRow("field 'language'", code, "an ISO 639 code of the language registry") from None


def _check_id(record: BaseModel, seen: set[str]) -> None:
    name = getattr(record, "id", None)
    if name is None:
        return
    if name in seen:
        raise _BadRow("field 'id'", name, "an id that no earlier row has")
    seen.add(name)
