"""The number format that a checkpoint is stored in, so that training in float32 need not double what is saved."""

from pathlib import Path

import torch

from paribus.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def dtype_named(name: str) -> torch.dtype:
    """The torch type of a name; ``ConfigError`` for another word."""
    if name not in DTYPES:
        raise ConfigError(f"The number format is {name!r}; use one of {', '.join(DTYPES)}.")
    return DTYPES[name]


def stored_dtype(path_or_id: str | Path) -> torch.dtype:
    """What the configuration of a model says its weights are stored in; float32 where it says nothing."""
    from transformers import AutoConfig

    found = AutoConfig.from_pretrained(path_or_id, trust_remote_code=False).dtype
    return dtype_named(str(found).removeprefix("torch.")) if found is not None else torch.float32
