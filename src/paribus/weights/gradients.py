"""Merge parameters that change with depth: anchors spread evenly over the layers, straight lines between them.

mergekit calls this a gradient (a list of values for a parameter); Mix Data or Merge Models (arXiv 2410.10801) searched
such layer-wise ratios for every method but the linear one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_LAYER = re.compile(r"^(?P<stack>.*?[._])(?P<number>\d+)(?=[._])")
_INPUT = re.compile(r"emb|wte|wpe|shared")


class LayerDepth:
    """Where in the network each tensor sits, from 0 (first layer) to 1 (last layer), read off the names alone.

    The first number in a name is the layer, what stands before it the stack (an encoder-decoder has two). Tensors
    without a number are 0 if their name speaks of an embedding, otherwise 1 (final norm, output head).
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._last: dict[str, int] = {}
        for name in names:
            if found := _LAYER.match(name):
                stack, number = found["stack"], int(found["number"])
                self._last[stack] = max(number, self._last.get(stack, 0))

    def __call__(self, name: str) -> float:
        found = _LAYER.match(name)
        if not found:
            return 0.0 if _INPUT.search(name) else 1.0
        return int(found["number"]) / max(1, self._last[found["stack"]])


def at_depth(anchors: Sequence[Sequence[float]], depth: float) -> NDArray[np.float64]:
    """Anchors of shape (k, m), evenly spaced over [0, 1], interpolated at ``depth``; shape (m,)."""
    values = np.asarray(anchors, dtype=np.float64)
    places = np.linspace(0.0, 1.0, len(values)) if len(values) > 1 else np.zeros(1)
    return np.array([np.interp(depth, places, column) for column in values.T])
