"""Claims about an answer: the true ones, how they are said in each language, and how they are read back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from paribus.errors import ConfigError
from paribus.records import Prompt
from paribus.world.graded.answers import GradedAnswer
from paribus.world.graded.grading import grade
from paribus.world.graded.plans import as_random
from paribus.world.graded.requests import Request
from paribus.world.graded.wording import TARGETS, wording

_ASPECT_OF = {
    "part": "correctness",
    "format": "instruction",
    "topic": "instruction",
    "answer": "instruction",
    "repetition": "style",
    "length": "style",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """Something good that holds of an answer, or does not.

    ``target``: the number of a part, from "1", which is right; "format", which is kept; "topic", to which the answer
    stays; "answer", which is given and not declined; "repetition", of which there is none; "length", which is concise.
    """

    aspect: str
    target: str
    holds: bool

    def flipped(self) -> Claim:
        """Return the opposite claim."""
        return replace(self, holds=not self.holds)


def claims_about(asked: Request | Prompt, answer: GradedAnswer | str) -> tuple[Claim, ...]:
    """Return all true claims about an answer, parts first. A plain text is graded first.

    The same things are said of every answer, so that what a critic speaks about tells nothing; a refusal keeps no
    format and does not stay to the topic.
    """
    if isinstance(answer, GradedAnswer):
        errors, right, wordiness = answer.plan.errors, answer.parts_right, answer.plan.wordiness
    else:
        found = grade(asked, answer)
        errors, right, wordiness = found.errors, found.parts_right, found.wordiness
    return tuple(_true_claims(errors, right, wordiness))


def _true_claims(errors: frozenset[str], right: tuple[bool, ...], wordiness: int) -> Iterator[Claim]:
    for number, holds in enumerate(right, start=1):
        yield _claim(str(number), holds)
    answered = "refusal" not in errors
    yield _claim("format", answered and "formatting" not in errors)
    yield _claim("topic", answered and "relevance" not in errors)
    yield _claim("answer", answered)
    yield _claim("repetition", "repetition" not in errors)
    yield _claim("length", wordiness == 0)


def _claim(target: str, holds: bool) -> Claim:
    return Claim(_ASPECT_OF["part" if target.isdecimal() else target], target, holds)


def say(claim: Claim, language: str, rng: Any) -> str:
    """Return a sentence of the language that makes the claim, one of at least three drawn with ``rng``.

    Raises ConfigError for a target that cannot be said and for a language the graded world is not written in.
    """
    kind = "part" if claim.target.isdecimal() else claim.target
    if kind not in TARGETS:
        raise ConfigError(f"No claim can be made about {claim.target!r}; use the number of a part or {TARGETS[1:]}.")
    said = wording(language).claims[kind]
    return as_random(rng).choice(said.yes if claim.holds else said.no).format(n=claim.target)


def say_all(claims: Iterable[Claim], language: str, rng: Any) -> str:
    """Return all claims in one line, each said by ``say``, joined as the language joins sentences."""
    rng = as_random(rng)
    return wording(language).joint.join(say(claim, language, rng) for claim in claims)


def read(text: str, language: str) -> tuple[Claim, ...]:
    """Return the claims a text makes, in its order; other sentences are passed over."""
    pattern, meanings = _reader(language)
    claims = []
    for found in pattern.finditer(text):
        assert found.lastgroup is not None
        kind, holds = meanings[found.lastgroup]
        numbers = re.findall(r"\d+", found[0]) if kind == "part" else [kind]
        claims.append(_claim(numbers[0], holds))
    return tuple(claims)


@lru_cache(maxsize=64)
def _reader(language: str) -> tuple[re.Pattern[str], dict[str, tuple[str, bool]]]:
    """Return a pattern with a named group for each way to say a claim, and what the groups mean."""
    ways: dict[str, str] = {}
    meanings: dict[str, tuple[str, bool]] = {}
    for kind, said in wording(language).claims.items():
        for holds, sentences in ((True, said.yes), (False, said.no)):
            for sentence in sentences:
                name = f"way{len(ways)}"
                ways[name] = re.escape(sentence).replace(r"\{n\}", r"\d+")
                meanings[name] = (kind, holds)
    longest_first = sorted(ways.items(), key=lambda way: len(way[1]), reverse=True)
    return re.compile("|".join(f"(?P<{name}>{way})" for name, way in longest_first)), meanings
