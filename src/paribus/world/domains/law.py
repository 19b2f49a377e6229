"""Law: numbered clauses with defined parties, amounts in words, dates, and references that must be followed."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase

from paribus.world import cldr, spellout
from paribus.world.domains.scene import Dice, Draft, Scene
from paribus.world.domains.words import category, day, in_full, names

_ASPECTS = ("country", "number", "currency", "month")
_PARTIES = "ABCDEFGH"


@dataclass(frozen=True)
class _Duty:
    """One lettered clause: who owes what, and until when. ``aspects`` are what a reference may ask of it."""

    where: str
    text: str
    aspects: dict[str, str]


def write(scene: Scene) -> Draft:
    """Definitions, duties, and references that restate the duties piece by piece; the last piece is the answer.

    A reference to a duty's country has two steps: the duty names a party, and the definitions say who that is.
    """
    dice, language = scene.dice, scene.language
    first = dice.between(1, 40)
    parties = _parties(dice, language)
    duties = [_duty(scene, first + 1, letter, parties) for letter in ascii_lowercase[: dice.between(1, 3)]]
    asked = dice.sample([(duty, aspect) for duty in duties for aspect in _ASPECTS], dice.between(1, 4))
    lead = [f"{_reference(duty, aspect, language)}{duty.aspects[aspect]}" for duty, aspect in asked[:-1]]
    duty, aspect = asked[-1]
    before = "\n".join(
        [
            f"§ {first}. " + "; ".join(f"“{letter}”: {name}" for letter, name in parties.items()),
            f"§ {first + 1}. " + "; ".join(f"({duty.where[-2]}) {duty.text}" for duty in duties),
            f"§ {first + 2}. " + "; ".join([*lead, _reference(duty, aspect, language)]),
        ]
    )
    return Draft(before, duty.aspects[aspect], _wrong(scene, duty, aspect, duties, parties))


def _parties(dice: Dice, language: str) -> dict[str, str]:
    count = dice.between(2, 3)
    letters = sorted(dice.sample(_PARTIES, count))
    return dict(zip(letters, dice.sample(names("country", language), count), strict=True))


def _duty(scene: Scene, clause: int, letter: str, parties: dict[str, str]) -> _Duty:
    dice, language = scene.dice, scene.language
    party, until = dice.choice(sorted(parties)), day(dice)
    amount = spellout.words(dice.between(1, spellout.LIMIT - 1), language)
    currency = dice.choice(names("currency", language))
    month = cldr.name(f"month.{until.month}", language)
    text = f"“{party}”, {amount}, {currency}, {in_full(until, language, weekday=False)}"
    values = (parties[party], amount, currency, month)
    return _Duty(f"§ {clause}({letter})", text, dict(zip(_ASPECTS, values, strict=True)))


def _reference(duty: _Duty, aspect: str, language: str) -> str:
    return f"{duty.where}, {category(aspect, language)}: "


def _wrong(scene: Scene, asked: _Duty, aspect: str, duties: list[_Duty], parties: dict[str, str]) -> tuple[str, ...]:
    """Something the other clauses say, where they do, and values of the same kind from anywhere."""
    right = asked.aspects[aspect]
    said = [duty.aspects[aspect] for duty in duties] + (list(parties.values()) if aspect == "country" else [])
    near = [value for value in said if value != right][:1]
    return tuple([value for value in dict.fromkeys([*near, *_anything(scene, aspect)]) if value != right][:3])


def _anything(scene: Scene, aspect: str) -> list[str]:
    if aspect == "number":
        return [spellout.words(number, scene.language) for number in scene.dice.sample(range(1, spellout.LIMIT), 4)]
    return scene.dice.sample(names(aspect, scene.language), 4)
