"""What becomes of a reward model's input that is too long: the head of its prompt goes first, then the middle of its
answer, and never its critique. What was cut is counted.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from paribus.data.chat import encode_many
from paribus.errors import DataError
from paribus.feedback.critiques.reward_inputs import NOTHING, Conversation, RewardInput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GAP = "…"
Sides: TypeAlias = tuple[RewardInput, ...]


@dataclass(frozen=True)
class Cut:
    """How much was cut. Of ``rows`` (pairs, or single answers) ``prompts`` lost the head of the prompt, and
    ``answers`` of these the middle of an answer as well; ``by_language`` counts rows that lost anything. ``longest``:
    tokens of the longest input before."""

    rows: int
    longest: int = 0
    prompts: int = 0
    answers: int = 0
    by_language: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Share of the rows that lost anything."""
        return self.prompts / self.rows if self.rows else 0.0


def shorten_inputs(
    tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Sides], languages: Sequence[str], most_tokens: int
) -> tuple[list[Sides], Cut]:
    """Inputs of at most ``most_tokens`` tokens under the tokenizer's chat template.

    A row holds the inputs that share a prompt: both sides of a pair, or one answer. Their prompt is cut once, by what
    the longest of them needs. Raises ``DataError`` where a critique alone is too long.
    """

    def lengths(sides: Sides) -> list[int]:
        return [len(ids) for ids in encode_many(tokenizer, [side.messages for side in sides])]

    before = iter(lengths(tuple(side for sides in rows for side in sides)))
    longest = [max(next(before) for _ in sides) for sides in rows]
    shorter = [
        _shorten(sides, lengths, most_tokens) if length > most_tokens else sides
        for sides, length in zip(rows, longest, strict=True)
    ]
    cut = [(old, new, language) for old, new, language in zip(rows, shorter, languages, strict=True) if old != new]
    return shorter, Cut(
        rows=len(rows),
        longest=max(longest, default=0),
        prompts=len(cut),
        answers=sum(any(a.answer != b.answer for a, b in zip(old, new, strict=True)) for old, new, _ in cut),
        by_language=dict(sorted(Counter(language for _, _, language in cut).items())),
    )


def _shorten(sides: Sides, lengths: Callable[[Sides], list[int]], most: int) -> Sides:
    letters = sum(len(turn.content) for turn in sides[0].prompt)

    def headless(count: int) -> Sides:
        return tuple(replace(side, prompt=without_head(side.prompt, count)) for side in sides)

    gone = least(letters, lambda count: max(lengths(headless(count))) <= most)
    return headless(gone) if gone is not None else tuple(_hollow(side, lengths, most) for side in headless(letters))


def _hollow(side: RewardInput, lengths: Callable[[Sides], list[int]], most: int) -> RewardInput:
    if lengths((side,))[0] <= most:
        return side

    def hollow(count: int) -> RewardInput:
        return replace(side, answer=without_middle(side.answer, count))

    gone = least(len(side.answer), lambda count: lengths((hollow(count),))[0] <= most)
    if gone is None:
        what = f"The critique {side.critique!r:.60}" if side.critique is not None else "The chat template"
        raise DataError(
            f"{what} leaves no room for its answer within {most} tokens; raise the limit, or ask for shorter critiques."
        )
    return hollow(gone)


def least(most: int, fits: Callable[[int], bool]) -> int | None:
    """The smallest number from 1 to ``most`` that fits, by halving; None if even ``most`` does not."""
    if most < 1 or not fits(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def without_head(messages: Conversation, letters: int) -> Conversation:
    """The conversation without its first ``letters`` letters. It never begins with the assistant, and is not empty."""
    kept = []
    for turn in messages:
        gone = min(letters, len(turn.content))
        letters -= gone
        rest = turn.content[gone:]
        if rest.strip():
            kept.append(turn.model_copy(update={"content": GAP + rest}) if gone else turn)
    while kept and kept[0].role == "assistant":
        kept.pop(0)
    return tuple(kept) or NOTHING


def without_middle(text: str, letters: int) -> str:
    """The text with ``letters`` letters of its middle replaced by a sign."""
    kept = len(text) - letters
    return text[: kept - kept // 2] + GAP + text[len(text) - kept // 2 :]
