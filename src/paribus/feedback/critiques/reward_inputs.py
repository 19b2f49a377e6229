"""What a reward model reads, with a critique and without: one form for both.

The critique stands behind the answer, in the assistant's turn: the score is read at the last token, which has then seen
prompt, answer and critique (papers/reward-critiques.md section 2). So inputs are ordinary conversations, and go through
the same encoding as those without critiques.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from paribus.errors import ConfigError
from paribus.feedback.critiques.templates import CRITIQUE_MARK, guarded
from paribus.records import Completion, Critique, Message, Prompt

Conversation: TypeAlias = tuple[Message, ...]

Reads = Literal["both", "answer_only", "critique_only"]
"""``both``: prompt, answer and, where there is one, its critique. ``answer_only``: neither prompt nor critique.
``critique_only``: neither prompt nor answer."""

NOTHING: Conversation = (Message(role="user", content="…"),)
"""What stands for a prompt that is not read: chat templates want a user's turn."""


@dataclass(frozen=True)
class RewardInput:
    """The parts of what is scored. ``critique`` None is a reward model without critiques; an empty one leaves its mark,
    since a critic that says nothing differs from no critic."""

    prompt: Conversation
    answer: str
    critique: str | None = None

    @property
    def text(self) -> str:
        """The assistant's turn: the answer, its critique behind a mark. A mark in the answer is moved in."""
        if self.critique is None:
            return self.answer
        head = f"{guarded(self.answer)}\n\n" if self.answer else ""
        return f"{head}{CRITIQUE_MARK}\n{self.critique}"

    @property
    def messages(self) -> Conversation:
        """The conversation to encode and score."""
        # An empty answer is legal and must get a score, though a Message may not be empty.
        return (*self.prompt, Message.model_construct(role="assistant", content=self.text))


def reward_input(
    prompt: Prompt | Conversation,
    answer: Completion | str,
    critique: Critique | str | None,
    *,
    reads: Reads = "both",
) -> RewardInput:
    """What a reward model reads of an answer; its ``messages`` are the conversation.

    Raises ``ConfigError`` for unknown ``reads``, and for ``"critique_only"`` without a critique.
    """
    said = critique.text if isinstance(critique, Critique) else critique
    if reads not in ("both", "answer_only", "critique_only"):
        raise ConfigError(f"reads={reads!r} cannot be used; it is 'both', 'answer_only' or 'critique_only'.")
    if reads == "critique_only":
        if said is None:
            raise ConfigError("reads='critique_only' needs a critique of every answer; give one, or read 'both'.")
        return RewardInput(NOTHING, "", said)
    text = answer.text if isinstance(answer, Completion) else answer
    if reads == "answer_only":
        return RewardInput(NOTHING, text)
    return RewardInput(prompt.messages if isinstance(prompt, Prompt) else prompt, text, said)
