"""What attention heads do with a prompt: heads that find the nearest neighbour, and induction heads.

Both scores are the share of its attention that a head spends, from a point, on the labels of the earlier points it
should copy from (ICL-Discrete, on pre-trained models; induction heads: Olsson et al. 2022). Attention comes as models
of transformers give it with ``output_attentions=True``: one ``(B, H, 2m, 2m)`` tensor a layer, rows summing to one,
over the encoded prompt (point i at 2i, its label at 2i + 1).
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learners_neighbours import Ties, earlier_likeness, first_nearest
from paribus.testbeds.incontext.prompts import Prompts

# A head that spends at least half of its attention there counts as one (released code).
FOUND = 0.5


def nearest_neighbour_scores(
    attentions: Sequence[Tensor], prompts: Prompts, *, start: int = 41, ties: Ties = "earliest"
) -> Tensor:
    """Mean attention from each point to the label of its nearest earlier point, ``(layers, heads)`` in [0, 1].

    Args:
        attentions: per layer ``(B, H, 2m, 2m)``.
        prompts: what the model read.
        start: first query, counted from 0 (the release takes 41 of 80 points, where neighbours are near).
        ties: ``"earliest"`` asks for the earliest of several nearest points, ``"shared"`` adds up all of them.

    Raises:
        ConfigError: attention of another length, or a start that leaves no query.
    """
    points = prompts.y.shape[1]
    if not 1 <= start < points:
        raise ConfigError(
            f"start is {start} and the prompts have {points} points; take a start from 1 to {points - 1}."
        )
    likeness = earlier_likeness(prompts.x)
    nearest = first_nearest(likeness) if ties == "earliest" else likeness == likeness.amax(-1, keepdim=True)
    return _mean_attention(attentions, nearest, start)


def induction_scores(attentions: Sequence[Tensor], points: int, block: int) -> Tensor:
    """Mean attention from a repeated point to the labels of its earlier copies, ``(layers, heads)`` in [0, 1].

    Args:
        attentions: per layer ``(B, H, 2m, 2m)``, of a model that read ``repeated`` prompts.
        points: m, points of a whole prompt.
        block: points after which the prompt starts again.

    Raises:
        ConfigError: attention of another length, or a block that does not repeat.
    """
    if not 1 <= block < points:
        raise ConfigError(f"A block of {block} points does not repeat within {points}; take 1 to {points - 1}.")
    places = torch.arange(points, device=attentions[0].device)
    apart = places[:, None] - places
    return _mean_attention(attentions, ((apart > 0) & (apart % block == 0))[None], block)


def repeated(prompts: Prompts, copies: int = 4) -> Prompts:
    """Prompts that show their points and labels ``copies`` times over (m becomes copies * m)."""
    if copies < 2:
        raise ConfigError(f"copies is {copies}; a block repeats when it is shown at least 2 times.")
    parts = {name: getattr(prompts, name).repeat(1, copies) for name in ("y", "forced")}
    return replace(prompts, x=prompts.x.repeat(1, copies, 1), **parts)


def found(scores: Tensor, threshold: float = FOUND) -> list[tuple[int, int]]:
    """(layer, head) of every head with at least this score ``(layers, heads)``, both counted from 0."""
    return [(int(layer), int(head)) for layer, head in (scores >= threshold).nonzero()]


def _mean_attention(attentions: Sequence[Tensor], wanted: Tensor, start: int) -> Tensor:
    """Attention on the wanted labels ``(B or 1, m, m)``, averaged over prompts and the points from ``start`` on."""
    points = wanted.shape[-1]
    scores = []
    for layer, attention in enumerate(attentions):
        if attention.dim() != 4 or attention.shape[-2:] != (2 * points, 2 * points):
            raise ConfigError(
                f"The attention of layer {layer} has shape {tuple(attention.shape)}; for {points} points it must be "
                f"(prompts, heads, {2 * points}, {2 * points})."
            )
        to_labels = attention[:, :, 2 * start :: 2, 1::2].float()
        spent = (to_labels * wanted[:, None, start:]).sum(-1)
        scores.append(spent.mean((0, 2)))
    return torch.stack(scores)
