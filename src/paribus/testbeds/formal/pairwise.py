"""Two bit strings compared: equality and disjointness, with negatives that differ from a positive in one place."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from paribus.testbeds.formal.task import Batch, FormalTask, last_label

if TYPE_CHECKING:
    import torch

CLS = 2  # the token after both strings, where the answer is read


class PairwiseTask(FormalTask):
    """``x_1 .. x_N y_1 .. y_N CLS`` over the tokens 0, 1 and ``CLS`` = 2; the label at CLS is 1 = yes, 0 = no.

    Attributes:
        bits: N, the length of each string.
    """

    size_field: ClassVar[str] = "bits"

    bits: int = Field(default=8, ge=1)

    @property
    def vocab_size(self) -> int:
        return 3

    @property
    def outputs(self) -> int:
        return 2

    @property
    def tokens(self) -> int:
        return 2 * self.bits + 1

    @property
    def chance(self) -> float:
        return 0.5

    @abstractmethod
    def _positives(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Both strings (B, N) of ``count`` pairs whose answer is yes."""

    @abstractmethod
    def _violation(self, x_B1: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """What to put at one place of both strings, where x has ``x_B1``, so that the answer becomes no."""

    def _draw(self, count: int, generator: torch.Generator) -> Batch:
        import torch

        x_BN, y_BN = self._positives(count, generator)
        labels_B = torch.randint(2, (count,), generator=generator)
        place_B1 = torch.randint(self.bits, (count, 1), generator=generator)
        x_B1, y_B1 = x_BN.gather(1, place_B1), y_BN.gather(1, place_B1)
        wrong_x_B1, wrong_y_B1 = self._violation(x_B1, generator)
        yes_B1 = labels_B[:, None] == 1
        x_BN = x_BN.scatter(1, place_B1, torch.where(yes_B1, x_B1, wrong_x_B1))
        y_BN = y_BN.scatter(1, place_B1, torch.where(yes_B1, y_B1, wrong_y_B1))
        input_ids_BT = torch.cat([x_BN, y_BN, x_BN.new_full((count, 1), CLS)], dim=1)
        return {"input_ids": input_ids_BT, "labels": last_label(labels_B, self.tokens)}


class Equality(PairwiseTask):
    """Is x = y? x is uniform; with probability 1/2 y = x, otherwise they differ in exactly one uniform place.

    (Of uniform pairs only 2^-N would be equal.) Bhattamishra et al. 2024, string equality.
    """

    task: Literal["equality"] = "equality"

    def _positives(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        x_BN = torch.randint(2, (count, self.bits), generator=generator)
        return x_BN, x_BN

    def _violation(self, x_B1: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return x_B1, 1 - x_B1


class Disjointness(PairwiseTask):
    """Is there no place where both have a 1? With probability 1/2 no, by exactly one planted common place.

    Everywhere else (x_i, y_i) is uniform over 00, 01 and 10, the hard distribution for disjointness. Bhattamishra et
    al. 2024, disjointness.
    """

    task: Literal["disjointness"] = "disjointness"

    def _positives(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        state_BN = torch.randint(3, (count, self.bits), generator=generator)
        return (state_BN == 1).long(), (state_BN == 2).long()

    def _violation(self, x_B1: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        return torch.ones_like(x_B1), torch.ones_like(x_B1)
