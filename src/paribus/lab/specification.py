"""What a worker is told about a stage: plain JSON under the stage's address, never a pickled graph."""

from typing import Any

from paribus.errors import ConfigError
from paribus.lab.redact import redact
from paribus.lab.stages import Handle


def specification(handle: Handle) -> dict[str, Any]:
    """Import path, config, input addresses, seed and identity. Raises ``ConfigError`` if no worker can import it."""
    reference = handle.stage.reference
    if "<locals>" in reference:
        raise ConfigError(
            f"Stage {handle.stage.name!r} is defined inside a function ({reference}), where no worker can import it; "
            "define it at the top level of a module."
        )
    return {
        "address": handle.address,
        "function": reference,
        "config": None if handle.config is None else handle.config.model_dump(mode="json"),
        "inputs": handle.parent_addresses(),
        "parent_digests": handle.identity["inputs"],
        "seed": handle.seed,
        "label": handle.label,
        "planned": handle.planned.model_dump(),
        "hints": {key: redact(value) for key, value in handle.hints.items()},
    }
