"""The contract between an objective and the trainer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Loss:
    """What an objective returns for one batch.

    value         scalar: the mean over the batch's units (tokens, examples or pairs), with gradient
    targets       tokens that carried loss
    metrics       scalars to log, as tensors or floats (no gradient)
    regulariser   scalar with gradient or None: a term of the whole batch, such as a router's load balance. The step
                  adds its plain mean over micro-batches and processes, whatever their weights
    """

    value: Tensor
    targets: int
    metrics: dict[str, Any] = field(default_factory=dict)
    regulariser: Tensor | None = None


class Objective(Protocol):
    """``weight`` counts the units ``loss`` averages over, so that accumulated micro-batches make one exact mean."""

    def weight(self, batch: Batch) -> float: ...

    def loss(self, model: Any, batch: Batch) -> Loss: ...
