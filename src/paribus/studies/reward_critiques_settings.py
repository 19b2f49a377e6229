"""Settings of the reward-critiques study: pairs, bases, critics, sizes, recipes."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from paribus.lab import Settings
from paribus.studies.reward_critiques_scales import DESK, FULL, SMOKE
from paribus.studies.settings import Part
from paribus.studies.stages.critiques import CriticConfig
from paribus.studies.stages.graded import WORLD, Graded, TestsForm
from paribus.studies.stages.models import Recipe, Shape

Control = Literal["shuffled", "filler", "swapped", "critique_only", "answer_only", "oracle"]
BaseName = Literal["weak", "strong", "tuned"]


class Data(Part):
    """Where preference pairs come from.

    ``pairs`` and ``tests``: the embedded world, or a file, a directory or a hub id of pairs; ``tests_form``: of tests
    from elsewhere. Only the world knows which answer is right and why; elsewhere best-of-n, counterfactual edits, the
    planted cue and the rules critic are left out. ``graded`` belongs to the world; ``test_pairs`` caps pairs from
    elsewhere (0 = all).
    """

    pairs: str = WORLD
    tests: str = WORLD
    tests_form: TestsForm = "pairs"
    graded: Graded = Graded()
    vocabulary: int = 1536
    test_pairs: int = 0


class Bases(Part):
    """What reward models start from: a small model trained briefly, a larger one trained longer, and that one after
    preference training on other pairs. ``models`` (name to directory or hub id) replaces those trained here;
    ``parameters`` (by name) price them."""

    weak: Shape = Shape(hidden_size=48, layers=1, heads=4, key_value_heads=4, intermediate_size=96, context=512)
    strong: Shape = Shape(hidden_size=64, layers=2, heads=4, key_value_heads=4, intermediate_size=160, context=512)
    weak_recipe: Recipe = Recipe(steps=100, rows=10, length=288, learning_rate=3e-3, optimizer="muon")
    strong_recipe: Recipe = Recipe(
        steps=400, rows=10, length=288, learning_rate=3e-3, optimizer="muon", checkpoint_every=100
    )
    tuned_recipe: Recipe = Recipe(steps=150, rows=16, length=128, learning_rate=3e-4, checkpoint_every=75)
    tuned_beta: float = 0.1
    models: dict[BaseName, str] = Field(default_factory=dict)
    parameters: dict[BaseName, int] = Field(default_factory=dict)


_RULES: dict[str, CriticConfig] = {
    "random": CriticConfig(accuracy=0.5),
    "poor": CriticConfig(accuracy=0.6),
    "fair": CriticConfig(accuracy=0.75),
    "good": CriticConfig(accuracy=0.9),
    "perfect": CriticConfig(accuracy=1.0),
    "trained": CriticConfig(kind="trained"),
}


class RewardCritiques(Settings):
    """Settings of the study.

    ``seeds`` cover which pairs are drawn, their order and the reward head; bases and critiques are made once, from
    ``base_seed``. ``sizes``: nested numbers of training pairs; ``size``: the one at which critics, controls and
    bases are compared. ``critic``: the good critic of most arms. ``rungs``: critics from worst to best, those that
    are compared with each other; ``crossed``: those that are crossed with every base. ``reader``: how a reward
    model is trained, whatever the number of pairs. ``judge``: how a generative judge is trained, on ``judge_pairs``
    in both orders (0 = left out). ``most_tokens``: of a reward model's input; longer ones lose the head of the
    prompt, then the middle of the answer. ``edited``: test answers whose critiques are edited, claim by claim.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"smoke": SMOKE, "pocket": {}, "desk": DESK, "full": FULL}

    seeds: tuple[int, ...] = (0, 1, 2)
    base_seed: int = 0
    data: Data = Data()
    bases: Bases = Bases()
    sizes: tuple[int, ...] = (40, 160, 640, 1600)
    size: int = 640
    critics: dict[str, CriticConfig] = Field(default_factory=lambda: dict(_RULES))
    critic: str = "good"
    rungs: tuple[str, ...] = ("random", "poor", "fair", "good", "perfect")
    crossed: tuple[str, ...] = ("poor", "fair", "good")
    controls: tuple[Control, ...] = ("shuffled", "filler", "swapped", "critique_only", "answer_only", "oracle")
    reader: Recipe = Recipe(steps=100, rows=16, length=160, learning_rate=3e-3, optimizer="muon", checkpoint_every=50)
    trained_critic: Recipe = Recipe(
        steps=150, rows=10, length=288, learning_rate=2e-3, optimizer="muon", checkpoint_every=50
    )
    judge: Recipe = Recipe(steps=100, rows=16, length=512, learning_rate=3e-3, optimizer="muon", checkpoint_every=50)
    judge_pairs: int = 800
    most_tokens: int = Field(default=256, gt=0)
    critique_tokens: int = Field(default=80, gt=0)
    edited: int = Field(default=60, gt=0)
