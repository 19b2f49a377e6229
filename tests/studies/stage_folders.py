"""Stages called directly, each into a folder of its own."""

import json
from pathlib import Path
from typing import Any

from paribus.lab.items import FILE
from paribus.studies.stages.problems import Network


class Bench:
    """Runs stages one after the other; ``bench.cost`` is what the last one said it took."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cost: Any = None

    def __call__(self, name: str, stage: Any, *config: Any, **inputs: Any) -> Path:
        out = self.root / name
        out.mkdir(parents=True)
        self.cost = stage.function(*config, **inputs, out=out)
        return out


def small(mixer: str = "attention", **changes: Any) -> Network:
    """A network that trains in milliseconds, its weights large enough to be told apart."""
    sizes = {"layers": 1, "width": 8, "heads": 2, "ffn_size": 16, "state_size": 4, "initializer_range": 0.3}
    return Network(mixer=mixer, **{**sizes, **changes})


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text())


def item_values(folder: Path, measure: str) -> list[float | None]:
    """Values of a measure in the order of the file."""
    rows = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    return [row["value"] for row in rows if row["measure"] == measure]


def measures(folder: Path) -> set[str]:
    """The measures of an item table."""
    return {json.loads(line)["measure"] for line in (folder / FILE).read_text().splitlines()}
