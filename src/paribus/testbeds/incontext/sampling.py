"""Prompts as an endless source of training batches."""

import hashlib
import json
from typing import Any

import torch
from torch import Generator, Tensor

from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.prompts import encode


class PromptSampler:
    """What ``data.sampled.SampledStream`` draws from: encoded prompts of a class, fresh at every call.

    Args:
        function_class: what labels the points.
        options: as ``FunctionClass.sample`` takes them (``teaching``, ``pool``, ``label_noise``, ...).

    Raises:
        ConfigError: options that the class cannot be sampled with (tried once, so that training does not start).
    """

    def __init__(self, function_class: FunctionClass, **options: Any) -> None:
        self.function_class, self.options = function_class, options
        function_class.sample(1, torch.Generator().manual_seed(0), **options)

    def __call__(self, count: int, generator: Generator) -> dict[str, Tensor]:
        """A batch for a model that reads vectors (see ``prompts.encode``)."""
        return encode(self.function_class.sample(count, generator, **self.options))

    @property
    def data_hash(self) -> str:
        """Names the class with all its settings and the options; two samplers that share it draw the same prompts."""
        named = json.dumps(
            {"class": self.function_class.model_dump(mode="json"), "options": self.options}, sort_keys=True
        )
        return hashlib.sha256(f"icl-prompts/1:{named}".encode()).hexdigest()
