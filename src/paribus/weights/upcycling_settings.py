"""The settings of an upcycling, checked, and what each expert is made of: the variants of BAM and its baselines.

Legend: N models, E FFN experts. A *blend* is a tuple of model numbers: one number means a copy, several their mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from paribus.errors import ConfigError

Variant = Literal["expert_kv", "shared_kv", "btx", "sparse_upcycling", "dense_average", "dense_continued"]
FfnGates = Literal["raw", "renormalised", "scaled"]
AttentionGates = Literal["raw", "renormalised"]
Blend = tuple[int, ...]

DENSE = ("dense_average", "dense_continued")
ATTENTION_EXPERTS = ("expert_kv", "shared_kv")


@dataclass(frozen=True)
class Part:
    """Part ``number`` of ``of`` equal parts (along the FFN's inner width) of the FFN of a blend of models."""

    models: Blend
    number: int
    of: int


@dataclass(frozen=True)
class Assignment:
    """What is made of which models.

    ``rest``: norms, embeddings, output head. ``attention``: queries and outputs of each attention expert.
    ``keys_values``: keys and values, one for each attention expert or a single one that all share. ``ffn``: the parts
    of each FFN expert, side by side along its inner width.
    """

    rest: Blend
    attention: tuple[Blend, ...]
    keys_values: tuple[Blend, ...]
    ffn: tuple[tuple[Part, ...], ...]


@dataclass(frozen=True)
class UpcycleSettings:
    """As the arguments of ``upcycle``; ``models`` is their number.

    Raises ``ConfigError`` for an unknown variant, a number out of range, or a setting that the variant does not use.
    """

    variant: str
    models: int
    seed_model: int = 0
    ffn_sources: Sequence[int] | None = None
    ffn_top_k: int = 1
    ffn_gate_norm: str = "raw"
    attention_top_k: int | None = None
    attention_gate_norm: str = "raw"
    split: int = 1
    blend: bool = False
    router_std: float = 0.02
    router_seed: int = 0
    load_balance_coefficient: float = 0.01
    router_z_coefficient: float = 0.001

    def __post_init__(self) -> None:
        _check_choice("variant", self.variant, get_args(Variant))
        _check_choice("ffn_gate_norm", self.ffn_gate_norm, get_args(FfnGates))
        _check_choice("attention_gate_norm", self.attention_gate_norm, get_args(AttentionGates))
        self._check_models()
        self._check_foreign()
        self._check_sources()
        self._check_routing()
        for name in ("router_std", "load_balance_coefficient", "router_z_coefficient"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is {value!r}; give a number from 0 on.")

    def used(self) -> dict[str, Any]:
        """The settings with defaults filled in; without the variant and the number of models."""
        kept = {key: value for key, value in asdict(self).items() if key not in ("variant", "models")}
        return kept | {"ffn_sources": list(self.sources()) if self.variant not in DENSE else None}

    def sources(self) -> tuple[int, ...]:
        """The model that each unsplit FFN is copied from."""
        if self.ffn_sources is not None:
            return tuple(self.ffn_sources)
        return (self.seed_model,) * self.models if self.variant == "sparse_upcycling" else tuple(range(self.models))

    def assignment(self) -> Assignment:
        """Who is made of whom."""
        every, seed = tuple(range(self.models)), (self.seed_model,)
        single = tuple((number,) for number in every)
        if self.variant in DENSE:
            whole = every if self.variant == "dense_average" else seed
            return Assignment(whole, (whole,), (whole,), ((Part(whole, 0, 1),),))
        if self.variant == "sparse_upcycling":
            return Assignment(seed, (seed,), (seed,), self._ffn())
        if self.variant == "btx":
            return Assignment(every, (every,), (every,), self._ffn())
        return Assignment(every, single, single if self.variant == "expert_kv" else (every,), self._ffn())

    def _ffn(self) -> tuple[tuple[Part, ...], ...]:
        parts = [[Part((source,), number, self.split) for number in range(self.split)] for source in self.sources()]
        if self.blend:
            return tuple(zip(*parts, strict=True))
        return tuple((part,) for row in parts for part in row)

    def _check_models(self) -> None:
        if self.models < 1:
            raise ConfigError("upcycle got no model; give the dense models, the seed among them.")
        if not 0 <= self.seed_model < self.models:
            raise ConfigError(
                f"seed_model is {self.seed_model}; {self.models} models have the numbers {self._numbers()}."
            )
        if self.models == 1 and self.variant in ATTENTION_EXPERTS:
            raise ConfigError(
                f"{self.variant} makes an attention expert of each model and got one model; give two or more "
                "(dense_continued turns one model into the dense case of the mixture class)."
            )

    def _check_foreign(self) -> None:
        unused: tuple[str, ...] = (
            ("attention_top_k", "attention_gate_norm") if self.variant not in ATTENTION_EXPERTS else ()
        )
        if self.variant in DENSE:
            unused += ("ffn_sources", "ffn_top_k", "ffn_gate_norm", "split", "blend")
        for name in unused:
            if getattr(self, name) != self.__dataclass_fields__[name].default:
                why = "a dense model" if self.variant in DENSE else "one attention"
                raise ConfigError(
                    f"{self.variant} makes {why} and does not use {name} (got {getattr(self, name)!r}); leave it out."
                )

    def _check_sources(self) -> None:
        strangers = [source for source in self.sources() if not 0 <= source < self.models]
        if strangers or not self.sources():
            raise ConfigError(
                f"ffn_sources is {self.ffn_sources!r}; name models by their numbers, {self._numbers()}, one for each "
                "FFN expert."
            )
        if self.variant == "sparse_upcycling" and set(self.sources()) != {self.seed_model}:
            raise ConfigError(
                f"ffn_sources is {self.ffn_sources!r}, but sparse_upcycling copies the seed (model {self.seed_model}) "
                "into every expert; repeat its number, or choose btx."
            )
        if self.split < 1 or (self.blend and self.split < 2):
            raise ConfigError(
                f"split is {self.split} with blend={self.blend}; give the number of parts of each FFN, 1 (whole) or "
                "more, and at least 2 to blend parts of different models into one expert."
            )

    def _check_routing(self) -> None:
        experts = len(self.assignment().ffn)
        if experts == 1 and self.variant not in (*DENSE, *ATTENTION_EXPERTS):
            raise ConfigError(
                f"{self.variant} would have a single FFN expert, which is no mixture; give more models, more "
                "ffn_sources, or split the FFN."
            )
        if not 1 <= self.ffn_top_k <= experts:
            raise ConfigError(f"ffn_top_k is {self.ffn_top_k}; choose from 1 to {experts}, the number of FFN experts.")
        if self.attention_top_k is not None and not 1 <= self.attention_top_k <= self.models:
            raise ConfigError(
                f"attention_top_k is {self.attention_top_k}; choose from 1 to {self.models}, the number of attention "
                "experts, or None for soft routing over all."
            )

    def _numbers(self) -> str:
        return "0" if self.models == 1 else f"0 to {self.models - 1}"


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; use one of {', '.join(choices)}.")
