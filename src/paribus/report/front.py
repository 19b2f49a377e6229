"""What a cost-against-quality chart compares: the points nothing beats, and where their labels fit."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Box = tuple[float, float, float, float]

# Sizes are in rem. The drawing area's (width, height) on screens from 360 pixels up; names appear from 44 rem on.
NARROW = ((15.8, 13.0), (18.0, 13.0), (25.0, 13.0), (33.0, 14.0))
WIDE = ((37.0, 14.9), (40.0, 17.5), (42.0, 20.0))
DOT, LINE, NUMBER, LETTER = 0.36, 0.8, 0.46, 0.42
LONGEST_NAME = 28


@dataclass(frozen=True)
class Spot:
    """A label's place: ``dx`` and ``dy`` (up) in rem from its point to the label's near edge or, in the ``mid``, its
    centre; ``named`` where there is room for the name and not for the number alone. ``far`` asks for a leading line.
    """

    side: Literal["east", "west", "mid"]
    dx: float
    dy: float
    named: bool
    far: bool

    @property
    def lead(self) -> str:
        """CSS of the leading line: from the dot to the label."""
        length, angle = math.hypot(self.dx, self.dy), math.degrees(math.atan2(-self.dy, self.dx))
        return f"width:{length:.2f}rem;transform:rotate({angle:.0f}deg)"


def pareto_front(points: Sequence[tuple[float, float]], better: Literal["more", "less"]) -> tuple[bool, ...]:
    """Whether no other (cost, quality) costs at most as much and is at least as good, one of the two strictly.

    Less cost always is better, ``better`` says which quality is. Equal points are on the front together.
    """
    sign = -1.0 if better == "less" else 1.0
    best_at: dict[float, float] = {}
    for cost, quality in points:
        best_at[cost] = max(best_at.get(cost, -math.inf), sign * quality)
    front, reached = set(), -math.inf
    for cost in sorted(best_at):
        if best_at[cost] > reached:
            reached = best_at[cost]
            front.add((cost, reached))
    return tuple((cost, sign * quality) in front for cost, quality in points)


def staircase(places: Iterable[tuple[float, float]]) -> str:
    """SVG path (100 x 100, y down) of the best quality to be had for a cost, from front points in percent (y up)."""
    steps = sorted(set(places))
    return "".join(
        f"M{x:g} {100 - y:g}" if number == 0 else f"H{x:g}V{round(100 - y, 2):g}" for number, (x, y) in enumerate(steps)
    ) + ("H100" if steps else "")


def place_labels(points: Sequence[tuple[float, float]], labels: Sequence[str], first: Sequence[bool]) -> list[Spot]:
    """A spot for the number of each point (positions in percent), and for its name where ``first`` is true.

    Points come in the order of their numbers. A spot is free if the label meets no dot and no label on any of the
    screen sizes above; names give way to numbers, and where nothing is free the least crowded spot is taken.
    """
    sizes = (*NARROW, *WIDE)
    taken = [[_dot_box(point, size) for point in points] for size in sizes]
    spots: dict[int, Spot] = {}
    for index in sorted(range(len(points)), key=lambda index: not first[index]):
        best, least, boxes = None, math.inf, []
        for spot in _tries(first[index] and len(labels[index]) <= LONGEST_NAME):
            here = [_label_box(points[index], spot, str(index + 1), labels[index], size) for size in sizes]
            crowding = sum(map(_crowding, here, taken, sizes))
            if crowding < least:
                best, least, boxes = spot, crowding, here
            if not least:
                break
        assert best is not None
        spots[index] = best
        for obstacles, box in zip(taken, boxes, strict=True):
            obstacles.append(box)
    return [spots[index] for index in range(len(points))]


def _tries(named: bool) -> list[Spot]:
    """Candidates in order of liking: nearest first, beside before above; with the name before without it."""
    made = []
    for with_name in (True, False) if named else (False,):
        for reach in (0.5, 0.95, 1.5, 2.2):
            far, slant = reach > 0.5, 0.75 * reach
            made += [Spot("east", reach, 0.0, with_name, far), Spot("west", -reach, 0.0, with_name, far)]
            made += [Spot(side, dx, dy, with_name, far) for dy in (slant, -slant) for side, dx in _diagonals(slant)]
            made += [Spot("mid", 0.0, dy, with_name, far) for dy in (reach + 0.3, -reach - 0.3)]
    return made


def _diagonals(slant: float) -> tuple[tuple[Literal["east", "west"], float], ...]:
    return ("east", slant), ("west", -slant)


def _crowding(box: Box, taken: Sequence[Box], size: tuple[float, float]) -> int:
    outside = box[0] < -0.4 or box[1] > size[0] + 0.9 or box[2] < 0.0 or box[3] > size[1] + 0.6
    return 4 * outside + sum(_meet(box, other) for other in taken)


def _label_box(point: tuple[float, float], spot: Spot, number: str, name: str, size: tuple[float, float]) -> Box:
    x, y = point[0] * size[0] / 100 + spot.dx, point[1] * size[1] / 100 + spot.dy
    width = LETTER * _columns(name) if spot.named and size in WIDE else NUMBER * len(number)
    left = {"east": x, "west": x - width, "mid": x - width / 2}[spot.side]
    return left, left + width, y - LINE / 2, y + LINE / 2


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _dot_box(point: tuple[float, float], size: tuple[float, float]) -> Box:
    x, y = point[0] * size[0] / 100, point[1] * size[1] / 100
    return x - DOT, x + DOT, y - DOT, y + DOT


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
