"""Does the model meet test sequences in training? Exactly checked, sequence by sequence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paribus.testbeds.formal.task import Batch


@dataclass(frozen=True)
class Overlap:
    """Of ``total`` test sequences, ``repeated`` occur among the ``seen`` training sequences."""

    repeated: int
    total: int
    seen: int

    @property
    def share(self) -> float:
        """Share of the test sequences that occur in training."""
        return self.repeated / self.total


def overlap(test: Batch, training: Iterable[Batch]) -> Overlap:
    """Count the test sequences (a row of ``input_ids`` or ``inputs_embeds``) that the training batches contain.

    Rows are compared byte by byte, so nothing is missed or invented; memory grows with the test batch only. Small input
    spaces overlap of necessity: Equality(bits=4) has 80 different sequences.
    """
    rows = _rows(test)
    unmet, seen = set(rows), 0
    for batch in training:
        drawn = _rows(batch)
        unmet.difference_update(drawn)
        seen += len(drawn)
    return Overlap(sum(row not in unmet for row in rows), len(rows), seen)


def _rows(batch: Batch) -> list[bytes]:
    inputs = batch["input_ids"] if "input_ids" in batch else batch["inputs_embeds"]
    return [row.tobytes() for row in inputs.contiguous().numpy()]
