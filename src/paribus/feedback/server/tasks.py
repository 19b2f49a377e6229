"""The four tasks: what a form of each shows, which answers it takes, and what those answers are as records.

``errors``, ``quality`` and ``style`` are the passes of a rating (arXiv 2309.16349, section 2): two outputs side by
side, each judged on its own scale. ``arena`` is a blind choice between two models' answers. What a page is given never
holds the name of a model, an item or a form: only texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from paribus.errors import DataError
from paribus.feedback.annotation.checks import attention_result
from paribus.feedback.annotation.design import Form
from paribus.feedback.annotation.schema import ERRORS, PASSES, SCALES, SCORES_OF, Pass, validate
from paribus.feedback.games import Game, verdict
from paribus.languages import get
from paribus.records import Completion, Message, Prompt, Rating, Verdict, VerdictLabel

SIDES = ("first", "second")
"""The answer on the left, or above, which pages call A, and the other one, in the order in which they are shown."""

Fields = Mapping[str, Sequence[str]]
"""A posted form, and a judgement as it is stored: values by field name, such as ``first.overall``: ``["4"]``."""

VOTES: dict[str, VerdictLabel] = {"first": "A>B", "second": "B>A", "tie": "A=B", "bad": "A=B"}
"""What a vote says of the answers as shown. That both are bad is a tie, and ``Verdict.raw`` tells the two apart."""


_POINTS = tuple(str(point) for point in SCALES["overall"].points)


class Incomplete(Exception):
    """A form was answered in part only, or with something it does not offer; the message is the field's name."""


@dataclass(frozen=True)
class Shown:
    """What a page shows, and what it asks: errors and scales of each text, checks and a vote once.

    checks: instructed answers, ``yes``, ``no`` or the number of a scale.
    """

    language: str
    turns: tuple[Message, ...]
    texts: tuple[str, str]
    errors: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    vote: bool = False


class Facts(NamedTuple):
    """What is known of a judgement beside itself. ``changes`` counts how often its rater changed it."""

    rater: str
    seconds: float
    changes: int

    @property
    def meta(self) -> dict[str, Any]:
        """What goes into a record's meta."""
        return {"seconds": round(self.seconds, 1), "changes": self.changes}


class Task(Protocol):
    """What the queue, the pages and the export need of a task. ``body`` is a form as the database keeps it."""

    @property
    def name(self) -> str:
        """Its name, which is also its address."""

    def shown(self, body: Mapping[str, Any]) -> Shown:
        """What a page shows of the form."""

    def records(self, body: Mapping[str, Any], answer: Fields, facts: Facts) -> "list[Any]":
        """The judgement as records."""


class FormRow(NamedTuple):
    """A form for the database. Forms of one ``pair`` show the same texts: a rater sees one of them only."""

    id: str
    language: str
    pair: str
    body: dict[str, Any]


@dataclass(frozen=True)
class RatingTask:
    """One pass of rating; its records are two ``Rating`` rows for each form."""

    name: Pass

    def row(self, form: Form) -> FormRow:
        """A form of the design for the database.

        Raises ``DataError`` for an unknown language or error, a check that no page can show, and a form of the pass
        ``errors`` that asks for none.
        """
        _check(form)
        return FormRow(form.id, form.language, f"{self.name}/{form.pair}", form.model_dump(by_alias=True, mode="json"))

    def shown(self, body: Mapping[str, Any]) -> Shown:
        """What a page shows of the form."""
        form = Form.model_validate(body)
        return Shown(
            language=form.language,
            turns=(Message(role="user", content=form.prompt),),
            texts=(form.items[0].text, form.items[1].text),
            errors=form.asked,
            scales=SCORES_OF[self.name],
            checks=form.attention,
        )

    def records(self, body: Mapping[str, Any], answer: Fields, facts: Facts) -> list[Rating]:
        """One rating of each of the two outputs, as shown."""
        form = Form.model_validate(body)
        return [validate(self._rating(form, place, answer, facts)) for place in range(len(SIDES))]

    def _rating(self, form: Form, place: int, answer: Fields, facts: Facts) -> Rating:
        side = SIDES[place]
        replies = [answer[f"check.{number}"][0] for number in range(len(form.attention))]
        found = form.rating(
            place,
            facts.rater,
            scores={name: float(answer[f"{side}.{name}"][0]) for name in SCORES_OF[self.name]},
            errors=answer.get(f"{side}.error", ()),
            attention=attention_result(form.attention, replies),
        )
        return found.model_copy(update={"meta": {**found.meta, "place": side, **facts.meta}})


