"""Where tokens go: routers, gates, and the losses that keep routers balanced and small.

Routers are linear and read the block's normalised input: ``r = W h`` (BAM, sections 3 and 4). Everything after that
product is in float32 at least. Where logits tie, the lower expert index wins, on every device and in every run.

Shapes: B batch, T tokens, E experts, k experts that a token gets, L layers, R tokens of a batch (B*T).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from transformers.utils.generic import maybe_autocast

from paribus.models.norms import wide


class Router(nn.Linear):
    """Logits (..., E) of hidden states (..., D), without a bias, in float32 also under autocast.

    In bf16 two experts whose probabilities differ by less than 1 in 256 would tie (Switch Transformer, section 2.4).
    """

    def __init__(self, width: int, experts: int) -> None:
        super().__init__(width, experts, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        dtype = wide(x.dtype)
        with maybe_autocast(x.device.type, enabled=False):
            return F.linear(x.to(dtype), self.weight.to(dtype))


def top_experts(logits: Tensor, top_k: int) -> Tensor:
    """Indices (..., k) of the largest logits (..., E), best first; ``torch.topk`` promises no order among equals."""
    return logits.sort(dim=-1, descending=True, stable=True).indices[..., :top_k]


def soft_gates(logits: Tensor, top_k: int | None, gate_norm: str) -> Tensor:
    """Gates (..., N) over attention experts: softmax over all, or only ``top_k`` of them, the others zero."""
    if top_k is None:
        return logits.softmax(-1)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top_experts(logits, top_k), True)
    if gate_norm == "renormalised":
        return logits.masked_fill(~kept, float("-inf")).softmax(-1)
    return logits.softmax(-1) * kept


def sparse_gates(logits: Tensor, top_k: int, gate_norm: str) -> tuple[Tensor, Tensor]:
    """The feed-forward experts (..., k) that each token gets, and their gates (..., k)."""
    chosen = top_experts(logits, top_k)
    if gate_norm == "renormalised":
        return chosen, logits.gather(-1, chosen).softmax(-1)
    gates = logits.softmax(-1).gather(-1, chosen)
    return chosen, gates * logits.shape[-1] if gate_norm == "scaled" else gates


def auxiliary_loss(
    router_logits: tuple[Tensor, ...],
    token_mask_BT: Tensor | None,
    *,
    top_k: int,
    load_balance: float,
    router_z: float,
) -> Tensor:
    """``load_balance * L_LB + router_z * L_z``, summed over layers; a scalar (BAM, section 4).

    ``router_logits``: a (B, T, E) per layer. ``token_mask_BT`` is False at tokens that do not count (padding); None
    counts all. With f_i the share of (token, slot) pairs that expert i gets and P_i its mean probability over all
    experts, ``L_LB = E * sum_i f_i P_i``: 1 at balance and E at collapse, for any k. f is a count, so the gradient goes
    through P alone (Switch Transformer, section 2.2). ``L_z = mean logsumexp(r)^2`` (ST-MoE, section 3.3).

    Over several processes f and the number of tokens are those of all of them, from one collective for all layers; each
    process's value is scaled so that the mean over processes, and of their gradients, is exactly one process's value.
    """
    logits_LRE = torch.stack(router_logits).flatten(1, 2)
    experts = logits_LRE.shape[-1]
    counted_R = logits_LRE.new_ones(logits_LRE.shape[1]) if token_mask_BT is None else token_mask_BT.flatten()
    counted_R = counted_R.to(logits_LRE.dtype)
    dispatched_LE = _dispatched(logits_LRE.detach(), counted_R, top_k)
    tokens, processes = counted_R.sum(), 1
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        processes = dist.get_world_size()
        sums = torch.cat((dispatched_LE.flatten(), tokens[None]))
        dist.all_reduce(sums)
        dispatched_LE, tokens = sums[:-1].view_as(dispatched_LE), sums[-1]
    tokens = tokens.clamp(min=1)  # a batch of nothing but padding has no loss
    mean_LE = torch.einsum("lre,r->le", logits_LRE.softmax(-1), counted_R) * (processes / tokens)
    balance = experts * (dispatched_LE / (tokens * top_k) * mean_LE).sum()
    size = (logits_LRE.logsumexp(-1).square() * counted_R).sum() * (processes / tokens)
    return load_balance * balance + router_z * size


def _dispatched(logits_LRE: Tensor, counted_R: Tensor, top_k: int) -> Tensor:
    """How many (token, slot) pairs each expert gets, per layer: (L, E)."""
    hits_LRE = torch.zeros_like(logits_LRE).scatter(-1, top_experts(logits_LRE, top_k), 1.0)
    return torch.einsum("lre,r->le", hits_LRE, counted_R)
