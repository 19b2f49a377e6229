"""Win rates under three definitions that are never mixed, for single and swapped double games, with intervals.

- ``ties_apart``: wins / all, ties reported beside it (Aya-101 and the papers after it).
- ``half_ties``: (wins + ties / 2) / all.
- ``strong_x3``: mean score over games, ties one half, strong verdicts counted three times (Arena-Hard-Auto, v0.1 and
  v2.0).

The same verdicts give different numbers under each (papers/aya-expanse.md, checklist 15), so a table carries its
definition and refuses rows of another.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.games import Games, Protocol, Question, Unparsed, games_of, question_of, scores_and_weights
from paribus.evaluation.items import ALL, ItemRow
from paribus.records import Verdict
from paribus.statistics import Interval, percentile_interval, resampled_means, wilson
from paribus.statistics.arrays import generator

Definition = Literal["ties_apart", "half_ties", "strong_x3"]
Combine = Literal["majority", "agreement"]
Resample = Literal["question", "row"]


@dataclass(frozen=True)
class WinRate:
    """One model against one baseline in one language (or ``"all"``).

    Attributes:
        rate: the win rate as a share with its interval.
        wins, ties, losses: outcomes counted; prompts, except under ``strong_x3``, where they are games.
        unparsed: games without a label. dropped: parsed games that went with them.
        shown_first: share of the counted games in which the model's answer came first (0.5 in double games).
    """

    model: str
    baseline: str
    judge: str
    language: str
    definition: Definition
    protocol: Protocol
    combine: Combine
    resample: Resample
    rate: Interval
    wins: int
    ties: int
    losses: int
    unparsed: int
    dropped: int
    shown_first: float


@dataclass(frozen=True)
class WinRateTable:
    """Win rates that may stand in one table: one definition, protocol, way of combining games, and judge.

    Raises ``ConfigError`` when built from rows that differ in any of them.
    """

    rows: tuple[WinRate, ...]

    def __post_init__(self) -> None:
        for field in ("definition", "protocol", "combine", "resample", "judge"):
            found = sorted({str(getattr(row, field)) for row in self.rows})
            if len(found) != 1:
                raise ConfigError(
                    f"A win-rate table holds rows of one {field}, and these have {found}; make one table for each."
                )

    @property
    def definition(self) -> Definition:
        """The definition that all rows share."""
        return self.rows[0].definition

    def of(self, model: str, language: str = ALL) -> WinRate:
        """The row of ``model`` in ``language``; ``DataError`` if there is none."""
        for row in self.rows:
            if (row.model, row.language) == (model, language):
                return row
        raise DataError(f"The table has no row for {model!r} in {language!r}.")


@dataclass(frozen=True)
class JointDraws:
    """Win rates of several models recomputed on the same resampled questions.

    scores: win rate by model. draws: ``(resamples, models)`` in that order, NaN where a model drew no game.
    n: questions of all models together.
    """

    scores: dict[str, float]
    draws: NDArray[np.float64]
    n: int


@dataclass(frozen=True)
class _Units:
    """What is averaged: numerator and weight per unit, its question, and the count of outcomes."""

    score: NDArray[np.float64]
    weight: NDArray[np.float64]
    question: NDArray[np.int64]
    outcome: NDArray[np.float64]


def win_rate(
    verdicts: Sequence[Verdict],
    model: str,
    definition: Definition = "ties_apart",
    *,
    baseline: str | None = None,
    language: str | None = None,
    protocol: Protocol | None = None,
    combine: Combine = "majority",
    unparsed: Unparsed = "drop-prompt",
    resample: Resample = "question",
    resamples: int = 10_000,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
    question: Question = question_of,
) -> WinRate:
    """Win rate of ``model`` against ``baseline`` (may be left out where it met one opponent).

    Args:
        verdicts: games by one judge, in either order of the models.
        definition: see the module docstring.
        language: count this language only; ``None`` counts all.
        protocol: ``"single"`` (one game per prompt, order randomised) or ``"double"`` (two, positions swapped);
            ``None`` reads it off the verdicts. A declared one that does not fit raises ``DataError``.
        combine: how the two games of a prompt make one outcome, except under ``strong_x3``, which averages games.
            ``"majority"``: the sign of their sum (win + tie is a win, win + loss a tie); ``"agreement"``: the outcome
            on which both agree, otherwise a tie.
        unparsed: what to do with games without a label; see ``games.keep_parsed``. They are counted in the result.
        resample: ``"question"`` draws whole questions with all languages and games; ``"row"`` treats every unit as
            independent, with strong verdicts as three rows (the Arena-Hard way, shown for comparison: about half as
            wide as it should be).

    Raises:
        DataError: no games, several judges, no parsed game, or games that do not fit the protocol.
        ConfigError: unknown definition, several definitions at once, or a baseline that must be named.
    """
    _check_definition(definition)
    if combine not in get_args(Combine) or resample not in get_args(Resample):
        raise ConfigError(
            f"combine={combine!r}, resample={resample!r}: use {get_args(Combine)} and {get_args(Resample)}."
        )
    games = games_of(verdicts, model, baseline, language=language, unparsed=unparsed, question=question)
    if protocol not in (None, games.protocol):
        raise DataError(f"The games were played as {games.protocol!r}, not {protocol!r}; declare what was played.")
    units = _units(games, definition, combine)
    return WinRate(
        model=model,
        baseline=games.baseline,
        judge=games.judge,
        language=language or ALL,
        definition=definition,
        protocol=games.protocol,
        combine=combine,
        resample=resample,
        rate=_interval(units, resample, resamples, level, rng),
        wins=int(np.count_nonzero(units.outcome > 0)),
        ties=int(np.count_nonzero(units.outcome == 0)),
        losses=int(np.count_nonzero(units.outcome < 0)),
        unparsed=games.unparsed,
        dropped=games.dropped,
        shown_first=float(games.first.mean()),
    )


def win_rate_table(
    verdicts: Sequence[Verdict],
    models: Sequence[str],
    definition: Definition = "ties_apart",
    *,
    by_language: bool = True,
    **counting: Any,
) -> WinRateTable:
    """Rows for every model over all languages and, with ``by_language``, in each; ``counting`` goes to ``win_rate``."""
    _check_definition(definition)
    rows = []
    for model in models:
        own = [v for v in verdicts if model in (v.a, v.b)]
        languages = sorted({v.language for v in own}) if by_language else []
        rows += [win_rate(own, model, definition, language=code, **counting) for code in [None, *languages]]
    return WinRateTable(tuple(rows))


def joint_draws(
    verdicts: Sequence[Verdict],
    models: Sequence[str],
    definition: Definition = "ties_apart",
    *,
    baseline: str | None = None,
    language: str | None = None,
    combine: Combine = "majority",
    unparsed: Unparsed = "drop-prompt",
    resamples: int = 2_000,
    rng: np.random.Generator | int = 0,
    question: Question = question_of,
) -> JointDraws:
    """Bootstrap win rates of ``models`` against one baseline, with the resamples shared, so that their differences are
    differences on the same questions. Arguments and errors as in ``win_rate``.
    """
    _check_definition(definition)
    counted = {}
    for model in models:
        games = games_of(verdicts, model, baseline, language=language, unparsed=unparsed, question=question)
        counted[model] = games, _units(games, definition, combine)
    place: dict[Hashable, int] = {}
    for games, _ in counted.values():
        for name in games.questions:
            place.setdefault(name, len(place))
    sums, counts = np.zeros((2, len(place), len(counted)))
    for i, (games, units) in enumerate(counted.values()):
        row = np.array([place[name] for name in games.questions])[units.question]
        np.add.at(sums[:, i], row, units.score)
        np.add.at(counts[:, i], row, units.weight)
    rates = (sums.sum(0) / counts.sum(0)).tolist()
    draws = resampled_means(sums, counts, resamples=resamples, rng=rng)
    return JointDraws(dict(zip(counted, rates, strict=True)), draws, len(place))


def outcome_rows(
    verdicts: Sequence[Verdict],
    model: str,
    definition: Definition = "ties_apart",
    *,
    baseline: str | None = None,
    combine: Combine = "majority",
    unparsed: Unparsed = "drop-prompt",
    question: Question = question_of,
) -> list[ItemRow]:
    """One row per prompt and language, whose mean is the win rate; the measure's name carries the definition.

    ``strong_x3`` is a weighted mean over games and has no value per prompt: ``ConfigError``.
    """
    _check_definition(definition)
    if definition == "strong_x3":
        raise ConfigError("strong_x3 weights games and has no value per prompt; use 'ties_apart' or 'half_ties' here.")
    games = games_of(verdicts, model, baseline, unparsed=unparsed, question=question)
    units = _units(games, definition, combine)
    measure = f"win_rate:{definition}:{games.baseline}"
    rows = []
    for (prompt, language), score, asked in zip(games.prompts, units.score, units.question, strict=True):
        item = f"{prompt}/{language}"
        rows.append(ItemRow(measure, item, str(games.questions[asked]), language, float(score)))
    return rows


def _check_definition(definition: Definition) -> None:
    if not isinstance(definition, str):
        raise ConfigError(
            f"One table carries one definition of the win rate and was asked for {definition!r}; make two."
        )
    if definition not in get_args(Definition):
        raise ConfigError(f"The definition is {definition!r}; use one of {', '.join(get_args(Definition))}.")


def _units(games: Games, definition: Definition, combine: Combine) -> _Units:
    """One unit per prompt and language (in the order of ``games.prompts``), or per game under ``strong_x3``."""
    if definition == "strong_x3":
        score, weight = scores_and_weights(games.strength, strong=3.0)
        return _Units(score * weight, weight, games.question, np.sign(games.strength))
    outcome = combined_outcomes(games, combine)
    # The first game of every prompt knows the question of the prompt.
    first_game = np.unique(games.prompt, return_index=True)[1]
    score = (outcome > 0).astype(np.float64)
    if definition == "half_ties":
        score += 0.5 * (outcome == 0)
    return _Units(score, np.ones_like(score), games.question[first_game], outcome)


def combined_outcomes(games: Games, combine: Combine) -> NDArray[np.float64]:
    """1, 0 or -1 per prompt and language, shape ``(prompts,)``, from its one or two games."""
    signs = np.sign(games.strength)
    total = np.bincount(games.prompt, signs)
    if combine == "majority":
        return np.sign(total)
    return np.where(np.abs(total) == np.bincount(games.prompt), np.sign(total), 0.0)


def _interval(
    units: _Units, resample: Resample, resamples: int, level: float, rng: np.random.Generator | int
) -> Interval:
    estimate = float(units.score.sum() / units.weight.sum())
    if resample == "row":
        draws = row_draws(units.score / units.weight, units.weight, resamples, rng)
        return percentile_interval(draws, estimate, n=int(units.weight.sum()), level=level, method="percentile")
    k = int(units.question.max()) + 1
    if estimate in (0.0, 1.0):
        # Every resample is the same: "never won in three questions" must not be shown as certainty.
        return wilson(round(estimate * k), k, level=level)
    sums = np.bincount(units.question, units.score, minlength=k).astype(np.float64)
    counts = np.bincount(units.question, units.weight, minlength=k).astype(np.float64)
    return percentile_interval(resampled_means(sums, counts, resamples=resamples, rng=rng), estimate, n=k, level=level)


def row_draws(
    score: NDArray[np.float64], weight: NDArray[np.float64], resamples: int, rng: np.random.Generator | int
) -> NDArray[np.float64]:
    """Mean scores of resampled rows, ``(resamples,)``, from the score and the weight of every game, both ``(n,)``.

    The bootstrap of Arena-Hard: a strong verdict is three rows (its weight), although it is one judgement.
    """
    # Rows take at most three values, so a resample of the rows is one multinomial draw of their counts.
    values, code = np.unique(score, return_inverse=True)
    rows = np.bincount(code, weight)
    n = int(rows.sum())
    return np.asarray(generator(rng).multinomial(n, rows / n, size=resamples) @ values / n, dtype=np.float64)
