"""Certificates: a bound on the error of every input at once, from the attention scores alone.

In a construction the scores of the addressing layer depend on positions and on the index token, never on the content.
So the attention mass that misses its target, max_i (1 - softmax_i[target_i]), is one number, and by convexity it bounds
the error of what is fetched for EVERY input: |fetched - right| <= mass * (largest - smallest value). One N x N pass
replaces the check of |alphabet|^N inputs, and in any dtype: numbers are rounded where the model would round them.

Shapes: N queries, S keys, K head width.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions.codes import PositionCode

_ROWS = 512


@dataclass(frozen=True)
class Certificate:
    """The worst off-target attention mass against the mass the construction tolerates."""

    positions: int
    dtype: str
    mass: float
    tolerated: float

    @property
    def holds(self) -> bool:
        """Whether every input is answered right, whatever its content."""
        return self.mass <= self.tolerated

    def row(self) -> dict[str, object]:
        """As a table row."""
        return {**asdict(self), "holds": self.holds}


def off_target_mass(
    queries_NK: Tensor,
    keys_SK: Tensor,
    targets_N: Tensor | None = None,
    *,
    visible_NS: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """(N,) attention mass that does not reach the target, in float64.

    The temperature is inside the queries. Query i has its target at key ``targets_N[i]`` (default i) and sees the keys
    where ``visible_NS`` is true (default all). Queries, keys and scores are rounded to ``dtype``; the softmax runs in
    at least float32, as the model's attention does. Scores that overflow (float16 above 65504) count as all mass lost.
    """
    count = queries_NK.shape[0]
    targets_N = torch.arange(count) if targets_N is None else targets_N
    if targets_N.shape != (count,):
        raise ConfigError(f"{count} queries need {count} targets, got {tuple(targets_N.shape)}; pass one a query.")
    keys_KS = keys_SK.to(dtype).T
    blocks = []
    for first in range(0, count, _ROWS):
        rows = slice(first, first + _ROWS)
        scores = queries_NK[rows].to(dtype) @ keys_KS
        if visible_NS is not None:
            scores = scores.masked_fill(~visible_NS[rows], -torch.inf)
        weights = scores.softmax(dim=-1, dtype=torch.promote_types(dtype, torch.float32))
        # Summing what is off target instead of 1 - target keeps masses far below the rounding of 1.
        blocks.append(weights.scatter_(1, targets_N[rows, None], 0.0).sum(dim=1, dtype=torch.float64))
    return torch.cat(blocks).nan_to_num(nan=1.0).clamp(max=1.0)


def certify_code(
    code: PositionCode, *, leak: float = 0.01, tolerated: float = 0.1, dtype: torch.dtype = torch.float64
) -> Certificate:
    """The certificate of a code on its own: every query against every key and one token without a code.

    ``leak`` sets the temperature, ``tolerated`` is what still counts as found (the paper's lookup works below 1/2).
    """
    keys_SK = torch.cat((code.keys_NK, torch.zeros(1, code.width, dtype=code.keys_NK.dtype)))
    mass = off_target_mass(code.queries_NK * code.temperature(leak), keys_SK, dtype=dtype).max().item()
    return Certificate(code.positions, str(dtype).removeprefix("torch."), mass, tolerated)
