"""Finite pools of functions, and functions guaranteed to lie outside of one."""

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.draws import random_signs
from paribus.testbeds.incontext.prompts import Functions

if TYPE_CHECKING:
    from paribus.testbeds.incontext.function_class import FunctionClass

_PROBES, _CHUNK, _LEAST, _ROUNDS = 512, 256, 256, 1000


def from_pool(function_class: "FunctionClass", count: int, generator: Generator, size: int, seed: int) -> Functions:
    """``count`` functions drawn with replacement from a pool of ``size`` draws (which may hold equal functions)."""
    pool, _ = _pool(function_class, size, seed)
    chosen = torch.randint(size, (count,), generator=generator)
    return {name: tensor[chosen] for name, tensor in pool.items()}


def outside_pool(function_class: "FunctionClass", count: int, generator: Generator, size: int, seed: int) -> Functions:
    """``count`` functions of which none equals a function of the pool.

    Raises:
        ConfigError: the pool leaves (almost) nothing of the class over.
    """
    _, taken = _pool(function_class, size, seed)
    kept: list[Functions] = []
    found = 0
    for _ in range(_ROUNDS):
        drawn = function_class.draw(max(count, _LEAST), generator)
        outside = ~torch.isin(fingerprints(function_class, drawn), taken)
        kept.append({name: tensor[outside] for name, tensor in drawn.items()})
        found += int(outside.sum())
        if found >= count:
            return {name: torch.cat([part[name] for part in kept])[:count] for name in drawn}
    raise ConfigError(
        f"A pool of {size} functions of {function_class.name!r} at dimensions={function_class.dimensions} leaves only "
        f"{found} of {count} held-out functions after {_ROUNDS} rounds; take a smaller pool or more dimensions."
    )


def fingerprints(function_class: "FunctionClass", functions: Functions) -> Tensor:
    """``(B,)`` int64 that are equal for equal functions.

    A class with one set of parameters per function hashes them; any other hashes the labels of 512 fixed points, so a
    few different functions may share a fingerprint: they are left out beside the pool, never let in.
    """
    if function_class.identified:
        parts = [tensor.flatten(1) for _, tensor in sorted(functions.items())]
        return _hashed(torch.cat(parts, dim=1))
    points = random_signs((_PROBES, function_class.dimensions), torch.Generator().manual_seed(0))
    count = len(next(iter(functions.values())))
    chunks = [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]
    labels = [function_class.evaluate({k: v[part] for k, v in functions.items()}, points) for part in chunks]
    return _hashed(torch.cat(labels))


def _hashed(rows: Tensor) -> Tensor:
    """A random linear hash of integer rows modulo 2^64."""
    generator = torch.Generator().manual_seed(1)
    factors = torch.empty(rows.shape[1], dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return (rows.long() * factors).sum(1)


@lru_cache(maxsize=8)
def _pool(function_class: "FunctionClass", size: int, seed: int) -> tuple[Functions, Tensor]:
    functions = function_class.draw(size, torch.Generator().manual_seed(seed))
    return functions, fingerprints(function_class, functions)
