"""Choosing tokens so that a request's result does not depend on its batch.

Each request owns a stream of uniform numbers, a pure function of (seed, request id, position); a token is the inverse
of the cumulative distribution at its number. Probabilities are summed in float64 and in the order of token ids, so
rounding noise moves a boundary by about 1e-7 and flips a choice about that often.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

NUCLEUS_GUESS = 128  # sorted first; only rows whose nucleus is wider are sorted in full


def uniforms(seed: int, request_id: str, count: int) -> np.ndarray:
    """``count`` numbers in [0, 1), float64: Philox (Salmon et al. 2011) keyed by seed and request id."""
    digest = hashlib.sha256(f"{seed}\0{request_id}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(count)


def choose(logits_NV: Tensor, temperature_N: Tensor, top_p_N: Tensor, uniform_N: Tensor) -> tuple[Tensor, Tensor]:
    """Token ids (N,) and their log-probabilities at temperature 1 (N,), for rows with their own settings.

    Temperature 0 takes the most likely token, the lowest id among equals. Otherwise softmax(logits / temperature), cut
    to the smallest set of tokens with at least ``top_p`` of the mass (Holtzman et al. 2020), read at ``uniform_N``.
    """
    logprobs_NV = torch.log_softmax(logits_NV.float(), dim=-1)
    tokens_N = logprobs_NV.argmax(dim=-1)
    drawn = (temperature_N > 0).nonzero()[:, 0]
    if len(drawn):
        probabilities = torch.softmax(logprobs_NV[drawn] / temperature_N[drawn, None], dim=-1)
        tokens_N[drawn] = invert(nucleus(probabilities, top_p_N[drawn]), uniform_N[drawn])
    return tokens_N, logprobs_NV.gather(1, tokens_N[:, None])[:, 0]


def invert(weights_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """The token whose stretch of the (unnormalised) cumulative distribution holds each uniform number."""
    cumulative_NV = weights_NV.double().cumsum(dim=-1)
    aim_N1 = uniform_N[:, None].double() * cumulative_NV[:, -1:]
    # right=True steps over tokens of weight zero; the last stretch is closed because a uniform number is below 1
    return torch.searchsorted(cumulative_NV, aim_N1, right=True)[:, 0].clamp(max=weights_NV.shape[1] - 1)


def nucleus(probabilities_NV: Tensor, top_p_N: Tensor) -> Tensor:
    """Probabilities outside each row's nucleus set to zero; tokens as likely as the last one inside stay in."""
    cut = (top_p_N < 1).nonzero()[:, 0]
    if not len(cut):
        return probabilities_NV
    rows, wanted = probabilities_NV[cut], top_p_N[cut].double()
    thresholds = _threshold(rows, wanted)
    kept = probabilities_NV.clone()
    kept[cut] = torch.where(rows >= thresholds[:, None], rows, 0.0)
    return kept


def _threshold(rows_NV: Tensor, wanted_N: Tensor) -> Tensor:
    """The smallest probability inside each nucleus; a full sort only where the first guess does not reach."""
    top = rows_NV.topk(min(NUCLEUS_GUESS, rows_NV.shape[1]), dim=-1).values
    if (top.double().sum(dim=-1) < wanted_N).any():
        top = rows_NV.sort(dim=-1, descending=True).values
    before = top.double().cumsum(dim=-1) - top
    inside = (before < wanted_N[:, None]).sum(dim=-1)
    return top.gather(1, inside[:, None] - 1)[:, 0]
