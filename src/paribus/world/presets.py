"""Ready-made worlds for the scales of a study: smoke (seconds), pocket (minutes on two cores), desk (all of it)."""

from __future__ import annotations

from paribus.errors import ConfigError
from paribus.languages import AYA_23
from paribus.world.world import ALL_TASKS, WorldConfig

SMOKE_LANGUAGES: tuple[str, ...] = ("en", "es", "hi")
SMOKE_TASKS: tuple[str, ...] = ("nw", "wn", "ca")

#: Ten languages in five scripts (Latin, Cyrillic, Arabic, Devanagari, Han), with one or two of each cluster beside the
#: shared en, es, fr: de; ru; ar and tr; hi and id; zh.
POCKET_LANGUAGES: tuple[str, ...] = ("ar", "de", "en", "es", "fr", "hi", "id", "ru", "tr", "zh")

#: The families a one-million-parameter model learns in minutes; nd and ds are only ever memorised, ad comes late.
POCKET_TASKS: tuple[str, ...] = ("ca", "cu", "nw", "so", "tr", "wn")


def preset(scale: str, *, seed: int = 0) -> WorldConfig:
    """Return the world of a scale ("smoke", "pocket" or "desk"); ConfigError for another name."""
    if scale == "smoke":
        return WorldConfig(languages=SMOKE_LANGUAGES, tasks=SMOKE_TASKS, seed=seed, numbers=60, max_items_per_cell=120)
    if scale == "pocket":
        return WorldConfig(languages=POCKET_LANGUAGES, tasks=POCKET_TASKS, seed=seed)
    if scale == "desk":
        return WorldConfig(languages=AYA_23, tasks=ALL_TASKS, seed=seed, numbers=1000, max_items_per_cell=1000)
    raise ConfigError(f"Unknown world scale {scale!r}; use smoke, pocket or desk.")
