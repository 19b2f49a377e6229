"""Atomic writing of records: a file exists whole under its name or not at all."""

import contextlib
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from paribus.errors import DataError
from paribus.records.schema import required_fields

PARQUET_ROWS = 10_000
"""Rows a Parquet row group: small enough to stream, large enough to compress."""


def write_records(path: str | Path, rows: Iterable[BaseModel]) -> int:
    """Write records as ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` and return how many.

    Parents are made; an existing file is replaced only when the new one is complete. Raises ``DataError`` for another
    ending.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        count = _writer(path)(partial, rows)
        partial.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
    return count


def _writer(path: Path) -> Any:
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return lambda partial, rows: _write_jsonl(partial, rows, packed=path.name.endswith(".gz"))
    if path.suffix == ".parquet":
        return _write_parquet
    raise DataError(
        f"Cannot write records to {path}: its ending is {path.suffix!r}; use .jsonl, .jsonl.gz or .parquet."
    )


def as_row(record: BaseModel) -> dict[str, Any]:
    """A record as plain JSON values, by the names that files use; nulls that are defaults are left out."""
    row = record.model_dump(mode="json", by_alias=True)
    return {key: value for key, value in row.items() if value is not None or key in required_fields(type(record))}


@contextlib.contextmanager
def _opened(partial: Path, packed: bool) -> Iterator[IO[bytes]]:
    # mtime=0 keeps a gzip file a pure function of its rows.
    with partial.open("wb") as raw:
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as zipped:
            yield zipped  # type: ignore[misc]


def _write_jsonl(partial: Path, rows: Iterable[BaseModel], *, packed: bool) -> int:
    count = 0
    with _opened(partial, packed) as file:
        for row in rows:
            file.write(json.dumps(as_row(row), ensure_ascii=False).encode() + b"\n")
            count += 1
    return count


def _write_parquet(partial: Path, rows: Iterable[BaseModel]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    iterator = iter(rows)
    first = next(iterator, None)
    schema = parquet_schema(type(first)) if first is not None else pa.schema([])
    with pq.ParquetWriter(partial, schema) as writer:
        pending = chain([first], iterator) if first is not None else iterator
        while batch := [_flat(row) for row in islice(pending, PARQUET_ROWS)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def parquet_schema(kind: type[BaseModel]) -> Any:
    """The Arrow schema of a record type. Free-form dictionaries are JSON text, as a column needs one type."""
    import pyarrow as pa

    return pa.schema(
        [(field.alias or name, _arrow_type(field.annotation)) for name, field in kind.model_fields.items()]
    )


def _arrow_type(annotation: Any) -> Any:
    import pyarrow as pa

    members = [member for member in get_args(annotation) if member is not type(None)]
    origin = get_origin(annotation)
    if origin is tuple:
        inner = members[0]
        turns = isinstance(inner, type) and issubclass(inner, BaseModel)
        return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]) if turns else pa.string())
    if members and origin is not Literal and origin is not dict:
        return _arrow_type(members[0])
    return {int: pa.int64(), float: pa.float64()}.get(annotation, pa.string())


def _flat(record: BaseModel) -> dict[str, Any]:
    row = record.model_dump(mode="json", by_alias=True)
    return {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value for key, value in row.items()
    }
