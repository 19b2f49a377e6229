"""All literal vectors, subsets and points of small classes, and the probability of literal vectors."""

from itertools import combinations
from math import comb, log

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.counting import MOST_LISTED


def all_points(dimensions: int) -> Tensor:
    """All points of {-1, 1}^n, ``(2^n, n)`` int8; coordinate 0 changes slowest."""
    check_listed(2**dimensions, "points", dimensions)
    return _grid((-1, 1), dimensions)


def all_literals(dimensions: int, monotone: bool) -> Tensor:
    """All of {-1, 0, 1}^n (``monotone``: {0, 1}^n), int8."""
    values = (0, 1) if monotone else (-1, 0, 1)
    check_listed(len(values) ** dimensions, "literal vectors", dimensions)
    return _grid(values, dimensions)


def all_weights(dimensions: int, largest: int) -> Tensor:
    """All of {-largest, ..., largest}^n, int8."""
    values = tuple(range(-largest, largest + 1))
    check_listed(len(values) ** dimensions, "weight vectors", dimensions)
    return _grid(values, dimensions)


def all_subsets(dimensions: int, size: int) -> Tensor:
    """All subsets of ``size`` variables, ``(C(n, size), n)`` int8 in {0, 1}."""
    check_listed(comb(dimensions, size), f"subsets of {size}", dimensions)
    chosen = torch.tensor(list(combinations(range(dimensions), size)), dtype=torch.int64).view(-1, size)
    return torch.zeros((len(chosen), dimensions), dtype=torch.int8).scatter_(1, chosen, 1)


def literal_log_prior(literals: Tensor, density: float, monotone: bool) -> Tensor:
    """Log-probability of literal vectors ``(B, n)`` as ``draws.random_literals`` gives them, ``(B,)`` float64."""
    one = density if monotone else density / 2
    allowed = literals >= 0 if monotone else torch.ones_like(literals, dtype=torch.bool)
    each = torch.where(literals == 0, _log(1 - density), _log(one))
    return torch.where(allowed, each, -torch.inf).sum(1)


def uniform_log_prior(count: int, members: int) -> Tensor:
    """The log-probability of each of ``count`` functions in a uniform class of ``members``, ``(count,)`` float64."""
    return torch.full((count,), -log(members), dtype=torch.float64)


def check_size(name: str, size: int, dimensions: int) -> None:
    """Raise ``ValueError`` (for pydantic) when ``size`` variables cannot be taken from ``dimensions``."""
    if size > dimensions:
        raise ValueError(f"{name}: size={size} is more than dimensions={dimensions}; lower size or raise dimensions")


def check_listed(rows: int, what: str, dimensions: int) -> None:
    """Raise ``ConfigError`` when a list would be longer than ``MOST_LISTED``."""
    if rows > MOST_LISTED:
        raise ConfigError(
            f"There are {rows} {what} at dimensions={dimensions}, more than the {MOST_LISTED} that are listed; "
            "lower dimensions, or sample instead."
        )


def _grid(values: tuple[int, ...], dimensions: int) -> Tensor:
    base = len(values)
    powers = base ** torch.arange(dimensions - 1, -1, -1)
    digits = torch.arange(base**dimensions).unsqueeze(1).div(powers, rounding_mode="floor") % base
    return torch.tensor(values, dtype=torch.int8)[digits]


def _log(probability: float) -> Tensor:
    return torch.tensor(log(probability) if probability > 0 else -torch.inf, dtype=torch.float64)
