"""The Aya Expanse study's scales as values that override the defaults, which are those of ``pocket``."""

from typing import Any

from paribus.languages import AYA_23

Preset = dict[str, Any]

SMOKE: Preset = {
    "data": {
        "languages": ("en", "es", "hi", "ru"),
        "bridge": ("en", "es"),
        "tasks": ("ca", "nw", "wn"),
        "numbers": 60,
        "per_cell": 120,
        "vocabulary": 512,
        "train_prompts": 24,
        "dev_prompts": 6,
        "rater_prompts": 16,
        "round_prompts": 8,
        "test_prompts": 8,
        "recall_prompts": 8,
        "max_tokens": 12,
    },
    "models": {"shape": {"hidden_size": 64, "layers": 2, "heads": 4, "key_value_heads": 2, "intermediate_size": 128}},
    "training": {
        "pretrain": {"steps": 60, "rows": 2, "length": 256, "checkpoint_every": 10},
        "teacher": {"steps": 10, "rows": 2, "length": 256, "checkpoint_every": 5},
        "student": {"steps": 6, "rows": 2, "length": 256, "checkpoint_every": 3},
        "cluster": {"steps": 3, "rows": 2, "length": 256, "checkpoint_every": 2},
        "snapshots": 2,
        "reward": {"steps": 10, "rows": 8, "checkpoint_every": 5},
    },
    "preferences": {
        "offline": {"steps": 4, "rows": 4, "checkpoint_every": 2},
        "round": {"steps": 2, "rows": 4, "checkpoint_every": 1},
        "best_of_n": {"steps": 2, "rows": 2, "checkpoint_every": 1},
        "rounds": 2,
        "samples": 3,
    },
    "methods": ("linear", "ties"),
    "arbiter": {"kind": "reward"},
}
"""Under a minute and a half: the whole path, with numbers too small to mean anything."""

DESK: Preset = {
    "seeds": (0, 1, 2, 3, 4, 5),
    "data": {
        "languages": AYA_23,
        "tasks": ("ad", "ca", "cu", "ds", "nd", "nw", "so", "tr", "wn"),
        "vocabulary": 4096,
        "per_cell": 600,
        "numbers": 1000,
    },
    "models": {"shape": {"hidden_size": 192, "layers": 6, "heads": 6, "key_value_heads": 2, "intermediate_size": 512}},
    "training": {"pretrain": {"steps": 3000, "rows": 32, "learning_rate": 2e-3}},
    "search_rounds": 1,
    "preference_arms": (
        "best_of_n",
        "offline",
        "offline_translationese",
        "online",
        "offline_online",
        "recipe",
        "rloo",
    ),
}
"""All 23 languages, all task families, six seeds, every arm: a few hours on two cores."""

_SUPERVISED = {"rows": 64, "length": 2048, "learning_rate": 1e-4, "optimizer": "adamw", "lora_rank": 64}
_PREFERENCE = {"rows": 32, "length": 2048, "learning_rate": 5e-6, "lora_rank": 64, "activation_checkpointing": True}

# Models and prompt sets are named, not prescribed: the paper did not publish its teachers, arbiter, sizes or rates.
FULL: Preset = {
    "seeds": (0, 1, 2),
    "data": {
        "languages": AYA_23,
        "prompts": "CohereLabs/aya_dataset",
        "tests": "CohereLabs/m-ArenaHard",
        "train_prompts": 400,
        "dev_prompts": 50,
        "rater_prompts": 0,
        "round_prompts": 100,
        "test_prompts": 500,
        "max_tokens": 1024,
    },
    "models": {
        "base": "CohereLabs/aya-23-8B",
        "base_parameters": 8_028_033_024,
        "teachers": {
            "aya-expanse-32b": "CohereLabs/aya-expanse-32b",
            "gemma-3-12b": "google/gemma-3-12b-it",
            "qwen3-8b": "Qwen/Qwen3-8B",
        },
        "teacher_parameters": 32_296_476_672,
        "reward": "Skywork/Skywork-Reward-V2-Llama-3.1-8B",
        "reward_parameters": 7_504_924_672,
    },
    "training": {
        "student": {"steps": 400, **_SUPERVISED, "checkpoint_every": 100},
        "cluster": {"steps": 240, **_SUPERVISED, "checkpoint_every": 80},
        "snapshots": 0,
    },
    "preferences": {
        "offline": {"steps": 300, **_PREFERENCE, "checkpoint_every": 100},
        "round": {"steps": 100, **_PREFERENCE, "checkpoint_every": 50},
        "best_of_n": {"steps": 100, **_SUPERVISED, "checkpoint_every": 50},
        "reinforce": {"steps": 100, **_PREFERENCE, "checkpoint_every": 50},
        "samples": 8,
    },
    "preference_arms": ("best_of_n", "offline", "online", "offline_online", "recipe", "rloo"),
    "control": False,
    "true_arbiter": False,
    "arbiter": {"kind": "reward"},
    "judge": {
        "kind": "endpoint",
        "endpoint": "http://localhost:8000/v1",
        "endpoint_model": "Qwen/Qwen3-32B",
        "max_tokens": 2048,
    },
    "measure": "win_rate",
}
"""Hub models, hub prompts, a served judge: needs GPUs and a network."""
