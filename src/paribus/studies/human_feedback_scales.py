"""The human-feedback study's scales as values that override the defaults, which are those of ``pocket``."""

from typing import Any

Preset = dict[str, Any]

_SHORT = {"steps": 12, "rows": 4, "checkpoint_every": 6}

SMOKE: Preset = {
    "seeds": (0, 1),
    "inputs": {"languages": ("de", "en"), "inputs": 15, "tests": 6, "candidates": 8, "corpus": 120},
    "base": {"recipe": _SHORT, "vocabulary": 600},
    "optimisation": {"pairs": 100, "recipe": _SHORT, "sizes": (1, 2, 8)},
    "rounds": {"count": 1, "prompts": 4, "samples": 2, "max_tokens": 16, "recipe": {"steps": 4, "rows": 2}},
}
"""The whole path, with numbers too small to mean anything."""

DESK: Preset = {
    "seeds": (0, 1, 2, 3, 4, 5),
    "inputs": {
        "languages": ("ar", "de", "en", "es", "hi", "ru", "tr", "zh"),
        "parts": 3,
        "inputs": 200,
        "tests": 80,
        "corpus": 20_000,
    },
    "base": {
        "shape": {"hidden_size": 128, "layers": 4, "heads": 4, "key_value_heads": 4, "intermediate_size": 352},
        "recipe": {"steps": 2000, "rows": 32},
        "vocabulary": 3072,
    },
    "optimisation": {"pairs": 8000, "recipe": {"steps": 1200, "rows": 32}},
    "rounds": {"count": 3, "prompts": 400, "recipe": {"steps": 200, "rows": 16}},
}
"""Eight languages, three parts a request, twice as many inputs, a larger base: hours on two cores."""

_SERVED = "http://localhost:8000/v1"
_LONG = {"rows": 64, "length": 1024, "checkpoint_every": 100, "activation_checkpointing": True}

FULL: Preset = {
    "inputs": {"languages": ("de", "en", "es", "fr", "hi", "ja", "ru", "tr", "zh"), "parts": 3, "inputs": 100},
    "systems": (
        {"name": "meta-llama/Llama-2-13b-chat-hf", "endpoint": _SERVED},
        {"name": "CohereLabs/c4ai-command-r-v01", "endpoint": _SERVED},
        {"name": "tiiuae/falcon-40b-instruct", "endpoint": _SERVED},
    ),
    "machine": {"kind": "endpoint", "endpoint": _SERVED, "model": "Qwen/Qwen3-32B"},
    "base": {"model": "CohereLabs/aya-23-8B", "parameters": 8_028_033_024},
    "optimisation": {
        "pairs": 4500,
        "most_tokens": 1024,
        "recipe": {"steps": 400, "learning_rate": 5e-6, **_LONG},
    },
    "rounds": {"by": ("machine", "truth"), "max_tokens": 256, "recipe": {"steps": 40, "learning_rate": 5e-6, **_LONG}},
}
"""Served systems answer checkable requests, a served judge rates them, the checker is the expert; files of people's
ratings come by ``ratings`` and ``experts``. The paper's Command models of 6B and 52B are not served to the public;
Command R stands where they stood."""
