"""The world itself: a config in, items in splits out.

Splits: ``train``; ``dev`` and ``test`` ask held-out facts through templates seen in training; ``template`` asks trained
facts through a template never trained in that language; ``recall`` is one trained item per trained fact and language.
The fact, shared by all languages, is the cluster for statistics.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from paribus.errors import ConfigError, DataError
from paribus.records import Example, Message, Prompt
from paribus.world.families import FAMILIES, FactRange, Family, draw
from paribus.world.normalise import normalise
from paribus.world.phrases import available, phrases

ALL_TASKS: tuple[str, ...] = tuple(sorted(FAMILIES))
SPLITS: tuple[str, ...] = ("train", "dev", "test", "template", "recall")


class WorldConfig(BaseModel):
    """Which world to build.

    ``held_out_facts`` is the share of facts kept from training, half for dev and half for test. ``held_out_templates``
    is how many templates of each (task, language) are never trained; which ones differs between languages.
    ``max_items_per_cell`` caps the items of a (split, task, language): facts are kept in one hash order for all
    languages, so the languages keep asking the same questions. ``numbers``: number tasks use 0..numbers-1. ``things``:
    how many countries, languages, months and weekdays the translation task takes, into every language of the world.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[str, ...]
    tasks: tuple[str, ...] = ALL_TASKS
    seed: int = 0
    held_out_facts: float = Field(default=0.15, ge=0.0, lt=1.0)
    held_out_templates: int = Field(default=1, ge=0, le=2)
    max_items_per_cell: int | None = Field(default=None, ge=1)
    numbers: int = Field(default=300, ge=20, le=1000)
    things: int = Field(default=40, ge=4)

    @field_validator("languages", "tasks")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ConfigError(f"A world needs a list of distinct names, got {value!r}; drop the repeated or add one.")
        return tuple(sorted(value))

    @model_validator(mode="after")
    def _known(self) -> WorldConfig:
        for language in self.languages:
            if language not in available():
                raise ConfigError(f"The world is not written in {language!r}; use some of {', '.join(available())}.")
        for task in self.tasks:
            if task not in FAMILIES:
                raise ConfigError(f"Unknown world task {task!r}; use some of {', '.join(ALL_TASKS)}.")
        return self


@dataclass(frozen=True, slots=True)
class Item:
    """One question with its answer. ``answer_language`` differs from ``language`` for translations only.

    ``language_decidable``: no other language of the world says the answer the same way, so a right answer shows which
    language was used. ``accepted`` holds further right answers.
    """

    id: str
    language: str
    task: str
    template: int
    fact: str
    prompt: str
    answer: str
    split: str
    answer_language: str
    language_decidable: bool
    accepted: tuple[str, ...] = ()

    def meta(self) -> dict[str, Any]:
        """Return what ``check`` needs to know, as plain JSON values."""
        meta: dict[str, Any] = {
            "task": self.task,
            "fact": self.fact,
            "template": self.template,
            "answer": self.answer,
            "split": self.split,
            "language_decidable": self.language_decidable,
        }
        if self.answer_language != self.language:
            meta["answer_language"] = self.answer_language
        if self.accepted:
            meta["accepted"] = list(self.accepted)
        return meta

    def to_prompt(self) -> Prompt:
        """Return the question as a record."""
        message = Message(role="user", content=self.prompt)
        return Prompt(id=self.id, language=self.language, messages=(message,), task=self.task, meta=self.meta())

    def to_example(self) -> Example:
        """Return question and answer as a training row."""
        messages = (Message(role="user", content=self.prompt), Message(role="assistant", content=self.answer))
        return Example(
            id=self.id, language=self.language, messages=messages, task=self.task, source="world", meta=self.meta()
        )


