"""Code: programs of a small nested language, each followed by what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from paribus.errors import DataError
from paribus.world.domains.scene import Dice, Draft, Scene, wrong_numbers
from paribus.world.domains.words import identifiers, names

_INDENT = "  "
_OUTPUT = "> "


@dataclass(frozen=True)
class Let:
    """``let name = value``"""

    name: str
    value: int | str


@dataclass(frozen=True)
class Copy:
    """``name = source``"""

    name: str
    source: str


@dataclass(frozen=True)
class Add:
    """``name = name + amount``"""

    name: str
    amount: int


@dataclass(frozen=True)
class Print:
    """``print(name)``"""

    name: str


@dataclass(frozen=True)
class Repeat:
    """``repeat times { body }``"""

    times: int
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class If:
    """``if name > limit { then } else { otherwise }``"""

    name: str
    limit: int
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True)
class Define:
    """``fn function(x) { print(x + amount) }``"""

    function: str
    amount: int


@dataclass(frozen=True)
class Call:
    """``function(name)``"""

    function: str
    name: str


Statement = Let | Copy | Add | Print | Repeat | If | Define | Call


# ---- What a program looks like, and what it does ---------------------------------------------------------------------


def render(program: Sequence[Statement], depth: int = 0) -> list[str]:
    """The program's lines."""
    return [_INDENT * depth + line for statement in program for line in _lines(statement)]


def _lines(statement: Statement) -> list[str]:
    match statement:
        case Let(name, value):
            return [f"let {name} = {value}" if isinstance(value, int) else f'let {name} = "{value}"']
        case Copy(name, source):
            return [f"{name} = {source}"]
        case Add(name, amount):
            return [f"{name} = {name} {'-' if amount < 0 else '+'} {abs(amount)}"]
        case Print(name):
            return [f"print({name})"]
        case Repeat(times, body):
            return [f"repeat {times} {{", *render(body, 1), "}"]
        case If(name, limit, then, otherwise):
            return [f"if {name} > {limit} {{", *render(then, 1), "} else {", *render(otherwise, 1), "}"]
        case Define(function, amount):
            return [f"fn {function}(x) {{", f"{_INDENT}print(x + {amount})", "}"]
        case Call(function, name):
            return [f"{function}({name})"]


@dataclass
class Machine:
    """Runs programs: the variables' values, the functions' amounts, and what was printed."""

    values: dict[str, int | str] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    printed: list[int | str] = field(default_factory=list)

    def run(self, program: Sequence[Statement]) -> None:
        """Run statements one after the other."""
        for statement in program:
            self._step(statement)

    def _step(self, statement: Statement) -> None:
        match statement:
            case Let(name, value):
                self.values[name] = value
            case Copy(name, source):
                self.values[name] = self.values[source]
            case Add(name, amount):
                self.values[name] = self.number(name) + amount
            case Print(name):
                self.printed.append(self.values[name])
            case Repeat(times, body):
                for _ in range(times):
                    self.run(body)
            case If(name, limit, then, otherwise):
                self.run(then if self.number(name) > limit else otherwise)
            case Define(function, amount):
                self.functions[function] = amount
            case Call(function, name):
                self.printed.append(self.number(name) + self.functions[function])

    def number(self, name: str) -> int:
        """A variable that must hold a number; ``DataError`` where it holds a text."""
        value = self.values[name]
        if isinstance(value, str):
            raise DataError(f"The variable {name!r} holds the text {value!r}; only numbers are added and compared.")
        return value


# ---- Drawing programs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Names:
    """A program's variables by kind, and its function if it has one."""

    numbers: list[str]
    texts: list[str]
    functions: list[str]


def write(scene: Scene) -> Draft:
    """A program and its output; the last printed line is the answer."""
    program = _program(scene)
    machine = Machine()
    machine.run(program)
    *earlier, last = machine.printed
    before = "\n".join([*render(program), *(f"{_OUTPUT}{value}" for value in earlier), _OUTPUT])
    if isinstance(last, str):
        return Draft(before, last, _wrong_texts(scene, last, machine))
    seen = [value for value in (*machine.values.values(), *machine.printed) if isinstance(value, int)]
    wrong = wrong_numbers(scene.dice, last, seen, low=min(0, *seen))
    return Draft(before, str(last), tuple(str(value) for value in wrong))


def _wrong_texts(scene: Scene, right: str, machine: Machine) -> tuple[str, ...]:
    known = [value for value in machine.values.values() if isinstance(value, str)]
    others = scene.dice.sample(names("country", scene.language), 5)
    return tuple([name for name in dict.fromkeys([*known, *others]) if name != right][:3])


def _program(scene: Scene) -> list[Statement]:
    dice = scene.dice
    given = dice.sample(identifiers(scene.language), 5)
    texts = given[2 : dice.between(2, 4)]
    known = _Names(given[: dice.between(1, 2)], texts, given[4:] if dice.chance(40) else [])
    strings = dice.sample(names("country", scene.language), len(texts))
    lets = [Let(name, dice.between(1, 20)) for name in known.numbers]
    lets += [Let(name, value) for name, value in zip(texts, strings, strict=True)]
    defined = [Define(name, dice.between(1, 9)) for name in known.functions]
    blocks = [_block(dice, known, 2) for _ in range(dice.between(1, 2))]
    return [*lets, *defined, *blocks, _telling(dice, known)]


def _block(dice: Dice, known: _Names, depth: int) -> Statement:
    """A loop or a branch, which may hold another."""
    if dice.chance(50):
        return Repeat(dice.between(2, 3), _body(dice, known, depth))
    name, limit = dice.choice(known.numbers), dice.between(1, 20)
    return If(name, limit, _body(dice, known, depth), _body(dice, known, 1))


def _body(dice: Dice, known: _Names, depth: int) -> tuple[Statement, ...]:
    inner = [_block(dice, known, depth - 1)] if depth > 1 and dice.chance(30) else []
    steps = [_change(dice, known) if dice.chance(75) else _telling(dice, known) for _ in range(dice.between(1, 2))]
    return (*steps, *inner)


def _change(dice: Dice, known: _Names) -> Statement:
    kind = known.texts if len(known.texts) > 1 and dice.chance(30) else known.numbers
    if len(kind) > 1 and dice.chance(30 if kind is known.numbers else 100):
        return Copy(*dice.sample(kind, 2))
    return Add(dice.choice(known.numbers), dice.between(1, 9) * (-1 if dice.chance(25) else 1))


def _telling(dice: Dice, known: _Names) -> Statement:
    if known.functions and dice.chance(50):
        return Call(known.functions[0], dice.choice(known.numbers))
    return Print(dice.choice([*known.numbers, *known.texts]))
