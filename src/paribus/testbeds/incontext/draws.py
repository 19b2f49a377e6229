"""Random signs, coins and subsets from a CPU generator, drawn for a whole batch at once."""

import numpy as np
import torch
from torch import Generator, Tensor

_WORD = 64


def random_signs(shape: tuple[int, ...], generator: Generator, probability: float = 0.5) -> Tensor:
    """Independent signs, +1 with ``probability``, as int8 of ``shape``."""
    if probability != 0.5:
        return coins(shape, generator, probability).to(torch.int8).mul_(2).sub_(1)
    size = torch.Size(shape).numel()
    # One 64-bit draw gives 64 fair signs: several times faster than one draw a sign.
    words = torch.empty(-(-size // _WORD), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    bits = torch.from_numpy(np.unpackbits(words.view(torch.uint8).numpy(), bitorder="little")).view(torch.int8)
    return bits.mul_(2).sub_(1)[:size].view(shape)


def coins(shape: tuple[int, ...], generator: Generator, probability: float) -> Tensor:
    """Independent coins, True with ``probability``, as bool of ``shape``."""
    return torch.rand(shape, generator=generator) < probability


def random_literals(shape: tuple[int, ...], generator: Generator, density: float, monotone: bool) -> Tensor:
    """Independent literals, int8: 0 with probability 1 - ``density``, else +1, or (unless ``monotone``) -1 as often."""
    draws = torch.rand(shape, generator=generator)
    used = (draws < density).to(torch.int8)
    return used if monotone else 2 * (draws < density / 2).to(torch.int8) - used


def random_subsets(count: int, dimensions: int, size: int, generator: Generator) -> Tensor:
    """Uniform subsets of ``size`` among ``dimensions``, as ``(count, dimensions)`` int8 in {0, 1}."""
    chosen = torch.rand((count, dimensions), generator=generator).topk(size, dim=1).indices
    return torch.zeros((count, dimensions), dtype=torch.int8).scatter_(1, chosen, 1)


def overwritten(x: Tensor, literals: Tensor, chosen: Tensor) -> Tensor:
    """Points ``(B, m, n)`` in which the ``chosen`` ones (``(B, m)`` bool) take on the literals that are not 0.

    Args:
        x: in {-1, 1}, int8.
        literals: in {-1, 0, 1}, int8, ``(B, m, n)`` or ``(B, 1, n)``.
        chosen: which points change.
    """
    # x + 2w cut to [-1, 1] is w where w is not 0, else x: a fifth of the time of a masked choice.
    return (chosen.to(torch.int8).unsqueeze(2) * (2 * literals)).add_(x).clamp_(-1, 1)


def inner(x: Tensor, weights: Tensor) -> Tensor:
    """Inner products of points and weight vectors, float32 (exact for the small whole numbers used here).

    Args:
        x: ``(B, m, n)``, or ``(m, n)`` for points that all functions share.
        weights: ``(B, n)``, or ``(B, t, n)`` for functions made of t parts.

    Returns:
        ``(B, m)``, or ``(B, t, m)``.
    """
    if weights.dim() == 2:
        return inner(x, weights.unsqueeze(1)).squeeze(1)
    return torch.matmul(weights.float(), x.float().transpose(-1, -2))


def signs(positive: Tensor) -> Tensor:
    """True as +1 and False as -1, int8."""
    return positive.to(torch.int8).mul_(2).sub_(1)
