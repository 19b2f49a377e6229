"""The in-context study's scales as values that override the defaults, which are those of ``pocket``."""

from typing import Any

Preset = dict[str, Any]

SMOKE: Preset = {
    "seeds": (0, 1),
    "architectures": ("transformer", "lstm"),
    "dimensions": 5,
    "points": 16,
    "recipe": {"steps": 30, "rows": 8, "rates": (1e-3, 1e-2), "choice": 32},
    "steps": {},
    "width": 16,
    "body": {
        "shape": {"hidden_size": 32, "layers": 2, "intermediate_size": 64},
        "recipe": {"steps": 20, "length": 128, "checkpoint_every": 0},
        "documents": 40,
        "head_width": 32,
    },
    "direct": {"examples": 10, "functions": 4},
    "prompts": 48,
}
"""The whole path, with numbers too small to mean anything."""

DESK: Preset = {
    "classes": ("conjunction", "dnf", "majority", "threshold", "sparse_parity", "nearest_neighbour"),
    "architectures": ("transformer", "lstm", "gru", "dss", "retention", "mamba2", "hyena", "rwkv"),
    "learners": ("null", "averaging", "least_squares", "nearest_neighbour", "three_neighbours"),
    "dimensions": 10,
    "points": 40,
    "recipe": {"steps": 2000},
    "steps": {},
    "body": {"recipe": {"steps": 1000}, "documents": 2000, "classes": ("conjunction", "nearest_neighbour")},
    "direct": {"classes": ("majority", "conjunction", "sparse_parity"), "examples": 30, "functions": 100},
    "prompts": 1280,
}
"""More classes, architectures and steps."""

FULL: Preset = {
    "classes": (
        "conjunction",
        "disjunction",
        "sparse_disjunction",
        "dnf",
        "cnf",
        "majority",
        "threshold",
        "halfspace",
        "parity",
        "sparse_parity",
        "nearest_neighbour",
    ),
    "architectures": ("transformer", "lstm", "gru", "dss", "retention", "mamba2", "hyena"),
    "learners": ("null", "averaging", "least_squares", "nearest_neighbour", "three_neighbours", "trained_network"),
    "dimensions": 0,
    "points": 0,
    "recipe": {
        "steps": 15_000,
        "rows": 64,
        "rates": (3e-5, 1e-4, 3e-4, 1e-3),
        "checkpoint_every": 1000,
    },
    "steps": {},
    "width": 256,
    "layers": 12,
    "heads": 8,
    "state_size": 64,
    "body": {
        "model": "openai-community/gpt2",
        "parameters": 124_000_000,
        "head_width": 256,
        "classes": ("conjunction", "nearest_neighbour"),
    },
    "direct": {
        "model": "CohereLabs/aya-expanse-8b",
        "classes": ("majority", "conjunction", "disjunction", "sparse_parity"),
        "dimensions": 7,
        "examples": 50,
        "functions": 100,
    },
    "together": True,
    "prompts": 1280,
}
"""The paper's prompt sizes, its Transformer (12 layers, 8 heads, width 256) and its 15,000 steps of 64 prompts, on a
GPU. Rates beside its 1e-4 are ours; the language model is one that can be had, the paper's are GPT-4 and others."""
