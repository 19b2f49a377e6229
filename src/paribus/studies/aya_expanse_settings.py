"""Settings of the Aya Expanse study at four scales. What the paper does not give is a setting with a stated default."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from paribus.lab import Settings
from paribus.languages import AYA_23, CLUSTERS
from paribus.studies.stages.arbitrage import ArbiterConfig
from paribus.studies.stages.evaluation import JudgeConfig
from paribus.studies.stages.models import Recipe, Shape

Router = Literal["single", "random", "fixed", "learned", "reward"]
Method = Literal["linear", "slerp", "ties", "dare_ties"]


class Part(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Data(Part):
    """Which languages and tasks, and how many prompts of each kind, per language."""

    languages: tuple[str, ...] = ("ar", "de", "en", "es", "fr", "hi", "id", "ru", "tr", "zh")
    bridge: tuple[str, ...] = ("en", "es", "fr")
    tasks: tuple[str, ...] = ("ca", "cu", "nw", "so", "tr", "wn")
    numbers: int = 300
    per_cell: int | None = 400
    vocabulary: int = 2048
    train_prompts: int = 300
    dev_prompts: int = 40
    rater_prompts: int = 120
    round_prompts: int = 80
    test_prompts: int = 60
    max_tokens: int = 32


class Models(Part):
    """The base, and what everything starts from. ``base`` names a hub model; empty = pre-train ``shape`` here.

    ``teachers`` (name to hub model) and ``reward`` replace the teachers and the arbiter trained here.
    """

    shape: Shape = Shape(hidden_size=128, layers=4, heads=4, key_value_heads=2, intermediate_size=352)
    base: str = ""
    base_parameters: int = 0
    teachers: dict[str, str] = {}
    reward: str = ""
    reward_parameters: int = 0


class Training(Part):
    """Recipes. Learning rates and sizes at full scale are not in the paper; they are settings with stated defaults."""

    pretrain: Recipe = Recipe(
        steps=700, rows=16, length=128, learning_rate=3e-3, optimizer="muon", checkpoint_every=100
    )
    teacher: Recipe = Recipe(steps=200, rows=16, length=128, learning_rate=2e-3, optimizer="muon", checkpoint_every=100)
    student: Recipe = Recipe(steps=100, rows=16, length=128, learning_rate=1e-3, optimizer="muon", checkpoint_every=100)
    cluster: Recipe = Recipe(steps=60, rows=16, length=128, learning_rate=1e-3, optimizer="muon", checkpoint_every=100)
    reward: Recipe = Recipe(steps=150, rows=32, length=48, learning_rate=1e-3, checkpoint_every=100)
    reward_noise: float = 0.1


class Preferences(Part):
    """Preference training. The paper gives neither beta, samples a prompt, nor pairs a round."""

    offline: Recipe = Recipe(steps=60, rows=16, length=48, learning_rate=2e-4, checkpoint_every=60)
    round: Recipe = Recipe(steps=20, rows=16, length=48, learning_rate=2e-4, checkpoint_every=60)
    best_of_n: Recipe = Recipe(steps=30, rows=16, length=128, learning_rate=3e-4, checkpoint_every=60)
    reinforce: Recipe = Recipe(steps=20, rows=8, length=48, learning_rate=1e-4, checkpoint_every=60)
    beta: float = 0.1
    beta_growth: float = 1.0
    rounds: int = 3
    samples: int = 6
    temperature: float = 1.0
    kl_coefficient: float = 0.05
    translationese: bool = False


class AyaExpanse(Settings):
    """Settings of the study. ``seeds`` are post-training seeds; the base is trained once, from ``base_seed``."""

    seeds: tuple[int, ...] = (0, 1)
    base_seed: int = 0
    data: Data = Data()
    models: Models = Models()
    training: Training = Training()
    preferences: Preferences = Preferences()
    routers: tuple[Router, ...] = ("single", "random", "fixed", "learned", "reward")
    methods: tuple[Method, ...] = ("linear", "slerp", "ties", "dare_ties")
    preference_arms: tuple[str, ...] = ("best_of_n", "offline", "online", "offline_online")
    control: bool = True
    arbiter: ArbiterConfig = ArbiterConfig()
    judge: JudgeConfig = JudgeConfig()
    measure: Literal["exact_match", "win_rate"] = "exact_match"

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "smoke": {
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
                "max_tokens": 12,
            },
            "models": {
                "shape": {"hidden_size": 64, "layers": 2, "heads": 4, "key_value_heads": 2, "intermediate_size": 128}
            },
            "training": {
                "pretrain": {"steps": 60, "rows": 8, "length": 64, "learning_rate": 3e-3, "checkpoint_every": 10},
                "teacher": {"steps": 10, "rows": 8, "length": 64, "learning_rate": 2e-3},
                "student": {"steps": 6, "rows": 8, "length": 64, "learning_rate": 1e-3},
                "cluster": {"steps": 3, "rows": 8, "length": 64, "learning_rate": 1e-3},
                "reward": {"steps": 10, "rows": 8, "length": 48, "learning_rate": 1e-3},
            },
            "preferences": {
                "offline": {"steps": 4, "rows": 4, "length": 48, "learning_rate": 2e-4},
                "round": {"steps": 2, "rows": 4, "length": 48, "learning_rate": 2e-4},
                "best_of_n": {"steps": 2, "rows": 4, "length": 64, "learning_rate": 3e-4},
                "rounds": 2,
                "samples": 3,
            },
            "methods": ("linear", "ties"),
        },
        "pocket": {},
        "desk": {
            "seeds": (0, 1, 2, 3, 4, 5),
            "data": {
                "languages": AYA_23,
                "tasks": ("ad", "ca", "cu", "ds", "nd", "nw", "so", "tr", "wn"),
                "vocabulary": 4096,
                "per_cell": 600,
                "numbers": 1000,
            },
            "models": {
                "shape": {"hidden_size": 192, "layers": 6, "heads": 6, "key_value_heads": 2, "intermediate_size": 512}
            },
            "training": {
                "pretrain": {"steps": 3000, "rows": 32, "length": 128, "learning_rate": 2e-3, "optimizer": "muon"},
            },
            "preference_arms": ("best_of_n", "offline", "online", "offline_online", "rloo"),
        },
        "full": {},
    }


def clusters(settings: AyaExpanse) -> dict[str, tuple[str, ...]]:
    """Cluster to its languages of this study, bridge languages included; clusters with none of their own are left out."""
    own = {
        name: tuple(code for code in members if code in settings.data.languages and code not in settings.data.bridge)
        for name, members in CLUSTERS.items()
    }
    bridge = tuple(code for code in settings.data.bridge if code in settings.data.languages)
    return {name: tuple(sorted({*members, *bridge})) for name, members in own.items() if members}
