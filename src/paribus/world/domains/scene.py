"""What every domain's writer is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from paribus.world.families import draw
from paribus.world.world import World

T = TypeVar("T")


class Dice:
    """Draws that depend on the key and on their order alone, on every machine and Python."""

    def __init__(self, key: str) -> None:
        self.key, self.drawn = key, 0

    def below(self, count: int) -> int:
        """A number of 0..count-1."""
        self.drawn += 1
        return draw(f"{self.key}|{self.drawn}") % count

    def between(self, low: int, high: int) -> int:
        """A number of low..high, both included."""
        return low + self.below(high - low + 1)

    def choice(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """``count`` of the options, each at most once, in random order."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred draws."""
        return self.below(100) < percent


@dataclass(frozen=True)
class Scene:
    """The dice, the language and part ("train", "dev" or "test") to write for, and the world in this one language."""

    dice: Dice
    language: str
    part: str
    world: World

    def tellable(self, number: int) -> bool:
        """Whether a document of this part may say a number in digits and in words side by side.

        Training documents of no domain tell what the general domain holds out to ask.
        """
        return self.world.part_of("nw", str(number)) in ("train", self.part)


@dataclass(frozen=True)
class Draft:
    """A document in two pieces: what comes before its last answer, and the answer.

    ``wrong`` are three other answers of the same kind; ``fact`` names what the answer knows where that is one fact of
    the world, the same in all languages.
    """

    before: str
    answer: str
    wrong: tuple[str, ...]
    fact: str = ""

    @property
    def text(self) -> str:
        """The whole document."""
        return self.before + self.answer


def wrong_numbers(
    dice: Dice, right: int, known: Sequence[int] = (), *, low: int = 0, high: int | None = None
) -> list[int]:
    """Three wrong numbers of low..high: a near miss (one of ``known``, or a slip in a digit or a carry), and two more.

    The others are of about the size of the right one, so that an estimate alone goes some of the way.
    """
    size = abs(right) // 2 + 10
    about = range(max(low, right - size), (right + size if high is None else min(high, right + size)) + 1)
    slips = [right + step for step in (1, -1, 10, -10)]
    near = sorted({value for value in (*known, *([] if known else slips)) if value != right and value in about})
    far = [value for value in dice.sample(about, 5) if value != right]
    return list(dict.fromkeys([*dice.sample(near, min(1, len(near))), *far]))[:3]