def _check(form: Form) -> None:
    get(form.language)
    unknown = [name for name in form.asked if name not in ERRORS]
    unshown = [right for right in form.attention if right not in ("yes", "no", *_POINTS)]
    silent = form.pass_ == "errors" and not form.asked
    if unknown or unshown or silent:
        wrong = (
            f"asks for {unknown[0]!r}" if unknown else f"checks for {unshown[0]!r}" if unshown else "asks for no error"
        )
        raise DataError(
            f"The form {form.id!r} {wrong}; errors are some of {', '.join(ERRORS)}, checks are yes, no or 1 to 5. "
            "Make the forms again with `paribus ratings design`."
        )


@dataclass(frozen=True)
class ArenaTask:
    """Blind comparison; its records are ``Verdict`` rows, the rater being the judge."""

    name: Literal["arena"] = "arena"

    def row(self, game: Game) -> FormRow:
        """A game for the database. It is played once a rater, in its own order."""
        names = f"{game.a.model}/{game.b.model}"
        body = {
            "prompt": game.prompt.model_dump(),
            "a": game.a.model_dump(),
            "b": game.b.model_dump(),
            "order": game.order,
        }
        name = f"arena/{game.prompt.language}/{game.prompt.id}/{names}"
        return FormRow(name, game.prompt.language, name, body)

    def shown(self, body: Mapping[str, Any]) -> Shown:
        """What a page shows of the game."""
        texts = (body["a"]["text"], body["b"]["text"])
        prompt = Prompt.model_validate(body["prompt"])
        first, second = texts if body["order"] == "ab" else texts[::-1]
        return Shown(language=prompt.language, turns=prompt.messages, texts=(first, second), vote=True)

    def records(self, body: Mapping[str, Any], answer: Fields, facts: Facts) -> list[Verdict]:
        """The verdict: its label speaks of models a and b, ``raw`` is the vote as it was cast."""
        game = _game(body)
        vote = answer["vote"][0]
        found = verdict(game, facts.rater, VOTES[vote], vote)
        return [found.model_copy(update={"meta": {**found.meta, "both_bad": vote == "bad", **facts.meta}})]


def _game(body: Mapping[str, Any]) -> Game:
    a, b = (Completion.model_validate(body[name]) for name in ("a", "b"))
    return Game(Prompt.model_validate(body["prompt"]), a, b, body["order"], "single")


ARENA = ArenaTask()
RATING: dict[str, RatingTask] = {name: RatingTask(name) for name in PASSES}
TASKS: dict[str, Task] = {**RATING, "arena": ARENA}
"""The tasks by name."""


def read_answer(shown: Shown, posted: Fields) -> dict[str, list[str]]:
    """The judgement in a posted form: what the form offers, and nothing else.

    Raises ``Incomplete`` for a question without its one answer, and for a value that was not offered.
    """
    answer = {name: _one(posted, name, offered) for name, offered in _questions(shown).items()}
    for side in SIDES if shown.errors else ():
        marked = posted.get(f"{side}.error", ())
        if any(name not in shown.errors for name in marked):
            raise Incomplete(f"{side}.error")
        answer[f"{side}.error"] = [name for name in shown.errors if name in marked]
    return answer


def check_choices(right: str) -> tuple[str, ...]:
    """What an attention check offers."""
    return ("yes", "no") if right in ("yes", "no") else _POINTS


def _questions(shown: Shown) -> dict[str, tuple[str, ...]]:
    """The fields that need one value each, and the values they may have."""
    scales = {f"{side}.{name}": _POINTS for side in SIDES for name in shown.scales}
    checks = {f"check.{place}": check_choices(right) for place, right in enumerate(shown.checks)}
    return scales | checks | ({"vote": tuple(VOTES)} if shown.vote else {})


def _one(posted: Fields, name: str, offered: Sequence[str]) -> list[str]:
    values = list(posted.get(name, ()))
    if len(values) != 1 or values[0] not in offered:
        raise Incomplete(name)
    return values
