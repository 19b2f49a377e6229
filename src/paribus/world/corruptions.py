"""Bad answers whose error is known: planted truth for reward models, judges, preference pairs and monitors.

Every operator offers candidates in an order drawn from ``rng``; the first that ``check`` files under the wanted error
is returned, so a label is never wrong. Translationese is no error of its own to the checker: it is "format" there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from paribus.errors import ConfigError, DataError
from paribus.world import cldr
from paribus.world.checker import check
from paribus.world.families import FAMILIES
from paribus.world.normalise import normalise
from paribus.world.phrases import phrases
from paribus.world.translationese import translationese
from paribus.world.world import Item, World

CORRUPTIONS: tuple[str, ...] = (
    "wrong_fact",
    "wrong_language",
    "format",
    "refusal",
    "repetition",
    "truncated",
    "translationese",
)

Rng = random.Random | np.random.Generator


class _Operator(Protocol):
    def __call__(self, world: World, item: Item, rng: Rng) -> Iterable[str]: ...


def corrupt(world: World, item: Item, kind: str, rng: Rng) -> str:
    """Return a bad answer to ``item`` with the error ``kind`` (one of CORRUPTIONS).

    ``rng`` is a ``random.Random`` or a numpy Generator; the same state gives the same text. Raises ConfigError for an
    unknown kind, and DataError where the item has no such error (a world of one language has no wrong language).
    """
    if kind not in _OPERATORS:
        raise ConfigError(f"Unknown corruption {kind!r}; use one of {', '.join(CORRUPTIONS)}.")
    prompt = item.to_prompt()
    for candidate in _OPERATORS[kind](world, item, rng):
        verdict = check(prompt, candidate)
        if verdict.error == kind or (kind == "translationese" and verdict.error == "format"):
            return candidate
    raise DataError(f"World item {item.id!r} has no {kind!r} answer in this world; choose another kind or item.")


def _below(rng: Rng, count: int) -> int:
    return rng.randrange(count) if isinstance(rng, random.Random) else int(rng.integers(count))


def _shuffled(options: Sequence[str], rng: Rng) -> list[str]:
    left = list(options)
    return [left.pop(_below(rng, len(left))) for _ in range(len(left))]


def _wrong_fact(world: World, item: Item, rng: Rng) -> Iterator[str]:
    if item.task == "so":
        yield from _wrong_order(item, rng)
    if item.task == "ds":
        yield from _wrong_field(item, rng)
    facts = world.facts(item.task)
    for _ in range(200):
        fact = facts[_below(rng, len(facts))]
        yield FAMILIES[item.task].answer(fact, item.answer_language)
    if item.task in {"nw", "ad", "wn"}:
        yield FAMILIES["wn" if item.task == "wn" else "nw"].answer("11" if item.fact != "11" else "12", item.language)


def _wrong_order(item: Item, rng: Rng) -> Iterator[str]:
    first, second, third = item.fact.split(".")
    orders = [(second, first, third), (first, third, second), (third, second, first)]
    yield cldr.join(orders[_below(rng, 3)], cldr.list_pattern(item.language))


def _wrong_field(item: Item, rng: Rng) -> Iterator[str]:
    """Change the currency or the language of a card, one field only."""
    place = 1 + _below(rng, 2)
    kind = ("country", "currency", "language")[place]
    fields = item.answer.split(" | ")
    for entity in _shuffled(cldr.entities()[kind], rng)[:5]:
        name = cldr.name(entity, item.language)
        if name != fields[place]:
            yield " | ".join([*fields[:place], name, *fields[place + 1 :]])


def _wrong_language(world: World, item: Item, rng: Rng) -> Iterator[str]:
    family = FAMILIES["nw" if item.task == "wn" else item.task]
    own = normalise(item.answer, item.answer_language)
    for language in _shuffled(world.languages, rng):
        said = family.answer(item.fact, language)
        if language != item.answer_language and normalise(said, language) != own:
            yield said


def _format(world: World, item: Item, rng: Rng) -> Iterator[str]:
    known = phrases(item.language)
    first, second = _shuffled(known.rambling, rng)[:2]
    stop = "。" if item.language in {"ja", "zh"} else "।" if item.language == "hi" else "."
    options = [f"{item.answer}{stop} {first}", f"{first} {item.answer}{stop}", f"{item.answer}{stop} {first} {second}"]
    yield from _shuffled(options, rng)


def _refusal(world: World, item: Item, rng: Rng) -> Iterator[str]:
    yield from _shuffled(phrases(item.language).refusals, rng)


def _repetition(world: World, item: Item, rng: Rng) -> Iterator[str]:
    count = 3 + _below(rng, 3)
    yield " ".join([item.answer] * count)
    yield " ".join([item.answer] * 6)


def _truncated(world: World, item: Item, rng: Rng) -> Iterator[str]:
    """Cut somewhere in the second half if that is no other answer, else wherever it is none, else to nothing."""
    length = len(item.answer)
    late = [str(cut) for cut in range((length + 1) // 2, length)]
    early = [str(cut) for cut in range(1, (length + 1) // 2)]
    for cut in [*_shuffled(late, rng), *_shuffled(early, rng)]:
        yield item.answer[: int(cut)].rstrip()
    yield ""


def _translationese(world: World, item: Item, rng: Rng) -> Iterator[str]:
    yield translationese(item.task, item.fact, item.answer_language, item.answer)
    yield phrases(item.answer_language).frame.format(answer=item.answer)


_OPERATORS: dict[str, _Operator] = {
    "wrong_fact": _wrong_fact,
    "wrong_language": _wrong_language,
    "format": _format,
    "refusal": _refusal,
    "repetition": _repetition,
    "truncated": _truncated,
    "translationese": _translationese,
}
