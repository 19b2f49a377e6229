"""What does it cost to import the package, to ask for help, and to price a study, against an empty Python process?

Each command runs in a fresh process, the commands taking turns, so that a busy machine slows all of them alike; each
figure is the median of the turns. CPU seconds are those of the process itself, ratios are to ``python -c pass``.
``import typer`` and ``import torch`` are the peers: the framework under the command line, and what it must not pull in.

Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_import.py`` (about half a minute).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

TURNS = 7
MAIN = "from paribus.cli import main; main()"
WAYS: dict[str, list[str]] = {
    "python -c pass": ["pass"],
    "import paribus": ["import paribus"],
    "import typer": ["import typer"],
    "paribus --help": [MAIN, "--help"],
    "paribus list": [MAIN, "list"],
    "paribus plan aya-expanse": [MAIN, "plan", "aya-expanse"],
    "import torch": ["import torch"],
}


def once(words: list[str], folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of one fresh process."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", *words], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - start, spent


def measure() -> list[dict[str, Any]]:
    """Rows: way, median wall and CPU seconds, ratio of wall time to an empty process."""
    with tempfile.TemporaryDirectory() as folder:
        for words in WAYS.values():
            once(words, folder)  # compiles what is not compiled yet
        turns = [{way: once(words, folder) for way, words in WAYS.items()} for _ in range(TURNS)]
    walls = {way: statistics.median(turn[way][0] for turn in turns) for way in WAYS}
    cpus = {way: statistics.median(turn[way][1] for turn in turns) for way in WAYS}
    empty = walls["python -c pass"]
    return [{"way": way, "wall": walls[way], "cpu": cpus[way], "ratio": walls[way] / empty} for way in WAYS]


def main() -> list[dict[str, Any]]:
    """Print the table and return its rows."""
    rows = measure()
    print(f"Fresh processes, {TURNS} turns in rotation, medians\n")
    print("| command | wall ms | CPU ms | times an empty process |")
    print("| --- | ---: | ---: | ---: |")
    for row in rows:
        print(f"| {row['way']} | {row['wall'] * 1000:.0f} | {row['cpu'] * 1000:.0f} | {row['ratio']:.1f} |")
    return rows


if __name__ == "__main__":
    main()
