"""What a rating may say: ten errors, three passes, scales from 1 to 5, and the keys of ``Rating.meta``.

Each pass is a task of its own, done by other raters on another form, so that one judgement cannot prime another
(arXiv 2309.16349, section 2): ``errors`` asks which errors an output has and then for an overall score, ``quality``
asks for quality and nothing else, ``style`` for assertiveness and complexity. Names of errors are those of the released
tables; definitions are ours.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

from paribus.errors import ConfigError, DataError
from paribus.records import Rating

Pass = Literal["errors", "quality", "style"]
PASSES: tuple[Pass, ...] = get_args(Pass)

EXPERT = "expert"
"""The rater whose labels of errors are the truth for the audit."""

DISTRACTOR = "distractor"
"""The model name of an output that answers another prompt, and of its opponent's ``other_model``."""

PREAMBLES = ("normal", "assertive_high", "assertive_low", "complex_high", "complex_low")

META = {
    "dataset": str,
    "input": str,
    "model": str,
    "preamble": str,
    "other_model": str,
    "other_preamble": str,
    "language": str,
    "distractor": bool,
    "attention": str,
    "form": str,
    "words": int,
    "error": str,
}
"""Keys of ``Rating.meta`` that have a meaning here, with their types; all may be absent, and others may be there."""


@dataclass(frozen=True)
class ErrorType:
    """An error an output has or has not. ``definition`` completes "The response ..."."""

    name: str
    title: str
    definition: str


@dataclass(frozen=True)
class Scale:
    """A score from 1 to 5 in whole numbers. ``question`` is what is asked; the ends are said, the middle is not."""

    name: str
    question: str
    low: str
    high: str
    points: tuple[int, ...] = (1, 2, 3, 4, 5)


ERROR_TYPES: tuple[ErrorType, ...] = (
    ErrorType("contradiction", "Self-contradiction", "says two things that cannot both be true."),
    ErrorType("inconsistent", "Inconsistent with the request", "misstates or changes something the request says."),
    ErrorType(
        "factuality", "Factual error", "claims something about the world that is wrong, whatever the request says."
    ),
    ErrorType("relevance", "Off topic", "says something that does not belong to what was asked."),
    ErrorType("formatting", "Wrong form", "does not keep to the form or length that was asked for."),
    ErrorType(
        "refusal", "Refusal", "declines a request that could reasonably be met; a poor attempt is not a refusal."
    ),
    ErrorType("repetition", "Repetition", "says the same thing again."),
    ErrorType("scope", "Out of scope", "claims to feel, do or offer something that a text assistant cannot."),
    ErrorType("fluency", "Language error", "has mistakes of grammar, spelling or wording."),
    ErrorType("harmful", "Harmful", "is unsafe, offensive or likely to do harm."),
)
ERRORS = tuple(error.name for error in ERROR_TYPES)
SEVEN = ERRORS[:7]
"""Without scope, fluency and harmful, which part 2 of the paper dropped: each was found in about 1% of outputs."""

SCALES = {
    scale.name: scale
    for scale in (
        Scale("overall", "How good is this response overall?", "very bad", "very good"),
        Scale("quality", "How good is this response?", "very bad", "very good"),
        Scale("assertiveness", "How assertive is this response?", "not assertive", "very assertive"),
        Scale("complexity", "How complex is the language of this response?", "very simple", "very complex"),
    )
}
SCORES_OF: dict[Pass, tuple[str, ...]] = {
    "errors": ("overall",),
    "quality": ("quality",),
    "style": ("assertiveness", "complexity"),
}


class RatingError(DataError):
    """A rating that is none of its pass: ``field`` has ``value``, which ``wanted`` ("must be ...") forbids."""

    def __init__(self, rating: Rating, field: str, value: Any, wanted: str) -> None:
        super().__init__(
            f"The rating of {rating.item!r} by {rating.rater!r} has {field} = {value!r}; it {wanted}. "
            "Mend the row, or leave it out."
        )
        self.field, self.value, self.wanted = field, value, wanted


def the_pass(name: str) -> Pass:
    """A pass by its name. Raises ``ConfigError``."""
    if name not in PASSES:
        raise ConfigError(f"There is no pass {name!r}; the passes are {', '.join(PASSES)}.")
    return next(known for known in PASSES if known == name)


def error_type(name: str) -> ErrorType:
    """An error by its name. Raises ``ConfigError``."""
    if name not in ERRORS:
        raise ConfigError(f"There is no error {name!r}; the errors are {', '.join(ERRORS)}.")
    return ERROR_TYPES[ERRORS.index(name)]


def item_name(dataset: str, source: str, model: str, preamble: str) -> str:
    """``Rating.item`` of an output: ``dataset/input/model/preamble``. For people; what is computed on is the meta."""
    return f"{dataset}/{source}/{model}/{preamble}"


def validate(rating: Rating, *, errors: Collection[str] = ERRORS) -> Rating:
    """The rating itself, if it is one of its pass.

    Error flags belong to the pass ``errors`` alone; scores are whole numbers from 1 to 5 on the pass's scales, all of
    them (``overall`` may be absent: experts label errors only; a machine's reply that could not be read has none and
    says why in ``meta["error"]``); known keys of ``meta`` have their types.

    Raises ``DataError`` naming the item, the rater, the field, the value and what it must be.
    """
    if rating.pass_ not in PASSES:
        _refuse(rating, "pass", rating.pass_, f"must be one of {', '.join(PASSES)}")
    _check_errors(rating, errors)
    _check_scores(rating)
    _check_meta(rating)
    return rating


def _check_errors(rating: Rating, errors: Collection[str]) -> None:
    if rating.errors and rating.pass_ != "errors":
        _refuse(rating, "errors", list(rating.errors), f"must be empty on the pass {rating.pass_}")
    for name in rating.errors:
        if name not in errors:
            _refuse(rating, "errors", name, f"must be one of {', '.join(errors)}")
    if len(set(rating.errors)) < len(rating.errors):
        _refuse(rating, "errors", list(rating.errors), "must name each error once")


def _check_scores(rating: Rating) -> None:
    wanted = SCORES_OF[the_pass(rating.pass_)]
    for name, value in rating.scores.items():
        if name not in wanted:
            _refuse(rating, "scores", name, f"must be {' and '.join(wanted)} on the pass {rating.pass_}")
        if value not in SCALES[name].points:
            _refuse(rating, f"scores.{name}", value, "must be a whole number from 1 to 5")
    missing = [name for name in wanted if name not in rating.scores]
    if missing and rating.pass_ != "errors" and not rating.meta.get("error"):
        _refuse(rating, "scores", sorted(rating.scores), f"must have {' and '.join(missing)}")


def _check_meta(rating: Rating) -> None:
    for key, kind in META.items():
        value = rating.meta.get(key)
        if value is not None and type(value) is not kind:
            _refuse(rating, f"meta.{key}", value, f"must be a {kind.__name__}")
    if rating.meta.get("attention") not in (None, "passed", "failed"):
        _refuse(rating, "meta.attention", rating.meta["attention"], "must be 'passed' or 'failed', or absent")


def _refuse(rating: Rating, field: str, value: Any, wanted: str) -> None:
    raise RatingError(rating, field, value, wanted)
