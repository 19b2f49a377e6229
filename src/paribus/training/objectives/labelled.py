"""The loss of labelled positions: classes or bits a position, as the test-beds have them.

Labels stand where they are predicted, unlike next-token labels, which are shifted by one.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torch.nn import functional as F

from paribus.data.packing import IGNORE
from paribus.errors import ConfigError, DataError
from paribus.models.norms import wide
from paribus.training.objectives.base import Batch, Loss


class RowSums(NamedTuple):
    """Sums over the scored positions of each row, all of shape (..., B)."""

    loss: Tensor
    right: Tensor
    scored: Tensor


@dataclass(frozen=True)
class Labelled:
    """Cross-entropy of the scored positions, every one with the same weight.

    ``kind="classes"``: one of C classes a position; ``labels`` (B, T) int64 with -100 where nothing is scored, logits
    (B, T, C). With C = 1 the two classes 0 and 1 share one logit (binary cross-entropy, 1 is predicted above 0).
    ``kind="bits"``: C yes-or-no answers a position; ``labels`` (B, T, C) of 0 and 1, ``label_mask`` (B, T) bool says
    which positions are scored. A position's loss is the mean over its bits, and it is right when all of them are.

    The metrics are ``accuracy``, over positions, and ``sequence_accuracy``: the share of rows without a wrong position.
    """

    kind: Literal["classes", "bits"]

    def __post_init__(self) -> None:
        if self.kind not in ("classes", "bits"):
            raise ConfigError(f"kind={self.kind!r} cannot be used; it must be 'classes' or 'bits'.")

    def weight(self, batch: Batch) -> float:
        """Scored positions."""
        return float(self.scored(batch).sum())

    def loss(self, model: Any, batch: Batch) -> Loss:
        """Mean over the scored positions of ``model(**inputs).logits``."""
        return self.mean(self.by_row(model(**model_inputs(batch)).logits, batch))

    def scored(self, batch: Batch) -> Tensor:
        """Which positions (..., B, T) carry loss."""
        return batch["labels"] != IGNORE if self.kind == "classes" else batch["label_mask"]

    def by_row(self, logits: Tensor, batch: Batch) -> RowSums:
        """Sums of each row, from logits (..., B, T, C) and labels of the same leading dimensions.

        Raises ``DataError`` where logits and labels do not belong together.
        """
        self._check(logits, batch)
        scored = self.scored(batch)
        # Only what is scored is computed: with a large vocabulary and few queries that is nearly all of the work.
        losses, right = self._at(logits[scored].to(wide(logits.dtype)), batch["labels"][scored])
        spread = losses.new_zeros(scored.shape).masked_scatter(scored, losses)
        hits = scored.new_zeros(scored.shape).masked_scatter(scored, right)
        return RowSums(spread.sum(-1), hits.sum(-1), scored.sum(-1))

    def mean(self, rows: RowSums) -> Loss:
        """The loss of a batch, from the sums of its rows (B,); 0 where nothing is scored."""
        targets = int(rows.scored.sum())
        metrics = {"accuracy": rows.right.sum() / max(1, targets), "sequence_accuracy": sequence_accuracy(rows)}
        return Loss(rows.loss.sum() / max(1, targets), targets, metrics)

    def _at(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and rightness of positions: logits (P, C), labels (P,) or (P, C)."""
        if self.kind == "classes" and logits.shape[-1] > 1:
            return F.cross_entropy(logits, labels, reduction="none"), logits.argmax(-1) == labels
        wanted = labels.to(logits.dtype).view_as(logits)
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(-1)
        return losses, ((logits > 0) == (wanted > 0.5)).all(-1)

    def _check(self, logits: Tensor, batch: Batch) -> None:
        labels = tuple(batch["labels"].shape)
        fitting = tuple(logits.shape) if self.kind == "bits" else tuple(logits.shape[:-1])
        if labels != fitting:
            raise DataError(
                f"Labels of shape {labels} do not fit logits of shape {tuple(logits.shape)}: kind={self.kind!r} wants "
                f"{fitting}; check the model's outputs and the task's kind."
            )


def model_inputs(batch: Batch) -> dict[str, Tensor]:
    """What of a batch the model takes."""
    return {name: batch[name] for name in ("input_ids", "inputs_embeds", "attention_mask") if name in batch}


def sequence_accuracy(rows: RowSums) -> Tensor:
    """Share of the rows that have scored positions and all of them right, over the last dimension; 0 without any."""
    counted = rows.scored > 0
    return ((rows.right == rows.scored) & counted).sum(-1) / counted.sum(-1).clamp(min=1)
