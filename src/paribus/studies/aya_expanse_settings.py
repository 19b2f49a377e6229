"""Settings of the Aya Expanse study at four scales. What the paper does not give is a setting with a stated default."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from paribus.lab import Settings
from paribus.languages import CLUSTERS
from paribus.studies.aya_expanse_scales import DESK, FULL, SMOKE
from paribus.studies.settings import Part
from paribus.studies.stages.arbitrage import ArbiterConfig
from paribus.studies.stages.evaluation import JudgeConfig
from paribus.studies.stages.models import Recipe, Shape

Router = Literal["single", "random", "fixed", "learned", "reward"]
Method = Literal["linear", "slerp", "ties", "dare_ties"]
PreferenceArm = Literal["best_of_n", "offline", "online", "offline_online", "recipe", "rloo", "offline_translationese"]
WORLD = "world"
"""Prompts drawn from the embedded world, whose right answers are known."""


class Data(Part):
    """Which languages and tasks, and how many prompts of each kind, per language.

    ``prompts`` and ``tests`` say where training and test prompts come from: the embedded world, or a file, a directory
    or a hub id of prompts (``paribus.data.sources``). Only the world knows right answers; elsewhere models are compared
    by win rate. ``tasks``, ``numbers``, ``per_cell`` and ``vocabulary`` belong to the world.
    """

    languages: tuple[str, ...] = ("ar", "de", "en", "es", "fr", "hi", "id", "ru", "tr", "zh")
    bridge: tuple[str, ...] = ("en", "es", "fr")
    prompts: str = WORLD
    tests: str = WORLD
    tasks: tuple[str, ...] = ("ca", "cu", "nw", "so", "tr", "wn")
    numbers: int = 300
    per_cell: int | None = 400
    vocabulary: int = 2048
    train_prompts: int = 500
    dev_prompts: int = 40
    rater_prompts: int = 120
    round_prompts: int = 80
    test_prompts: int = 100
    recall_prompts: int = 40
    max_tokens: int = 32


class Models(Part):
    """The base, and what everything starts from. ``base`` names a model that exists; empty = pre-train ``shape`` here.

    ``teachers`` (name to model) and ``reward`` replace the teachers and the arbiter trained here; ``registry`` says
    which languages a teacher may answer in (one that is not listed: all). ``parameters`` of each are for pricing only.
    """

    shape: Shape = Shape(hidden_size=128, layers=4, heads=4, key_value_heads=2, intermediate_size=352)
    base: str = ""
    base_parameters: int = 0
    teachers: dict[str, str] = Field(default_factory=dict)
    teacher_parameters: int = 0
    registry: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    reward: str = ""
    reward_parameters: int = 0


class Training(Part):
    """Recipes. Learning rates and sizes at full scale are not in the paper; they are settings with stated defaults.

    ``snapshots``: models kept along the second half of the long joint run and averaged (0 = that arm is left out).
    """

    pretrain: Recipe = Recipe(
        steps=500, rows=16, length=128, learning_rate=3e-3, optimizer="muon", checkpoint_every=100
    )
    teacher: Recipe = Recipe(steps=200, rows=16, length=128, learning_rate=2e-3, optimizer="muon", checkpoint_every=100)
    student: Recipe = Recipe(steps=150, rows=16, length=128, learning_rate=1e-3, optimizer="muon", checkpoint_every=100)
    cluster: Recipe = Recipe(steps=100, rows=16, length=128, learning_rate=1e-3, optimizer="muon", checkpoint_every=100)
    snapshots: int = 4
    reward: Recipe = Recipe(steps=150, rows=32, length=48, learning_rate=1e-3, checkpoint_every=100)
    reward_noise: float = 0.1


class Preferences(Part):
    """Preference training. The paper gives neither beta, samples a prompt, nor pairs a round."""

    offline: Recipe = Recipe(steps=120, rows=16, length=48, learning_rate=1e-4, checkpoint_every=60)
    round: Recipe = Recipe(steps=40, rows=16, length=48, learning_rate=1e-4, checkpoint_every=60)
    best_of_n: Recipe = Recipe(steps=40, rows=16, length=128, learning_rate=3e-4, checkpoint_every=60)
    reinforce: Recipe = Recipe(steps=40, rows=8, length=48, learning_rate=1e-4, checkpoint_every=60)
    reference: Literal["previous", "start"] = "previous"
    beta: float = 0.1
    beta_growth: float = 1.0
    label_smoothing: float = 0.0
    rounds: int = Field(default=3, ge=1, le=9)
    samples: int = 6
    temperature: float = 1.0
    kl_coefficient: float = 0.05
    watched_prompts: int = 200


class AyaExpanse(Settings):
    """Settings of the study. ``seeds`` are post-training seeds; the base is trained once, from ``base_seed``.

    ``search_rounds``: passes of the search for merge weights on development prompts (0 = that arm is left out).
    ``true_arbiter``: whether one arm is routed by an arbiter that makes no mistake, to show what the mistakes cost.
    ``control``: whether models that share no ancestor are merged too. ``measure``: what contrasts compare.
    """

    seeds: tuple[int, ...] = (0, 1)
    base_seed: int = 0
    data: Data = Data()
    models: Models = Models()
    training: Training = Training()
    preferences: Preferences = Preferences()
    routers: tuple[Router, ...] = ("single", "random", "fixed", "learned", "reward")
    true_arbiter: bool = True
    methods: tuple[Method, ...] = ("linear", "slerp", "ties", "dare_ties")
    search_rounds: int = 0
    preference_arms: tuple[PreferenceArm, ...] = ("best_of_n", "offline", "online", "offline_online", "recipe")
    control: bool = True
    arbiter: ArbiterConfig = ArbiterConfig()
    judge: JudgeConfig = JudgeConfig()
    measure: Literal["exact_match", "win_rate"] = "exact_match"

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"smoke": SMOKE, "pocket": {}, "desk": DESK, "full": FULL}


def clusters(settings: AyaExpanse) -> dict[str, tuple[str, ...]]:
    """Cluster to its languages here, bridge languages included; a cluster with none of its own is left out."""
    own = {
        name: tuple(code for code in members if code in settings.data.languages and code not in settings.data.bridge)
        for name, members in CLUSTERS.items()
    }
    bridge = tuple(code for code in settings.data.bridge if code in settings.data.languages)
    return {name: tuple(sorted({*members, *bridge})) for name, members in own.items() if members}
