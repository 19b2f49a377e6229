"""Nearest neighbour: read labelled points, then say the label of the point closest to a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from paribus.errors import ConfigError
from paribus.testbeds.formal.task import Batch, FormalTask, last_label

if TYPE_CHECKING:
    import torch

_ROUNDS = 1000  # redraws after which ambiguous prompts count as unavoidable


class NearestNeighbour(FormalTask):
    """``x_1 y_1 .. x_M y_M x_q`` with the label of the nearest x_i at the last position (1 for +1, 0 for -1).

    Points and query are uniform and independent, with unit length: on the cube {-1, 1}^d / sqrt(d) or on the sphere.
    Labels are fair coins. A vector has ``d + 1`` coordinates: a point fills the first d, a label's +1 or -1 stands in
    the last, the rest is 0. Near means a large inner product (Bhattamishra et al. 2024, nearest neighbour).

    On the cube a third of the queries or more has nearest points of both labels, so the tie rule is part of the task:

    - "redrawn": prompts are drawn until every point of the other label is farther by more than 0 and at least
      ``margin`` in inner product. Distinct inner products on the cube differ by 2 / d or more.
    - "earliest": the label of the earliest of the nearest points counts.

    Attributes:
        points: M. dimension: d. space: "cube" or "sphere". ties, margin: see above; a margin needs "redrawn".
    """

    size_field: ClassVar[str] = "points"

    task: Literal["nearest-neighbour"] = "nearest-neighbour"
    points: int = Field(default=16, ge=1)
    dimension: int = Field(default=8, ge=1)
    space: Literal["cube", "sphere"] = "cube"
    ties: Literal["redrawn", "earliest"] = "redrawn"
    margin: float = Field(default=0.0, ge=0.0, le=2.0)

    @model_validator(mode="after")
    def _margin_needs_redrawing(self) -> Self:
        if self.margin and self.ties == "earliest":
            raise ConfigError(f"margin {self.margin} is kept by redrawing; take ties=redrawn or margin=0")
        return self

    @property
    def vocab_size(self) -> int:
        return 0

    @property
    def input_size(self) -> int:
        return self.dimension + 1

    @property
    def outputs(self) -> int:
        return 2

    @property
    def tokens(self) -> int:
        return 2 * self.points + 1

    @property
    def chance(self) -> float:
        return 0.5

    def _draw(self, count: int, generator: torch.Generator) -> Batch:
        """Raises ``ConfigError`` where the margin is met so rarely that redrawing does not end."""
        import torch

        points_BPd, labels_BM = self._prompts(count, generator)
        if self.ties == "redrawn":
            self._redraw(points_BPd, labels_BM, generator)
        nearest_B1 = _similarities(points_BPd).argmax(dim=1, keepdim=True)
        inputs_BTE = torch.zeros(count, self.tokens, self.input_size)
        inputs_BTE[:, 0::2, :-1] = self._unit(points_BPd)
        inputs_BTE[:, 1::2, -1] = 2.0 * labels_BM - 1.0
        return {"inputs_embeds": inputs_BTE, "labels": last_label(labels_BM.gather(1, nearest_B1)[:, 0], self.tokens)}

    def _prompts(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and query (B, M + 1, d), before scaling on the cube, and labels (B, M) of 0 and 1."""
        import torch

        shape = (count, self.points + 1, self.dimension)
        labels_BM = torch.randint(2, (count, self.points), generator=generator)
        if self.space == "cube":
            return torch.randint(2, shape, generator=generator, dtype=torch.float32).mul_(2).sub_(1), labels_BM
        return torch.nn.functional.normalize(torch.randn(shape, generator=generator), dim=2), labels_BM

    def _unit(self, points_BPd: torch.Tensor) -> torch.Tensor:
        return points_BPd / self.dimension**0.5 if self.space == "cube" else points_BPd

    @property
    def _gap(self) -> float:
        """The margin in the scale of ``_similarities``; less a hair, since 2 / d times d can come out above 2."""
        return max(0.0, self.margin * (self.dimension if self.space == "cube" else 1) - 1e-6)

    def _redraw(self, points_BPd: torch.Tensor, labels_BM: torch.Tensor, generator: torch.Generator) -> None:
        """Replace, in place, prompts that are ambiguous within the margin by fresh ones."""
        bad = self._ambiguous(points_BPd, labels_BM).nonzero()[:, 0]
        for _ in range(_ROUNDS):
            if not len(bad):
                return
            points_BPd[bad], labels_BM[bad] = self._prompts(len(bad), generator)
            bad = bad[self._ambiguous(points_BPd[bad], labels_BM[bad])]
        raise ConfigError(
            f"{self.name}: {len(bad)} of {len(points_BPd)} prompts were still ambiguous after {_ROUNDS} redraws; take "
            "fewer points, a larger dimension, a smaller margin, or ties=earliest."
        )

    def _ambiguous(self, points_BPd: torch.Tensor, labels_BM: torch.Tensor) -> torch.Tensor:
        """Prompts (B,) bool in which the best points of the two labels are equally near, or within the margin."""
        import torch

        similarity_BM = _similarities(points_BPd)
        best_2B = torch.stack(
            [similarity_BM.masked_fill(labels_BM != label, -torch.inf).amax(dim=1) for label in (0, 1)]
        )
        gap_B = (best_2B[0] - best_2B[1]).abs()
        return (gap_B == 0) | (gap_B < self._gap)


def _similarities(points_BPd: torch.Tensor) -> torch.Tensor:
    """Inner products (B, M) of the query with the points: whole numbers on the cube, so ties are exact."""
    return (points_BPd[:, :-1] @ points_BPd[:, -1, :, None])[..., 0]
