"""Plain rows in files, one JSON object a line."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON row a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of ``write_rows``."""
    return parse_rows(path.read_text(encoding="utf-8"))


def parse_rows(text: str) -> list[dict[str, Any]]:
    """The rows of a file's text."""
    return [json.loads(line) for line in text.splitlines()]


def item_row(measure: str, item: str, value: float | None, *, cluster: str = "") -> dict[str, Any]:
    """A scored item outside of every language, as ``paribus.lab.write_items`` takes it; it is its own cluster unless
    another is named."""
    return {"measure": measure, "item": item, "cluster": cluster or item, "language": "", "value": value}
