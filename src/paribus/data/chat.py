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

    Raises ``DataError`` when there is no chat template, when a conversation ends otherwise or has nothing to learn, and
    when the template is not prefix-stable.
    """
    rows = [as_messages(messages) for messages in conversations]
    for row in rows:
        if len(row) < 2 or row[-1]["role"] != "assistant":
            raise DataError(f"The conversation {row!r:.120} does not end with an assistant turn after a prompt.")
    template = _template(tokenizer)
    encoder = _by_generation_block if _GENERATION.search(template) else _by_prefix
    encoded = encoder(tokenizer, rows)
    for row, result in zip(rows, encoded, strict=True):
        if not result.completion_mask.any():
            raise DataError(f"The conversation {row!r:.120} has no assistant token to learn; is its answer empty?")
    return encoded


def encode_prompts(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Sequence[Message | Mapping[str, str]]]
) -> list[list[int]]:
    """Token ids of prompts, with the opening of the assistant's turn at the end."""
    _template(tokenizer)
    texts = [_render(tokenizer, as_messages(messages), True) for messages in conversations]
    return tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []


def _template(tokenizer: "PreTrainedTokenizerBase") -> str:
    if not tokenizer.chat_template:
        raise DataError(
            f"The tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no chat template; set "
            "tokenizer.chat_template, or use the tokenizer of an instruction-tuned model."
        )
    return str(tokenizer.get_chat_template())


def _render(tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]], prompt: bool) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))


def _by_generation_block(tokenizer: "PreTrainedTokenizerBase", rows: list[list[dict[str, str]]]) -> list[Encoded]:
    """A token is learned when any letter of it is inside a block.

    transformers' own mask (``return_assistant_tokens_mask``) asks for the token of a block's last letter: it loses the
    last bytes of a letter of several tokens, and learns all that follows where normalisation merged that letter away.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    if not tokenizer.is_fast:
        raise DataError(
            f"The tokenizer {type(tokenizer).__name__} cannot say where its tokens are in the text, which a template "
            "with a generation block needs; load its fast version."
        )
    if not rows:
        return []
    names: dict[str, Any] = tokenizer.special_tokens_map
    rendered: Any = render_jinja_template(
        conversations=rows, chat_template=_template(tokenizer), return_assistant_tokens_mask=True, **names
    )
    texts, blocks = rendered
    out: Any = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    return [
        Encoded(np.asarray(ids, np.int32), _inside(np.asarray(offsets), spans))
        for ids, offsets, spans in zip(out["input_ids"], out["offset_mapping"], blocks, strict=True)
    ]


def _inside(offsets: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which tokens, given their offsets (n, 2) in the text, share a letter with one of the spans: (n,)."""
    first, last = offsets.T
    mask = np.zeros(len(offsets), bool)
    for start, stop in spans:
        mask |= (first < stop) & (last > start)
    return mask


def _by_prefix(tokenizer: "PreTrainedTokenizerBase", rows: list[list[dict[str, str]]]) -> list[Encoded]:
    """Only the last turn is learned: earlier assistant turns cannot be told apart without a generation block."""
    full = [_render(tokenizer, row, False) for row in rows]
    prompts = [_render(tokenizer, row[:-1], True) for row in rows]
    for text, prompt in zip(full, prompts, strict=True):
        if not text.startswith(prompt):
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
