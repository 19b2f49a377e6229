"""Multi-query associative recall: read key-value pairs, then say each key's value when the key comes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from paribus.errors import ConfigError
from paribus.testbeds.formal.distinct import distinct
from paribus.testbeds.formal.task import IGNORED, Batch, FormalTask

if TYPE_CHECKING:
    import torch


class AssociativeRecall(FormalTask):
    """``k_1 v_1 .. k_P v_P`` and then, in any order, every key once more, whose value is the label there.

    The semantics of Zoology's generator (Arora et al. 2023, section 4 and its released code): the vocabulary is split
    in halves, keys are distinct ids of 1..V/2-1, values distinct ids of V/2..V-1. After the context there are
    ``(length - 2 * pairs) / 2`` slots of two positions; key i stands at the first position of its slot. Slots are drawn
    one key after another without replacement, slot g (from 1) with weight ``g ** (power - 1)``. Everything else is
    filler, which may by accident repeat a key and is never scored.

    Attributes:
        length: T, even, at least ``4 * pairs``.
        pairs: P, key-value pairs, each queried once.
        vocabulary: V, even; at least P keys (V/2 - 1) are needed. The papers use 8192.
        power: exponent of the slots' power law, 1 = uniform; the published 0.01 puts most queries near the context.
        filler: "random" ids from the whole vocabulary, or "zero" (id 0, which is no key).
    """

    size_field: ClassVar[str] = "length"

    task: Literal["associative-recall"] = "associative-recall"
    length: int = Field(default=64, ge=4, multiple_of=2)
    pairs: int = Field(default=4, ge=1)
    vocabulary: int = Field(default=8192, ge=4, multiple_of=2)
    power: float = Field(default=0.01, gt=0)
    filler: Literal["random", "zero"] = "random"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.length < 4 * self.pairs:
            raise ConfigError(
                f"{self.pairs} pairs and their queries need a length of at least {4 * self.pairs}, not {self.length}; "
                "lengthen the task or take fewer pairs"
            )
        if self.keys < self.pairs:
            raise ConfigError(
                f"a vocabulary of {self.vocabulary} has {self.keys} keys, fewer than {self.pairs} pairs; "
                f"take a vocabulary of at least {2 * self.pairs + 2}"
            )
        return self

    @property
    def keys(self) -> int:
        """Ids that can be keys: 1..keys."""
        return self.vocabulary // 2 - 1

    @property
    def values(self) -> int:
        """Ids that can be values: the last ``values`` of the vocabulary."""
        return self.vocabulary // 2

    @property
    def slots(self) -> int:
        """Places where a query can stand: positions ``2 * pairs + 2 * slot``."""
        return self.length // 2 - self.pairs

    @property
    def vocab_size(self) -> int:
        return self.vocabulary

    @property
    def outputs(self) -> int:
        return self.vocabulary

    @property
    def tokens(self) -> int:
        return self.length

    @property
    def chance(self) -> float:
        """One over the number of values. Naming any value of the context, whatever the key, scores ``1 / pairs``."""
        return 1.0 / self.values

    def _draw(self, count: int, generator: torch.Generator) -> Batch:
        import torch

        keys_BP = 1 + distinct(count, self.pairs, self.keys, generator)
        values_BP = self.vocabulary // 2 + distinct(count, self.pairs, self.values, generator)
        queries_BP = 2 * (self.pairs + self._slots(count, generator))
        input_ids_BT = self._filler(count, generator)
        input_ids_BT[:, 0 : 2 * self.pairs : 2] = keys_BP
        input_ids_BT[:, 1 : 2 * self.pairs : 2] = values_BP
        input_ids_BT.scatter_(1, queries_BP, keys_BP)
        labels_BT = torch.full_like(input_ids_BT, IGNORED).scatter_(1, queries_BP, values_BP)
        return {"input_ids": input_ids_BT, "labels": labels_BT}

    def _slots(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Slots (B, P) drawn one after another without replacement by their weights.

        An exponential race: each slot rings at a time that is exponential with its weight as rate, and the first P to
        ring, in their order, have the law of successive draws without replacement.
        """
        import numpy as np
        import torch

        rates_S = torch.arange(1, self.slots + 1, dtype=torch.float32) ** (self.power - 1)
        # Logarithms of uniform draws are three times as fast as exponential_, and numpy's sort ten times as topk.
        times_BS = torch.rand(count, self.slots, generator=generator).log_().neg_().div_(rates_S)
        return torch.from_numpy(np.argsort(times_BS.numpy(), axis=1)[:, : self.pairs])

    def _filler(self, count: int, generator: torch.Generator) -> torch.Tensor:
        import torch

        if self.filler == "zero":
            return torch.zeros(count, self.length, dtype=torch.int64)
        return torch.randint(self.vocabulary, (count, self.length), generator=generator)
