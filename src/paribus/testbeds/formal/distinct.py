"""Random choices without repetition for every row of a batch at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_SORT_ALL_BELOW = 8  # choices per pick under which shuffling all of them beats redrawing repetitions


def distinct(count: int, picks: int, choices: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (count, picks) int64 in 0..choices-1, all distinct within a row, every such row equally likely.

    Where there are many choices, repetitions are redrawn until none is left. Which row comes out depends on
    comparisons for equality only, so renaming the choices renames the result: no row can be likelier than another.
    """
    import torch

    assert picks <= choices, f"{picks} distinct picks from {choices}"
    if choices < _SORT_ALL_BELOW * picks:
        return torch.rand(count, choices, generator=generator).argsort(dim=1)[:, :picks]
    picked_BK = torch.randint(choices, (count, picks), generator=generator)
    unsettled = torch.arange(count)
    while len(unsettled):
        repeated_BK = _repeats(picked_BK[unsettled])
        unsettled = unsettled[repeated_BK.any(dim=1)]
        repeated_BK = repeated_BK[repeated_BK.any(dim=1)]
        rows_BK = picked_BK[unsettled]
        rows_BK[repeated_BK] = torch.randint(choices, (int(repeated_BK.sum()),), generator=generator)
        picked_BK[unsettled] = rows_BK
    return picked_BK


def _repeats(picked_BK: torch.Tensor) -> torch.Tensor:
    """Mark each entry that equals an earlier one of its row."""
    import torch

    sorted_BK, order_BK = picked_BK.sort(dim=1, stable=True)
    same_BK = torch.zeros_like(picked_BK, dtype=torch.bool)
    same_BK[:, 1:] = sorted_BK[:, 1:] == sorted_BK[:, :-1]
    return torch.zeros_like(same_BK).scatter_(1, order_BK, same_BK)
