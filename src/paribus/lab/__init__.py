"""The study engine: stage, store, ledger, runner, launchers, budget, study, arm, contrast, claim. It knows no ML.

What lives here: how a graph of cached stages is planned, compared, priced, run, killed, resumed, verified and
analysed. What may not: models, data formats beyond item tables, training, anything from the rooms above, and nothing
that imports torch.

The public names below are loaded on first use: ``from paribus.lab import stage, Study, run_study``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paribus.lab.analysis import AnalysisConfig, ArmMeta, analyse
    from paribus.lab.budget import Cost, Matched, Unmatched
    from paribus.lab.context import RunContext, current
    from paribus.lab.files import file_input
    from paribus.lab.graph import Graph
    from paribus.lab.items import write_items
    from paribus.lab.ledger import Ledger
    from paribus.lab.pricing import Price, price
    from paribus.lab.results import Panel, StudyResult
    from paribus.lab.runner import RunReport, read_result, run_plan
    from paribus.lab.running import run_study
    from paribus.lab.settings import Settings
    from paribus.lab.stages import Handle, Stage, stage
    from paribus.lab.state import Status, status
    from paribus.lab.store import Store, payload_digest, payload_digests
    from paribus.lab.study import Arm, Arms, Claim, Contrast, Plan, Study

_HOMES = {
    "AnalysisConfig": "analysis",
    "Arm": "study",
    "ArmMeta": "analysis",
    "Arms": "study",
    "Claim": "study",
    "Contrast": "study",
    "Cost": "budget",
    "Graph": "graph",
    "Handle": "stages",
    "Ledger": "ledger",
    "Matched": "budget",
    "Panel": "results",
    "Plan": "study",
    "Price": "pricing",
    "RunContext": "context",
    "RunReport": "runner",
    "Settings": "settings",
    "Stage": "stages",
    "Status": "state",
    "Store": "store",
    "Study": "study",
    "StudyResult": "results",
    "Unmatched": "budget",
    "analyse": "analysis",
    "current": "context",
    "file_input": "files",
    "payload_digest": "store",
    "payload_digests": "store",
    "price": "pricing",
    "read_result": "runner",
    "run_plan": "runner",
    "run_study": "running",
    "stage": "stages",
    "status": "state",
    "write_items": "items",
}

__all__ = [
    "AnalysisConfig",
    "Arm",
    "ArmMeta",
    "Arms",
    "Claim",
    "Contrast",
    "Cost",
    "Graph",
    "Handle",
    "Ledger",
    "Matched",
    "Panel",
    "Plan",
    "Price",
    "RunContext",
    "RunReport",
    "Settings",
    "Stage",
    "Status",
    "Store",
    "Study",
    "StudyResult",
    "Unmatched",
    "analyse",
    "current",
    "file_input",
    "payload_digest",
    "payload_digests",
    "price",
    "read_result",
    "run_plan",
    "run_study",
    "stage",
    "status",
    "write_items",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'paribus.lab' has no attribute {name!r}")
    return getattr(import_module(f"paribus.lab.{_HOMES[name]}"), name)
