"""Requests of several checkable parts and one format rule, in several languages: a config in, requests out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from paribus.errors import ConfigError, DataError
from paribus.records import Message, Prompt
from paribus.world.domains.scene import Dice
from paribus.world.graded.parts import TASKS, Part, askable
from paribus.world.graded.wording import RULES, languages, wording
from paribus.world.phrases import phrases
from paribus.world.world import World, WorldConfig

SPLITS: tuple[str, ...] = ("train", "dev", "test")
_NOT_FOUND_AFTER = 10_000  # draws that bring no new request before a split counts as exhausted


class GradedConfig(BaseModel):
    """Which graded world to build.

    ``parts``: questions in a request, each of another task of ``tasks``. ``per_cell``: requests of a (split, language);
    the languages ask the same facts under the same rule. ``held_out_facts`` and ``numbers`` are the world's own: the
    share of facts kept from training, half for dev and half for test, and number tasks using 0..numbers-1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[str, ...] = Field(min_length=1)
    parts: int = Field(default=2, ge=2, le=3)
    tasks: tuple[str, ...] = ("ad", "ca", "cu", "nw", "wn")
    seed: int = 0
    per_cell: int = Field(default=200, ge=1)
    held_out_facts: float = Field(default=0.3, gt=0.0, lt=1.0)
    numbers: int = Field(default=100, ge=60, le=1000)

    @model_validator(mode="after")
    def _known(self) -> GradedConfig:
        for what, values, known in (("language", self.languages, languages()), ("task", self.tasks, TASKS)):
            if len(set(values)) != len(values):
                raise ConfigError(f"A graded world needs distinct {what}s, got {values!r}; drop the repeated one.")
            for value in values:
                if value not in known:
                    raise ConfigError(f"The graded world has no {what} {value!r}; use some of {', '.join(known)}.")
        if len(self.tasks) < self.parts:
            raise ConfigError(f"{self.parts} parts need {self.parts} tasks, got {self.tasks!r}; name more tasks.")
        return self


@dataclass(frozen=True)
class Request:
    """Questions (``parts``) and a format rule (one of RULES) in one text. ``cluster`` is shared by the languages."""

    id: str
    language: str
    text: str
    parts: tuple[Part, ...]
    rule: str
    cluster: str

    def to_prompt(self) -> Prompt:
        """Return the request as a record; its meta holds what ``from_prompt`` needs."""
        parts = [[part.task, part.fact, part.template] for part in self.parts]
        meta: dict[str, Any] = {"parts": parts, "rule": self.rule, "question_id": self.cluster}
        message = Message(role="user", content=self.text)
        return Prompt(id=self.id, language=self.language, messages=(message,), task="graded", meta=meta)

    @classmethod
    def from_prompt(cls, prompt: Prompt) -> Request:
        """Return the request a prompt was made of; DataError if its meta does not say so."""
        try:
            parts = tuple(Part(task, fact, prompt.language, number) for task, fact, number in prompt.meta["parts"])
            rule, cluster = prompt.meta["rule"], prompt.meta["question_id"]
            known = parts and rule in RULES and all(part.known for part in parts)
        except (KeyError, TypeError, ValueError):
            known = False
        if not known:
            raise DataError(
                f"Prompt {prompt.id!r} is no graded request: its meta {prompt.meta!r} must give known parts, a "
                "rule and a question_id; use prompts made by Request.to_prompt()."
            )
        return cls(prompt.id, prompt.language, prompt.text, parts, rule, cluster)


class GradedWorld:
    """The graded world, a pure function of its config (ids, order and bytes included)."""

    def __init__(self, config: GradedConfig) -> None:
        self.config = config
        self._requests: dict[str, tuple[Request, ...]] = {}

    @cached_property
    def _world(self) -> World:
        config = self.config
        return World(
            WorldConfig(
                languages=config.languages,
                tasks=TASKS,
                seed=config.seed,
                numbers=config.numbers,
                held_out_facts=config.held_out_facts,
            )
        )

    @cached_property
    def _facts(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return {
            (task, part): tuple(fact for fact in self._world.facts(task, part) if askable(task, fact))
            for task in TASKS
            for part in SPLITS
        }

    def facts(self, task: str, part: str) -> tuple[str, ...]:
        """Return the facts of a task ("train", "dev" or "test" part) that can be asked in every language."""
        return self._facts[task, part]

    def requests(self, split: str) -> tuple[Request, ...]:
        """Return a split's requests: languages in the config's order for each set of facts. Built once, then kept.

        "dev" and "test" ask only facts that no training request asks and no planted error names. Raises ConfigError
        for another split, and where the split's facts do not suffice for ``per_cell`` different requests.
        """
        if split not in SPLITS:
            raise ConfigError(f"The graded world has no split {split!r}; use one of {', '.join(SPLITS)}.")
        if split not in self._requests:
            self._requests[split] = tuple(self._build(split))
        return self._requests[split]

    def _build(self, split: str) -> Iterator[Request]:
        for number, (facts, rule) in enumerate(self._drawn(split)):
            for language in self.config.languages:
                yield self._request(f"graded/{split}/{number}", language, facts, rule)

    def _drawn(self, split: str) -> list[tuple[tuple[tuple[str, str], ...], str]]:
        """Draw ``per_cell`` different combinations of facts (in any order), each with a rule."""
        seen: dict[frozenset[tuple[str, str]], tuple[tuple[tuple[str, str], ...], str]] = {}
        for number in count():
            if len(seen) == self.config.per_cell:
                break
            if number > self.config.per_cell + _NOT_FOUND_AFTER:
                raise ConfigError(
                    f"The {split} facts make only {len(seen)} different requests, not per_cell={self.config.per_cell}; "
                    "lower per_cell, or raise held_out_facts, numbers or parts."
                )
            dice = Dice(f"{self.config.seed}|graded|{split}|{number}")
            tasks = dice.sample(self.config.tasks, self.config.parts)
            facts = tuple((task, dice.choice(self._some(task, split))) for task in tasks)
            seen.setdefault(frozenset(facts), (facts, dice.choice(RULES)))
        return list(seen.values())

    def _some(self, task: str, split: str) -> tuple[str, ...]:
        facts = self.facts(task, split)
        if not facts:
            raise ConfigError(f"No fact of task {task!r} is left for {split}; raise held_out_facts or drop the task.")
        return facts

    def _request(self, cluster: str, language: str, facts: tuple[tuple[str, str], ...], rule: str) -> Request:
        dice = Dice(f"{self.config.seed}|graded|{cluster}|{language}")
        parts = tuple(Part(task, fact, language, dice.choice(self._templates(task, language))) for task, fact in facts)
        questions = "\n".join(f"({number}) {part.question}" for number, part in enumerate(parts, start=1))
        text = dice.choice(wording(language).rules[rule]).format(questions=questions)
        return Request(f"{cluster}/{language}", language, text, parts, rule, cluster)

    def _templates(self, task: str, language: str) -> list[int]:
        held = self._world.held_out_templates(task, language)
        return [number for number in range(len(phrases(language).templates[task])) if number not in held]
