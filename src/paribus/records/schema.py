"""Prompts, answers, preferences, verdicts, ratings, documents and choice questions as frozen pydantic rows."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

VerdictLabel = Literal["A>>B", "A>B", "A=B", "B>A", "B>>A"]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("text must not be empty")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]


class Record(BaseModel):
    """Base of all records: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), populate_by_name=True)


class Message(Record):
    """One turn of a conversation, as chat templates take it."""

    role: Literal["system", "user", "assistant"]
    content: Text


class Prompt(Record):
    """A conversation that waits for an answer."""

    id: Text
    language: Text
    messages: tuple[Message, ...] = Field(min_length=1)
    task: str = ""
    meta: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """What the last user turn says."""
        return next(turn.content for turn in reversed(self.messages) if turn.role == "user")


class Example(Record):
    """A conversation that ends with the assistant turn to be learned."""

    id: Text
    language: Text
    messages: tuple[Message, ...] = Field(min_length=2)
    task: str = ""
    source: str = ""
    meta: dict[str, Any] = {}

    @property
    def answer(self) -> str:
        """The last turn."""
        return self.messages[-1].content


class Completion(Record):
    """A model's answer. ``text`` may be empty: a model can say nothing. ``score`` is an arbiter's, higher is better."""

    id: Text
    prompt_id: Text
    language: Text
    model: Text
    text: str
    finish: Literal["stop", "length", "refused", "error"] = "stop"
    tokens: int | None = None
    score: float | None = None
    meta: dict[str, Any] = {}


class PreferencePair(Record):
    """Two answers to one prompt, the first preferred by ``margin`` (arbiter units; None = not known)."""

    id: Text
    prompt_id: Text
    language: Text
    prompt: tuple[Message, ...] = Field(min_length=1)
    chosen: str
    rejected: str
    margin: float | None = None
    source: str = ""
    meta: dict[str, Any] = {}


class Critique(Record):
    """What a critic wrote about a completion, with its verdict per aspect.

    ``meta`` keeps where it came from (template, sampling, tokens), and ``error`` where the critic gave no answer.
    """

    prompt_id: Text
    completion_id: Text
    critic: Text
    aspects: dict[str, Any] = {}
    text: str
    meta: dict[str, Any] = {}


class Verdict(Record):
    """One game. ``a`` and ``b`` are model names; ``order="ba"`` showed b's answer first; ``label`` speaks of a and b.

    ``label`` is None when the judge's reply could not be parsed; ``raw`` keeps the reply.
    """

    prompt_id: Text
    language: Text
    a: Text
    b: Text
    judge: Text
    order: Literal["ab", "ba"]
    label: VerdictLabel | None
    raw: str = ""
    meta: dict[str, Any] = {}


class Rating(Record):
    """A rater's judgement of one item: binary error flags and scores. The pass number is spelt ``pass`` in files."""

    item: Text
    rater: Text
    pass_: str = Field(alias="pass")
    errors: tuple[str, ...] = ()
    scores: dict[str, float] = {}
    meta: dict[str, Any] = {}


class Document(Record):
    """A text that a language model learns or is measured on, of one domain (a kind of text) and one language."""

    id: Text
    domain: Text
    language: Text
    text: Text
    meta: dict[str, Any] = {}


class ChoiceQuestion(Record):
    """Which of ``choices`` goes on from ``prompt``; ``answer`` is the place of the right one, from 0.

    Prompt and choice are joined as they are, so spaces between them belong to one of the two. ``cluster`` names what is
    not independent, such as one question in several languages.
    """

    id: Text
    domain: Text
    language: Text
    prompt: Text
    choices: tuple[Text, ...] = Field(min_length=2)
    answer: int = Field(ge=0)
    cluster: Text
    meta: dict[str, Any] = {}

    @field_validator("choices")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("choices must be distinct")
        return value

    @field_validator("answer")
    @classmethod
    def _among_choices(cls, value: int, info: ValidationInfo) -> int:
        count = len(info.data.get("choices", ()))
        if count and value >= count:
            raise ValueError(f"answer must be below the number of choices, {count}")
        return value


@cache
def required_fields(kind: type[BaseModel]) -> frozenset[str]:
    """Names, as files spell them, of the fields without a default."""
    return frozenset(info.alias or name for name, info in kind.model_fields.items() if info.is_required())
