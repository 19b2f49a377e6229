"""A model set up for a run, and put back afterwards as it was found: only its weights may have changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging

from paribus.training.compute import ComputePath
from paribus.training.settings import TrainSettings

LEFT_BEHIND = ("forward", "_original_forward", "_is_accelerate_prepared", "_require_grads_hooks")
"""What a run leaves on a model: accelerate's bf16 wrapper and the mark by which a second run would go without one, and
transformers' list of (removed) hooks for checkpointed activations."""


@contextmanager
def prepared(model: Any, path: ComputePath, settings: TrainSettings) -> Iterator[None]:
    """Within the block the model computes as ``path`` says."""
    was_training, attention, use_cache = model.training, model.config._attn_implementation, model.config.use_cache
    body = getattr(model, "get_base_model", lambda: model)().base_model
    if path.attention == "eager":
        model.set_attn_implementation("eager")
    if path.compile:
        # In place, and without the output layer, whose input has another shape in every batch.
        body.compile()
    try:
        with _no_progress_bars():
            yield
    finally:
        if path.compile:
            body._compiled_call_impl = None
        if settings.activation_checkpointing:
            model.activation_checkpointing_disable()
            model.disable_input_require_grads()
        if path.attention == "eager":
            model.set_attn_implementation(attention)
        for name in LEFT_BEHIND:
            vars(model).pop(name, None)
        model.config.use_cache = use_cache
        model.train(was_training)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """transformers shows a bar for every file of a checkpoint."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
