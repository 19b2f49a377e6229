"""What the settings of all studies have in common."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
