"""Ratings in files: the released CSV tables, and rating records as JSONL or Parquet.

A CSV file holds one pass, known by its columns. All have ``dataset, sample_ix, model, preamble_type`` and may have
``other_model, other_preamble_type, rater, language, form, attention, length``; then come error columns of 0 and 1 (and
nothing where it was not asked) with or without ``overall``, or ``score``, or ``complexity`` and ``assertive``. Further
columns are kept in the rating's meta. A ``sample_ix`` that begins with ``distractor_`` marks a distractor.
"""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.errors import DataError
from paribus.feedback.annotation.columns import asked_errors
from paribus.feedback.annotation.schema import ERRORS, PASSES, SCORES_OF, SEVEN, Pass, RatingError, item_name, validate
from paribus.records import Rating, ReadReport
from paribus.records.reading import OnBadRow, bad_rows_beside, json_object, survive, validated
from paribus.records.rows import BadRow, Told, raw_rows

DISTRACTOR_PREFIX = "distractor_"
UNNAMED = "unnamed"
"""Raters of files without a ``rater`` column are ``unnamed:<file>:<row>``, the two rows of a form as one."""

PREAMBLE_NAMES = {
    "confidence_high": "assertive_high",
    "confidence_low": "assertive_low",
    "complexity_high": "complex_high",
    "complexity_low": "complex_low",
}
"""Preambles by the names of the released tables, and by ours. All other names are kept."""

SCORE_COLUMNS = {
    "overall": "overall",
    "score": "quality",
    "quality": "quality",
    "assertive": "assertiveness",
    "assertiveness": "assertiveness",
    "complexity": "complexity",
}
WRITTEN_AS = {"overall": "overall", "quality": "score", "complexity": "complexity", "assertiveness": "assertive"}
NEEDED = ("dataset", "sample_ix", "model", "preamble_type")
_FLAG, _SCALE = (0, 1), (1, 2, 3, 4, 5)
_SAID: dict[tuple[int, ...] | None, str] = {_FLAG: "0 or 1 (nothing where it was not asked)", _SCALE: "1 to 5"}
_TEXTS = {"language": "language", "other_model": "other_model", "form": "form", "attention": "attention"}


