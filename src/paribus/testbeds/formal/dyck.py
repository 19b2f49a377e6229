"""Bounded Dyck languages: bracket strings of k types whose nesting never exceeds depth D."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from paribus.testbeds.formal import dyck_strings as strings
from paribus.testbeds.formal.task import Batch, FormalTask, Kind, last_label

if TYPE_CHECKING:
    import torch


class BoundedDyck(FormalTask):
    """Dyck-(k, D), read out as the next possible characters or as membership (Bhattamishra et al. 2024).

    Token ids: opener of type j is ``j``, its closer is ``k + j`` (j in 0..k-1); there is no begin or end token. Strings
    come from a walk: at depth 0 it opens, at depth D or where the remaining tokens just suffice to close everything it
    closes, and otherwise it opens with probability 1/2; types are uniform.

    Readout "next" (kind "bits", every position scored): after each prefix, which tokens keep it extendable within the
    language: all k openers where depth < D, the closer of the innermost open bracket where depth > 0, and in the last
    of the ``2k + 1`` outputs whether the string may end (depth 0). All strings are members.

    Readout "membership" (kind "classes", last position scored): 1 = member. Half of the strings, by a fair coin each,
    are near misses made from a member (see ``dyck_strings.near_miss``), one violation away.

    Attributes:
        pairs: k, bracket types. depth: D, deepest nesting. length: tokens of a string, even.
    """

    size_field: ClassVar[str] = "length"

    task: Literal["bounded-dyck"] = "bounded-dyck"
    length: int = Field(default=64, ge=2, multiple_of=2)
    pairs: int = Field(default=2, ge=1)
    depth: int = Field(default=4, ge=1)
    readout: Literal["next", "membership"] = "next"

    @property
    def kind(self) -> Kind:
        return "bits" if self.readout == "next" else "classes"

    @property
    def vocab_size(self) -> int:
        return 2 * self.pairs

    @property
    def outputs(self) -> int:
        return 2 * self.pairs + 1 if self.readout == "next" else 2

    @property
    def tokens(self) -> int:
        return self.length

    @property
    def chance(self) -> float:
        """Membership: 1/2. Next: the share of positions at which the likeliest vector, for that position, is right."""
        if self.readout == "membership":
            return 0.5
        return strings.blind_accuracy(self.length, self.pairs, self.depth)

    def _draw(self, count: int, generator: torch.Generator) -> Batch:
        import torch

        if self.readout == "membership":
            return self._draw_membership(count, generator)
        input_ids_BT, labels_BTO = strings.members_with_next(count, self.length, self.pairs, self.depth, generator)
        return {
            "input_ids": input_ids_BT,
            "labels": labels_BTO,
            "label_mask": torch.ones_like(input_ids_BT, dtype=torch.bool),
        }

    def _draw_membership(self, count: int, generator: torch.Generator) -> Batch:
        import torch

        input_ids_BT = strings.members(count, self.length, self.pairs, self.depth, generator)
        labels_B = torch.randint(2, (count,), generator=generator)
        missing = labels_B == 0
        input_ids_BT[missing] = strings.near_miss(input_ids_BT[missing], self.pairs, self.depth, generator)
        return {"input_ids": input_ids_BT, "labels": last_label(labels_B, self.length)}
