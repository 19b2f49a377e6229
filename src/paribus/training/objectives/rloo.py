"""REINFORCE leave-one-out (Ahmadian et al. 2024), as the Aya line of papers uses it beside DPO."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from paribus.errors import ConfigError
from paribus.training.objectives.base import Batch, Loss
from paribus.training.objectives.dpo import completion_logprobs


def leave_one_out(rewards: Tensor) -> Tensor:
    """Advantages A_i = r_i - mean of the other rewards of the same prompt; (prompts, k) in and out, k >= 2."""
    k = rewards.shape[-1]
    if k < 2:
        raise ConfigError(f"Leave-one-out needs at least 2 samples a prompt, got {k}; raise the number of samples.")
    others = (rewards.sum(-1, keepdim=True) - rewards) / (k - 1)
    return rewards - others


@dataclass(frozen=True)
class RLOO:
    """-mean A_i log pi(y_i | x), with A from rewards r = arbiter - kl_coefficient * (log pi_old - log reference).

    The batch carries padded samples (rows = prompts x k, samples of a prompt side by side), ``rewards`` (rows,) from
    the arbiter, ``sampled_logprobs`` (rows,) of the sampling policy and ``reference`` (rows,) log-probabilities. The KL
    term is the single-sample estimate under the sampling policy; it is part of the reward and has no gradient.
    """

    samples: int
    kl_coefficient: float = 0.05

    def weight(self, batch: Batch) -> float:
        """Samples."""
        return float(len(batch["input_ids"]))

    def loss(self, model: Any, batch: Batch) -> Loss:
        """REINFORCE with the leave-one-out baseline; rewards carry no gradient."""
        if "sampled_logprobs" not in batch or "reference" not in batch:
            raise ConfigError("The samples carry no log-probabilities; call add_sample_logprobs first.")
        logprobs = completion_logprobs(model, batch)
        kl = batch["sampled_logprobs"] - batch["reference"]
        rewards = (batch["rewards"] - self.kl_coefficient * kl).to(logprobs.dtype)
        advantages = leave_one_out(rewards.view(-1, self.samples)).reshape(-1)
        value = -(advantages.detach() * logprobs).mean()
        metrics = {"reward": batch["rewards"].float().mean(), "kl": kl.float().mean()}
        return Loss(value, targets=int(batch["completion_mask"][:, 1:].sum()), metrics=metrics)
