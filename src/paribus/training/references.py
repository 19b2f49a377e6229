"""Reference log-probabilities of preference pairs: computed once, kept beside the data."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paribus.data.pairs import PairDataset
from paribus.training.objectives.dpo import completion_logprobs


def add_reference_logprobs(
    model: Any, dataset: PairDataset, *, batch_size: int = 64, cache: Path | None = None
) -> PairDataset:
    """The pairs with summed log-probabilities (n, 2) of their completions under ``model``.

    With ``cache`` (a directory) the result is kept under the hashes of weights and data and read from there next time.
    """
    file = cache / f"{model_hash(model)[:16]}-{dataset.data_hash[:16]}.npy" if cache is not None else None
    if file is not None and file.exists():
        return dataset.with_reference(np.load(file, allow_pickle=False))
    reference = _logprobs(model, dataset, batch_size)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npy")
        np.save(partial, reference, allow_pickle=False)
        partial.replace(file)
    return dataset.with_reference(reference)


@torch.inference_mode()
def _logprobs(model: Any, dataset: PairDataset, batch_size: int) -> np.ndarray:
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    rows = []
    for start in range(0, len(dataset), batch_size):
        batch = dataset.batch(np.arange(start, min(start + batch_size, len(dataset))))
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        rows.append(completion_logprobs(model, batch).view(2, -1).T.double().cpu().numpy())
    model.train(was_training)
    return np.concatenate(rows)


def model_hash(model: Any) -> str:
    """SHA-256 of all weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
