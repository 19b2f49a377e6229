"""A judge as arbiter: answers to one prompt are scored by the games they win against each other.

With an engine judge this is the arbiter for which no reward model is needed: any model behind an endpoint will do.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.evaluation.games import STRENGTH
from paribus.feedback.games import Game, Judge, Order
from paribus.records import Completion, Prompt

_ORDERS: tuple[Order, ...] = ("ab", "ba")


@dataclass(frozen=True)
class PairwiseArbiter:
    """An answer's score is its mean result (win 1, tie 1/2, loss 0) against all other answers to its prompt.

    Every pair is judged in both orders, so m answers cost m (m - 1) games. The judge sees completion ids in place of
    model names. Games without a label are left out.
    """

    judge: Judge

    @property
    def identity(self) -> str:
        """The judge's: it must not mark the result as well."""
        return self.judge.identity

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> NDArray[np.float64]:
        """Scores from 0 to 1, shape (n,); all answers to a prompt must come in one call.

        Raises ``DataError`` for an answer that met no other, or whose games all went unread.
        """
        named = [row.model_copy(update={"model": row.id}) for row in completions]
        pairs = [pair for rows in _by_prompt(prompts, named) for pair in combinations(rows, 2)]
        played = [(i, j, Game(prompts[i], named[i], named[j], order)) for i, j in pairs for order in _ORDERS]
        points, met = np.zeros(len(named)), np.zeros(len(named))
        for (i, j, _), found in zip(played, self.judge.judge([game for _, _, game in played]), strict=True):
            if found.label is not None:
                result = (np.sign(STRENGTH[found.label]) + 1) / 2
                points[[i, j]] += result, 1 - result
                met[[i, j]] += 1
        if not met.all():
            alone = completions[int(met.argmin())]
            raise DataError(
                f"The completion {alone.id!r} has no readable game against another answer to {alone.prompt_id!r}; a "
                "pairwise arbiter needs two answers a prompt, and a judge that keeps to its labels."
            )
        return points / met


def _by_prompt(prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, (prompt, _) in enumerate(zip(prompts, completions, strict=True)):
        places[prompt.id].append(place)
    return list(places.values())
