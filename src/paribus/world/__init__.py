"""The embedded multilingual world: facts, native-language templates, task families, a checker and its planted errors.

What lives here: facts from CLDR (through Babel) and ICU's spell-out, the instruction templates of 23 languages
(``phrases/*.json``), the nine task families, their splits, ``check`` (the gold verdict on a text) and ``corrupt`` (bad
answers whose error is known); ``domains`` writes text of four structures with the same words. A world is a pure
function of its config: same config, same bytes. What may not: models, tokenizers, training, anything that reads the
network, and any randomness that does not come from the config's seed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paribus.world.checker import Check, check
    from paribus.world.corruptions import CORRUPTIONS, corrupt
    from paribus.world.presets import POCKET_LANGUAGES, POCKET_TASKS, preset
    from paribus.world.world import ALL_TASKS, SPLITS, Item, World, WorldConfig

__all__ = [
    "ALL_TASKS",
    "CORRUPTIONS",
    "POCKET_LANGUAGES",
    "POCKET_TASKS",
    "SPLITS",
    "Check",
    "Item",
    "World",
    "WorldConfig",
    "check",
    "corrupt",
    "preset",
]

_HOMES = {
    "check": "checker",
    "Check": "checker",
    "CORRUPTIONS": "corruptions",
    "corrupt": "corruptions",
    "POCKET_LANGUAGES": "presets",
    "POCKET_TASKS": "presets",
    "preset": "presets",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'world')}"), name)
