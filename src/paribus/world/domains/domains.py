"""The domains themselves: a config in, documents and choice questions out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import count as counter

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from paribus.errors import ConfigError
from paribus.records import ChoiceQuestion, Document
from paribus.world.domains import code, general, law, mathematics
from paribus.world.domains.scene import Dice, Draft, Scene
from paribus.world.families import draw
from paribus.world.phrases import available
from paribus.world.world import World, WorldConfig

_WRITERS: dict[str, Callable[[Scene], Draft]] = {
    "general": general.write,
    "code": code.write,
    "law": law.write,
    "math": mathematics.write,
}
DOMAINS: tuple[str, ...] = tuple(_WRITERS)
PARTS: tuple[str, ...] = ("train", "dev", "test")
_NUMBERS = 1000


class DomainsConfig(BaseModel):
    """Which text to write: languages, the seed of all draws, and the documents' sizes in bytes of UTF-8.

    The range of sizes is the same for all languages, so that bits per byte are equally stable; scripts of several bytes
    a letter say less in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[str, ...]
    seed: int = 0
    shortest: int = Field(default=150, ge=1)
    longest: int = Field(default=400, ge=250)

    @field_validator("languages")
    @classmethod
    def _written(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in value if code not in available()]
        if not value or unknown or len(set(value)) != len(value):
            raise ConfigError(
                f"Domains cannot be written in the languages {value!r}; give distinct ones of {', '.join(available())}."
            )
        return tuple(sorted(value))

    @model_validator(mode="after")
    def _room(self) -> DomainsConfig:
        if self.longest < self.shortest + 100:
            raise ConfigError(
                f"Documents of {self.shortest} to {self.longest} bytes cannot be drawn; leave a range of 100 or more."
            )
        return self


class Domains:
    """Text of four domains, a pure function of the config: same config, same ids and bytes.

    A text belongs to one part ("train", "dev" or "test") by its hash, so parts share none; the first n documents are
    the same however many are asked for, and a language more changes none of the others.
    """

    def __init__(self, config: DomainsConfig) -> None:
        self.config = config

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages there are, sorted."""
        return self.config.languages

    def documents(self, domain: str, language: str, part: str, count: int) -> list[Document]:
        """The first ``count`` documents of a domain in a language; ids are ``domain/language/part/number``.

        Raises ConfigError for a domain, language or part that is not there.
        """
        drafts = self._drafts(domain, language, part, "document")
        return [
            Document(id=f"{domain}/{language}/{part}/{number}", domain=domain, language=language, text=draft.text)
            for number, draft in zip(range(count), drafts, strict=False)
        ]

    def questions(self, domain: str, language: str, part: str, count: int) -> list[ChoiceQuestion]:
        """The first ``count`` questions: documents of the part without their last answer, and four ways to go on.

        The right choice ends the document. General questions about one fact are a cluster, in all languages; others
        stand alone. Raises ConfigError as ``documents``.
        """
        drafts = self._drafts(domain, language, part, "question")
        return [
            self._question(f"{domain}/{language}/{part}/question/{number}", domain, language, draft)
            for number, draft in zip(range(count), drafts, strict=False)
        ]

    def _question(self, name: str, domain: str, language: str, draft: Draft) -> ChoiceQuestion:
        choices = Dice(f"{self.config.seed}|choices|{name}").sample((draft.answer, *draft.wrong), 4)
        return ChoiceQuestion(
            id=name,
            domain=domain,
            language=language,
            prompt=draft.before,
            choices=tuple(choices),
            answer=choices.index(draft.answer),
            cluster=f"{domain}/{draft.fact}" if draft.fact else name,
        )

    def _drafts(self, domain: str, language: str, part: str, kind: str) -> Iterator[Draft]:
        """Drafts without end: of each number the first try whose size fits and whose text belongs to the part."""
        self._refuse_unknown(domain, language, part)
        world = _world(language, self.config.seed)
        for number in counter():
            key = f"{self.config.seed}|{kind}|{domain}|{language}|{part}|{number}"
            tries = (_WRITERS[domain](Scene(Dice(f"{key}|{attempt}"), language, part, world)) for attempt in counter())
            yield next(draft for draft in tries if self._fits(draft.text) and self.part_of(draft.text) == part)

    def _fits(self, text: str) -> bool:
        return self.config.shortest <= len(text.encode()) <= self.config.longest

    def part_of(self, text: str) -> str:
        """The part a text belongs to: half are for training, a quarter each for dev and test."""
        return ("train", "train", "dev", "test")[draw(f"{self.config.seed}|part|{text}") % 4]

    def _refuse_unknown(self, domain: str, language: str, part: str) -> None:
        asked = (("domain", domain, DOMAINS), ("language", language, self.languages), ("part", part, PARTS))
        for what, value, known in asked:
            if value not in known:
                raise ConfigError(f"These domains have no {what} {value!r}; use one of {', '.join(known)}.")


@cache
def _world(language: str, seed: int) -> World:
    """The world in one language alone, so that no other language of a config changes its items."""
    return World(WorldConfig(languages=(language,), tasks=general.TASKS, seed=seed, numbers=_NUMBERS))
