"""The settings of a merge, checked against the method they are for, and the method built from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from paribus.errors import ConfigError
from paribus.weights.gradients import LayerDepth, at_depth
from paribus.weights.methods.base import Method, PerTensor
from paribus.weights.methods.dare_ties import DareTies
from paribus.weights.methods.linear import Linear
from paribus.weights.methods.slerp import Slerp
from paribus.weights.methods.ties import Ties

_TASK_VECTORS = ("normalise", "density", "scale", "trim", "weights", "layer_gradient")
_USED = {
    "linear": ("weights", "normalise", "layer_gradient"),
    "slerp": ("t", "angle", "layer_gradient"),
    "ties": _TASK_VECTORS,
    "dare_ties": (*_TASK_VECTORS, "rescale", "seed"),
}


@dataclass(frozen=True)
class MergeSettings:
    """As the arguments of ``merging.merge``; ``models`` is their number, ``base`` whether there is one.

    Raises ``ConfigError`` for an unknown method or a setting that does not fit it.
    """

    method: str
    models: int
    base: bool = False
    weights: Sequence[float] | None = None
    normalise: bool | None = None
    t: float | None = None
    angle: Literal["tensor", "model"] = "tensor"
    density: float | Sequence[float] | None = None
    scale: float = 1.0
    trim: Literal["tensor", "model"] = "tensor"
    rescale: Literal["inverse", "l1"] = "inverse"
    seed: int = 0
    layer_gradient: Sequence[float] | Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        if self.method not in _USED:
            raise ConfigError(f"The merge method is {self.method!r}; use one of {', '.join(_USED)}.")
        self._check_foreign()
        self._check_models()
        _check_choice("angle", self.angle, ("tensor", "model"))
        _check_choice("trim", self.trim, ("tensor", "model"))
        _check_choice("rescale", self.rescale, ("inverse", "l1"))
        if self.t is not None:
            _check_t(self.t)

    def used(self) -> dict[str, Any]:
        """The settings that this method reads, with defaults filled in."""
        kept = {key: value for key, value in asdict(self).items() if key in _USED[self.method]}
        if self.method != "slerp" and self.layer_gradient is None:
            kept["weights"] = self.model_weights()
        if "density" in kept:
            kept["density"] = self.densities()
        return kept

    def model_weights(self) -> list[float]:
        """N weights, normalised as asked (linear) or raw (task-vector methods)."""
        given = self.weights
        if given is None:
            given = [1.0 / self.models if self.method == "linear" else 1.0] * self.models
        return self._checked_weights(given, "weights")

    def densities(self) -> list[float]:
        """N densities in (0, 1]."""
        given = self.density if self.density is not None else 1.0
        values = [float(given)] * self.models if isinstance(given, int | float) else [float(d) for d in given]
        if len(values) != self.models or not all(0.0 < value <= 1.0 for value in values):
            raise ConfigError(f"density is {self.density!r}; give a share in (0, 1], or {self.models} of them.")
        return values

    def _checked_weights(self, given: Sequence[float], what: str) -> list[float]:
        values = [float(weight) for weight in given]
        if len(values) != self.models or not all(map(math.isfinite, values)):
            raise ConfigError(f"{what} is {values}; give {self.models} finite numbers, one per model.")
        if self.method != "linear" or self.normalise is False:
            return values
        total = math.fsum(values)
        if self.normalise and abs(total) > 1e-12:
            return [value / total for value in values]
        if abs(total - 1.0) > 1e-6:
            raise ConfigError(
                f"{what} is {values} with sum {total:g}; weights of a linear merge sum to 1. Pass normalise=True to "
                "divide by the sum, or normalise=False to use them as they are."
            )
        return values

    def _check_foreign(self) -> None:
        for name, field in self.__dataclass_fields__.items():
            own = name in (*_USED[self.method], "method", "models", "base", "seed")
            if not own and getattr(self, name) != field.default:
                raise ConfigError(
                    f"{self.method} does not use {name} (got {getattr(self, name)!r}); it reads "
                    f"{', '.join(_USED[self.method])}."
                )

    def _check_models(self) -> None:
        task_vectors = self.method in ("ties", "dare_ties")
        if task_vectors and not self.base:
            raise ConfigError(f"{self.method} merges task vectors; pass base=, the checkpoint all models started from.")
        if not task_vectors and self.base:
            raise ConfigError(f"{self.method} has no base; leave it out (to merge it too, list it among the models).")
        if self.models < 1 or (self.method == "slerp" and self.models != 2):
            wanted = "exactly two models" if self.method == "slerp" else "at least one model"
            raise ConfigError(f"{self.method} merges {wanted}, got {self.models}.")
        if self.method == "slerp" and (self.t is None) == (self.layer_gradient is None):
            raise ConfigError("slerp wants either t or layer_gradient (values of t over the depth), one of them.")
        if self.weights is not None and self.layer_gradient is not None:
            raise ConfigError("weights and layer_gradient were both given; weights over the depth replace weights.")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; use {' or '.join(map(repr, choices))}.")


def _check_t(value: object) -> float:
    if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ConfigError(f"slerp's t is {value!r}; give a number from 0 (first model) to 1 (second model).")
    return float(value)


def build_method(settings: MergeSettings, names: Sequence[str]) -> Method:
    """The method, with parameters that follow the depth where a layer gradient asks for it."""
    if settings.method == "slerp":
        return Slerp(_interpolation(settings, names), settings.angle)
    weights = _weights(settings, names)
    if settings.method == "linear":
        return Linear(weights)
    shared: dict[str, Any] = {
        "weights": weights,
        "scale": settings.scale,
        "normalise": settings.normalise is not False,
        "scope": settings.trim,
    }
    if settings.method == "ties":
        return Ties(settings.densities(), **shared)
    return DareTies(settings.densities(), seed=settings.seed, rescale=settings.rescale, **shared)


def _interpolation(settings: MergeSettings, names: Sequence[str]) -> PerTensor:
    if settings.layer_gradient is None:
        return lambda name: settings.t
    anchors = [[_check_t(value)] for value in settings.layer_gradient]
    along = _along_depth(anchors, names)
    return lambda name: float(along(name)[0])


def _weights(settings: MergeSettings, names: Sequence[str]) -> PerTensor:
    if settings.layer_gradient is None:
        constant = settings.model_weights()
        return lambda name: constant
    rows = [row for row in settings.layer_gradient if not isinstance(row, int | float)]
    if len(rows) != len(settings.layer_gradient):
        raise ConfigError(
            f"layer_gradient is {settings.layer_gradient!r}; {settings.method} wants anchors, each of "
            f"{settings.models} weights."
        )
    anchors = [settings._checked_weights(row, "an anchor of layer_gradient") for row in rows]
    return _along_depth(anchors, names)


def _along_depth(anchors: Sequence[Sequence[float]], names: Sequence[str]) -> Callable[[str], np.ndarray]:
    if not anchors:
        raise ConfigError("layer_gradient is empty; give at least one anchor.")
    depth = LayerDepth(names)
    return lambda name: at_depth(anchors, depth(name))
