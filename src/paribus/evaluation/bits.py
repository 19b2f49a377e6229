"""How well a language model predicts documents: bits per byte, and perplexity per token.

Bits per byte compare models with different vocabularies; perplexity per token only models that share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

import torch

from paribus.data.chat import Encoded
from paribus.data.documents import cut, encode_documents
from paribus.data.lengths import context_of
from paribus.errors import DataError
from paribus.evaluation.items import ALL, ItemRow
from paribus.inference.scoring import Pair, completion_logprobs, evaluating
from paribus.records import Document

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BITS = "bits_per_byte"


@dataclass(frozen=True)
class DocumentScore:
    """A document's negative log-likelihood in ``nats``, over ``tokens`` predicted tokens (EOS included, BOS not).

    ``bytes`` is the size of the text in UTF-8.
    """

    id: str
    domain: str
    language: str
    nats: float
    tokens: int
    bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Nats over ln 2, over bytes of text."""
        return self.nats / log(2) / self.bytes


def bits_per_byte(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Document],
    *,
    batch_tokens: int = 16_384,
    autocast: torch.dtype | None = None,
) -> list[ItemRow]:
    """Bits per byte of every document: ``bits_rows`` of ``score_documents``, whose arguments and errors these are."""
    scores = score_documents(model, tokenizer, documents, batch_tokens=batch_tokens, autocast=autocast)
    return bits_rows(scores)


def score_documents(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Document],
    *,
    batch_tokens: int = 16_384,
    autocast: torch.dtype | None = None,
) -> list[DocumentScore]:
    """Every document's likelihood after BOS, its EOS included, under any causal model; in the order given.

    Documents longer than the model's context are read in parts that share no more than one token (the rolling
    likelihood of the LM Evaluation Harness with ``context_len=1``).

    Args:
        batch_tokens: tokens of a padded batch, at most; results do not depend on it, but for rounding.
        autocast: a type such as ``torch.bfloat16`` to run the forward passes under autocast.

    Raises:
        DataError: two documents of one id, or a tokenizer without EOS.
    """
    refuse_repeated_ids([document.id for document in documents])
    parts = [_parts(model, row) for row in encode_documents(tokenizer, [document.text for document in documents])]
    with evaluating(model, autocast):
        found = iter(
            completion_logprobs(model, [pair for pairs in parts for pair in pairs], max_batch_tokens=batch_tokens)
        )
    return [
        DocumentScore(
            id=document.id,
            domain=document.domain,
            language=document.language,
            nats=-sum(next(found) for _ in pairs),
            tokens=sum(len(learned) for _, learned in pairs),
            bytes=len(document.text.encode()),
        )
        for document, pairs in zip(documents, parts, strict=True)
    ]


def _parts(model: PreTrainedModel, row: Encoded) -> list[Pair]:
    context = context_of(model.config)
    parts = [row] if context is None else cut(row, context)
    return [(part.input_ids[:1].tolist(), part.input_ids[1:].tolist()) for part in parts]


def refuse_repeated_ids(ids: Sequence[str]) -> None:
    """Raise ``DataError`` for an id that stands twice: items are paired by id."""
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise DataError(f"The id {name!r} stands twice; give every document and question its own.")
        seen.add(name)


def bits_rows(scores: Sequence[DocumentScore]) -> list[ItemRow]:
    """Two rows a document: ``bits_per_byte`` and ``bits_per_byte_<domain>``; the group is the domain.

    Each document is its own cluster and weighs the same, whatever its length.
    """
    return [
        ItemRow(measure, score.id, score.id, score.language, score.bits_per_byte, score.domain)
        for score in scores
        for measure in (BITS, f"{BITS}_{score.domain}")
    ]


def perplexity(scores: Sequence[DocumentScore]) -> dict[str, float]:
    """Perplexity per token by domain (tokens pooled), and of all documents under ``"all"``."""
    domains = dict.fromkeys(score.domain for score in scores)
    groups = {domain: [score for score in scores if score.domain == domain] for domain in domains} | {ALL: list(scores)}
    return {
        name: exp(sum(score.nats for score in group) / sum(score.tokens for score in group))
        for name, group in groups.items()
        if group
    }
