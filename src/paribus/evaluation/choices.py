"""Questions answered by likelihood: the choice that the model finds most likely to go on from the prompt.

Texts are scored raw, without a chat template, as the LM Evaluation Harness does for its multiple-choice tasks (its
``acc``, and ``acc_norm`` by bytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from paribus.data.documents import boundary_ids, encode_texts
from paribus.data.lengths import context_of
from paribus.errors import DataError
from paribus.evaluation.bits import refuse_repeated_ids
from paribus.evaluation.items import ALL, ItemRow
from paribus.inference.scoring import Pair, completion_logprobs, evaluating
from paribus.records import ChoiceQuestion

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CHOICE = "choice_accuracy"
PER_BYTE = "choice_accuracy_per_byte"


def choice_accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[ChoiceQuestion],
    *,
    with_end: bool = True,
    batch_tokens: int = 16_384,
    autocast: torch.dtype | None = None,
) -> list[ItemRow]:
    """Item rows, 1 where the likeliest choice is right and 0 elsewhere; the group is the domain.

    Measures: ``choice_accuracy`` by log-likelihood, ``choice_accuracy_per_byte`` by log-likelihood over the choice's
    bytes, and both for each domain with ``_<domain>`` behind. Among equals the earlier choice is taken. Arguments and
    errors as ``choice_logprobs``.
    """
    scores = choice_logprobs(
        model, tokenizer, questions, with_end=with_end, batch_tokens=batch_tokens, autocast=autocast
    )
    return [
        ItemRow(measure, question.id, question.cluster, question.language, value, question.domain)
        for question, logprobs in zip(questions, scores, strict=True)
        for name, value in _graded(question, logprobs).items()
        for measure in (name, f"{name}_{question.domain}")
    ]


def choice_logprobs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[ChoiceQuestion],
    *,
    with_end: bool = True,
    batch_tokens: int = 16_384,
    autocast: torch.dtype | None = None,
) -> list[list[float]]:
    """Log-likelihood of every choice after its question's prompt, in the order given.

    Args:
        with_end: whether a choice is followed by the end of the document. Without it (as in the harness) a choice that
            begins another one, such as 8 and 84, is never the less likely of the two.
        batch_tokens: tokens of a padded batch, at most.
        autocast: a type such as ``torch.bfloat16`` to run the forward passes under autocast.

    Raises:
        DataError: two questions of one id, one that is longer than the model's context, a tokenizer without EOS.
    """
    refuse_repeated_ids([question.id for question in questions])
    pairs = [_pairs(model, tokenizer, question, with_end) for question in questions]
    with evaluating(model, autocast):
        found = iter(completion_logprobs(model, [pair for row in pairs for pair in row], max_batch_tokens=batch_tokens))
    return [[next(found) for _ in row] for row in pairs]


def _pairs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, question: ChoiceQuestion, with_end: bool
) -> list[Pair]:
    opening, closing = boundary_ids(tokenizer)
    end = [closing] if with_end else []
    pairs = [
        ([opening, *ids], [*rest, *end]) for ids, rest in split_choices(tokenizer, question.prompt, question.choices)
    ]
    longest, context = max(len(ids) + len(rest) for ids, rest in pairs), context_of(model.config)
    if context is not None and longest > context:
        raise DataError(
            f"The question {question.id!r} has {longest} tokens with its longest choice, the model {context} "
            "positions; shorten it or leave it out."
        )
    return pairs


def split_choices(tokenizer: PreTrainedTokenizerBase, prompt: str, choices: Sequence[str]) -> list[Pair]:
    """Token ids of prompt + choice, encoded as one text and cut where the prompt ends.

    A tokenizer may join the prompt's end with a choice's beginning. The cut then lies before the first token in which
    the prompt alone and the whole texts differ, the same for all choices, so that choices are still ranked by the
    likelihood of the whole text.
    """
    alone, *wholes = encode_texts(tokenizer, [prompt, *(prompt + choice for choice in choices)])
    shared = sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, zip(alone, *wholes, strict=False)))
    return [(ids[:shared], ids[shared:]) for ids in wholes]


def _graded(question: ChoiceQuestion, logprobs: Sequence[float]) -> dict[str, float]:
    per_byte = [value / len(choice.encode()) for value, choice in zip(logprobs, question.choices, strict=True)]
    return {
        CHOICE: float(_first_best(logprobs) == question.answer),
        PER_BYTE: float(_first_best(per_byte) == question.answer),
    }


def _first_best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda place: (values[place], -place))


def chance_level(questions: Sequence[ChoiceQuestion]) -> dict[str, float]:
    """Expected accuracy of guessing, by domain and, under ``"all"``, over all questions."""
    domains = dict.fromkeys(question.domain for question in questions)
    levels = {
        domain: fmean(1 / len(question.choices) for question in questions if question.domain == domain)
        for domain in domains
    }
    return levels | ({ALL: fmean(1 / len(question.choices) for question in questions)} if questions else {})
