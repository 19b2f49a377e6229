"""What a cost-against-quality chart compares: the points nothing beats, and where their labels fit."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

# Left, right, bottom, top.
Box = tuple[float, float, float, float]
Size = tuple[float, float]
Side = Literal["east", "west", "mid"]

# Sizes are in rem: the drawing area's (width, height) on screens from 360 pixels up to 44 rem, and on wider ones.
NARROW = ((15.0, 15.0), (16.4, 15.0), (18.0, 15.0), (22.0, 15.0), (27.0, 15.0), (33.0, 15.0))
WIDE = ((37.0, 15.0), (38.5, 16.5), (40.0, 18.0), (42.0, 20.0))
DOT, LINE, LETTER = 0.36, 0.85, 0.44
LONGEST_NAME = 28
MOST_PLACED = 60
REACHES = (0.5, 1.0, 1.6, 2.3, 3.1, 4.2)
ANGLES = (0, 180, 45, 135, -45, -135, 90, -90, 20, 160, -20, -160, 70, 110, -70, -110)


@dataclass(frozen=True)
class Spot:
    """A label's text and place: ``dx`` and ``dy`` (up) in rem from its point to the label's near edge or, in the
    ``mid``, its centre. ``far`` asks for a leading line.
    """

    text: str
    side: Side
    dx: float
    dy: float
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


def staircase(places: Iterable[tuple[float, float]]) -> list[Box]:
    """The lines of the best quality to be had for a cost, through front points in percent, cheapest first.

    Each point's line runs to the next point's cost and then to its quality, the last one's to the right edge.
    """
    steps = list(dict.fromkeys(places))
    lines: list[Box] = []
    for (x, y), (next_x, next_y) in pairwise(steps):
        lines += [(x, next_x, y, y), (next_x, next_x, min(y, next_y), max(y, next_y))]
    return lines + [(x, 100.0, y, y) for x, y in steps[-1:]]


def place_labels(
    points: Sequence[tuple[float, float]], names: Sequence[str], lines: Sequence[Box], sizes: Sequence[Size]
) -> list[Spot]:
    """A spot for the label of each point (positions in percent): its name or, where that is empty or long, its number.

    Points are numbered from 1. A spot is free if the label and its leading line meet no dot, no other label and none
    of the ``lines`` (in percent) on any of the ``sizes``. Named points choose first; a name that finds no free spot
    gives way to the number, and a number takes the least crowded spot where none is free. More points than MOST_PLACED
    are not searched for: every number then stands beside its dot.
    """
    if len(points) > MOST_PLACED:
        return [_spot(str(number), REACHES[0], ANGLES[0]) for number in range(1, len(points) + 1)]
    taken = [[*(_dot_box(point, size) for point in points), *(_scaled(line, size) for line in lines)] for size in sizes]
    spots: dict[int, Spot] = {}
    for index in sorted(range(len(points)), key=lambda index: not names[index]):
        texts = [names[index]] if 0 < columns_of(names[index]) <= LONGEST_NAME else []
        tries = [_spot(text, r, a) for text in (*texts, str(index + 1)) for r in REACHES for a in ANGLES]
        spots[index], boxes = _best(tries, points[index], sizes, taken)
        for obstacles, more in zip(taken, boxes, strict=True):
            obstacles.extend(more)
    return [spots[index] for index in range(len(points))]


def _best(
    tries: Sequence[Spot], point: tuple[float, float], sizes: Sequence[Size], taken: Sequence[Sequence[Box]]
) -> tuple[Spot, list[list[Box]]]:
    """The first free spot, or the least crowded one, with what it takes on each size."""
    best, least, boxes = tries[0], math.inf, []
    for spot in tries:
        bearable = least if spot.text == tries[-1].text else 1  # a name, tried before the number, must be quite free
        crowding, here = 0, []
        for size, obstacles in zip(sizes, taken, strict=True):
            here.append([_label_box(point, spot, size), *_lead_boxes(point, spot, size)])
            crowding += _crowding(here[-1], obstacles, size)
            if crowding >= bearable:
                break
        else:
            best, least, boxes = spot, crowding, here
        if not least:
            break
    return best, boxes


def _spot(text: str, reach: float, angle: int) -> Spot:
    across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    side: Side = "east" if across > 0.1 else "west" if across < -0.1 else "mid"
    dy = reach * up + (math.copysign(LINE / 2, up) if side == "mid" else 0.0)
    return Spot(text, side, round(reach * across, 2), round(dy, 2), reach > REACHES[0])


def _crowding(boxes: Sequence[Box], taken: Sequence[Box], size: Size) -> int:
    """How bad a place is: a leading line over something 1, the label over something 100, the label outside 10,000."""
    label, *lead = boxes
    outside = label[0] < -0.4 or label[1] > size[0] + 0.9 or label[2] < 0.0 or label[3] > size[1] + 0.6
    met = _count(label, taken)
    return 10_000 * outside + 100 * met + sum(_count(box, taken) for box in lead)


def _count(box: Box, taken: Sequence[Box]) -> int:
    """How many of ``taken`` overlap ``box``."""
    left, right, bottom, top = box
    return sum(left < r and l < right and bottom < t and b < top for l, r, b, t in taken)


def _label_box(point: tuple[float, float], spot: Spot, size: Size) -> Box:
    x, y = point[0] * size[0] / 100 + spot.dx, point[1] * size[1] / 100 + spot.dy
    width = LETTER * columns_of(spot.text)
    left = {"east": x, "west": x - width, "mid": x - width / 2}[spot.side]
    return left, left + width, y - LINE / 2, y + LINE / 2


def _lead_boxes(point: tuple[float, float], spot: Spot, size: Size) -> list[Box]:
    """The leading line as a few small boxes, outside its own dot."""
    if not spot.far:
        return []
    x, y = point[0] * size[0] / 100, point[1] * size[1] / 100
    reach = math.hypot(spot.dx, spot.dy)
    parts = [step / reach for step in (0.5, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8) if step < reach]
    along = [(x + part * spot.dx, y + part * spot.dy) for part in parts]
    return [(x - 0.06, x + 0.06, y - 0.06, y + 0.06) for x, y in along]


def _scaled(line: Box, size: Size) -> Box:
    """A line in percent as a thin box in rem."""
    across, up = size[0] / 100, size[1] / 100
    return line[0] * across - 0.03, line[1] * across + 0.03, line[2] * up - 0.03, line[3] * up + 0.03


def columns_of(text: str) -> int:
    """How many letters wide a text is; a wide letter (Chinese, say) counts as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _dot_box(point: tuple[float, float], size: Size) -> Box:
    x, y = point[0] * size[0] / 100, point[1] * size[1] / 100
    return x - DOT, x + DOT, y - DOT, y + DOT
