"""Operations on checkpoints without gradients: merging models, averaging one run's checkpoints, fingerprints.

What lives here: ``merge`` with one method per file (``methods/``), streamed tensor by tensor from safetensors so that
memory does not grow with the model; the search for merge weights on a development split. What may not: training,
generation, and anything that looks inside an architecture (tensors have names and shapes here, nothing more).

The public names below are loaded on first use: ``from paribus.weights import merge``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paribus.weights.averaging import average_checkpoints, run_checkpoints
    from paribus.weights.fingerprint import weights_hash
    from paribus.weights.folding import slerp_all
    from paribus.weights.merging import MergeReport, merge
    from paribus.weights.search import DevScorer, SearchResult, coordinate_search, search_weights, weight_grid

_HOMES = {
    "DevScorer": "search",
    "MergeReport": "merging",
    "SearchResult": "search",
    "average_checkpoints": "averaging",
    "coordinate_search": "search",
    "merge": "merging",
    "run_checkpoints": "averaging",
    "search_weights": "search",
    "slerp_all": "folding",
    "weight_grid": "search",
    "weights_hash": "fingerprint",
}

__all__ = [
    "DevScorer",
    "MergeReport",
    "SearchResult",
    "average_checkpoints",
    "coordinate_search",
    "merge",
    "run_checkpoints",
    "search_weights",
    "slerp_all",
    "weight_grid",
    "weights_hash",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'paribus.weights' has no attribute {name!r}")
    return getattr(import_module(f"paribus.weights.{_HOMES[name]}"), name)
