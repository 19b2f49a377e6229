"""``Settings``: what a user may turn in a study, with presets per scale and ``--set a.b=c`` on top."""

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from paribus.errors import ConfigError
from paribus.lab.stages import near

_S = TypeVar("_S", bound=BaseModel)


class Settings(BaseModel):
    """Base of every study's settings. Subclasses add fields with defaults and ``presets``: scale to overriding values.

    A preset may be nested as the fields are, or use dotted keys: ``{"smoke": {"sft": {"steps": 5}, "world.seed": 1}}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    scale: str = "pocket"

    @classmethod
    def at(cls, scale: str, overrides: Sequence[str] = ()) -> Self:
        """The settings of a scale, with ``a.b=c`` texts applied. Raises ``ConfigError`` naming the nearest field."""
        if scale not in cls.presets:
            raise ConfigError(f"There is no scale {scale!r} in {cls.__name__}.{near(scale, cls.presets)}")
        data: dict[str, Any] = {}
        for key, value in cls.presets[scale].items():
            _put(cls, data, key, value)
        for text in overrides:
            _apply(cls, data, text)
        return _validated(cls, {**data, "scale": scale})

    def overrides(self) -> list[str]:
        """What differs from the scale's preset, as ``a.b=c`` texts: ``at(scale, overrides)`` gives these settings."""
        changes = _changes(type(self).at(self.scale), self, "")
        return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in changes]


def _changes(old: BaseModel, new: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted fields with another value, in order; a nested model of another class counts as one value."""
    dumped = new.model_dump(mode="json")
    for name in type(new).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if isinstance(after, BaseModel) and type(before) is type(after):
            yield from _changes(before, after, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", dumped[name]


def _apply(model: type[BaseModel], data: dict[str, Any], text: str) -> None:
    key, separator, raw = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"The override {text!r} is not of the form field=value, such as sft.steps=100.")
    annotation = _annotation(model, key.strip())
    _put(model, data, key.strip(), _parse(annotation, raw.strip(), key.strip()))


def _put(model: type[BaseModel], data: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; dictionaries for nested models are merged, everything else is replaced."""
    _annotation(model, key)
    owner: type[BaseModel] | None = model
    *parts, last = key.split(".")
    for part in parts:
        data = _branch(owner, data, part)
        owner = _field_model(owner, part)
    nested = _field_model(owner, last)
    if nested is not None and isinstance(value, Mapping):
        branch = _branch(owner, data, last)
        for name, item in value.items():
            _put(nested, branch, name, item)
    else:
        data[last] = value


def _branch(owner: type[BaseModel] | None, data: dict[str, Any], name: str) -> dict[str, Any]:
    """The dictionary under ``name``, begun from the field's default: changing one value must not reset the others."""
    value = data.get(name)
    if name not in data and owner is not None:
        value = owner.model_fields[name].get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = {field: getattr(value, field) for field in type(value).model_fields}
    data[name] = dict(value) if isinstance(value, Mapping) else {}
    branch: dict[str, Any] = data[name]
    return branch


def _field_model(owner: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    return None if owner is None else _model_of(owner.model_fields[name].annotation)


def _annotation(model: type[BaseModel], key: str) -> Any:
    """Type of a dotted field. Below a dictionary or a union of models, anything goes; validation has the last word."""
    current: Any = model
    walked: list[str] = []
    for part in key.split("."):
        owner = _model_of(current)
        if owner is None:
            if current is Any or get_origin(current) is dict or len(_models(current)) > 1:
                return Any
            raise ConfigError(
                f"{'.'.join(walked)} is a plain value and has no field {part!r}; set {'.'.join(walked)}=..."
            )
        if part not in owner.model_fields or part == "scale":
            names = [".".join([*walked, name]) for name in owner.model_fields if name != "scale"]
            raise ConfigError(f"There is no setting {key!r}.{near('.'.join([*walked, part]), names)}")
        walked.append(part)
        current = owner.model_fields[part].annotation
    return current


def _models(annotation: Any) -> list[type[BaseModel]]:
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]


def _model_of(annotation: Any) -> type[BaseModel] | None:
    found = _models(annotation)
    return found[0] if len(found) == 1 else None


def _parse(annotation: Any, raw: str, key: str) -> Any:
    """A command-line value as the field's type: JSON, else the plain text, else a comma-separated list."""
    parts = [part.strip() for part in raw.split(",")]
    # The plain parts come last: an item may be called "null" or "true".
    candidates: list[Any] = [raw, [_json(part) for part in parts], parts]
    value = _json(raw)
    if value is not raw:
        candidates.insert(0, value)
    errors: list[ValidationError] = []
    for candidate in candidates:
        try:
            TypeAdapter(annotation).validate_python(candidate)
        except ValidationError as error:
            errors.append(error)
        else:
            return candidate
    # The reading that fits furthest is what was meant: of a list with one wrong item, the item is told.
    nearest = max(errors, key=lambda error: max(len(row["loc"]) for row in error.errors(include_url=False)))
    raise ConfigError(f"{key}={raw} cannot be used: {_problem(nearest)}.") from nearest


def _json(raw: str) -> Any:
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        return raw


def _validated(model: type[_S], data: dict[str, Any]) -> _S:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"The settings of {model.__name__} cannot be used: {_problem(error)}.") from error


def _problem(error: ValidationError) -> str:
    rows = [(".".join(map(str, row["loc"])), row["msg"], row["input"]) for row in error.errors(include_url=False)]
    return "; ".join(f"{f'{where}: ' if where else ''}{message} (got {value!r})" for where, message, value in rows[:3])
