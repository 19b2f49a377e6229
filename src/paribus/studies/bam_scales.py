"""The BAM study's scales as values that override the defaults, which are those of ``pocket``."""

from typing import Any

Preset = dict[str, Any]

SMOKE: Preset = {
    "seeds": (0,),
    "data": {"languages": ("en", "hi"), "train_documents": 40, "test_documents": 3, "questions": 3, "vocabulary": 384},
    "shape": {"hidden_size": 32, "layers": 2, "heads": 4, "key_value_heads": 2, "intermediate_size": 64},
    "training": {
        "pretrain": {"steps": 20, "rows": 4, "length": 64, "checkpoint_every": 10},
        "specialise": {"steps": 10, "rows": 4, "length": 64, "checkpoint_every": 5},
        "mixture": {"steps": 120, "rows": 1, "length": 64, "checkpoint_every": 60},
    },
}
"""Under a minute and a half: the whole path, with numbers too small to mean anything.

The mixture phase has many short steps: fewer could not meet a budget of compute within 1%.
"""

DESK: Preset = {
    "data": {
        "languages": ("ar", "de", "en", "es", "hi", "ru", "tr", "zh"),
        "vocabulary": 1024,
        "train_documents": 2500,
        "test_documents": 16,
        "questions": 16,
    },
    "shape": {"hidden_size": 128, "layers": 4, "heads": 4, "key_value_heads": 2, "intermediate_size": 352},
    "training": {
        "pretrain": {"steps": 600, "rows": 8},
        "specialise": {"steps": 300, "rows": 8},
        "mixture": {"steps": 150, "rows": 8},
    },
}
"""Eight languages and dense models of a million parameters."""

FULL: Preset = {
    "seeds": (0, 1, 2, 3, 4, 5),
    "data": {
        "languages": ("en",),
        "sources": {
            "general": "allenai/c4",
            "code": "bigcode/starcoderdata",
            "law": "pile-of-law/pile-of-law",
            "math": "EleutherAI/proof-pile-2",
        },
        "tokenizer": "CohereLabs/aya-expanse-8b",
        "vocabulary": 256_000,
        "train_documents": 2_000_000,
        "test_documents": 1000,
        "questions": 0,
    },
    "shape": {
        "hidden_size": 1024,
        "layers": 6,
        "heads": 8,
        "key_value_heads": 8,
        "intermediate_size": 2048,
        "context": 2048,
        "tied": False,
    },
    "training": {
        "pretrain": {"steps": 20_000, "rows": 512, "length": 2048, "learning_rate": 1.2e-4, "checkpoint_every": 500},
        "specialise": {"steps": 5000, "rows": 512, "length": 2048, "learning_rate": 6e-5, "checkpoint_every": 500},
        "mixture": {"steps": 5000, "rows": 512, "length": 2048, "learning_rate": 1.2e-4, "checkpoint_every": 500},
    },
}
"""The paper's small model (1,024 wide, 6 layers, 256 k vocabulary), its learning rates, a twentieth of its tokens.

The paper trains each phase on 100 to 400 billion tokens of data it does not name wholly; these sources are the public
ones it names, and general text that is public. Raise ``steps`` and ``train_documents`` for its budget.
"""
