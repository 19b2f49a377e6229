"""What the settings of all studies have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from paribus.errors import ConfigError


class Part(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def check_distinct(named: Mapping[str, Sequence[Any]], *, may_be_empty: bool = False) -> None:
    """Raise ``ConfigError`` for a setting that names something twice, or (unless it may) nothing."""
    for name, values in named.items():
        if len(set(values)) < len(values) or not (values or may_be_empty):
            words = "must name each once" if may_be_empty else "must name at least one, each once"
            raise ConfigError(f"{name}={values} {words}.")
