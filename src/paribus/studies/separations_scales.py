"""The separations study's scales as values that override the defaults, which are those of ``pocket``."""

from typing import Any

Preset = dict[str, Any]

_SHORT = {"steps": 30, "rows": 16, "rates": (1e-3, 1e-2), "choice": 64}

SMOKE: Preset = {
    "seeds": (0, 1),
    "architectures": ("tf1", "tf2", "lstm", "retention"),
    "problems": {
        "lookup": {"task": {"length": 6}, "recipe": _SHORT},
        "lookup_long": {"task": {"length": 10}, "recipe": _SHORT},
        "dyck": {"task": {"length": 12}, "sizes": (24,), "recipe": _SHORT},
        "recall": {"sizes": (24,), "recipe": _SHORT},
        "equality": {"task": {"bits": 4}},
        "disjointness": {"task": {"bits": 4}},
    },
    "width": 16,
    "widths": {"architectures": ("tf1", "lstm"), "widths": (8,)},
    "theory": {"sizes": (16,), "samples": 200},
    "sequences": 64,
}
"""The whole path, with numbers too small to mean anything."""

_LONGER = {"steps": 2000, "rates": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), "checkpoint_every": 500}

DESK: Preset = {
    "architectures": ("tf1", "tf2", "lstm", "gru", "dss", "retention", "mamba2", "hyena", "rwkv"),
    "problems": {
        "lookup": {"recipe": _LONGER},
        "lookup_long": {"task": {"length": 50}, "recipe": _LONGER},
        "dyck": {"task": {"length": 100, "depth": 10}, "sizes": (50, 200, 400), "recipe": {**_LONGER, "rows": 64}},
        "recall": {
            "task": {"length": 32, "pairs": 8, "vocabulary": 64},
            "sizes": (48, 64),
            "recipe": _LONGER,
        },
    },
    "widths": {"architectures": ("tf1", "lstm", "dss", "retention", "mamba2"), "widths": (8, 16, 32, 128)},
    "theory": {"sizes": (16, 64, 256, 1024)},
    "sequences": 1024,
}
"""All architectures, longer inputs, more steps: hours on two cores."""

_PAPER = {"steps": 100_000, "rows": 64, "rates": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "checkpoint_every": 2000}

FULL: Preset = {
    "seeds": (0, 1, 2, 3, 4),
    "architectures": ("tf1", "tf2", "lstm", "dss", "retention", "mamba2"),
    "trained": ("lookup", "lookup_long", "dyck", "recall", "equality", "disjointness"),
    "problems": {
        "lookup": {"task": {"length": 50}, "recipe": _PAPER},
        "lookup_long": {"task": {"length": 400}, "recipe": _PAPER},
        "dyck": {"task": {"length": 400, "depth": 10}, "sizes": (200, 800), "recipe": _PAPER},
        "recall": {
            "task": {"length": 256, "pairs": 16, "vocabulary": 8192, "power": 0.01, "filler": "random"},
            "sizes": (512,),
            "recipe": _PAPER,
        },
        "equality": {"task": {"bits": 100}, "recipe": _PAPER},
        "disjointness": {"task": {"bits": 100}, "recipe": _PAPER},
    },
    "match": "width",
    "widths": {"architectures": ("tf1", "lstm", "dss", "retention", "mamba2"), "widths": (32, 128, 256, 512, 1024)},
    "theory": {"sizes": (16, 64, 256, 1024, 4096), "samples": 10_000},
    "together": True,
    "sequences": 2048,
}
"""The paper's lengths and widths (figures 2 and 3), on a GPU. Its steps, depths and learning rates are not known to us:
these are settings of ours."""
