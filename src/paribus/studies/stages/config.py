"""The base of every stage's config: frozen, unknown fields refused."""

from pydantic import BaseModel, ConfigDict


class StageConfig(BaseModel):
    """Configs enter a stage's identity field by field, so they can neither change nor grow unnoticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