def read_ratings(
    path: str | Path,
    *,
    rater: str = "",
    language: str = "",
    on_bad_row: OnBadRow = "fail",
    bad_rows: str | Path | None = None,
    report: ReadReport | None = None,
) -> list[Rating]:
    """The ratings of a ``.csv``, ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` file.

    Args:
        path: the file.
        rater: who rated, for all rows (``"expert"`` for a file of expert labels). Empty: as the rows say.
        language: of rows that do not say theirs.
        on_bad_row, bad_rows, report: as in ``paribus.records.read_records``.

    Raises:
        DataError: no such file, another ending, a CSV header that is no pass, or (on ``fail``) a bad row; the message
            names file, row (the header is row 1), column, value, and what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    rows, convert = _csv(path) if path.suffix == ".csv" else _records(path)
    found = survive(
        ((str(path), number, raw) for number, raw in rows),
        convert,
        on_bad_row=on_bad_row,
        bad_path=Path(bad_rows) if bad_rows is not None else bad_rows_beside(path),
        report=report or ReadReport(),
    )
    return [_completed(rating, rater, language) for rating in found]


def _completed(rating: Rating, rater: str, language: str) -> Rating:
    if language and not rating.meta.get("language"):
        rating = rating.model_copy(update={"meta": {**rating.meta, "language": language}})
    return rating.model_copy(update={"rater": rater}) if rater else rating


def _records(path: Path) -> tuple[Iterator[tuple[int, Any]], Any]:
    return raw_rows(path), lambda _, row: _checked(validated(Rating, _parquet_dictionaries(row)))


def _parquet_dictionaries(row: dict[str, Any]) -> dict[str, Any]:
    texts = {key: row[key] for key in ("scores", "meta") if isinstance(row.get(key), str)}
    given = {key: value for key, value in row.items() if value is not None}
    return {**given, **{key: json_object(key, text) for key, text in texts.items()}}


def _checked(rating: Rating) -> Rating:
    try:
        return validate(rating)
    except RatingError as error:
        raise BadRow(f"field {error.field!r}", error.value, error.wanted.removeprefix("must be ")) from None


def _csv(path: Path) -> tuple[Iterator[tuple[int, Any]], Any]:
    rows = _csv_rows(path)
    header = next(rows)[1]
    return rows, _CsvRows(path, header).rating


def _csv_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The header as row 1, then rows as dictionaries, numbered by the line they end on."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            yield 1, header
            for values in reader:
                if not values:
                    continue
                row: Any = dict(zip(header, values, strict=False))
                if len(values) != len(header):
                    row = BadRow("the row", Told(f"{len(values)} cells"), f"{len(header)}, as the header has")
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8 ({error}); save it again.") from error


def pass_of(columns: Sequence[str], where: str) -> Pass:
    """Which pass a CSV header belongs to. Raises ``DataError`` for none, for several, or for a missing column."""
    found: dict[Pass, list[str]] = {
        "errors": [name for name in columns if name in ERRORS or name == "overall"],
        "quality": [name for name in columns if name in ("score", "quality")],
        "style": [name for name in columns if SCORE_COLUMNS.get(name) in SCORES_OF["style"]],
    }
    passes = [name for name in PASSES if found[name]]
    if len(passes) != 1:
        raise DataError(_no_pass(columns, {name: found[name] for name in passes}, where))
    missing = [name for name in NEEDED if name not in columns]
    missing += [
        WRITTEN_AS[name] for name in SCORES_OF[passes[0]] if passes[0] != "errors" and _column(name, columns) is None
    ]
    if missing:
        raise DataError(f"{where} has no column {', '.join(missing)}; its columns are {', '.join(columns)}.")
    return passes[0]


def _no_pass(columns: Sequence[str], found: Mapping[Pass, list[str]], where: str) -> str:
    if not columns:
        return f"{where} is empty; a table of ratings begins with a row of column names."
    said = "; ".join(f"{name}: {', '.join(names)}" for name, names in found.items())
    return (
        f"{where} must hold one pass and has columns of {len(found)} ({said or ', '.join(columns)}). Errors are named "
        f"{', '.join(SEVEN)}, scores overall, score, assertive and complexity; split or rename the columns"
        f"{'' if found else ', and put commas between them'}."
    )


def _column(score: str, columns: Sequence[str]) -> str | None:
    return next((name for name in columns if SCORE_COLUMNS.get(name) == score), None)


class _CsvRows:
    """Turns rows of one CSV file into ratings; remembers the row before, since two rows make a form."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        doubled = sorted({name for name in columns if list(columns).count(name) > 1})
        if doubled:
            raise DataError(f"{path} has two columns {doubled[0]!r}; name each once.")
        self.pass_ = pass_of(columns, str(path))
        self.stem = path.stem
        self.errors = [name for name in columns if name in ERRORS]
        self.scores = {column: name for column, name in SCORE_COLUMNS.items() if column in columns}
        self.known = {*NEEDED, *_TEXTS, "rater", "length", "other_preamble_type", *self.errors, *self.scores}
        self.half: tuple[str, dict[str, str]] | None = None

    def rating(self, place: tuple[str, int], row: dict[str, str]) -> Rating:
        """The record of a row. Raises ``BadRow`` naming the column."""
        form, meta = self._form(row, place[1]), self._meta(row)
        rater = row.get("rater") or f"{UNNAMED}:{form}"
        if form and "other_model" in meta:
            meta.setdefault("form", form)
        asked = [name for name in self.errors if row[name].strip()]
        if self.pass_ == "errors":
            meta["asked"] = asked
        named = tuple(name for name in asked if _number(row, name, _FLAG))
        scores = {name: _number(row, column, _SCALE) for column, name in self.scores.items()}
        item = item_name(meta["dataset"], meta["input"], meta["model"], meta["preamble"])
        made = {"item": item, "rater": rater, "pass": self.pass_, "errors": named, "scores": scores, "meta": meta}
        return _checked(validated(Rating, made))

    def _form(self, row: Mapping[str, str], number: int) -> str:
        """The name of the form this row belongs to: that of the row before if each is the other's opponent."""
        if self.half is not None and _mirrored(self.half[1], row):
            form, self.half = self.half[0], None
            return form
        form = f"{self.stem}:{number}"
        self.half = (form, dict(row))
        return form

    def _meta(self, row: Mapping[str, str]) -> dict[str, Any]:
        for name in NEEDED:
            if not row[name].strip():
                raise BadRow(f"column {name!r}", row[name], "a name")
        source = row["sample_ix"]
        meta: dict[str, Any] = {
            "dataset": row["dataset"],
            "input": source.removeprefix(DISTRACTOR_PREFIX),
            "model": row["model"],
            "preamble": PREAMBLE_NAMES.get(row["preamble_type"], row["preamble_type"]),
            "distractor": source.startswith(DISTRACTOR_PREFIX),
        }
        if other := row.get("other_preamble_type"):
            meta["other_preamble"] = PREAMBLE_NAMES.get(other, other)
        meta |= {key: row[column] for column, key in _TEXTS.items() if row.get(column)}
        meta |= {"words": int(_number(row, "length", None))} if row.get("length") else {}
        return meta | {column: value for column, value in row.items() if column not in self.known}


