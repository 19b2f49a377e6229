"""Where a mixture's routers send the tokens of each domain and language, and which experts hardly get any.

Shapes: B rows, T tokens, R counted tokens of a batch, X experts of a branch, k feed-forward experts a token.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from paribus.data.chat import Encoded
from paribus.data.documents import encode_documents
from paribus.data.lengths import context_of
from paribus.errors import DataError, ModelError
from paribus.evaluation.items import ALL
from paribus.inference.scoring import evaluating
from paribus.models.routing import top_experts
from paribus.records import Document

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Branch = Literal["ffn", "attention"]
DEAD = 0.01


class RoutingRow(NamedTuple):
    """What one expert of a layer (from 0) gets of a domain's text in a language; shares of a layer add to 1.

    ``share``: of the (token, slot) pairs for feed-forward experts, the mean gate for attention experts. ``tokens``: how
    many tokens that is a share of, BOS and EOS included.
    """

    domain: str
    language: str
    layer: int
    branch: Branch
    expert: int
    share: float
    tokens: int


def routing_maps(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Document],
    *,
    batch_tokens: int = 16_384,
    autocast: torch.dtype | None = None,
) -> list[RoutingRow]:
    """Loads of feed-forward experts and mean gates of attention experts by domain, language and layer; pads count not.

    A branch with one expert has no router and no rows, so a dense model gives none. Attention gates of ``top_k``
    routing that is not renormalised add to less than 1.

    Raises ``ModelError`` for a model that cannot tell its routing, ``DataError`` for no documents.
    """
    if not hasattr(model.config, "ffn_experts"):
        raise ModelError(f"{type(model).__name__} does not tell its routing; give a Paribus mixture.")
    if not documents:
        raise DataError("There are no documents to route; give at least one.")
    if model.config.ffn_experts == model.config.attention_experts == 1:
        return []  # no router, so nothing to run the model for
    rows: list[RoutingRow] = []
    cells: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for document in documents:
        cells[document.domain, document.language].append(document.text)
    with evaluating(model, autocast):
        for (domain, language), texts in cells.items():
            encoded = encode_documents(tokenizer, texts, length=context_of(model.config))
            tokens = sum(map(len, encoded))
            sums = _summed(model, encoded, batch_tokens)
            rows += [
                RoutingRow(domain, language, layer, branch, expert, share / tokens, tokens)
                for (branch, layer), shares in sorted(sums.items())
                for expert, share in enumerate(shares.tolist())
            ]
    return rows


def _summed(model: PreTrainedModel, encoded: list[Encoded], batch_tokens: int) -> dict[tuple[Branch, int], Tensor]:
    """Shares (X,) in float64, summed over tokens, of every (branch, layer)."""
    sums: dict[tuple[Branch, int], Tensor] = {}
    for ids_BT, mask_BT in _batches(encoded, batch_tokens):
        ids_BT, mask_BT = ids_BT.to(model.device), mask_BT.to(model.device)
        out = model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False, output_routing=True, logits_to_keep=1)
        found: dict[Branch, Sequence[Tensor]] = {
            "ffn": [_dispatched(logits, model.config.ffn_top_k) for logits in out.router_logits or ()],
            "attention": out.attention_gates or (),
        }
        for branch, layers in found.items():
            for layer, shares_BTX in enumerate(layers):
                total_X = shares_BTX[mask_BT.to(shares_BTX.device) > 0].double().sum(0).cpu()
                sums[branch, layer] = sums.get((branch, layer), 0) + total_X
    return sums


def _dispatched(logits_BTX: Tensor, top_k: int) -> Tensor:
    """1/k at each token's k experts, 0 elsewhere."""
    return torch.zeros_like(logits_BTX).scatter(-1, top_experts(logits_BTX, top_k), 1 / top_k)


def _batches(encoded: list[Encoded], batch_tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Token ids and mask (B, T) of rows of like length, padded on the right, longest first."""
    rows = [torch.from_numpy(row.input_ids).long() for row in sorted(encoded, key=len, reverse=True)]
    start = 0
    while start < len(rows):
        batch = rows[start : start + max(1, batch_tokens // len(rows[start]))]
        lengths = torch.tensor([len(row) for row in batch])
        yield pad_sequence(batch, batch_first=True), (torch.arange(len(batch[0])) < lengths[:, None]).long()
        start += len(batch)


def write_routing_rows(path: Path, rows: Iterable[RoutingRow]) -> None:
    """Write rows as JSONL."""
    path.write_text("".join(json.dumps(row._asdict()) + "\n" for row in rows), encoding="utf-8")


def overall(rows: Sequence[RoutingRow]) -> list[RoutingRow]:
    """The shares over all domains and languages together, every token weighing the same."""
    sums: defaultdict[tuple[Branch, int, int], float] = defaultdict(float)
    tokens: defaultdict[tuple[Branch, int, int], int] = defaultdict(int)
    for row in rows:
        place = (row.branch, row.layer, row.expert)
        sums[place] += row.share * row.tokens
        tokens[place] += row.tokens
    return [
        RoutingRow(ALL, ALL, layer, branch, expert, sums[branch, layer, expert] / count, count)
        for (branch, layer, expert), count in sorted(tokens.items())
    ]


def dead_experts(rows: Sequence[RoutingRow], *, threshold: float = DEAD, branch: Branch = "ffn") -> list[RoutingRow]:
    """Experts of a branch whose share over all domains is below ``threshold`` in a layer: rows of ``overall``."""
    return [row for row in overall(rows) if row.branch == branch and row.share < threshold]


def routing_entropy(rows: Sequence[RoutingRow]) -> dict[tuple[Branch, int], float]:
    """Entropy in nats of the overall shares of each (branch, layer): 0 = one expert has all, ln X = all have the same.

    Shares that add to less than 1 are scaled to 1 first.
    """
    layers: defaultdict[tuple[Branch, int], list[float]] = defaultdict(list)
    for row in overall(rows):
        layers[row.branch, row.layer].append(row.share)
    return {place: _entropy(shares) for place, shares in layers.items()}


def _entropy(shares: Sequence[float]) -> float:
    total = sum(shares)
    return -sum(share / total * log(share / total) for share in shares if share)
