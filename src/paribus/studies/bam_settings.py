"""Settings of the BAM study at four scales. What the paper does not give is a setting with a stated default."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from paribus.lab import Settings
from paribus.studies.bam_scales import DESK, FULL, SMOKE
from paribus.studies.settings import Part
from paribus.studies.stages.models import Recipe, Shape

ArmName = Literal[
    "dense_average",
    "dense_average_trained",
    "dense_continued",
    "dense_long",
    "sparse_upcycling",
    "btx_untrained",
    "btx",
    "btx_active",
    "btx_top2",
    "btx_frozen",
    "expert_kv",
    "expert_kv_cm",
    "expert_kv_cm_body",
    "expert_kv_top2",
    "expert_kv_frozen",
    "shared_kv",
    "shared_kv_cm",
    "shared_kv_cm_body",
    "shared_kv_attend2",
    "shared_kv_attend1",
]
"""The arms beside the seed and the dense experts, which are always there."""

ALL_ARMS: tuple[ArmName, ...] = ArmName.__args__  # type: ignore[attr-defined]


class Data(Part):
    """The general domain, the experts' domains, and how much text of each.

    ``sources`` says where each domain's text comes from (a file, a directory or a hub id with a text column); empty =
    the embedded world's four domains, which differ in structure. ``languages``, ``questions`` and ``vocabulary`` belong
    to the world; ``tokenizer`` names one that exists (empty = trained here, on all domains alike).
    ``train_documents``, ``test_documents`` and ``questions`` are per domain and language.
    """

    languages: tuple[str, ...] = ("en", "es", "hi", "ru")
    general: str = "general"
    experts: tuple[str, ...] = ("code", "law", "math")
    sources: dict[str, str] = Field(default_factory=dict)
    tokenizer: str = ""
    vocabulary: int = 512
    train_documents: int = 1500
    test_documents: int = 12
    questions: int = 12

    @property
    def domains(self) -> tuple[str, ...]:
        """General first, then the experts' domains."""
        return (self.general, *self.experts)


class Training(Part):
    """Recipes of the three phases.

    ``specialise`` peaks at half of ``pretrain``'s learning rate and ``mixture`` at the same, as the paper does for its
    small model; ``general_share`` is the share of general text in an expert's data. ``router_learning_rate`` and
    ``router_weight_decay``: of the routers alone (None = as everything else).
    """

    pretrain: Recipe = Recipe(steps=400, rows=4, length=256, learning_rate=3e-3, weight_decay=0.1, checkpoint_every=200)
    specialise: Recipe = Recipe(
        steps=200, rows=4, length=256, learning_rate=1.5e-3, weight_decay=0.1, checkpoint_every=200
    )
    mixture: Recipe = Recipe(steps=150, rows=4, length=256, learning_rate=3e-3, weight_decay=0.1, checkpoint_every=200)
    general_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    router_learning_rate: float | None = None
    router_weight_decay: float | None = None


class Mixing(Part):
    """How dense models become one mixture. The paper gives neither loss weight, nor the routers' start.

    ``top_k`` FFN experts a token, gates as they come out of the softmax (``raw``); ``active_copies`` more FFN experts
    copied from the seed and ``active_top_k`` make BTX as large and as costly as BAM.
    """

    top_k: int = Field(default=1, ge=1)
    gate_norm: Literal["raw", "renormalised", "scaled"] = "raw"
    router_std: float = Field(default=0.02, ge=0.0)
    load_balance_coefficient: float = Field(default=0.01, ge=0.0)
    router_z_coefficient: float = Field(default=0.001, ge=0.0)
    active_copies: int = Field(default=2, ge=0)
    active_top_k: int = Field(default=3, ge=1)


class Bam(Settings):
    """Settings of the study. ``seeds`` cover everything that is trained here: seed model, experts and mixtures.

    ``arms``: which arms are run beside the seed model and the dense experts. ``seed_model``: a dense model that exists
    and takes the place of the one pre-trained here (its shape is then ``shape``, which prices the run).
    ``equivalence``: bits per byte within which two arms count as equal.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"smoke": SMOKE, "pocket": {}, "desk": DESK, "full": FULL}

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    corpus_seed: int = 0
    data: Data = Data()
    shape: Shape = Shape(hidden_size=96, layers=3, heads=4, key_value_heads=2, intermediate_size=256)
    seed_model: str = ""
    training: Training = Training()
    mixing: Mixing = Mixing()
    arms: tuple[ArmName, ...] = ALL_ARMS
    equivalence: float = Field(default=0.02, gt=0.0)
