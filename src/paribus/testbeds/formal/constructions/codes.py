"""Position codes: vectors by which one token finds another through a single softmax.

A code gives position i a query vector q_i and a key vector k_i so that <q_i, k_i> exceeds every <q_i, k_j> by a margin.
Tokens that carry no code score 0, so the margin counts 0 among the others: without that, codes of one or two positions
(whose others score below 0) get a temperature that leaks 15% of the attention to the tokens without a code.

    code       width             margin              magnitudes   what it is
    sign       8 ceil(log2 N)    about 0.44 to 0.54  1            random signs; the Johnson-Lindenstrauss argument
    binary     ceil(log2 N)      2 / ceil(log2 N)    1            ours: the +-1 digits of i
    quadratic  2                 1                   N^2          key (2j, -j^2), query (i, 1)

(Bhattamishra et al. 2024, arXiv 2406.09347, use the first.) By a union bound over pairs a sign code of coherence
gamma exists when width > 4 ln N / gamma^2.

Shapes: N positions, K code width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from paribus.errors import ConfigError

_ROWS = 512  # rows of the N x N score matrix at once: 512 x 8192 doubles are 32 MB


@dataclass(frozen=True, eq=False)
class PositionCode:
    """Queries and keys, (N, K) each in float64; row i is position i. Codes of unit vectors have queries = keys."""

    name: str
    queries_NK: Tensor
    keys_NK: Tensor

    @property
    def positions(self) -> int:
        return self.keys_NK.shape[0]

    @property
    def width(self) -> int:
        return self.keys_NK.shape[1]

    @property
    def coherence(self) -> float:
        """The largest score of a query with another position's key; minus infinity for a single position."""
        return self._measured[0]

    @property
    def margin(self) -> float:
        """By how much a position's own key beats every other key and the 0 of tokens without a code, at worst."""
        return self._measured[1]

    def temperature(self, leak: float, others: int | None = None) -> float:
        """The factor on the scores at which at most ``leak`` of a query's attention goes to the ``others``.

        Each of the others weighs at most exp(-temperature * margin) against the target, hence
        temperature = (ln others + ln 1/leak) / margin. ``others`` defaults to N: the other positions and one more.
        """
        if not 0 < leak < 1:
            raise ConfigError(f"leak {leak} is not between 0 and 1; choose the share of attention that may go astray.")
        others = self.positions if others is None else others
        return (math.log(max(others, 1)) - math.log(leak)) / self.margin

    @cached_property
    def _measured(self) -> tuple[float, float]:
        """Coherence and margin, from one pass over the N x N scores in blocks of rows."""
        coherence, margin = -math.inf, math.inf
        for first in range(0, self.positions, _ROWS):
            scores = self.queries_NK[first : first + _ROWS] @ self.keys_NK.T
            own = scores.diagonal(first).clone()
            scores.diagonal(first).fill_(-math.inf)
            others = scores.amax(dim=1)
            coherence = max(coherence, others.max().item())
            margin = min(margin, (own - others.clamp(min=0)).min().item())
        return coherence, margin


def sign_code(
    count: int, *, width: int | None = None, coherence: float | None = None, seed: int = 0, attempts: int = 64
) -> PositionCode:
    """``count`` random sign vectors scaled to length 1: the paper's code.

    ``width`` defaults to 8 ceil(log2 count), which gave coherence 0.46 to 0.56 at 64 to 8192 positions. Draws are
    repeated (seed, seed + 1, ...) until the coherence is at most ``coherence`` (default: below 1, so that positions
    differ); ``ConfigError`` after ``attempts`` draws.
    """
    width = 8 * digits(count) if width is None else width
    for attempt in range(attempts):
        generator = torch.Generator().manual_seed(seed + attempt)
        signs = torch.randint(2, (count, width), generator=generator).double() * 2 - 1
        code = _unit_code("sign", signs)
        if code.coherence <= coherence if coherence is not None else code.coherence < 1 - 1 / width:
            return code
    raise ConfigError(
        f"No sign code of {count} positions and width {width} reached coherence {coherence} in {attempts} draws; "
        f"widen it (4 ln N / coherence^2 suffices in theory) or allow more coherence."
    )


def binary_code(count: int) -> PositionCode:
    """The +-1 digits of the position, scaled to length 1: any two differ in a digit, so the margin is 2 / width."""
    return _unit_code("binary", 2 * digit_table(count) - 1)


def quadratic_code(count: int) -> PositionCode:
    """Key (2j, -j^2) and query (i, 1), positions from 1: the score i^2 - (i - j)^2 peaks at j = i with margin 1.

    Two numbers a position whatever N; the price is magnitudes of N^2, which float32 no longer separates at N = 4096 nor
    bfloat16 at N = 64 (see ``precision``).
    """
    place = torch.arange(1, _checked(count) + 1).double()
    return PositionCode(
        "quadratic", torch.stack((place, torch.ones_like(place)), dim=1), torch.stack((2 * place, -(place**2)), dim=1)
    )


def digits(count: int) -> int:
    """ceil(log2 count), at least 1: the binary digits that tell ``count`` things apart."""
    return max(1, (_checked(count) - 1).bit_length())


def digit_table(count: int) -> Tensor:
    """The binary digits of 0..count-1, least significant first, (N, ``digits(count)``) float64 of 0 and 1."""
    return (torch.arange(count)[:, None] >> torch.arange(digits(count)) & 1).double()


def make_code(name: str, count: int, *, unit: bool = False) -> PositionCode:
    """The code of that name for ``count`` positions.

    ``unit`` allows only codes of unit vectors, whose queries are their keys. ``ConfigError`` for any other name.
    """
    known = UNIT_CODES if unit else CODES
    if name not in known:
        raise ConfigError(f"Position code {name!r} is unknown or does not fit here; choose one of {', '.join(known)}.")
    return known[name](count)


def _unit_code(name: str, signs_NK: Tensor) -> PositionCode:
    vectors_NK = signs_NK / math.sqrt(signs_NK.shape[1])
    return PositionCode(name, vectors_NK, vectors_NK)


def _checked(count: int) -> int:
    if count < 1:
        raise ConfigError(f"A code of {count} positions was asked for; it needs at least 1.")
    return count


UNIT_CODES: dict[str, Callable[[int], PositionCode]] = {"sign": sign_code, "binary": binary_code}
CODES: dict[str, Callable[[int], PositionCode]] = UNIT_CODES | {"quadratic": quadratic_code}
