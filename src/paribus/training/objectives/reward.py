"""Bradley-Terry reward modelling: the chosen answer should score above the rejected one."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from paribus.training.objectives.base import Batch, Loss


@dataclass(frozen=True)
class Reward:
    """-log sigmoid(r_chosen - r_rejected [- margin]) with a one-label sequence classifier as r.

    ``use_margin`` subtracts the pair's recorded margin (unknown margins count as 0). ``centre`` adds
    ``centre * (r_chosen + r_rejected)^2``, which keeps scores near zero.
    """

    use_margin: bool = False
    centre: float = 0.0

    def weight(self, batch: Batch) -> float:
        """Pairs."""
        return len(batch["input_ids"]) / 2

    def loss(self, model: Any, batch: Batch) -> Loss:
        """One forward over chosen and rejected together."""
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        scores = model(**inputs, use_cache=False).logits.float().view(2, -1)
        gap = scores[0] - scores[1]
        shifted = gap - torch.nan_to_num(batch["margins"].to(gap.dtype)) if self.use_margin else gap
        value = -F.logsigmoid(shifted).mean()
        if self.centre:
            value = value + self.centre * (scores.sum(0) ** 2).mean()
        metrics = {"accuracy": (gap > 0).float().mean().detach(), "gap": gap.mean().detach()}
        # One judgement a pair is what carries loss here.
        return Loss(value, targets=gap.numel(), metrics=metrics)
