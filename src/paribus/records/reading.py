"""Streaming readers that survive bad rows and say exactly what is wrong with each."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from paribus.errors import DataError, ParibusError
from paribus.records.rows import MAX_LINE, NOTHING, BadRow, parsed, raw_rows
from paribus.records.schema import required_fields

R = TypeVar("R", bound=BaseModel)
OnBadRow = Literal["fail", "skip"]


@dataclass
class ReadReport:
    """Rows read and skipped; filled while the iterator is consumed. ``reasons`` counts by what was expected."""

    read: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def read_records(
    path: str | Path,
    kind: type[R],
    *,
    on_bad_row: OnBadRow = "fail",
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
        DataError: no such file, an unknown ending, an unreadable Parquet file, or (on ``fail``) a row with bad
            encoding, invalid JSON, a missing, unknown or mistyped field, an empty text, an unknown language, a
            duplicate id, too long a line, or a damaged gzip stream. The message names file, row, field, value, and
            what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    seen: set[str] = set()
    return survive(
        ((str(path), number, raw) for number, raw in raw_rows(path, max_line)),
        lambda place, row: _record(row, kind, languages, seen),
        on_bad_row=on_bad_row,
        bad_path=Path(bad_rows) if bad_rows is not None else bad_rows_beside(path),
        report=report or ReadReport(),
    )


def bad_rows_beside(path: Path) -> Path:
    """Where skipped rows of ``path`` go unless another place is named."""
    return path.with_name(path.name + ".bad.jsonl")


def survive(
    rows: Iterable[tuple[str, int, Any]],
    convert: Callable[[tuple[str, int], dict[str, Any]], R | None],
    *,
    on_bad_row: OnBadRow,
    bad_path: Path,
    report: ReadReport,
) -> Iterator[R]:
    """Convert rows (file, number, raw row); a ``BadRow`` on the way fails or is set aside.

    ``convert`` gets a row's place (file, number) and its fields, and may give None to leave it out. What an earlier
    reading left in ``bad_path`` is removed when rows are skipped, so that the file speaks of this one.
    """
    if on_bad_row == "skip":
        bad_path.unlink(missing_ok=True)
    bad_file: IO[str] | None = None
    try:
        for file, number, raw in rows:
            try:
                record = convert((file, number), parsed(raw))
            except BadRow as bad:
                if on_bad_row == "fail":
                    raise DataError(_sentence(file, number, bad)) from None
                bad_file = bad_file or bad_path.open("w", encoding="utf-8")
                bad_file.write(json.dumps(_bad_entry(file, number, bad), ensure_ascii=False) + "\n")
                report.skipped += 1
                report.reasons[bad.expected] += 1
                continue
            if record is not None:
                report.read += 1
                yield record
    finally:
        if bad_file is not None:
            bad_file.close()


def _sentence(file: str, number: int, bad: BadRow) -> str:
    return (
        f"{file}, row {number}, {bad.where}: got {_short(bad.value)}, expected {bad.expected}. "
        "Mend the row, or set bad rows aside with on_bad_row='skip' (--on-bad-row skip)."
    )


def _bad_entry(file: str, number: int, bad: BadRow) -> dict[str, Any]:
    return {"file": file, "row": number, "field": bad.where, "value": _short(bad.value), "expected": bad.expected}


def _short(value: object, limit: int = 80) -> str:
    if isinstance(value, str | bytes) and len(value) > limit:
        return f"{value[:limit]!r}… ({len(value)} {'characters' if isinstance(value, str) else 'bytes'})"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _record(row: dict[str, Any], kind: type[R], languages: Collection[str] | None, seen: set[str]) -> R:
    # A null stands for a field left out, except where the record has no default (a verdict without a label).
    given = {key: value for key, value in row.items() if value is not None or key in required_fields(kind)}
    record = validated(kind, {key: _unflattened(kind, key, value) for key, value in given.items()})
    _check_language(record, languages)
    check_id(record, seen)
    return record


def validated(kind: type[R], row: dict[str, Any]) -> R:
    """The record of a row. Raises ``BadRow`` naming the first field that is wrong."""
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the row"
        value = NOTHING if first["type"] == "missing" else first["input"]
        raise BadRow(f"field {where!r}", value, _expected(first)) from None


def _expected(problem: Any) -> str:
    if problem["type"] == "missing":
        return "a value"
    if problem["type"] == "extra_forbidden":
        return "no such field"
    return str(problem["msg"]).removeprefix("Value error, ")


def _unflattened(kind: type[BaseModel], key: str, value: Any) -> Any:
    """Parquet keeps free-form dictionaries as JSON text."""
    field_info = kind.model_fields.get(key)
    if isinstance(value, str) and field_info is not None and str(field_info.annotation).startswith("dict"):
        return json_object(key, value)
    return value


def json_object(key: str, text: str) -> Any:
    """The value of a field that holds JSON text. Raises ``BadRow``."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise BadRow(f"field {key!r}", text, "a JSON object as text") from None


def _check_language(record: BaseModel, languages: Collection[str] | None) -> None:
    code = getattr(record, "language", None)
    if code is None:
        return
    if languages is not None:
        if code not in languages:
            raise BadRow("field 'language'", code, f"one of {', '.join(sorted(languages))}")
        return
    from paribus.languages import get

    try:
        get(code)
    except ParibusError:
        raise BadRow("field 'language'", code, "an ISO 639 code of the language registry") from None


def check_id(record: BaseModel, seen: set[str]) -> None:
    """Note the record's id. Raises ``BadRow`` when an earlier row had it."""
    name = getattr(record, "id", None)
    if name is None:
        return
    if name in seen:
        raise BadRow("field 'id'", name, "an id that no earlier row has")
    seen.add(name)
