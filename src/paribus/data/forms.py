"""The forms in which people keep training data, and how a row of each becomes a record.

Field names are TRL's (prompt, completion, messages, chosen, rejected; each text a string or a list of messages), the
Aya data sets' (inputs, targets), or our own records'. Columns that a record has no place for go to ``meta``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Generic, TypeVar

from paribus.errors import ConfigError
from paribus.languages import get
from paribus.records import Completion, Document, Example, PreferencePair, Prompt
from paribus.records.reading import check_id, json_object, validated
from paribus.records.rows import NOTHING, BadRow, Told

R = TypeVar("R", Example, Prompt, PreferencePair, Completion, Document)
Fields = dict[str, Any]
Turn = dict[str, Any]

LANGUAGE_COLUMNS = ("language_code", "language", "lang")
"""Where a row may say its language; the first that is there counts (the Aya data sets' ``language`` is a name)."""


@dataclass(frozen=True)
class Form:
    """A way to keep rows: recognised when all ``needs`` are columns and none of ``lacks`` is.

    ``read`` gives a record's own fields from a row's.
    """

    name: str
    needs: tuple[str, ...]
    read: Callable[[Fields], Fields]
    lacks: tuple[str, ...] = ()

    def fits(self, columns: Collection[str]) -> bool:
        """Whether rows with these columns are of this form."""
        return all(name in columns for name in self.needs) and not any(name in columns for name in self.lacks)

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.needs)})"


@dataclass
class Converter(Generic[R]):
    """Rows of one source to records of one kind.

    form       a form's name; without one, that of the first row whose columns fit exactly one
    language   that of rows that carry none
    languages  rows in others give None instead of a record
    defaults   values of fields that a row has no column for
    refused    what was wrong with the columns, when they fitted no form or several
    """

    kind: type[R]
    language: str | None = None
    languages: Collection[str] | None = None
    form: str | None = None
    defaults: Fields = field(default_factory=dict)
    refused: str = ""
    _form: Form | None = None
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.language = None if self.language is None else get(self.language).code
        self.languages = None if self.languages is None else {get(code).code for code in self.languages}
        if self.form is not None:
            known = {form.name: form for form in FORMS[self.kind]}
            if self.form not in known:
                raise ConfigError(f"form={self.form!r} is not one of {self.kind.__name__} rows: {', '.join(known)}.")
            self._form = known[self.form]

    def __call__(self, name: str, row: Fields) -> R | None:
        """The record of a row; ``name`` is its id where it has none. Raises ``BadRow``."""
        row = {key: value for key, value in row.items() if value is not None}
        form = self._form or self._recognised(row)
        missing = next((column for column in form.needs if column not in row), None)
        if missing is not None:
            raise BadRow(f"field {missing!r}", NOTHING, f"a value, as the form is {form}")
        column, language = self._language(row)
        if self.languages is not None and language not in self.languages:
            return None
        record = validated(self.kind, self._fields(name, row, form, column, language))
        check_id(record, self._seen)
        self._form = form
        return record

    @property
    def recognised(self) -> bool:
        """Whether the form is known by now."""
        return self._form is not None

    def _recognised(self, row: Fields) -> Form:
        fitting = [form for form in FORMS[self.kind] if form.fits(row)]
        if len(fitting) == 1:
            return fitting[0]
        kind, known = self.kind.__name__, "; ".join(map(str, FORMS[self.kind]))
        found = f"several forms ({', '.join(form.name for form in fitting)})" if fitting else "no known form"
        remedy = "pass form= to choose" if fitting else "rename columns, or use the loader of the rows' own kind"
        expected = f"one form of {kind} rows: {known} ({remedy})"
        self.refused = f"the columns {', '.join(row) or '(none)'} are of {found}, expected {expected}"
        raise BadRow(f"columns {', '.join(row) or '(none)'}", Told(found), expected)

    def _language(self, row: Fields) -> tuple[str | None, str]:
        column = next((name for name in LANGUAGE_COLUMNS if name in row), None)
        if column is None:
            if self.language is None:
                raise BadRow("field 'language'", NOTHING, "a language code (pass language= for rows without one)")
            return None, self.language
        code = language_code(row[column])
        if code is None:
            raise BadRow(f"field {column!r}", row[column], "an ISO 639 code of the language registry")
        return column, code

    def _fields(self, name: str, row: Fields, form: Form, column: str | None, language: str) -> Fields:
        own: Fields = {key: row[key] for key in _COPIED if key in row and key in self.kind.model_fields}
        named = {"id": _name(self.kind, row, language) or name, "language": language}
        fields: Fields = {**self.defaults, **named, **own, **form.read(row)}
        if self.kind is PreferencePair:
            fields["prompt_id"] = str(row.get("prompt_id", fields["id"]))
        used = {*form.needs, *fields, column, "meta"}
        rest = {key: value for key, value in row.items() if key not in used}
        fields["meta"] = {**_meta(row), **rest, **fields.get("meta", {})}
        if "question_id" in row:
            fields["meta"]["question_id"] = str(row["question_id"])
        return fields


_COPIED = ("task", "source", "domain", "margin", "finish", "tokens", "score")
"""Columns taken as they are by the records that have such a field."""


def _name(kind: type, row: Fields, language: str) -> str | None:
    """A row's own id. Prompt sets in many languages number their questions: then it is the question in its language."""
    if "id" in row:
        return str(row["id"])
    return f"{row['question_id']}/{language}" if kind is Prompt and "question_id" in row else None


def language_code(code: Any) -> str | None:
    """The registry's code of an ISO 639 code, with or without its script (``en``, ``eng``, ``eng_Latn``), or None."""
    head, _, script = str(code).partition("_")
    try:
        found = get(head)
    except ConfigError:
        return None
    return found.code if script in ("", found.script) else None


