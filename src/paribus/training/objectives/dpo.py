"""Direct preference optimisation, sigmoid form (Rafailov et al. 2023; used by Aya Expanse, arXiv 2412.04261)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.errors import ConfigError
from paribus.training.objectives.base import Batch, Loss
from paribus.training.objectives.causal import target_logits


def completion_logprobs(model: Any, batch: Batch) -> Tensor:
    """Summed log-probability (rows,) of each padded row's completion tokens."""
    keep = batch["completion_mask"][:, 1:].bool()
    targets = batch["input_ids"][:, 1:][keep]
    token = -F.cross_entropy(target_logits(model, batch, keep).float(), targets, reduction="none")
    owner = torch.arange(len(keep), device=keep.device)[:, None].expand_as(keep)[keep]
    return torch.zeros(len(keep), dtype=token.dtype, device=token.device).index_add(0, owner, token)


@dataclass(frozen=True)
class DPO:
    """-log sigmoid(beta * margin), margin = (policy - reference) log-ratio of chosen minus rejected, sums over tokens.

    ``label_smoothing`` is the assumed share of flipped labels. The batch must carry ``reference`` (n, 2), see
    ``paribus.training.references``; chosen rows come first, rejected rows second.
    """

    beta: float = 0.1
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ConfigError(f"beta={self.beta} cannot be used; it must be above 0.")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"label_smoothing={self.label_smoothing} cannot be used; it must be in [0, 0.5).")

    def weight(self, batch: Batch) -> float:
        """Pairs."""
        return len(batch["input_ids"]) / 2

    def loss(self, model: Any, batch: Batch) -> Loss:
        """One forward over chosen and rejected together."""
        if "reference" not in batch:
            raise ConfigError("The pairs carry no reference log-probabilities; call add_reference_logprobs first.")
        policy = completion_logprobs(model, batch).view(2, -1)
        ratios = policy - batch["reference"].T.to(policy.dtype)
        margin = self.beta * (ratios[0] - ratios[1])
        value = sigmoid_loss(margin, self.label_smoothing).mean()
        metrics = {
            "reward_accuracy": (margin > 0).float().mean(),
            "reward_margin": margin.mean(),
            "chosen_reward": self.beta * ratios[0].mean(),
            "rejected_reward": self.beta * ratios[1].mean(),
        }
        targets = int(batch["completion_mask"][:, 1:].sum())
        return Loss(value, targets, {name: metric.detach() for name, metric in metrics.items()})


def sigmoid_loss(margin: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Loss of each pair (n,) from its reward margin; ln 2 at margin 0 whatever the smoothing."""
    return -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)
