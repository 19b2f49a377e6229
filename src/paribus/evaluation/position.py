"""Does the judge prefer a place rather than an answer? Read from swapped double games and, in part, single ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.evaluation.games import Games, Question, Unparsed, games_of, question_of
from paribus.evaluation.items import ALL
from paribus.records import Verdict
from paribus.statistics import Interval, percentile_interval, resampled_means, wilson


@dataclass(frozen=True)
class PositionReport:
    """Position bias of one judge on one pair of models; every share is an ``Interval`` clustered by question.

    Attributes:
        first_wins: share of decided games (no tie) won by the answer shown first; 0.5 without bias. In single games it
            also holds how often the better model came first, so it is exact only in double games.
        first_win_gap: P(first shown wins) - P(second shown wins) over all games, ties included.
        flip_rate: share of prompts whose two games differ in outcome (win, tie or loss). ``None`` for single games.
        reversal_rate: share of prompts on which each answer won when it stood in the same place. ``None`` as above.
        consistent_wins: wins / (wins + losses) among prompts on which both games agree on a winner. ``None`` as above,
            or where no prompt is consistent.
        consistent_prompts: how many prompts that is; prompts: how many there are.
    """

    model: str
    baseline: str
    judge: str
    language: str
    first_wins: Interval | None
    first_win_gap: Interval
    flip_rate: Interval | None
    reversal_rate: Interval | None
    consistent_wins: Interval | None
    consistent_prompts: int
    prompts: int
    unparsed: int
    dropped: int


def position_report(
    verdicts: Sequence[Verdict],
    model: str,
    baseline: str | None = None,
    *,
    language: str | None = None,
    unparsed: Unparsed = "drop-prompt",
    resamples: int = 10_000,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
    question: Question = question_of,
) -> PositionReport:
    """Position bias in the games of ``model`` against ``baseline``; errors as in ``games.games_of``."""
    games = games_of(verdicts, model, baseline, language=language, unparsed=unparsed, question=question)
    shares = _Shares(games, resamples, level, rng)
    first_won = np.sign(games.strength) * np.where(games.first, 1.0, -1.0)
    decided = (first_won != 0).astype(np.float64)
    gap = shares.interval(first_won, np.ones(len(games)), share=False)
    if gap is None:
        raise DataError(f"There are no parsed games of {model!r}; a position report needs at least one.")
    flips, reversals, wins, consistent = _double_game_marks(games)
    return PositionReport(
        model=model,
        baseline=games.baseline,
        judge=games.judge,
        language=language or ALL,
        first_wins=shares.interval((first_won > 0).astype(np.float64), decided),
        first_win_gap=gap,
        flip_rate=shares.interval(flips, _paired(games)),
        reversal_rate=shares.interval(reversals, _paired(games)),
        consistent_wins=shares.interval(wins, consistent),
        consistent_prompts=int(consistent.sum()),
        prompts=len(games.prompts),
        unparsed=games.unparsed,
        dropped=games.dropped,
    )


def _paired(games: Games) -> NDArray[np.float64]:
    """1 on the first of two parsed games of a prompt, 0 elsewhere: the unit of everything counted per prompt."""
    unit = np.zeros(len(games))
    _, start, size = np.unique(games.prompt, return_index=True, return_counts=True)
    unit[start[size == 2]] = 1.0
    return unit


def _double_game_marks(games: Games) -> tuple[NDArray[np.float64], ...]:
    """Per game, zero except on the unit of its prompt: flipped, reversed, consistent win, consistent and decided."""
    signs, unit = np.sign(games.strength), _paired(games)
    total, product = np.bincount(games.prompt, signs)[games.prompt], np.ones(len(games.prompts))
    np.multiply.at(product, games.prompt, signs)
    agree = np.abs(total) == 2.0
    same = agree | ((total == 0.0) & (signs == 0.0))
    reversal = product[games.prompt] < 0
    return unit * ~same, unit * reversal, unit * (total == 2.0), unit * agree


class _Shares:
    """Weighted shares over games with intervals that resample questions."""

    def __init__(self, games: Games, resamples: int, level: float, rng: np.random.Generator | int) -> None:
        self.games, self.resamples, self.level, self.rng = games, resamples, level, rng

    def interval(
        self, score: NDArray[np.float64], weight: NDArray[np.float64], *, share: bool = True
    ) -> Interval | None:
        """Interval of sum(score) / sum(weight), a ``share`` or a difference; ``None`` where no game carries weight."""
        if not weight.any():
            return None
        k = len(self.games.questions)
        sums = np.bincount(self.games.question, score, minlength=k).astype(np.float64)
        counts = np.bincount(self.games.question, weight, minlength=k).astype(np.float64)
        estimate = float(sums.sum() / counts.sum())
        if share and estimate in (0.0, 1.0):
            # Every resample is the same: "the first always won, in three questions" must not be shown as certainty.
            asked = int(np.count_nonzero(counts))
            return wilson(round(estimate * asked), asked, level=self.level)
        draws = resampled_means(sums, counts, resamples=self.resamples, rng=self.rng)
        return percentile_interval(draws, estimate, n=k, level=self.level)
