"""The reward-critiques study's scales as values that override the defaults, which are those of ``pocket``."""

from typing import Any

Preset = dict[str, Any]

_SHORT = {"steps": 12, "rows": 4, "checkpoint_every": 6}

SMOKE: Preset = {
    "seeds": (0, 1),
    "data": {
        "graded": {
            "languages": ("de", "en"),
            "corpus": 120,
            "pairs": 48,
            "tests": 16,
            "judged": 8,
            "candidates": 4,
        },
        "vocabulary": 600,
    },
    "bases": {"weak_recipe": _SHORT, "strong_recipe": _SHORT, "tuned_recipe": _SHORT},
    "sizes": (8, 16, 32),
    "size": 16,
    "critics": {
        "random": {"accuracy": 0.5},
        "good": {"accuracy": 0.9},
        "perfect": {"accuracy": 1.0},
        "trained": {"kind": "trained"},
    },
    "rungs": ("random", "good", "perfect"),
    "crossed": ("random", "good"),
    "reader": _SHORT,
    "trained_critic": _SHORT,
    "judge": _SHORT,
    "judge_pairs": 16,
    "most_tokens": 320,
    "critique_tokens": 24,
    "edited": 6,
}
"""The whole path, with numbers too small to mean anything."""

DESK: Preset = {
    "seeds": (0, 1, 2, 3, 4, 5),
    "data": {
        "graded": {
            "languages": ("ar", "de", "en", "es", "hi", "ru", "tr", "zh"),
            "parts": 3,
            "corpus": 20_000,
            "pairs": 8192,
            "tests": 800,
        },
        "vocabulary": 3072,
    },
    "bases": {
        "strong": {"hidden_size": 128, "layers": 4, "heads": 4, "key_value_heads": 4, "intermediate_size": 352},
        "strong_recipe": {"steps": 2000, "rows": 32},
    },
    "sizes": (40, 160, 640, 2560, 8192),
    "reader": {"steps": 800, "rows": 32},
}
"""Eight languages, three parts a request, a larger base: hours on two cores."""

_ENDPOINT = {"kind": "endpoint", "endpoint": "http://localhost:8000/v1"}
_LONG = {"rows": 64, "length": 2048, "optimizer": "adamw", "checkpoint_every": 100, "activation_checkpointing": True}

FULL: Preset = {
    "data": {
        "pairs": "argilla/ultrafeedback-binarized-preferences-cleaned",
        "tests": "allenai/reward-bench",
        "tests_form": "rewardbench",
    },
    "bases": {
        "models": {
            "weak": "meta-llama/Llama-2-7b-hf",
            "strong": "CohereLabs/aya-23-8B",
            "tuned": "CohereLabs/c4ai-command-r-v01",
        },
        "parameters": {"weak": 6_738_415_616, "strong": 8_028_033_024, "tuned": 34_980_831_232},
    },
    "sizes": (1000, 5000, 20_000, 40_000),
    "size": 5000,
    "critics": {
        "small": {**_ENDPOINT, "model": "meta-llama/Llama-2-7b-chat-hf"},
        "middle": {**_ENDPOINT, "model": "mistralai/Mixtral-8x7B-Instruct-v0.1"},
        "large": {**_ENDPOINT, "model": "Qwen/Qwen3-32B"},
    },
    "critic": "large",
    "rungs": ("small", "middle", "large"),
    "crossed": ("small", "middle", "large"),
    "controls": ("shuffled", "filler", "swapped", "critique_only", "answer_only"),
    "reader": {"steps": 700, "learning_rate": 5e-6, **_LONG},
    "judge": {"steps": 400, "learning_rate": 5e-6, **_LONG},
    "judge_pairs": 5000,
    "most_tokens": 2048,
    "critique_tokens": 512,
}
"""Hub bases, served critics, RewardBench. The paper's training pairs, their numbers and its recipe are not known to us:
sources, sizes and rates are settings of ours."""
