"""Operations on checkpoints without gradients: merging models, upcycling them into a mixture, fingerprints.

What lives here: ``merge`` with one method per file (``methods/``), ``upcycle`` and ``export_mixture``, all streamed
tensor by tensor from safetensors so that memory does not grow with the model; the search for merge weights on a
development split. Merging knows names and shapes, nothing more; what the others must know of an architecture is in
``families`` and ``export_targets``. What may not live here: training and generation.

The public names below are loaded on first use: ``from paribus.weights import merge``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paribus.weights.averaging import average_checkpoints, run_checkpoints
    from paribus.weights.export import ExportReport, export_mixture
    from paribus.weights.fingerprint import weights_hash
    from paribus.weights.folding import slerp_all
    from paribus.weights.merging import MergeReport, merge
    from paribus.weights.search import DevScorer, SearchResult, coordinate_search, search_weights, weight_grid
    from paribus.weights.upcycling import UpcycleReport, upcycle

_HOMES = {
    "DevScorer": "search",
    "ExportReport": "export",
    "MergeReport": "merging",
    "SearchResult": "search",
    "UpcycleReport": "upcycling",
    "average_checkpoints": "averaging",
    "coordinate_search": "search",
    "export_mixture": "export",
    "merge": "merging",
    "run_checkpoints": "averaging",
    "search_weights": "search",
    "slerp_all": "folding",
    "upcycle": "upcycling",
    "weight_grid": "search",
    "weights_hash": "fingerprint",
}

__all__ = [
    "DevScorer",
    "ExportReport",
    "MergeReport",
    "SearchResult",
    "UpcycleReport",
    "average_checkpoints",
    "coordinate_search",
    "export_mixture",
    "merge",
    "run_checkpoints",
    "search_weights",
    "slerp_all",
    "upcycle",
    "weight_grid",
    "weights_hash",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'paribus.weights' has no attribute {name!r}")
    return getattr(import_module(f"paribus.weights.{_HOMES[name]}"), name)
