"""Averaging checkpoints along one run: the second kind of merge in Aya Expanse, besides merging across clusters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from paribus.errors import ModelError
from paribus.weights.checkpoint import INDEX, SINGLE
from paribus.weights.merging import MergeReport, merge

_STEP = re.compile(r"(\d+)$")


def run_checkpoints(run: str | Path) -> list[Path]:
    """The model directories of a run whose names end in a step (``checkpoint-500``), earliest first.

    Raises ``ModelError`` if there are none.
    """
    found = [
        (int(number[1]), folder)
        for folder in Path(run).iterdir()
        if (number := _STEP.search(folder.name)) and ((folder / SINGLE).is_file() or (folder / INDEX).is_file())
    ]
    if not found:
        raise ModelError(f"{run} holds no checkpoints (directories ending in a step, with {SINGLE}); check the path.")
    return [folder for _, folder in sorted(found)]


def average_checkpoints(
    checkpoints: Sequence[str | Path],
    out: str | Path,
    *,
    last: int | None = None,
    weights: Sequence[float] | None = None,
    dtype: str | None = None,
) -> MergeReport:
    """Average checkpoints of one run (all, or the ``last`` k), equally unless ``weights`` (sum 1) are given.

    ``checkpoints`` are directories in the order of training, such as ``run_checkpoints(run)``. Raises as ``merge``.
    """
    chosen = list(checkpoints)[-last:] if last else list(checkpoints)
    return merge("linear", chosen, out, weights=weights, dtype=dtype)
