"""Answers with planted errors and style.

An answer is: a line of sentences that ends in a lead; the body, one entry "item: value" for each part, in the layout
of the format rule; and closing sentences, a line each. All sentences are the language's own (``wording``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from paribus.errors import DataError
from paribus.records import Completion
from paribus.world.graded.parts import Part
from paribus.world.graded.plans import ASPECTS, Plan, as_random, quality_of
from paribus.world.graded.requests import GradedWorld, Request
from paribus.world.graded.wording import REGISTERS, RULES, Wording, wording

# Strides through a list of facts: primes larger than any list, so that each visits all of it.
_STEPS = (1009, 1013, 1019, 1021, 1031, 1033)


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """An answer, the plan it was written by, and which parts it gets right, in the order asked."""

    request_id: str
    language: str
    text: str
    plan: Plan
    parts_right: tuple[bool, ...]

    def to_completion(self, id: str, model: str = "graded") -> Completion:
        """Return the answer as a record; meta holds the planted truth."""
        plan = self.plan
        meta: dict[str, Any] = {
            "errors": sorted(plan.errors),
            "assertiveness": plan.assertiveness,
            "complexity": plan.complexity,
            "wordiness": plan.wordiness,
            "parts_right": list(self.parts_right),
            "quality": quality(self),
        }
        return Completion(
            id=id, prompt_id=self.request_id, language=self.language, model=model, text=self.text, meta=meta
        )


def quality(answer: GradedAnswer) -> float:
    """Return an answer's true quality in 0..1 (see ``quality_of``)."""
    return quality_of(answer.plan.errors, answer.parts_right, answer.plan.wordiness)


def better(a: GradedAnswer, b: GradedAnswer) -> bool:
    """Say whether ``a`` is strictly better than ``b``: correctness first, then instruction, then style."""
    return quality(a) > quality(b)


def write_answer(
    world: GradedWorld, request: Request, plan: Plan, rng: Any, *, wrong_from: str = "train"
) -> GradedAnswer:
    """Write an answer to ``request`` with exactly the errors and style of ``plan``.

    Each error of correctness strikes one part, different parts as far as there are enough. What is wrongly said or
    quoted comes from facts of the part ``wrong_from``: of training, so that held-out facts never leak; for tests, of
    the tests themselves, so that a wrong value is not known from its familiarity. ``rng`` is a ``random.Random`` or a
    numpy Generator; the same state gives the same text.
    """
    return _Writer(world, request, plan, as_random(rng), wrong_from).write()


@dataclass(frozen=True)
class _Writer:
    world: GradedWorld
    request: Request
    plan: Plan
    rng: Random
    wrong_from: str

    @property
    def words(self) -> Wording:
        return wording(self.request.language)

    def write(self) -> GradedAnswer:
        struck = self._struck()
        refused = "refusal" in self.plan.errors
        opening, closing = self._style()
        opening.append(self._refusal() if refused else self.rng.choice(self.words.leads[self._register]))
        body: list[str] = []
        if not refused:
            body, retractions = self._body(struck)
            closing = [*retractions, *self._asides(), *closing]
        if "repetition" in self.plan.errors:
            closing.append(self.rng.choice([*opening, *closing]))
        text = "\n".join([self.words.joint.join(opening), *body, *closing])
        right = tuple(not refused and not errors for errors in struck)
        return GradedAnswer(self.request.id, self.request.language, text, self.plan, right)

    @property
    def _register(self) -> str:
        return REGISTERS[self.plan.complexity + 1]

    def _struck(self) -> list[set[str]]:
        """Say for each part which errors of correctness it gets."""
        struck: list[set[str]] = [set() for _ in self.request.parts]
        order = self.rng.sample(range(len(struck)), len(struck))
        planned = [error for error in ASPECTS["correctness"] if error in self.plan.errors]
        for number, error in enumerate(self.rng.sample(planned, len(planned))):
            struck[order[number % len(order)]].add(error)
        return struck

    def _style(self) -> tuple[list[str], list[str]]:
        """Return the style sentences before the lead and those at the end."""
        assertive = self.words.hedges if self.plan.assertiveness < 0 else self.words.boosters
        opening = self.rng.sample(assertive, abs(self.plan.assertiveness))
        greet = self.plan.wordiness == 2 or (self.plan.wordiness == 1 and self.rng.random() < 0.5)
        if greet:
            opening.insert(0, self.rng.choice(self.words.greetings))
        return opening, [self.rng.choice(self.words.closings)] if self.plan.wordiness > greet else []

    def _refusal(self) -> str:
        return self.words.refusals[self._register]

    def _asides(self) -> Iterator[str]:
        if "relevance" in self.plan.errors:
            asked = {part.item for part in self.request.parts}
            part = self._other(Part("cu", self.world.facts("cu", self.wrong_from)[0], self.request.language, 0), asked)
            yield self.rng.choice(self.words.asides).format(item=part.item, value=part.answer)

    def _body(self, struck: list[set[str]]) -> tuple[list[str], list[str]]:
        """Return the body's lines and the retractions."""
        entries, retractions = [], []
        for number, (part, errors) in enumerate(zip(self.request.parts, struck, strict=True), start=1):
            item, first, *second = self._entry(part, errors)
            entries.append(f"{item}{self.words.colon}{first}")
            template = self.words.retractions
            retractions += [self.rng.choice(template).format(n=number, value=value) for value in second]
        return lay_out(entries, self._layout()), retractions

    def _layout(self) -> str:
        kept = "formatting" not in self.plan.errors
        return self.request.rule if kept else self.rng.choice([rule for rule in RULES if rule != self.request.rule])

    def _entry(self, part: Part, errors: set[str]) -> list[str]:
        """Return the item quoted and the value or, in a contradiction, the two values given for it."""
        quoted = self._other(part, {part.item}) if "inconsistent" in errors else part
        values = [] if "factuality" in errors else [quoted.answer]
        for _ in range(1 + ("contradiction" in errors) - len(values)):
            values.append(self._wrong(part, quoted, values))
        return [quoted.item, *self.rng.sample(values, len(values))]

    def _other(self, part: Part, items: set[str]) -> Part:
        """Return a question of the same kind with another item than ``items`` and another answer."""
        options = map(part.about, self._shuffled(part.task))
        return self._first(part, (new for new in options if new.item not in items and not part.accepts(new.answer)))

    def _wrong(self, asked: Part, quoted: Part, said: list[str]) -> str:
        """Return a value that is right neither for the part asked nor for the one quoted, and not yet said."""
        options = (asked.about(fact) for fact in self._shuffled(asked.task))
        wrong = (part for part in options if not asked.accepts(part.answer) and not quoted.accepts(part.answer))
        return self._first(asked, (part for part in wrong if not any(map(part.accepts, said)))).answer

    def _shuffled(self, task: str) -> Iterator[str]:
        facts = self.world.facts(task, self.wrong_from)
        start, step = self.rng.randrange(len(facts)), self.rng.choice(_STEPS)
        return (facts[(start + step * number) % len(facts)] for number in range(len(facts)))

    def _first(self, part: Part, options: Iterator[Part]) -> Part:
        found = next(options, None)
        if found is None:
            raise DataError(f"No other {part.task!r} fact is left for {part.item!r}; lower held_out_facts.")
        return found


def lay_out(entries: list[str], rule: str) -> list[str]:
    """Return the lines in which a format rule sets the entries."""
    if rule == "list":
        return [f"{number}. {entry}" for number, entry in enumerate(entries, start=1)]
    return [" / ".join(reversed(entries) if rule == "reversed" else entries)]
