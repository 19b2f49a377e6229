"""Next-token cross-entropy, for pre-training and supervised fine-tuning."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from paribus.data.packing import IGNORE, block_mask
from paribus.errors import ModelError
from paribus.training.objectives.base import Batch, Loss


@dataclass(frozen=True)
class Causal:
    """Cross-entropy of the labelled tokens of packed rows.

    ``average="token"``: every target token weighs the same. ``average="example"``: the mean over examples of each one's
    mean token loss, so that a long answer weighs no more than a short one; an example is a packed segment.

    A mixture's auxiliary loss comes as the ``regulariser``, over all tokens but pads: prompts are routed too.
    """

    average: Literal["token", "example"] = "token"

    def weight(self, batch: Batch) -> float:
        """Target tokens, or examples that have any."""
        targets = batch["labels"][:, 1:] != IGNORE
        if self.average == "token":
            return float(targets.sum())
        return float(example_ids(batch)[targets].unique().numel())

    def loss(self, model: Any, batch: Batch) -> Loss:
        """Mean cross-entropy of a packed batch (input_ids, labels, position_ids, segment_ids, each (B, T))."""
        labels = batch["labels"][:, 1:]
        keep = labels != IGNORE
        outputs = target_outputs(model, batch, keep)
        losses = F.cross_entropy(outputs.logits.float(), labels[keep], reduction="none")
        owners = example_ids(batch)[keep] if self.average == "example" else None
        return Loss(_mean(losses, owners), targets=len(losses), regulariser=auxiliary_loss(model, outputs))


def _mean(losses: Tensor, owners: Tensor | None) -> Tensor:
    """Mean of token losses, or of the means of their owners; 0 for no token, whose mean would be NaN."""
    if not len(losses):
        return losses.sum()
    if owners is None:
        return losses.mean()
    _, places, counts = owners.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), dtype=losses.dtype, device=losses.device).index_add(0, places, losses)
    return (sums / counts).mean()


def example_ids(batch: Batch) -> Tensor:
    """A number for each (row, segment), at the positions of the shifted labels: (B, T-1)."""
    segments = batch["segment_ids"] if "segment_ids" in batch else batch["attention_mask"]
    rows = torch.arange(len(segments), device=segments.device)[:, None]
    return (rows * (int(segments.max()) + 1) + segments)[:, 1:]


def auxiliary_loss(model: Any, outputs: Any) -> Tensor | None:
    """The routers' loss with its coefficients in it, or None where the model has none to give.

    transformers' own mixtures compute theirs if their configuration sets ``output_router_logits``, and leave the
    coefficient out.
    """
    loss, inner = getattr(outputs, "aux_loss", None), unwrapped(model)
    if loss is None or takes_token_mask(inner):
        return loss
    return loss * inner.config.get_text_config().router_aux_loss_coef


def takes_token_mask(model: Any) -> bool:
    """Whether a model wants to be told which tokens are pads, apart from who may attend to whom."""
    return getattr(model, "accepts_token_mask", False)


def target_logits(model: Any, batch: Batch, keep: Tensor) -> Tensor:
    """Logits (targets, V) that predict the kept labels, see ``target_outputs``."""
    return target_outputs(model, batch, keep).logits


def target_outputs(model: Any, batch: Batch, keep: Tensor) -> Any:
    """The model's outputs with logits (targets, V) at the places that predict the kept labels only.

    ``keep`` (B, T-1) is aligned with the labels shifted by one.
    The output layer is applied only where a label is: with prompts masked out that is a sixth of the positions of short
    answers, and the vocabulary product is the largest of a small model. What comes behind it in some models (a scale, a
    soft cap) works number by number and does not mind. The model is called whole, so that DDP and FSDP see the call.
    """
    inner = unwrapped(model)
    head = inner.get_output_embeddings()
    if head is None:
        raise ModelError(
            f"{type(inner).__name__} has no output layer over the vocabulary; load a causal language model."
        )
    hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][:, :-1][keep],))
    try:
        return model(**model_inputs(inner, batch), use_cache=False)
    finally:
        hook.remove()


def model_inputs(model: Any, batch: Batch) -> dict[str, Tensor]:
    """What a model's forward takes: packed rows bring positions and a block-diagonal mask, padded ones a 2-D mask."""
    inputs = {"input_ids": batch["input_ids"]}
    if takes_token_mask(model):
        inputs["token_mask"] = real_tokens(batch)
    if "segment_ids" not in batch:
        padding = batch["attention_mask"]
        # Pads behind a row are out of a causal model's sight, and attention without a mask is quicker. The balancing
        # loss of transformers' mixtures reads pads off this mask.
        unseen = padding[:, 0].all() and not getattr(model.config, "output_router_logits", False)
        return inputs if unseen else inputs | {"attention_mask": padding}
    mask = block_mask(batch["segment_ids"])
    if model.config._attn_implementation == "eager":
        # transformers' eager attention ADDS the mask to the scores: a boolean one would be added as 0 and 1.
        mask = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)
    return inputs | {"position_ids": batch["position_ids"], "attention_mask": mask}


def real_tokens(batch: Batch) -> Tensor:
    """Which positions (B, T) hold a token, or a vector in its place, and no pad; all of them where no mask says so."""
    for mask in ("segment_ids", "attention_mask"):
        if mask in batch:
            return batch[mask] > 0
    inputs = batch["input_ids"] if "input_ids" in batch else batch["inputs_embeds"]
    return torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)


def unwrapped(model: Any) -> Any:
    """The model behind DDP; adapters (peft) stay, since their forward differs."""
    return model.module if isinstance(model, DistributedDataParallel) else model
