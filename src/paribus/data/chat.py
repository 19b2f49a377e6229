"""Conversations to tokens, with a mask that says which tokens are to be learned.

Any Hugging Face chat template works. Templates with a ``{% generation %}`` block say themselves what the assistant
wrote; for others the assistant's part is found by rendering the conversation with and without it, which needs a
template whose rendering of a prefix is a prefix of the rendering (checked, an error otherwise).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation: ``input_ids`` (n,) int32 and ``completion_mask`` (n,) bool, True where a token carries loss."""

    input_ids: NDArray[np.int32]
    completion_mask: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.input_ids)


def as_messages(messages: Sequence[Message | Mapping[str, str]]) -> list[dict[str, str]]:
    """Messages as the plain dictionaries that chat templates read."""
    return [dict(m) if isinstance(m, Mapping) else {"role": m.role, "content": m.content} for m in messages]


def encode(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message | Mapping[str, str]]) -> Encoded:
    """Encode one conversation; see ``encode_many``."""
    return encode_many(tokenizer, [messages])[0]


def encode_many(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Sequence[Message | Mapping[str, str]]]
) -> list[Encoded]:
    """Encode conversations that end with an assistant turn; assistant tokens, their end of turn included, carry loss.

    Raises ``DataError`` when there is no chat template, when a conversation has nothing to learn, or when the template
    is not prefix-stable.
    """
    rows = [as_messages(messages) for messages in conversations]
    template = _template(tokenizer)
    encoder = _by_generation_block if _GENERATION.search(template) else _by_prefix
    encoded = encoder(tokenizer, rows)
    for row, result in zip(rows, encoded, strict=True):
        if not result.completion_mask.any():
            raise DataError(
                f"The conversation {row!r:.120} has no assistant token to learn; end it with an assistant turn."
            )
    return encoded


def encode_prompts(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Sequence[Message | Mapping[str, str]]]
) -> list[list[int]]:
    """Token ids of prompts, with the opening of the assistant's turn at the end."""
    _template(tokenizer)
    texts = [_render(tokenizer, as_messages(messages), True) for messages in conversations]
    return tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []


def _template(tokenizer: "PreTrainedTokenizerBase") -> str:
    template = tokenizer.chat_template
    if not template:
        raise DataError(
            f"The tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no chat template; set "
            "tokenizer.chat_template, or use the tokenizer of an instruction-tuned model."
        )
    return template if isinstance(template, str) else str(template)


def _render(tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]], prompt: bool) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))


def _by_generation_block(tokenizer: "PreTrainedTokenizerBase", rows: list[list[dict[str, str]]]) -> list[Encoded]:
    if not rows:
        return []
    out: Any = tokenizer.apply_chat_template(rows, tokenize=True, return_assistant_tokens_mask=True, return_dict=True)
    return [
        Encoded(np.asarray(ids, np.int32), np.asarray(mask, bool))
        for ids, mask in zip(out["input_ids"], out["assistant_masks"], strict=True)
    ]


def _by_prefix(tokenizer: "PreTrainedTokenizerBase", rows: list[list[dict[str, str]]]) -> list[Encoded]:
    """Only the last turn is learned: earlier assistant turns cannot be told apart without a generation block."""
    full = [_render(tokenizer, row, False) for row in rows]
    prompts = [_render(tokenizer, row[:-1], True) for row in rows]
    for row, text, prompt in zip(rows, full, prompts, strict=True):
        if row[-1]["role"] != "assistant" or not text.startswith(prompt):
            raise DataError(
                "The chat template renders a prompt differently once the answer is there, so the answer cannot be "
                f"located in {text!r:.120}; add a generation block to the template."
            )
    heads: Any = tokenizer(prompts, add_special_tokens=False)["input_ids"] if rows else []
    tails: Any = (
        tokenizer([t[len(p) :] for t, p in zip(full, prompts, strict=True)], add_special_tokens=False) if rows else {}
    )
    return [
        Encoded(np.asarray(head + tail, np.int32), np.asarray([False] * len(head) + [True] * len(tail)))
        for head, tail in zip(heads, tails["input_ids"] if rows else [], strict=True)
    ]