def _meta(row: Fields) -> Fields:
    meta = row.get("meta", {})
    meta = json_object("meta", meta) if isinstance(meta, str) else meta
    if not isinstance(meta, dict):
        raise BadRow("field 'meta'", meta, "a JSON object")
    return meta


def turns(name: str, value: Any, role: str) -> list[Turn]:
    """A column as messages: a string is one turn of ``role``. Raises ``BadRow``."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        raise BadRow(f"field {name!r}", value, "a text or a list of messages with role and content")
    return [{key: part for key, part in turn.items() if part is not None} for turn in value]


def _conversation(name: str, messages: list[Turn]) -> list[Turn]:
    if messages[-1].get("role") != "assistant":
        raise BadRow(f"field {name!r}", messages[-1], "an assistant turn at the end")
    return messages


def _question(name: str, messages: list[Turn]) -> list[Turn]:
    if not messages or messages[-1].get("role") != "user":
        raise BadRow(f"field {name!r}", messages[-1] if messages else NOTHING, "a user turn at the end of the prompt")
    return messages


def _example_of(prompt: str, completion: str) -> Callable[[Fields], Fields]:
    def read(row: Fields) -> Fields:
        answer = turns(completion, row[completion], "assistant")
        return {"messages": [*turns(prompt, row[prompt], "user"), *_conversation(completion, answer)]}

    return read


def _prompt_of(prompt: str) -> Callable[[Fields], Fields]:
    return lambda row: {"messages": _question(prompt, turns(prompt, row[prompt], "user"))}


def _example(row: Fields) -> Fields:
    return {"messages": _conversation("messages", turns("messages", row["messages"], "user"))}


def _prompt(row: Fields) -> Fields:
    """A last assistant turn is not part of the prompt; it is kept as ``meta["completion"]``."""
    messages = turns("messages", row["messages"], "user")
    if messages[-1].get("role") != "assistant":
        return {"messages": _question("messages", messages)}
    return {"messages": _question("messages", messages[:-1]), "meta": {"completion": messages[-1].get("content")}}


def _preference(row: Fields) -> Fields:
    """Sides may repeat the prompt (as message lists) or be the answers alone."""
    prompt = turns("prompt", row["prompt"], "user")
    sides = {}
    for name in ("chosen", "rejected"):
        side = turns(name, row[name], "assistant")
        shared = side[: len(prompt)] == prompt
        sides[name] = _only_answer(name, side[len(prompt) :] if shared else side)
    return {"prompt": _question("prompt", prompt), **sides, **_margin(row)}


def _implicit(row: Fields) -> Fields:
    """The prompt is what both sides begin with: whole turns, or whole words where they are strings."""
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, str) and isinstance(rejected, str):
        return {**_split_texts(chosen, rejected), **_margin(row)}
    left, right = turns("chosen", chosen, "assistant"), turns("rejected", rejected, "assistant")
    # The answers themselves may be equal, so the last turn is never part of the prompt.
    common = _common(left[:-1], right[:-1])
    prompt = _question("chosen", left[:common])
    chosen, rejected = _only_answer("chosen", left[common:]), _only_answer("rejected", right[common:])
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **_margin(row)}


def _split_texts(chosen: str, rejected: str) -> Fields:
    shared = chosen[: _common(chosen, rejected)]
    cut = max((place + 1 for place, letter in enumerate(shared) if letter.isspace()), default=0)
    if not shared[:cut].strip():
        raise BadRow("field 'chosen'", chosen, "a text that begins with the same words (the prompt) as 'rejected'")
    return {"prompt": turns("chosen", shared[:cut].strip(), "user"), "chosen": chosen[cut:], "rejected": rejected[cut:]}


def _common(left: Sequence[Any], right: Sequence[Any]) -> int:
    """How many leading items are equal."""
    return len(list(takewhile(lambda both: both[0] == both[1], zip(left, right, strict=False))))


def _only_answer(name: str, side: list[Turn]) -> Any:
    if len(side) != 1 or side[0].get("role") != "assistant" or "content" not in side[0]:
        raise BadRow(f"field {name!r}", side, "one assistant turn after the prompt")
    return side[0]["content"]


def _margin(row: Fields) -> Fields:
    chosen, rejected = row.get("score_chosen"), row.get("score_rejected")
    if "margin" in row or not (isinstance(chosen, int | float) and isinstance(rejected, int | float)):
        return {}
    return {"margin": chosen - rejected}


def _completion(row: Fields) -> Fields:
    return {"prompt_id": str(row["prompt_id"]), "text": row["text"], "model": row["model"]}


_SIDES = ("chosen", "rejected")

FORMS: Mapping[type, tuple[Form, ...]] = {
    Example: (
        Form("messages", ("messages",), _example),
        Form("prompt-completion", ("prompt", "completion"), _example_of("prompt", "completion")),
        Form("inputs-targets", ("inputs", "targets"), _example_of("inputs", "targets")),
    ),
    Prompt: (
        Form("messages", ("messages",), _prompt),
        Form("prompt", ("prompt",), _prompt_of("prompt")),
        Form("inputs", ("inputs",), _prompt_of("inputs")),
    ),
    PreferencePair: (
        Form("preference", ("prompt", *_SIDES), _preference),
        Form("implicit-preference", _SIDES, _implicit, lacks=("prompt",)),
    ),
    Document: (
        Form("text", ("text",), lambda row: {"text": row["text"]}),
        Form("content", ("content",), lambda row: {"text": row["content"]}, lacks=("text",)),
    ),
    Completion: (Form("completion", ("prompt_id", "model", "text"), _completion),),
}
"""What each loader reads; ``implicit-preference`` has the prompt at the beginning of both sides."""