class World:
    """A multilingual world with known answers, a pure function of its config (ids, order and bytes included)."""

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self._items: dict[str, list[Item]] = {}
        self._decidable: dict[tuple[str, str, str], bool] = {}

    @property
    def languages(self) -> tuple[str, ...]:
        """The world's languages, sorted."""
        return self.config.languages

    @cached_property
    def _facts(self) -> dict[str, list[str]]:
        within = FactRange(self.config.languages, self.config.numbers, self.config.things)
        return {task: self._in_hash_order(task, FAMILIES[task].facts(within)) for task in self.config.tasks}

    def _in_hash_order(self, task: str, facts: Iterable[str]) -> list[str]:
        """Order facts by hash; a thing's translations stand together, so that a cap keeps few things in many languages.

        Scattered over all things, a capped world would ask each in one or two languages, and nothing would carry over.
        """

        def key(fact: str) -> tuple[int, int]:
            thing = fact.partition(">")[0]
            return draw(f"{self.config.seed}|thing|{task}|{thing}"), draw(f"{self.config.seed}|cell|{task}|{fact}")

        return sorted(facts, key=key)

    def facts(self, task: str, part: str = "all") -> list[str]:
        """Return a task's fact ids, in the world's hash order; part is "all", "train", "dev" or "test"."""
        facts = self._facts[task]
        return facts if part == "all" else [fact for fact in facts if self.part_of(task, fact) == part]

    def part_of(self, task: str, fact: str) -> str:
        """Return which part a fact belongs to in every language: "train", "dev" or "test"."""
        share = draw(f"{self.config.seed}|hold|{FAMILIES[task].key(fact)}") / 2**64
        if share >= self.config.held_out_facts:
            return "train"
        return "dev" if share < self.config.held_out_facts / 2 else "test"

    def group_of(self, task: str, fact: str, count: int) -> int:
        """Cut a task's facts into ``count`` groups (0..count-1) by hash, as for models that each know other facts.

        Tasks that reveal the same knowledge put it into the same group.
        """
        return draw(f"{self.config.seed}|group|{FAMILIES[task].key(fact)}") % count

    def held_out_templates(self, task: str, language: str) -> tuple[int, ...]:
        """Return the template numbers never trained for this task in this language."""
        count = len(phrases(language).templates[task])
        start = draw(f"{self.config.seed}|template|{task}|{language}") % count
        return tuple(sorted((start + step) % count for step in range(min(self.config.held_out_templates, count - 1))))

    def _templates(self, split: str, task: str, language: str, fact: str) -> tuple[int, ...]:
        held = self.held_out_templates(task, language)
        if split == "template":
            return held
        seen = tuple(number for number in range(len(phrases(language).templates[task])) if number not in held)
        if split == "recall":
            return (seen[draw(f"{self.config.seed}|recall|{task}|{fact}|{language}") % len(seen)],)
        return seen

    def items(
        self, split: str, *, languages: Sequence[str] | None = None, tasks: Sequence[str] | None = None
    ) -> list[Item]:
        """Return a split's items, sorted by id, of some languages and tasks only if asked. Built once, then kept.

        Raises ConfigError for a split, language or task this world does not have.
        """
        self._refuse_unknown(split, languages, tasks)
        if split not in self._items:
            cells = (self._cell(split, task, code) for task in self.config.tasks for code in self.config.languages)
            self._items[split] = sorted((item for cell in cells for item in cell), key=lambda item: item.id)
        if languages is None and tasks is None:
            return list(self._items[split])
        codes, families = set(languages or self.config.languages), set(tasks or self.config.tasks)
        return [item for item in self._items[split] if item.language in codes and item.task in families]

    def _refuse_unknown(self, split: str, languages: Sequence[str] | None, tasks: Sequence[str] | None) -> None:
        asked = (
            ("split", (split,), SPLITS),
            ("language", languages or (), self.config.languages),
            ("task", tasks or (), self.config.tasks),
        )
        for what, values, known in asked:
            for value in values:
                if value not in known:
                    raise ConfigError(f"This world has no {what} {value!r}; use one of {', '.join(known)}.")

    def _cell(self, split: str, task: str, language: str) -> list[Item]:
        part = split if split in {"dev", "test"} else "train"
        cap = self.config.max_items_per_cell
        cell: list[Item] = []
        for fact in self.facts(task, part):
            if cap is not None and len(cell) >= cap:
                break
            cell.extend(self._ask(split, FAMILIES[task], fact, language))
        return cell[:cap]

    def _ask(self, split: str, family: Family, fact: str, language: str) -> Iterator[Item]:
        slots = family.slots(fact, language)
        if slots is None:
            return
        for template in self._templates(split, family.code, language, fact):
            yield self._build(split, family, fact, language, template, slots)

    def _build(
        self, split: str, family: Family, fact: str, language: str, template: int, slots: dict[str, str]
    ) -> Item:
        spoken = family.answer_language(fact, language)
        return Item(
            id=f"{family.code}/{fact}/{language}/{template}",
            language=language,
            task=family.code,
            template=template,
            fact=fact,
            prompt=phrases(language).templates[family.code][template].format_map(slots),
            answer=family.answer(fact, spoken),
            split=split,
            answer_language=spoken,
            language_decidable=self._language_decidable(family, fact, spoken),
            accepted=family.also_accepted(fact, spoken),
        )

    def _language_decidable(self, family: Family, fact: str, spoken: str) -> bool:
        key = (family.code, fact, spoken)
        if key not in self._decidable:
            answer = normalise(family.answer(fact, spoken), spoken)
            others = (code for code in self.config.languages if code != spoken)
            self._decidable[key] = all(normalise(family.answer(fact, code), code) != answer for code in others)
        return self._decidable[key]

    def item(self, id: str) -> Item:
        """Return the item with this id ("task/fact/language/template") in its split: train, dev, test or template.

        The cap per cell does not matter here. Raises DataError if no split of the world can hold the question, as
        for a held-out fact put through a held-out template.
        """
        task, fact, language, template = self._parse(id)
        slots = FAMILIES[task].slots(fact, language)
        part, held = self.part_of(task, fact), template in self.held_out_templates(task, language)
        if slots is None or (held and part != "train"):
            raise DataError(f"World item {id!r} is in no split of this world; take an id from World.items().")
        return self._build("template" if held else part, FAMILIES[task], fact, language, template, slots)

    def _parse(self, id: str) -> tuple[str, str, str, int]:
        parts = id.split("/")
        if len(parts) == 4 and parts[0] in self.config.tasks and parts[2] in self.config.languages:
            task, fact, language, number = parts
            known = fact in self._fact_sets[task]
            if known and number.isdecimal() and int(number) < len(phrases(language).templates[task]):
                return task, fact, language, int(number)
        raise DataError(f"World item {id!r} is not of this world; take an id from World.items().")

    @cached_property
    def _fact_sets(self) -> dict[str, frozenset[str]]:
        return {task: frozenset(facts) for task, facts in self._facts.items()}

    def fingerprint(self, splits: Iterable[str] = SPLITS) -> str:
        """Return a SHA-256 over every item of the splits: two worlds with one fingerprint hold the same bytes."""
        digest = hashlib.sha256()
        for split in splits:
            for item in self.items(split):
                row = [item.id, item.split, item.prompt, item.answer, item.accepted, item.language_decidable]
                digest.update(json.dumps(row, ensure_ascii=False).encode())
        return digest.hexdigest()
