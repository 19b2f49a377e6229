"""Low-rank adapters through peft."""

import warnings
from typing import Any

import torch

from paribus.errors import ModelError
from paribus.training.settings import LoraSettings


def with_lora(model: Any, lora: LoraSettings, seed: int) -> Any:
    """The model with low-rank adapters, everything else frozen; a classifier's head is new and stays trainable.

    Raises ``ModelError`` when peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ModelError("LoRA needs peft, which is not installed; run `pip install 'paribus[peft]'`.") from error
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # only divided by the rank, so it need not be whole
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or "all-linear",
        task_type="SEQ_CLS" if type(model).__name__.endswith("ForSequenceClassification") else "CAUSAL_LM",
    )
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        # peft 0.21 still asks transformers 5 by the old name; nothing a user of ours could change.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return get_peft_model(model, config)
