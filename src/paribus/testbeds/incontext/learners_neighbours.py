"""Nearest neighbours over the earlier points of a prompt, and which of them are tied.

On points of +-1 Euclidean distance and cosine similarity rank alike (|a - b|^2 = 2n - 2 a.b), so one learner is both
of the baselines of ICL-Discrete; they differ in what they do about ties, and ties are common: at n = 10 a third of the
queries of the nearest-neighbour class have nearest points that disagree.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learner import settled
from paribus.testbeds.incontext.prompts import Prompts

Ties = Literal["shared", "earliest"]


@dataclass(frozen=True)
class NearestNeighbours:
    """The vote of the ``k`` earlier points that are nearest to the query (of all of them while there are fewer).

    Attributes:
        k: how many vote, at least 1.
        ties: ``"shared"``: points at the k-th distance share the votes that are left; ``"earliest"``: those shown first
            have them, as in the nearest-neighbour function class and in the release.
        released: abstain, as the release does, before the first point and on an even vote (its 3-NN dips at the third
            point for that reason). Otherwise the commoner label so far decides.
    """

    k: int = 1
    ties: Ties = "shared"
    released: bool = False

    def __post_init__(self) -> None:
        if self.k < 1 or self.ties not in get_args(Ties):
            raise ConfigError(f"k={self.k}, ties={self.ties!r}: k is at least 1, and ties 'shared' or 'earliest'.")

    @property
    def name(self) -> str:
        """``"1-NN"``, ``"3-NN"``, ...; ``"1-NN, earliest"`` and ``"1-NN, released"`` say how they differ."""
        rule = "released" if self.released else self.ties
        return f"{self.k}-NN" + ("" if rule == "shared" else f", {rule}")

    def predict(self, prompts: Prompts) -> Tensor:
        """Mean label of the neighbours in [-1, 1], ``(B, m)``."""
        likeness = earlier_likeness(prompts.x)
        vote = _earliest_vote if self.ties == "earliest" else _shared_vote
        scores = vote(likeness, prompts.y.float(), min(self.k, likeness.shape[-1]))
        return scores if self.released else settled(scores, prompts)


def earlier_likeness(x: Tensor) -> Tensor:
    """Inner products of every point with the earlier ones, ``(B, m, m)`` float32; -inf at the point itself and later.

    Exact whole numbers from -n to n; the squared distance is 2n minus twice this.
    """
    points = x.float()
    later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu()
    return (points @ points.mT).masked_fill_(later, float("-inf"))


def nearest_points(x: Tensor) -> Tensor:
    """Which earlier points are nearest to each point, ties included, ``(B, m, m)`` bool (row 0 is empty)."""
    likeness = earlier_likeness(x)
    best = likeness.amax(-1, keepdim=True)
    return (likeness == best) & torch.isfinite(best)


def first_nearest(likeness: Tensor) -> Tensor:
    """The nearest earlier point of each, the earliest of several, ``(B, m, m)`` bool, from ``earlier_likeness``."""
    strict = _strict(likeness)
    return (strict == strict.amax(-1, keepdim=True)) & torch.isfinite(strict)


def ambiguous(prompts: Prompts) -> Tensor:
    """Whether the nearest earlier points disagree in their labels, ``(B, m)`` bool.

    At such a query only the rule for ties decides, so accuracy there says whether a model knows the rule, and accuracy
    elsewhere whether it finds the neighbour.
    """
    nearest, positive = nearest_points(prompts.x), (prompts.y > 0)[:, None]
    return (nearest & positive).any(-1) & (nearest & ~positive).any(-1)


def _earliest_vote(likeness: Tensor, y: Tensor, k: int) -> Tensor:
    chosen = _strict(likeness).topk(k, dim=-1).indices
    earlier = torch.isfinite(likeness.gather(-1, chosen))
    labels = y[:, None].expand_as(likeness).gather(-1, chosen) * earlier
    return labels.sum(-1) / earlier.sum(-1).clamp(min=1)


def _strict(likeness: Tensor) -> Tensor:
    """The same order with ties broken towards earlier points; exact below 2^23 for n times m."""
    m = likeness.shape[-1]
    return likeness * m - torch.arange(m, device=likeness.device)


def _shared_vote(likeness: Tensor, y: Tensor, k: int) -> Tensor:
    """Points closer than the k-th have a whole vote; those at its distance share the rest."""
    m = likeness.shape[-1]
    voters = torch.arange(m, device=y.device).clamp(max=k)
    limit = _kth_likeness(likeness, voters, k)
    # Sum of labels and number of points at once.
    labels = torch.stack([y, torch.ones_like(y)], -1)
    tied_sum, tied = ((likeness == limit).float() @ labels).unbind(-1)
    # Before the first point everything is tied at no likeness at all.
    tied_sum[:, 0] = 0.0
    if k == 1:
        return tied_sum / tied
    closer_sum, closer = ((likeness > limit).float() @ labels).unbind(-1)
    return (closer_sum + (voters - closer) / tied * tied_sum) / voters.clamp(min=1)


def _kth_likeness(likeness: Tensor, voters: Tensor, k: int) -> Tensor:
    """Likeness of the last voter at every position, ``(B, m, 1)``: the k-th largest, or the least of fewer."""
    if k == 1:
        return likeness.amax(-1, keepdim=True)
    ranked = likeness.topk(k, dim=-1).values
    return ranked.gather(-1, (voters - 1).clamp(min=0)[None, :, None].expand(len(ranked), -1, 1))
