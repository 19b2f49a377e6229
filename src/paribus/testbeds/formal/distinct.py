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
    rows, places = _repeats(picked_BK)
    while len(rows):
        picked_BK[rows, places] = torch.randint(choices, (len(rows),), generator=generator)
        suspects = rows.unique()
        again, places = _repeats(picked_BK[suspects])
        rows = suspects[again]
    return picked_BK


def _repeats(picked_BK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and place of every entry that equals an earlier one of its row.

    Entry and place are packed in one number, so one plain sort (numpy's, which is vectorised) puts equals side by side
    in the order of their places.
    """
    import numpy as np
    import torch

    picks = picked_BK.shape[1]
    packed_BK = np.sort((picked_BK * picks + torch.arange(picks)).numpy(), axis=1)
    entry_BK, place_BK = np.divmod(packed_BK, picks)
    rows, columns = (entry_BK[:, 1:] == entry_BK[:, :-1]).nonzero()
    return torch.from_numpy(rows), torch.from_numpy(place_BK[rows, columns + 1])
