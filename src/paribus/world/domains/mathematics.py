"""Mathematics: additions worked digit by digit, and nested brackets resolved from the inside."""

from __future__ import annotations

from paribus.world import spellout
from paribus.world.domains.scene import Draft, Scene, wrong_numbers
from paribus.world.domains.words import category

_LARGEST = spellout.LIMIT - 1  # what number words reach
_STEPS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}

Tree = int | tuple["Tree", str, "Tree"]


def write(scene: Scene) -> Draft:
    """One to three derivations; the last result is the answer, in digits or in words."""
    lines = [_line(scene) for _ in range(scene.dice.between(1, 3))]
    *earlier, (steps, result) = lines
    told = [f"{line}{value}{_in_words(scene, value)}\n" for line, value in earlier]
    values = [result, *wrong_numbers(scene.dice, result, high=_LARGEST)]
    if scene.tellable(result) and scene.dice.chance(40):
        steps, answers = f"{steps}{result} = ", [spellout.words(value, scene.language) for value in values]
    else:
        answers = [str(value) for value in values]
    return Draft("".join([*told, steps]), answers[0], tuple(answers[1:]))


def _in_words(scene: Scene, number: int) -> str:
    return f" = {spellout.words(number, scene.language)}" if scene.tellable(number) else ""


def _line(scene: Scene) -> tuple[str, int]:
    return _addition(scene) if scene.dice.chance(50) else _brackets(scene)


# ---- Additions -------------------------------------------------------------------------------------------------------


def _addition(scene: Scene) -> tuple[str, int]:
    """``number: 487 + 356; 7 + 6 = 13; 8 + 5 + 1 = 14; 4 + 3 + 1 = 8; 487 + 356 = `` and 843."""
    high = scene.dice.choice((99, 999))
    first, second = (scene.dice.between(10, high) for _ in range(2))
    if first + second > _LARGEST:
        first, second = first // 2, second // 2
    problem = f"{first} + {second}"
    return f"{category('number', scene.language)}: {problem}; {_columns(first, second)}; {problem} = ", first + second


def _columns(first: int, second: int) -> str:
    """Sums of the digits from the right, each with the carry of the one before."""
    steps, carry = [], 0
    while first or second:
        digits = [first % 10, second % 10] + [1] * carry
        steps.append(f"{' + '.join(map(str, digits))} = {sum(digits)}")
        first, second, carry = first // 10, second // 10, sum(digits) // 10
    return "; ".join(steps)


# ---- Brackets --------------------------------------------------------------------------------------------------------


def _brackets(scene: Scene) -> tuple[str, int]:
    """``((3 + 4) * 5) - 2 = (7 * 5) - 2 = 35 - 2 = `` and 33."""
    tree = _tree(scene, scene.dice.between(2, 3))
    stages = []
    while not isinstance(tree, int):
        stages.append(_shown(tree, outer=True))
        tree = _reduced(tree)
    return " = ".join([*stages, ""]), tree


def _tree(scene: Scene, depth: int) -> Tree:
    """A tree whose value is 0.._LARGEST, as all its parts' are."""
    dice = scene.dice
    if depth == 0:
        return dice.between(1, 9)
    deep, flat = _tree(scene, depth - 1), _tree(scene, dice.below(min(depth, 2)))
    left, right = (deep, flat) if dice.chance(50) else (flat, deep)
    sign = dice.choice("++-*")
    if sign == "-" and _value(left) < _value(right):
        left, right = right, left
    if sign == "*" and _value(left) * _value(right) > _LARGEST:
        sign = "+"
    return (left, sign, right)


def _value(tree: Tree) -> int:
    if isinstance(tree, int):
        return tree
    left, sign, right = tree
    return _STEPS[sign](_value(left), _value(right))


def _reduced(tree: Tree) -> Tree:
    """The tree with every innermost bracket replaced by its value."""
    if isinstance(tree, int):
        return tree
    left, sign, right = tree
    if isinstance(left, int) and isinstance(right, int):
        return _value(tree)
    return (_reduced(left), sign, _reduced(right))


def _shown(tree: Tree, *, outer: bool = False) -> str:
    if isinstance(tree, int):
        return str(tree)
    left, sign, right = tree
    inside = f"{_shown(left)} {sign} {_shown(right)}"
    return inside if outer else f"({inside})"
