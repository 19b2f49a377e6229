"""What makes two stage calls the same: a canonical form of configurations, and addresses made from it.

Only meaning enters an identity. Fields left at their default are dropped, so a new field with a default leaves every
old address alone; where and how a stage runs (device, threads, paths) has no place in a configuration at all. Values
whose text would change from one process to the next (callables, objects with a default ``repr``) are refused by field
name.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from paribus.errors import ConfigError
from paribus.lab.redact import looks_secret

TYPE_TAG = "$type"
"""Key that carries the class name of a nested model, so that two members of a union never share an identity."""

ADDRESS_DIGITS = 12
_SECRET_FIELD = re.compile(
    r"(^|_)(api_?key|secret|password|passwd|authorization|access_token|auth_token)$", re.IGNORECASE
)


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, UTF-8. ``value`` must be plain JSON data already."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of plain data."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def encode_config(config: BaseModel | None, *, owner: str, defaults: bool = False) -> dict[str, Any]:
    """A configuration as plain JSON data; with ``defaults=False`` only the fields that differ from their default.

    ``owner`` names the stage in error messages. Raises ``ConfigError`` for a value that has no stable text.
    """
    if config is None:
        return {}
    return _encode_model(config, owner, defaults)


def _encode_model(model: BaseModel, where: str, defaults: bool) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        path = f"{where}.{name}"
        _refuse_secret_name(name, path)
        value = _encode(getattr(model, name), path, defaults)
        if defaults or not _is_default(value, field, path):
            encoded[name] = value
    for name, extra in (model.__pydantic_extra__ or {}).items():
        encoded[name] = _encode(extra, f"{where}.{name}", defaults)
    return encoded


def _is_default(encoded: Any, field: FieldInfo, path: str) -> bool:
    if field.default_factory_takes_validated_data:
        return False
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return False
    # Compared as text: Python holds True and 1 for equal.
    return canonical_json(encoded) == canonical_json(_encode(default, path, False))


def _encode(value: Any, path: str, defaults: bool) -> Any:
    if value is None or (isinstance(value, (bool, str)) and not isinstance(value, Enum)):
        return _checked_text(value, path)
    if isinstance(value, Enum):
        return {TYPE_TAG: type(value).__name__, "value": _encode(value.value, path, defaults)}
    if isinstance(value, (int, float)):
        return _encode_number(value, path)
    if isinstance(value, BaseModel):
        return {TYPE_TAG: type(value).__name__, **_encode_model(value, path, defaults)}
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{path}[{i}]", defaults) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(k, path): _encode(v, f"{path}.{k}", defaults) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((_encode(item, path, defaults) for item in value), key=canonical_json)
    raise _unstable(value, path)


def _encode_number(value: int | float, path: str) -> int | float:
    if isinstance(value, int):
        return int(value)
    if not math.isfinite(value):
        raise ConfigError(f"{path} is {value}, which has no JSON form; use None to say 'no limit' or 'unknown'.")
    # 1 given where a float is declared may or may not have been converted: both mean the same.
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(value)


def _checked_text(value: Any, path: str) -> Any:
    if isinstance(value, str) and looks_secret(value):
        raise ConfigError(
            f"{path} holds what looks like a key or token; configurations are stored in the clear. "
            "Put the secret into an environment variable and name the variable instead."
        )
    return value


def _key(key: Any, path: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, (str, int)) and not isinstance(key, bool):
        return str(key)
    raise ConfigError(f"{path} has the key {key!r} of type {type(key).__name__}; use text or whole numbers as keys.")


def _refuse_secret_name(name: str, path: str) -> None:
    if _SECRET_FIELD.search(name):
        raise ConfigError(
            f"{path} is named like a secret, and configurations are stored in the clear; "
            "let the stage read an environment variable and put the variable's name into the configuration."
        )


def _unstable(value: Any, path: str) -> ConfigError:
    kind = type(value).__name__
    if isinstance(value, (SecretStr, SecretBytes)):
        return ConfigError(f"{path} is a {kind}; secrets may not enter a configuration, name an environment variable.")
    if isinstance(value, PurePath):
        return ConfigError(
            f"{path} is a file path ({value}): a path names a place, not its content, so it cannot identify a result. "
            "Hand the file over with `paribus.lab.file_input(path)` as a stage input, or use plain text for a hub id."
        )
    if callable(value):
        return ConfigError(
            f"{path} is a callable ({getattr(value, '__qualname__', kind)}), whose text does not say what it does; "
            "name the behaviour with a string or a small configuration model instead."
        )
    return ConfigError(
        f"{path} is a {kind}, which has no stable text form; use numbers, text, lists, dictionaries or pydantic models."
    )


def identity(
    stage: str, version: str, config: dict[str, Any], inputs: dict[str, Any], seed: int | None
) -> dict[str, Any]:
    """The complete identity of a stage call as plain data; ``inputs`` holds the parents' digests by input name."""
    return {"stage": stage, "version": version, "config": config, "inputs": inputs, "seed": seed}


def address_of(stage: str, full_digest: str) -> str:
    """Readable name plus a short id, as in ``train_base-3f9a0c21b7de``."""
    return f"{stage}-{full_digest[:ADDRESS_DIGITS]}"


def flatten(data: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as dotted leaves; lists stay whole. ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    if not isinstance(data, dict) or not data:
        return {prefix: data}
    leaves: dict[str, Any] = {}
    for key, value in data.items():
        leaves.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return leaves


def field_differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted field to (old, new) for each leaf that differs; ``MISSING`` where one side has no such leaf."""
    before, after = (flatten(side) if side else {} for side in (old, new))
    keys = dict.fromkeys([*before, *after])
    pairs = {key: (before.get(key, MISSING), after.get(key, MISSING)) for key in keys}
    return {key: pair for key, pair in pairs.items() if _comparable(pair[0]) != _comparable(pair[1])}


def _comparable(value: Any) -> str | None:
    return None if value is MISSING else canonical_json(value)


class _Missing:
    """Stands for 'no such field' in a difference (``None`` is a value of its own)."""

    def __repr__(self) -> str:
        return "(absent)"


MISSING = _Missing()
