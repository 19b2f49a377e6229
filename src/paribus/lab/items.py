"""Item tables: what evaluations leave behind, and how two arms' tables are paired.

Each evaluation artifact holds ``items.jsonl`` with rows ``{"measure", "item", "cluster", "language", "value"}`` (and
optionally ``"group"``). ``item`` names a question in a language; ``cluster`` names what is not independent (the
question in all its languages); ``language`` is empty where there is none (a string of brackets). A null ``value`` means
that the item could not be scored; it is left out of pairs and counted.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from paribus.errors import DataError

FILE = "items.jsonl"
ALL = "all"


class ItemRow(BaseModel):
    """One scored item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    item: str
    cluster: str
    language: str
    value: float | None
    group: str | None = None


class Item(NamedTuple):
    """A scored item of one measure."""

    cluster: str
    language: str
    value: float


Table = dict[str, dict[str, Item]]
"""Measure to item to its score: everything one arm answered with one seed."""


def write_items(folder: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Check rows and write them as ``items.jsonl``; returns how many. Raises ``DataError`` for a bad or doubled row."""
    seen: set[tuple[str, str]] = set()
    with (folder / FILE).open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows, 1):
            checked = _checked(row, folder / FILE, number)
            _refuse_twice(seen, checked, folder / FILE, number)
            file.write(checked.model_dump_json(exclude_none=False) + "\n")
    return len(seen)


def read_items(folders: Iterable[Path]) -> Table:
    """The item tables of some evaluations as one table. Raises ``DataError`` for a bad row or an item given twice."""
    table: Table = {}
    seen: set[tuple[str, str]] = set()
    for path in (folder / FILE for folder in folders):
        for number, row in _rows(path):
            _refuse_twice(seen, row, path, number)
            if row.value is not None:
                table.setdefault(row.measure, {})[row.item] = Item(row.cluster, row.language, row.value)
    return table


def _rows(path: Path) -> Iterator[tuple[int, ItemRow]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield number, _checked(json.loads(line), path, number)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as an item table ({error}); an evaluation must write one JSON row a line."
        ) from error


def _checked(row: Any, path: Path, number: int) -> ItemRow:
    try:
        return ItemRow.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "row"
        raise DataError(
            f"{path}, line {number}: {where} is {first['input']!r} ({first['msg']}); fix the evaluation."
        ) from error


def _refuse_twice(seen: set[tuple[str, str]], row: ItemRow, path: Path, number: int) -> None:
    key = (row.measure, row.item)
    if key in seen:
        raise DataError(
            f"{path}, line {number}: measure {row.measure!r} has the item {row.item!r} twice; name items uniquely."
        )
    seen.add(key)


@dataclass(frozen=True)
class Grid:
    """Values of one measure over seeds and items, for one or two arms that share both.

    ``values`` and ``baseline`` are (seeds, items) nested lists; ``dropped`` counts items that not every run had scored.
    """

    items: tuple[str, ...]
    clusters: tuple[str, ...]
    languages: tuple[str, ...]
    values: list[list[float]]
    baseline: list[list[float]] | None
    dropped: int

    def select(self, language: str) -> "Grid":
        """The part in one language."""
        kept = [i for i, name in enumerate(self.languages) if name == language]

        def pick(row: Sequence[Any]) -> list[Any]:
            return [row[i] for i in kept]

        baseline = None if self.baseline is None else [pick(row) for row in self.baseline]
        columns = (tuple(pick(self.items)), tuple(pick(self.clusters)), tuple(pick(self.languages)))
        return Grid(*columns, [pick(row) for row in self.values], baseline, self.dropped)


def pair(measure: str, arm: Sequence[Table], baseline: Sequence[Table] | None, where: str) -> Grid:
    """Line up the runs of an arm (one table per seed), and of its baseline, on the items that all of them scored.

    Raises ``DataError`` if no item, or less than half of all items, is shared: then the runs answered different
    questions.
    """
    columns = [table.get(measure, {}) for table in (*arm, *(baseline or ()))]
    union = dict.fromkeys(item for column in columns for item in column)
    shared = sorted(item for item in union if all(item in column for column in columns))
    if 2 * len(shared) < len(union) or not shared:
        odd = next((item for item in union if item not in set(shared)), None)
        raise DataError(
            f"{where}: only {len(shared)} of {len(union)} items of measure {measure!r} are scored in every run "
            f"(one that is not: {odd!r}); evaluate all arms and seeds on the same items."
        )
    first = columns[0]
    rows = [[column[item].value for item in shared] for column in columns]
    facts = (tuple(shared), tuple(first[i].cluster for i in shared), tuple(first[i].language for i in shared))
    return Grid(*facts, rows[: len(arm)], rows[len(arm) :] if baseline is not None else None, len(union) - len(shared))
