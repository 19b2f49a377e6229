"""Log-probabilities of given completions under a causal model, batched by length."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from paribus.inference.slots import padded_length

MAX_LOGITS = 1 << 26  # logits held at once: 256 MB in float32, so an 8B model's vocabulary does not need 16 GB

Pair = tuple[list[int], list[int]]  # prompt ids, completion ids


@contextmanager
def evaluating(model: PreTrainedModel, autocast: torch.dtype | None = None) -> Iterator[None]:
    """Evaluation mode (put back afterwards, the model may be in training), no gradients, and autocast if asked for."""
    was_training = model.training
    model.eval()
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if autocast is not None:
                stack.enter_context(torch.autocast(model.device.type, dtype=autocast))
            yield
    finally:
        model.train(was_training)


def completion_logprobs(model: PreTrainedModel, pairs: Sequence[Pair], *, max_batch_tokens: int) -> list[float]:
    """Summed natural log-probability of each completion after its prompt, in the order of ``pairs``.

    Rows of one batch share their padded length, which depends on the row alone; only the logits that predict completion
    tokens are computed (where the model takes ``logits_to_keep``).
    """
    sums = [0.0] * len(pairs)
    vocabulary = model.config.get_text_config().vocab_size
    for batch in batches(pairs, max_batch_tokens, vocabulary):
        rows = [pairs[index] for index in batch]
        for index, total in zip(batch, batch_logprobs(model, rows), strict=True):
            sums[index] = total
    return sums


def batches(pairs: Sequence[Pair], max_batch_tokens: int, vocabulary: int) -> Iterator[list[int]]:
    """Indices of pairs, longest first: one padded length, and within the budgets of tokens and of logits."""
    order = sorted(range(len(pairs)), key=lambda i: (-whole_length(pairs[i]), len(pairs[i][0])))
    batch: list[int] = []
    for index in order:
        grown = [*batch, index]
        length = whole_length(pairs[index])
        kept = length - min(len(pairs[i][0]) for i in grown)
        too_large = len(grown) * length > max_batch_tokens or len(grown) * kept * vocabulary > MAX_LOGITS
        if batch and (too_large or whole_length(pairs[batch[0]]) != length):
            yield batch
            grown = [index]
        batch = grown
    if batch:
        yield batch


def whole_length(pair: Pair) -> int:
    """Prompt and completion, padded as the prompt of a generation would be."""
    return padded_length(len(pair[0]) + len(pair[1]))


def batch_logprobs(model: PreTrainedModel, rows: Sequence[Pair]) -> list[float]:
    """The sums of one batch; padding lies behind each row, where a causal model cannot see it."""
    length, first = whole_length(rows[0]), min(len(prompt) for prompt, _ in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    counted = torch.zeros(len(rows), length, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(rows):
        whole = len(prompt) + len(completion)
        ids[row, :whole] = torch.tensor(prompt + completion)
        counted[row, len(prompt) : whole] = True
    # the logits at position t predict token t + 1, so positions first-1 .. length-2 are wanted
    logits_NTV = wanted_logits(model, ids.to(model.device), first - 1)
    # a model spread over devices gives its logits on the last one
    wanted_NT = ids[:, first:].to(logits_NTV.device)
    loss_NT = torch.nn.functional.cross_entropy(logits_NTV.float().transpose(1, 2), wanted_NT, reduction="none")
    return (-loss_NT.cpu().double() * counted[:, first:]).sum(dim=1).tolist()


def wanted_logits(model: PreTrainedModel, ids: Tensor, first: int) -> Tensor:
    """Logits (N, T, V) at positions ``first`` up to the last but one."""
    wanted = torch.arange(first, ids.shape[1] - 1, device=ids.device)
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        return model(input_ids=ids, use_cache=False, logits_to_keep=wanted).logits
    return model(input_ids=ids, use_cache=False).logits[:, wanted]
