"""What a construction is: a task, a model with hand-written weights that solves it, and why it cannot fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from paribus.models.sequence import SequenceForPrediction
from paribus.testbeds.formal.constructions.certificates import Certificate, off_target_mass
from paribus.testbeds.formal.task import FormalTask


@dataclass(frozen=True, eq=False)
class Addressing:
    """The lookups of the first layer, as far as its scores depend on them.

    ``queries_ND``: streams at every token that looks something up; ``keys_SD``: streams at every position;
    ``targets_N``: the position that each query must find; ``sees_N``: the last position that it sees.
    ``tolerated``: the attention mass that may miss without any answer being wrong.
    """

    queries_ND: Tensor
    keys_SD: Tensor
    targets_N: Tensor
    sees_N: Tensor
    tolerated: float


@dataclass(frozen=True, eq=False)
class Construction:
    """A model of the class that is trained elsewhere, its weights written by hand.

    ``margin``: the guaranteed gap between the right answer's logit and the best wrong one ("classes"), or between a
    logit and 0 on its right side ("bits"), in exact arithmetic and for every input of the task (for the nearest
    neighbour: every input that keeps the stated gap). ``addressing``: what ``certify`` checks; None for recurrent nets,
    which are exact.
    """

    name: str
    task: FormalTask
    model: SequenceForPrediction
    margin: float
    description: str
    addressing: Addressing | None = None

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def layers(self) -> int:
        return int(self.model.config.num_hidden_layers)

    @property
    def parameters(self) -> int:
        return int(self.model.config.shape.parameters)

    def row(self) -> dict[str, object]:
        """Sizes as a table row."""
        return {
            "construction": self.name,
            "task": self.task.name,
            "layers": self.layers,
            "width": self.width,
            "parameters": self.parameters,
            "margin": self.margin,
        }


@torch.no_grad()
def certify(construction: Construction, *, dtype: torch.dtype | None = None) -> Certificate | None:
    """The certificate of a construction in ``dtype`` (default: that of its weights), from the weights themselves.

    If it holds, the first layer finds what it must in every input there is, up to the tolerated mass, and exhaustive
    checks become a check of the code rather than of the claim. None for constructions without addressing.
    """
    if construction.addressing is None:
        return None
    found, layer = construction.addressing, _first_mixer(construction.model)
    dtype = dtype or construction.model.dtype
    queries_AD, keys_AD, _ = layer.qkv_proj.weight.to(dtype).split(layer.head_dim)
    positions = torch.arange(len(found.keys_SD))
    mass = off_target_mass(
        found.queries_ND.to(dtype) @ queries_AD.T,
        found.keys_SD.to(dtype) @ keys_AD.T,
        found.targets_N,
        visible_NS=positions <= found.sees_N[:, None],
        dtype=dtype,
    )
    name = str(dtype).removeprefix("torch.")
    return Certificate(len(found.queries_ND), name, mass.max().item(), found.tolerated)


def _first_mixer(model: SequenceForPrediction) -> Any:
    return model.model.layers[0].mixer
