"""Running transformers' models in float64 throughout, to compare functions and not roundings."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from paribus.models.load import load_causal


class Float64:
    """torch as a modelling file sees it, with float64 where it says float32: its norms and rotations are then exact."""

    float32 = float = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def exactly(model: PreTrainedModel) -> Iterator[None]:
    """Run a model of transformers in float64 throughout; ours do so by themselves."""
    if not type(model).__module__.startswith("transformers."):
        yield
        return
    if any(name.endswith("experts") for name, _ in model.named_modules()):
        model.set_experts_implementation("eager")  # its other ways know no float64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module(type(model).__module__), "torch", Float64())
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        yield


def tokens() -> torch.Tensor:
    """Two rows of twelve tokens of a vocabulary of forty."""
    return torch.randint(0, 40, (2, 12), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def exact_logits(model: PreTrainedModel | Path) -> torch.Tensor:
    """Logits of ``tokens()`` in float64, of a float64 model or of a directory."""
    loaded = load_causal(model, dtype=torch.float64) if isinstance(model, Path) else model
    with exactly(loaded):
        return loaded(tokens()).logits