def _mirrored(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    same = all(first.get(name) == second.get(name) for name in ("dataset", "sample_ix", "language", "rater", "form"))
    sides = (("model", "other_model"), ("preamble_type", "other_preamble_type"))
    return same and all(first.get(a, 0) == second.get(b) and first.get(b) == second.get(a, 0) for a, b in sides)


def _number(row: Mapping[str, str], column: str, allowed: tuple[int, ...] | None) -> float:
    """A cell as one of the ``allowed`` numbers, or as any whole number from 0. Raises ``BadRow``."""
    try:
        value = float(row[column])
    except ValueError:
        value = -1.0
    if value not in allowed if allowed is not None else value < 0 or value % 1:
        raise BadRow(f"column {column!r}", row[column], _SAID.get(allowed, "a whole number"))
    return value


def write_ratings_csv(path: str | Path, ratings: Sequence[Rating]) -> int:
    """Write ratings of one pass as a table of the released form, atomically, and return how many rows.

    Error columns are those that were asked for (see ``tables_of``). Raises ``DataError`` for no ratings or for several
    passes.
    """
    passes = sorted({rating.pass_ for rating in ratings})
    if len(passes) != 1:
        raise DataError(f"A CSV table holds one pass and these ratings are of {passes or 'none'}; write one for each.")
    asked = asked_errors(ratings) if passes == ["errors"] else ()
    rows = [_csv_row(rating, asked) for rating in ratings]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(
                file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n"
            )
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(rows)


def _csv_row(rating: Rating, asked: Sequence[str]) -> dict[str, Any]:
    meta = dict(rating.meta)
    source, written = str(meta.pop("input", "") or rating.item), {value: key for key, value in PREAMBLE_NAMES.items()}
    preamble, other = (str(meta.pop(key, "") or "") for key in ("preamble", "other_preamble"))
    row: dict[str, Any] = {
        "dataset": meta.pop("dataset", ""),
        "sample_ix": f"{DISTRACTOR_PREFIX}{source}" if meta.pop("distractor", False) else source,
        "model": meta.pop("model", ""),
        "preamble_type": written.get(preamble, preamble),
        "other_model": meta.pop("other_model", ""),
        "other_preamble_type": written.get(other, other),
        "rater": rating.rater,
    }
    named = meta.pop("asked", asked)
    row |= {WRITTEN_AS[name]: f"{value:g}" for name, value in rating.scores.items()}
    row |= {name: int(name in rating.errors) if name in named else "" for name in asked}
    row |= {"length": meta.pop("words")} if meta.get("words") is not None else {}
    return row | {key: value for key, value in meta.items() if value is not None}
