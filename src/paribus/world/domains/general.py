"""General text: short passages of questions with answers, lists and dates. Much of it has to be remembered."""

from __future__ import annotations

from functools import cache
from itertools import permutations

from paribus.world import cldr, spellout
from paribus.world.domains.scene import Draft, Scene, wrong_numbers
from paribus.world.domains.words import category, day, in_full, names
from paribus.world.families import FAMILIES
from paribus.world.phrases import phrases
from paribus.world.world import Item, World

_REMEMBERED = ("ca", "cu", "ds")
_WORKED_OUT = ("ad", "nd", "nw", "so", "wn")
TASKS: tuple[str, ...] = (*_REMEMBERED, *_WORKED_OUT)
_LISTED = ("country", "currency", "language", "month", "weekday")


def write(scene: Scene) -> Draft:
    """A passage of one to four pieces that ends in a question of the world and its answer.

    Facts that can only be remembered (currencies, categories, country cards) are the same in all parts: a test asks
    them in other company, since nobody could know those that no training text tells. Facts that follow a rule (number
    words, sums, sorting, weekdays) are held out.
    """
    dice = scene.dice
    pieces = [_piece(scene) for _ in range(dice.between(1, 4))]
    item = _item(scene)
    before = "\n".join([*pieces, f"{item.prompt} "])
    return Draft(before, item.answer, _wrong(scene, item), fact=f"{item.task}/{item.fact}")


def _item(scene: Scene, task: str = "") -> Item:
    task = task or scene.dice.choice(TASKS)
    part = "train" if task in _REMEMBERED else scene.part
    return scene.dice.choice(_items(scene.world, part, task))


@cache
def _items(world: World, part: str, task: str) -> list[Item]:
    return world.items(part, tasks=(task,))


def _piece(scene: Scene) -> str:
    dice, language = scene.dice, scene.language
    if dice.chance(15):
        return in_full(day(dice), language, weekday=True)
    if dice.chance(20):
        kind = dice.choice(_LISTED)
        listed = dice.sample(names(kind, language), dice.between(2, 4))
        return f"{category(kind, language)}: {cldr.join(tuple(listed), cldr.list_pattern(language))}"
    item = _item(scene)
    return f"{item.prompt} {item.answer}"


def _wrong(scene: Scene, item: Item) -> tuple[str, ...]:
    """Three wrong answers of the question's own kind; one number is a near miss; sorted lists have other orders."""
    dice, language = scene.dice, scene.language
    if item.task in ("ad", "nw", "wn"):
        slips = wrong_numbers(dice, sum(map(int, item.fact.split("+"))), high=spellout.LIMIT - 1)
        return tuple(str(slip) if item.task == "wn" else spellout.words(slip, language) for slip in slips)
    others = dict.fromkeys(_answers(scene, item))
    others.pop(item.answer, None)
    return tuple(dice.sample(list(others), 3))


def _answers(scene: Scene, item: Item) -> list[str]:
    language = scene.language
    if item.task == "so":
        pattern = cldr.list_pattern(language)
        return [cldr.join(order, pattern) for order in permutations(item.fact.split("."))]
    if item.task == "ca":
        return list(phrases(language).categories.values())
    if item.task == "ds":
        return [FAMILIES["ds"].answer(fact, language) for fact in scene.dice.sample(scene.world.facts("ds"), 4)]
    return list(names("weekday" if item.task == "nd" else "currency", language))
