"""Bracket strings of a whole batch at once: members, what may follow them, near misses, depths, membership.

Tokens: opener of type j is ``j``, its closer ``k + j``. Walks are drawn side by side, one token of each at a time, with
a stack each. Where a shape is given, pairs are found without stacks: call a bracket's level the depth inside it.
Between an opener and its closer every other bracket has a greater level, so among the brackets of one level each opener
is followed by its own closer, and a stable sort by level brings every pair together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def members(count: int, length: int, pairs: int, depth: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (B, T) int64 strings of Dyck-(``pairs``, ``depth``); ``length`` even. See ``BoundedDyck`` for the walk."""
    opens_BT, _, _ = _walk(count, length, depth, generator)
    return _typed(opens_BT, pairs, generator)


def members_with_next(
    count: int, length: int, pairs: int, depth: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, and what may follow each prefix: (B, T, 2k + 1) float32 0 or 1, over openers, closers and the end."""
    import torch

    opens_BT, innermost_BT, full_BT = _walk(count, length, depth, generator)
    input_ids_BT = _typed(opens_BT, pairs, generator)
    # Row 0 of the answers in front, for prefixes of which no bracket is open.
    row_BT = torch.nn.functional.pad(input_ids_BT + 1, (1, 0)).gather(1, innermost_BT)
    return input_ids_BT, torch.nn.functional.embedding(row_BT.add_(full_BT, alpha=pairs), _following(pairs))


def heights(input_ids_BT: torch.Tensor, pairs: int) -> torch.Tensor:
    """Depth (B, T) int64 after each token; negative where more has been closed than opened."""
    return (1 - 2 * (input_ids_BT >= pairs).long()).cumsum(dim=1)


def is_member(input_ids_BT: torch.Tensor, pairs: int, depth: int) -> torch.Tensor:
    """Which strings (B,) bool are in Dyck-(``pairs``, ``depth``); any strings of even length over the 2k brackets."""
    heights_BT = heights(input_ids_BT, pairs)
    shaped_B = (heights_BT >= 0).all(1) & (heights_BT <= depth).all(1) & (heights_BT[:, -1] == 0)
    types_BT = (input_ids_BT % pairs).gather(1, _paired(input_ids_BT < pairs))
    return shaped_B & (types_BT[:, 0::2] == types_BT[:, 1::2]).all(1)


def _following(pairs: int) -> torch.Tensor:
    """The 2k + 1 different answers: at depth 0, then with each type innermost below the bound, then at the bound."""
    import torch

    answers_SO = torch.zeros(2 * pairs + 1, 2 * pairs + 1)
    answers_SO[: pairs + 1, :pairs] = 1.0
    answers_SO[1:, pairs:-1] = torch.eye(pairs).repeat(2, 1)
    answers_SO[0, -1] = 1.0
    return answers_SO


def near_miss(members_BT: torch.Tensor, pairs: int, depth: int, generator: torch.Generator) -> torch.Tensor:
    """One non-member (B, T) a row, each by one of three corruptions, picked evenly among those that exist.

    Flip: one bracket of the member gets another type (needs two types). Move: one bracket is taken out and put in
    elsewhere, at places drawn until the string is no member. Exceed: a fresh walk that goes to depth D + 1 exactly
    once in a row and is otherwise a member (needs ``T >= 2 * (D + 1)``).
    """
    import torch

    count, length = members_BT.shape
    ways = [_moved]
    if pairs > 1:
        ways.append(_flipped)
    if length >= 2 * (depth + 1):
        ways.append(_exceeding)
    way_B = torch.randint(len(ways), (count,), generator=generator)
    missing_BT = members_BT.clone()
    for index, corrupted in enumerate(ways):
        chosen = way_B == index
        if chosen.any():
            missing_BT[chosen] = corrupted(members_BT[chosen], pairs, depth, generator)
    return missing_BT


def blind_accuracy(length: int, pairs: int, depth: int) -> float:
    """Share of positions at which the likeliest vector of next characters, for that position alone, is right."""
    import numpy as np

    reached_D = np.zeros(depth + 1)
    reached_D[0] = 1.0
    best = 0.0
    for t in range(length):
        reached_D = _one_step(reached_D, min(depth, length - t))
        # One vector at depth 0; k equally likely ones (which bracket is innermost) strictly inside, and k at depth D.
        best += max(reached_D[0], reached_D[1:-1].sum() / pairs, reached_D[-1] / pairs)
    return float(best / length)


def _one_step(reached_D: NDArray[np.float64], bound: int) -> NDArray[np.float64]:
    after_D = 0.0 * reached_D
    for height, share in enumerate(reached_D):
        opens = 1.0 if height == 0 else 0.5 if height < bound else 0.0
        if opens and share:
            after_D[height + 1] += opens * share
        if opens < 1.0:
            after_D[height - 1] += (1.0 - opens) * share
    return after_D


def _walk(
    count: int, length: int, depth: int, generator: torch.Generator, *, climb: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Which tokens open; the innermost open bracket after each token; whether the string then stands at the bound.

    All are (B, T). The innermost bracket is given by its position, counted from 1, and is 0 where none is open.

    The stacks lie in one array: slot 0 of every string, then slot 1 of every string, and so on. ``place_B`` is where
    the top of each lies, so one bracket moves it by ``count``.

    ``climb``: from a uniform moment each walk opens until it stands at depth + 1.
    """
    import numpy as np
    import torch

    opens_TB = torch.randint(2, (length, count), generator=generator, dtype=torch.uint8).numpy().view(bool)
    start_B = torch.randint(length - 2 * depth - 1, (count,), generator=generator).numpy() if climb else None
    innermost_TB, full_TB = np.empty(opens_TB.shape, np.int32), np.empty_like(opens_TB)
    slots, place_B, done_B = np.zeros((depth + 3) * count, np.int32), np.arange(count), np.zeros(count, bool)
    for t, opens_B in enumerate(opens_TB):
        # A coin so far. The bound also brings the walk home in time: height and what remains have the same parity.
        opens_B &= place_B < min(depth, length - t) * count
        opens_B |= place_B < count
        if start_B is not None:
            opens_B |= (t >= start_B) & ~done_B
            done_B |= opens_B & (place_B >= depth * count)
        place_B += count
        slots[place_B] = t + 1  # of a string that closes this is the slot above its top, which nobody reads
        place_B -= 2 * count * ~opens_B
        slots.take(place_B, out=innermost_TB[t], mode="clip")
        np.greater_equal(place_B, depth * count, out=full_TB[t])
    whole = (torch.from_numpy(of_TB).T.contiguous() for of_TB in (opens_TB, innermost_TB, full_TB))
    opens_BT, innermost_BT, full_BT = whole
    return opens_BT, innermost_BT.long(), full_BT


def _typed(opens_BT: torch.Tensor, pairs: int, generator: torch.Generator) -> torch.Tensor:
    """Tokens of a shape, with a uniform type for every pair."""
    import torch

    count, length = opens_BT.shape
    types_BP = torch.randint(pairs, (count, length // 2), generator=generator)
    both_BT = types_BP[:, :, None].expand(-1, -1, 2).flatten(1)
    return torch.empty_like(both_BT).scatter_(1, _paired(opens_BT), both_BT).add_(~opens_BT, alpha=pairs)


def _paired(opens_BT: torch.Tensor) -> torch.Tensor:
    """Positions (B, T) in an order in which entries 2i and 2i + 1 are an opener and its closer."""
    import numpy as np
    import torch

    length = opens_BT.shape[1]
    level_BT = (2 * opens_BT.int() - 1).cumsum(dim=1, dtype=torch.int32) + ~opens_BT
    # Level and position in one number, for numpy's plain sort, which is vectorised and needs no stability that way.
    shift = length.bit_length()
    packed_BT = np.sort(((level_BT << shift) + torch.arange(length, dtype=torch.int32)).numpy(), axis=1)
    return torch.from_numpy(packed_BT & ((1 << shift) - 1)).long()


def _flipped(members_BT: torch.Tensor, pairs: int, depth: int, generator: torch.Generator) -> torch.Tensor:
    import torch

    count, length = members_BT.shape
    place_B1 = torch.randint(length, (count, 1), generator=generator)
    token_B1 = members_BT.gather(1, place_B1)
    shift_B1 = torch.randint(1, pairs, (count, 1), generator=generator)
    return members_BT.scatter(1, place_B1, (token_B1 + shift_B1) % pairs + token_B1 // pairs * pairs)


def _moved(members_BT: torch.Tensor, pairs: int, depth: int, generator: torch.Generator) -> torch.Tensor:
    import torch

    length, moved_BT = members_BT.shape[1], members_BT.clone()
    rows = torch.arange(len(members_BT))
    while len(rows):
        source_B1, target_B1 = torch.randint(length, (2, len(rows), 1), generator=generator)
        moved_BT[rows] = members_BT[rows].gather(1, _order_after_move(source_B1, target_B1, length))
        rows = rows[is_member(moved_BT[rows], pairs, depth)]
    return moved_BT


def _order_after_move(source_B1: torch.Tensor, target_B1: torch.Tensor, length: int) -> torch.Tensor:
    """Old position (B, T) of what stands at each new position, when the entry at ``source`` goes to ``target``."""
    import torch

    place_T = torch.arange(length)
    rest_BT = place_T - (place_T > target_B1).long()
    old_BT = rest_BT + (rest_BT >= source_B1).long()
    return torch.where(place_T == target_B1, source_B1, old_BT)


def _exceeding(members_BT: torch.Tensor, pairs: int, depth: int, generator: torch.Generator) -> torch.Tensor:
    count, length = members_BT.shape
    opens_BT, _, _ = _walk(count, length, depth, generator, climb=True)
    return _typed(opens_BT, pairs, generator)
