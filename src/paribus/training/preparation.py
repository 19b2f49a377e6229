"""A model set up for a run, and put back afterwards as it was found: only its weights may have changed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from transformers.utils import logging

from paribus.errors import ConfigError
from paribus.training.compute import ComputePath
from paribus.training.settings import TrainSettings

LEFT_BEHIND = ("forward", "_original_forward", "_is_accelerate_prepared", "_require_grads_hooks")
"""What a run leaves on a model: accelerate's bf16 wrapper and the mark by which a second run would go without one, and
transformers' list of (removed) hooks for checkpointed activations."""


@contextmanager
def prepared(model: Any, path: ComputePath, settings: TrainSettings) -> Iterator[None]:
    """Within the block the model computes as ``path`` says, and learns what ``settings.freeze`` leaves free."""
    was_training, attention = model.training, model.config._attn_implementation
    use_cache = getattr(model.config, "use_cache", None)  # models without a cache need not say so
    body = getattr(model, "get_base_model", lambda: model)().base_model
    if path.attention == "eager":
        model.set_attn_implementation("eager")
    backend = getattr(model, "experts_backend", None)
    if backend is not None and path.experts is not None:
        model.set_experts_backend(path.experts)
    if path.compile:
        # In place, and without the output layer, whose input has another shape in every batch.
        body.compile()
    try:
        with frozen(model, settings.freeze), _no_progress_bars():
            yield
    finally:
        if path.compile:
            body._compiled_call_impl = None
        if settings.activation_checkpointing:
            model.activation_checkpointing_disable()
            model.disable_input_require_grads()
        if path.attention == "eager":
            model.set_attn_implementation(attention)
        if backend is not None:
            model.set_experts_backend(backend)
        for name in LEFT_BEHIND:
            vars(model).pop(name, None)
        vars(model.config).pop("use_cache", None)
        if use_cache is not None:
            model.config.use_cache = use_cache
        model.train(was_training)


@contextmanager
def frozen(model: nn.Module, patterns: Sequence[str]) -> Iterator[None]:
    """Within the block the parameters whose names match a pattern (fnmatch, case counts) need no gradient.

    Raises ``ConfigError`` for a pattern that no parameter matches.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"freeze has the pattern {pattern!r}, which no parameter of {type(model).__name__} matches; its names "
                f"are like {next(iter(names), 'none')!r}, and * stands for any text."
            )
    matching = {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}
    learning = {name for name, p in model.named_parameters() if name in matching and p.requires_grad}
    try:
        _require_gradients(model, learning, False)
        yield
    finally:
        _require_gradients(model, learning, True)


def _require_gradients(model: nn.Module, names: set[str], required: bool) -> None:
    # By name: sharding puts other objects in the place of a model's parameters.
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.requires_grad_(required)


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
