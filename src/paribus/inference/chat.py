"""Messages to token ids through a tokenizer's own chat template, and the ids that end a turn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import dropwhile

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paribus.errors import EngineError
from paribus.inference.engine import ScoreRequest
from paribus.records import Message


class Chat:
    """A tokenizer with its chat template; ``EngineError`` if it has none.

    Equal prompts are rendered once: best-of-n asks the same prompt many times.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.chat_template:
            raise EngineError(
                f"The tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no chat template; set "
                "tokenizer.chat_template to the format that the model was trained with."
            )
        self.tokenizer = tokenizer

    def prompts(self, conversations: Sequence[tuple[Message, ...]]) -> list[list[int]]:
        """Token ids of each conversation, opened for the assistant's turn."""
        texts = {messages: self._render(turns(messages), open_turn=True) for messages in dict.fromkeys(conversations)}
        ids = dict(zip(texts, self._encode(list(texts.values())), strict=True))
        return [ids[messages] for messages in conversations]

    def plain_texts(self, conversations: Sequence[tuple[Message, ...]]) -> list[str]:
        """The same prompts as text, without the first token where the tokenizer adds it to a text by itself."""
        first = self.tokenizer.bos_token or ""
        adds = bool(first) and self.tokenizer("a")["input_ids"][:1] == [self.tokenizer.bos_token_id]
        texts = [self._render(turns(messages), open_turn=True) for messages in conversations]
        return [text.removeprefix(first) if adds else text for text in texts]

    def completions(self, requests: Sequence[ScoreRequest]) -> list[tuple[list[int], list[int]]]:
        """(prompt ids, completion ids) of each request; the completion ends with the template's end of turn.

        Raises ``EngineError`` where the template renders the prompt differently once it is answered.
        """
        prompts = self.prompts([request.messages for request in requests])
        wholes = self._encode(
            [self._render(turns(request.messages, request.completion), open_turn=False) for request in requests]
        )
        for request, prompt, whole in zip(requests, prompts, wholes, strict=True):
            if whole[: len(prompt)] != prompt or len(whole) == len(prompt):
                raise EngineError(
                    f"Score request {request.id!r}: the chat template renders the prompt differently (or drops the "
                    "answer) once an answer follows, so prompt and completion tokens cannot be told apart; use a "
                    "template in which the opened prompt is a prefix of the answered conversation."
                )
        return [
            (prompt, self._through_end_of_turn(whole[len(prompt) :]))
            for prompt, whole in zip(prompts, wholes, strict=True)
        ]

    def text(self, ids: Sequence[int]) -> str:
        """The ids as text, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @cached_property
    def _closing(self) -> list[int]:
        """What the template puts behind an answer, from its first special token on (the end of turn)."""
        asked = (Message(role="user", content="a"),)
        rendered = [self._render(turns(asked), open_turn=True), self._render(turns(asked, "b"), open_turn=False)]
        prompt, whole = self._encode(rendered)
        # An end of turn is often no named special token (eos, pad, ...), only an added one that is marked special.
        added = self.tokenizer.added_tokens_decoder
        special = {*self.tokenizer.all_special_ids, *(token for token, about in added.items() if about.special)}
        return list(dropwhile(lambda token: token not in special, whole[len(prompt) :]))

    def stop_ids(self, model: PreTrainedModel) -> frozenset[int]:
        """Every id that ends an answer: the ends of sequence of model and tokenizer, the template's end of turn."""
        declared = [getattr(model.generation_config, "eos_token_id", None), getattr(model.config, "eos_token_id", None)]
        declared += [self.tokenizer.eos_token_id, self._closing[:1]]
        flat = [token for entry in declared for token in (entry if isinstance(entry, (list, tuple)) else [entry])]
        return frozenset(token for token in flat if token is not None)

    def _through_end_of_turn(self, completion: list[int]) -> list[int]:
        """Cut what some templates add behind the end of turn (a newline, say): no model is asked to produce it."""
        return completion[: len(completion) - max(len(self._closing) - 1, 0)]

    def _render(self, conversation: list[dict[str, str]], *, open_turn: bool) -> str:
        try:
            return str(
                self.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=open_turn)
            )
        except TemplateError as error:
            roles = ", ".join(turn["role"] for turn in conversation)
            raise EngineError(
                f"The tokenizer's chat template refuses a conversation of the roles ({roles}): {error}; bring the "
                "messages into a form that it takes (some templates have no system turn, or want turns to alternate)."
            ) from error

    def _encode(self, texts: list[str]) -> list[list[int]]:
        # The template already wrote the special tokens, so the tokenizer must add none.
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"]) if texts else []


def turns(messages: Sequence[Message], answer: str | None = None) -> list[dict[str, str]]:
    """The conversation as chat templates take it, closed by ``answer`` (which, unlike a message, may be empty)."""
    said = [{"role": message.role, "content": message.content} for message in messages]
    return said if answer is None else [*said, {"role": "assistant", "content": answer}]
