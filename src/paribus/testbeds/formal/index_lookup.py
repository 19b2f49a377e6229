"""Index lookup: read symbols, then a position, and say which symbol stood there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from paribus.errors import ConfigError
from paribus.testbeds.formal.task import Batch, FormalTask, last_label

if TYPE_CHECKING:
    import torch


class IndexLookup(FormalTask):
    """``s_1 .. s_N p`` with target ``s_p`` at the last position (Bhattamishra et al. 2024, index lookup).

    Symbols are uniform and independent, p is uniform over 1..N. Token ids: symbol ``s`` is ``s`` (0..symbols-1), and
    position ``p`` (counted from 0) is ``symbols + p``.

    Attributes:
        length: N, symbols before the index.
        symbols: size of the alphabet.
        max_length: positions that have a token. None = ``length``; larger for a model that is to be asked at greater
            lengths, since its vocabulary cannot grow.
    """

    task: Literal["index-lookup"] = "index-lookup"
    length: int = Field(default=20, ge=1)
    symbols: int = Field(default=16, ge=2)
    max_length: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _positions_exist(self) -> Self:
        if self.max_length is not None and self.length > self.max_length:
            raise ConfigError(
                f"length {self.length} needs index tokens that a vocabulary of max_length {self.max_length} positions "
                "lacks; make the task with a larger max_length"
            )
        return self

    @property
    def positions(self) -> int:
        """Index tokens in the vocabulary."""
        return self.max_length or self.length

    @property
    def vocab_size(self) -> int:
        return self.symbols + self.positions

    @property
    def outputs(self) -> int:
        return self.symbols

    @property
    def tokens(self) -> int:
        return self.length + 1

    @property
    def chance(self) -> float:
        return 1.0 / self.symbols

    def _vocabulary(self) -> dict[str, Any]:
        return {"max_length": self.positions}

    def _draw(self, count: int, generator: torch.Generator) -> Batch:
        import torch

        symbols_BN = torch.randint(self.symbols, (count, self.length), generator=generator)
        index_B1 = torch.randint(self.length, (count, 1), generator=generator)
        input_ids_BT = torch.cat([symbols_BN, self.symbols + index_B1], dim=1)
        return {"input_ids": input_ids_BT, "labels": last_label(symbols_BN.gather(1, index_B1)[:, 0], self.tokens)}
