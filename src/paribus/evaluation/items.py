"""Item rows: the one form in which measurements leave this room, and their summary with intervals."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.statistics import Interval, cluster_codes, percentile_interval, resampled_means, wilson

ALL = "all"


class ItemRow(NamedTuple):
    """One value of one measure on one item.

    ``item`` is unique within a measure and is what two arms are paired on; ``cluster`` is what is resampled (one
    question in all its languages); ``group`` is a further split, usually the task.
    """

    measure: str
    item: str
    cluster: str
    language: str
    value: float
    group: str = ""


@dataclass(frozen=True)
class Summary:
    """Mean of one measure in one cell; ``language`` or ``group`` is ``"all"`` where the cell runs over them."""

    measure: str
    language: str
    group: str
    interval: Interval


def write_item_rows(path: Path, rows: Iterable[ItemRow]) -> int:
    """Write rows as JSONL (temporary file, then rename); returns how many. Parents are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    with temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row._asdict(), ensure_ascii=False) + "\n")
            count += 1
    temporary.replace(path)
    return count


def read_item_rows(path: Path) -> list[ItemRow]:
    """Read rows written by ``write_item_rows``; ``DataError`` names the file and line of a row that does not fit."""
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            rows.append(_parse(line, f"{path}:{number}"))
    return rows


def _parse(line: str, where: str) -> ItemRow:
    try:
        fields: dict[str, Any] = json.loads(line)
        return ItemRow(**fields)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where} is not an item row ({error}); expected the fields {ItemRow._fields}.") from error


def summarise(
    rows: Sequence[ItemRow],
    *,
    by_language: bool = True,
    by_group: bool = True,
    resamples: int = 2_000,
    level: float = 0.95,
    rng: int = 0,
) -> list[Summary]:
    """Means with question-clustered intervals per measure, for all rows and split by language, by group and by both.

    Measures of one cell share their resamples. A cell whose values are all 0 or all 1 has no bootstrap spread; it gets
    Wilson's interval over its clusters, so that "never wrong in 20 questions" is not shown as certainty.

    Raises ``DataError`` for no rows at all, a repeated (measure, item), or a value that is not finite.
    """
    if not rows:
        raise DataError("There are no item rows to summarise; did the suite run on any prompt?")
    _refuse_repeats(rows)
    languages = [ALL, *sorted({row.language for row in rows})] if by_language else [ALL]
    groups = [ALL, *sorted({row.group for row in rows})] if by_group else [ALL]
    cells: dict[tuple[str, str], list[ItemRow]] = defaultdict(list)
    for row in rows:
        for language in (ALL, row.language) if by_language else (ALL,):
            for group in (ALL, row.group) if by_group else (ALL,):
                cells[language, group].append(row)
    summaries = []
    for language in languages:
        for group in groups:
            if cells[language, group]:
                intervals = _cell(cells[language, group], resamples, level, rng)
                summaries += [Summary(measure, language, group, interval) for measure, interval in intervals.items()]
    return summaries


def _refuse_repeats(rows: Sequence[ItemRow]) -> None:
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if (row.measure, row.item) in seen:
            raise DataError(f"The item {row.item!r} has two values of {row.measure!r}; item ids must be unique.")
        seen.add((row.measure, row.item))


def _cell(rows: Sequence[ItemRow], resamples: int, level: float, rng: int) -> dict[str, Interval]:
    measures = list(dict.fromkeys(row.measure for row in rows))
    column = {measure: i for i, measure in enumerate(measures)}
    codes, k = cluster_codes([row.cluster for row in rows])
    cells = codes * len(measures) + np.array([column[row.measure] for row in rows])
    values = np.array([row.value for row in rows], dtype=np.float64)
    if not np.isfinite(values).all():
        bad = rows[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise DataError(f"The item {bad.item!r} has {bad.measure!r} = {bad.value}; every value must be finite.")
    shape = (k, len(measures))
    sums = np.bincount(cells, values, minlength=k * len(measures)).reshape(shape).astype(np.float64)
    counts = np.bincount(cells, minlength=k * len(measures)).reshape(shape).astype(np.float64)
    draws = resampled_means(sums, counts, resamples=resamples, rng=rng)
    return {m: _interval(sums[:, i], counts[:, i], draws[:, i], level) for m, i in column.items()}


def _interval(
    sums: NDArray[np.float64], counts: NDArray[np.float64], draws: NDArray[np.float64], level: float
) -> Interval:
    clusters, mean = int(np.count_nonzero(counts)), float(sums.sum() / counts.sum())
    if (sums == 0).all() or (sums == counts).all():
        return wilson(round(mean * clusters), clusters, level=level)
    return percentile_interval(draws, mean, n=clusters, level=level)
