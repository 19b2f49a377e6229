"""Log-probabilities of given completions under fixed models: computed once, kept beside the data."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from paribus.data.pairs import PairDataset
from paribus.data.stream import Dataset
from paribus.training.objectives.dpo import completion_logprobs

if TYPE_CHECKING:
    from paribus.data.samples import SampleDataset


def add_reference_logprobs(
    model: Any, dataset: PairDataset, *, batch_size: int = 64, cache: Path | None = None
) -> PairDataset:
    """The pairs with summed log-probabilities (n, 2) of their completions under ``model``; ``batch_size`` is in pairs.

    With ``cache`` (a directory) the result is kept under the hashes of weights and data and read from there next time.
    """
    file = cache / f"{model_hash(model)[:16]}-{dataset.data_hash[:16]}.npy" if cache is not None else None
    if file is not None and file.exists():
        return dataset.with_reference(np.load(file, allow_pickle=False))
    reference = np.concatenate([sums.view(2, -1).T.numpy() for sums in _sums(model, dataset, batch_size)])
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, reference, allow_pickle=False)
        partial.replace(file)
    return dataset.with_reference(reference)


def add_sample_logprobs(policy: Any, anchor: Any, dataset: "SampleDataset", *, batch_size: int = 16) -> "SampleDataset":
    """The samples with summed log-probabilities (prompts, k) under the policy that drew them and under the reference.

    ``policy`` must still be the sampling policy (call this before training it); ``batch_size`` is in prompts.
    """
    sampled = _per_prompt(policy, dataset, batch_size)
    reference = sampled if anchor is policy else _per_prompt(anchor, dataset, batch_size)
    return dataset.with_logprobs(sampled, reference)


def _per_prompt(model: Any, dataset: "SampleDataset", batch_size: int) -> NDArray[np.float64]:
    return np.concatenate([sums.numpy() for sums in _sums(model, dataset, batch_size)]).reshape(len(dataset), -1)


@torch.inference_mode()
def _sums(model: Any, dataset: Dataset, batch_size: int) -> Iterator[Tensor]:
    """Summed completion log-probabilities of each batch's rows, float64 on the CPU, without dropout."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(dataset), batch_size):
            batch = dataset.batch(np.arange(start, min(start + batch_size, len(dataset))))
            yield completion_logprobs(model, {name: tensor.to(device) for name, tensor in batch.items()}).double().cpu()
    finally:
        model.train(was_training)


def model_hash(model: Any) -> str:
    """SHA-256 of all weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
