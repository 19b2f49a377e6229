"""How right a model's logits are: whole sequences (strict) and tokens, by depth, and at other lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paribus.errors import DataError
from paribus.testbeds.formal import dyck_strings
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.task import IGNORED, Batch, FormalTask

if TYPE_CHECKING:
    import torch


def score(logits_BTO: torch.Tensor, batch: Batch, task: FormalTask) -> dict[str, torch.Tensor]:
    """Score every sequence: ``accuracy`` and ``token_accuracy``, each (B,) float32.

    A position is right when its class is the one of the largest logit (or, for "bits", when every one of its outputs
    is on the right side of 0). ``accuracy`` is strict: 1 where all scored positions of a sequence are right.
    ``token_accuracy`` is the share of them. Logits that are not numbers count as wrong. Raises ``DataError`` for logits
    of another shape than (B, T, O).
    """
    right_BT, scored_BT = _right(logits_BTO, batch, task)
    hits_B = (right_BT & scored_BT).sum(dim=1)
    total_B = scored_BT.sum(dim=1)
    return {"accuracy": (hits_B == total_B).float(), "token_accuracy": hits_B / total_B}


def depth_accuracy(logits_BTO: torch.Tensor, batch: Batch, task: BoundedDyck) -> dict[str, torch.Tensor]:
    """Token accuracy of next-character prediction by the depth after the token: ``accuracy`` and ``count``, (D + 1,).

    The accuracy of a depth that does not occur is NaN. Raises ``DataError`` for the membership readout.
    """
    import torch

    if task.readout != "next":
        raise DataError(f"{task.name} is scored at one position; accuracy by depth needs readout=next.")
    right_BT, scored_BT = _right(logits_BTO, batch, task)
    depth_BT = dyck_strings.heights(batch["input_ids"], task.pairs).to(right_BT.device)
    count_D = torch.bincount(depth_BT[scored_BT], minlength=task.depth + 1)
    hits_D = torch.bincount(depth_BT[scored_BT & right_BT], minlength=task.depth + 1)
    return {"accuracy": hits_D / count_D, "count": count_D}


@dataclass(frozen=True)
class LengthScore:
    """Mean scores of ``count`` fresh sequences at one size of a task."""

    size: int
    accuracy: float
    token_accuracy: float
    count: int


def length_scores(
    predict: Callable[[Batch], torch.Tensor],
    task: FormalTask,
    sizes: Sequence[int],
    *,
    count: int = 256,
    seed: int = 0,
    batch_size: int = 64,
) -> list[LengthScore]:
    """Score a predictor at each size of the task, on the same sequences for everybody who asks with the same seed.

    ``predict`` takes a batch of ``sample`` and returns its logits (B, T, O). Raises ``ConfigError`` for a size that the
    task cannot have.
    """
    import torch

    scores = []
    for size in sizes:
        at_size = task.at(size)
        batches = at_size.batches(count, batch_size=batch_size, seed=seed)
        parts = [score(predict(batch), batch, at_size) for batch in batches]
        means = {key: float(torch.cat([part[key] for part in parts]).mean()) for key in parts[0]}
        scores.append(LengthScore(size, means["accuracy"], means["token_accuracy"], count))
    return scores


def _right(logits_BTO: torch.Tensor, batch: Batch, task: FormalTask) -> tuple[torch.Tensor, torch.Tensor]:
    """Right and scored positions, both (B, T) bool on the device of the logits."""
    labels = batch["labels"].to(logits_BTO.device)
    expected = (*labels.shape[:2], task.outputs)
    if logits_BTO.shape != expected:
        raise DataError(f"{task.name} needs logits of shape {expected}, got {tuple(logits_BTO.shape)}.")
    if task.kind == "classes":
        finite_BT = ~logits_BTO.isnan().any(dim=2)
        return (logits_BTO.argmax(dim=2) == labels) & finite_BT, labels != IGNORED
    right_BT = ((logits_BTO > 0) == (labels > 0.5)).all(dim=2) & ~logits_BTO.isnan().any(dim=2)
    return right_BT, batch["label_mask"].to(logits_BTO.device)
