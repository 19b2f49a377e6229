"""From joined critiques to what trainers and scorers take: pairs, completions, and an arbiter that reads critiques."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.feedback.arbiters import Arbiter
from paribus.feedback.critiques.critics import Critic
from paribus.feedback.critiques.joining import CritiquedPair, CritiqueIndex
from paribus.feedback.critiques.reward_inputs import Reads, RewardInput, reward_input
from paribus.feedback.critiques.truncation import Cut, Sides, shorten_inputs
from paribus.records import Completion, Critique, PreferencePair, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def pairs_to_read(
    rows: Sequence[CritiquedPair],
    *,
    reads: Reads = "both",
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    most_tokens: int | None = None,
) -> tuple[list[PreferencePair], Cut]:
    """Pairs whose texts are what a reward model reads, for ``data.pairs.encode_pairs`` or any other trainer of pairs.

    With a tokenizer and a limit, inputs are shortened as in ``truncation``. Pairs without critiques stay as they are:
    the baseline differs in nothing else.
    """
    inputs: list[Sides] = [
        tuple(
            reward_input(row.pair.prompt, text, critique, reads=reads)
            for text, critique in ((row.pair.chosen, row.chosen), (row.pair.rejected, row.rejected))
        )
        for row in rows
    ]
    fitted, cut = _fitted(inputs, [row.pair.language for row in rows], tokenizer, most_tokens)
    return [_pair(row.pair, *sides) for row, sides in zip(rows, fitted, strict=True)], cut


def _pair(pair: PreferencePair, chosen: RewardInput, rejected: RewardInput) -> PreferencePair:
    return pair.model_copy(update={"prompt": chosen.prompt, "chosen": chosen.text, "rejected": rejected.text})


def completions_to_read(
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    critiques: Sequence[Critique | None],
    *,
    reads: Reads = "both",
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    most_tokens: int | None = None,
) -> tuple[list[Prompt], list[Completion], Cut]:
    """The same for single answers, as ``RewardModelArbiter.score`` takes them."""
    given = zip(prompts, completions, critiques, strict=True)
    inputs: list[Sides] = [(reward_input(*row, reads=reads),) for row in given]
    fitted, cut = _fitted(inputs, [prompt.language for prompt in prompts], tokenizer, most_tokens)
    sides = [side for (side,) in fitted]
    return (
        [prompt.model_copy(update={"messages": side.prompt}) for prompt, side in zip(prompts, sides, strict=True)],
        [row.model_copy(update={"text": side.text}) for row, side in zip(completions, sides, strict=True)],
        cut,
    )


def _fitted(
    inputs: Sequence[Sides],
    languages: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase | None",
    most_tokens: int | None,
) -> tuple[list[Sides], Cut]:
    if tokenizer is None or most_tokens is None:
        return list(inputs), Cut(len(inputs))
    return shorten_inputs(tokenizer, inputs, languages, most_tokens)


class CritiquedArbiter:
    """A scorer that reads a critique with every answer, in the place of a bare one.

    Args:
        arbiter: scores conversations: a ``RewardModelArbiter`` whose model was trained with critiques.
        source: who writes the critiques (asked at each call), or those that were written.
        tokenizer, most_tokens: shorten what is too long, as in ``truncation``; without them nothing is cut.

    ``cut`` says how much of the last call was cut.
    """

    def __init__(
        self,
        arbiter: Arbiter,
        source: Critic | CritiqueIndex,
        *,
        reads: Reads = "both",
        tokenizer: "PreTrainedTokenizerBase | None" = None,
        most_tokens: int | None = None,
    ) -> None:
        self.arbiter, self.source, self.reads = arbiter, source, reads
        self.tokenizer, self.most_tokens = tokenizer, most_tokens
        self.cut = Cut(0)

    @property
    def identity(self) -> str:
        """The arbiter's and the critic's."""
        critic = self.source.critic if isinstance(self.source, CritiqueIndex) else self.source.identity
        return f"{self.arbiter.identity} reading {critic}"

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> NDArray[np.float64]:
        """One score an answer; raises ``DataError`` for an answer without a critique."""
        critiques = self._critiques(prompts, completions)
        shown, answers, self.cut = completions_to_read(
            prompts,
            completions,
            critiques,
            reads=self.reads,
            tokenizer=self.tokenizer,
            most_tokens=self.most_tokens,
        )
        return self.arbiter.score(shown, answers)

    def _critiques(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Critique]:
        if not isinstance(self.source, CritiqueIndex):
            return _answered(self.source.critique(prompts, completions))
        rows = list(zip(prompts, completions, strict=True))
        found = [self.source.find(prompt, row.id, row.text) for prompt, row in rows]
        missing = [row.id for (_, row), critique in zip(rows, found, strict=True) if critique is None]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(rows)} answers have no critique, the first is {missing[0]!r}; let the critic "
                "write the rest."
            )
        return [critique for critique in found if critique is not None]


def _answered(critiques: list[Critique]) -> list[Critique]:
    failed = [row for row in critiques if "error" in row.meta]
    if failed:
        raise DataError(
            f"{len(failed)} of {len(critiques)} critiques failed, the first, of {failed[0].completion_id!r}, because: "
            f"{failed[0].meta['error']}; ask again."
        )
    return critiques
