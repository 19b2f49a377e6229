"""Length-controlled win rates: how often would a model win if its answers were as long as the baseline's?

The regression of AlpacaEval 2 (Dubois et al., arXiv 2404.04475), as its package fits it (``alpaca_eval`` 0.6.6,
``length_controlled_v1``): the log odds that the model's answer is preferred are

    w_length * tanh(gap / sd(gap)) + w_difficulty * difficulty(instruction) + w_model,

``gap`` being the baseline's length less the model's in characters. The L1 penalty is chosen among ten by five-fold
cross-validation of the log loss. The rate is the mean prediction with the gap set to zero. Two made-up contestants,
the baseline asked to be brief and to be wordy, hold the first two weights in place: their rows count a tenth each and
have no ``w_model``. Without them the variant is called ``noreg``, without difficulties as well ``minimal``.

The published standard error is that of the mean *prediction*, which is no sampling error of the rate; the interval here
resamples questions and refits, next to without a penalty: where the chosen one sets every weight to zero, the rate is
50% by decree and no resample would tell.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import DataError
from paribus.evaluation.games import Question, Unparsed, games_of, question_of, scores_and_weights
from paribus.evaluation.items import ALL
from paribus.evaluation.logistic import fit_logistic
from paribus.evaluation.style import StyleKey
from paribus.records import Completion, Verdict
from paribus.statistics import Interval, cluster_codes, cluster_weights, percentile_interval
from paribus.statistics.arrays import finite_vector, generator, positive_count, same_length

Variant = Literal["length_controlled_v1", "length_controlled_noreg", "length_controlled_minimal"]

PENALTIES = np.logspace(-4, 4, 10)
GAMED_WEIGHT = 0.2
_FOLDS, _SEED = 5, 123
# Keeps a refit finite in a resample that was won throughout; a thousandth of what one row says about a weight.
_RIDGE = 1e-3
_GAMED_COLUMNS = ("index", "preference", "std_delta_len", "instruction_difficulty")


@dataclass(frozen=True)
class Gamed:
    """Rows of the brief and the wordy baseline, k of them, all ``(k,)``: preference in [0, 1] over the plain baseline,
    its standardised length gap, and the instruction's difficulty.
    """

    preference: NDArray[np.float64]
    gap: NDArray[np.float64]
    difficulty: NDArray[np.float64]


@dataclass(frozen=True)
class LengthControlled:
    """One model's length-controlled win rate.

    Attributes:
        rate: share of wins at equal length, with an interval that resamples questions.
        plain: the share without control, on the same rows, with the same resamples.
        standard_error: as published, of the mean prediction over rows (a share).
        coefficients: log odds by term: ``length``, ``model`` and, where used, ``difficulty``.
        penalty: the chosen inverse strength of the L1 penalty.
        mean_gap: mean characters by which the model's answers are longer than the baseline's.
        left_out: rows without a preference; they take part in the prediction, as published, and not in the fit.
    """

    variant: Variant
    rate: Interval
    plain: Interval
    standard_error: float
    coefficients: dict[str, float]
    penalty: float
    mean_gap: float
    left_out: int


@dataclass(frozen=True)
class _Design:
    """Regression rows, the model's first: columns ``(n + k, terms)``, target and weight ``(n + k,)``; ``n`` are the
    model's own, ``question`` codes theirs, ``at_zero`` is their design without a length gap.
    """

    terms: tuple[str, ...]
    columns: NDArray[np.float64]
    target: NDArray[np.float64]
    weight: NDArray[np.float64]
    at_zero: NDArray[np.float64]
    question: NDArray[np.int64]
    questions: int


def length_controlled(
    preference: ArrayLike,
    length: ArrayLike,
    baseline_length: ArrayLike,
    *,
    questions: Sequence[Hashable] | None = None,
    difficulty: ArrayLike | None = None,
    gamed: Gamed | None = None,
    resamples: int = 1_000,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> LengthControlled:
    """Fit the regression to one model's rows against one baseline.

    Args:
        preference: ``(n,)`` in [0, 1], 1 where the model's answer is preferred; NaN where there is none.
        length, baseline_length: characters of both answers, ``(n,)``.
        questions: n ids of what is resampled; ``None`` makes every row its own question.
        difficulty: of each row's instruction, in log odds, ``(n,)``; needed with ``gamed``.
        gamed: rows of the brief and wordy baselines; see ``read_gamed``.
        resamples, level, rng: of the interval.

    Raises:
        DataError: arrays that do not fit, fewer than five rows with a preference, preferences outside [0, 1], or
            answers whose length gaps are all alike.
    """
    positive_count(resamples, "resamples")
    given = np.asarray(preference, dtype=np.float64)
    design = _design(given, length, baseline_length, questions, difficulty, gamed)
    used = np.isfinite(design.target)
    penalty = _best_penalty(design.columns[used], design.target[used], design.weight[used])
    coefficients = _solve(design.columns[used], design.target[used], design.weight[used], penalty)
    predicted = _chance(design.at_zero, coefficients)
    rate, plain = _intervals(design, float(predicted.mean()), resamples, level, rng)
    return LengthControlled(
        variant=_variant(difficulty is not None, gamed is not None),
        rate=rate,
        plain=plain,
        standard_error=float(predicted.std(ddof=1)) / len(predicted) ** 0.5,
        coefficients=dict(zip(design.terms, coefficients.tolist(), strict=True)),
        penalty=penalty,
        mean_gap=float(np.mean(np.asarray(length, dtype=np.float64) - np.asarray(baseline_length, dtype=np.float64))),
        left_out=int(np.isnan(given).sum()),
    )


def _variant(difficulty: bool, gamed: bool) -> Variant:
    if not difficulty:
        return "length_controlled_minimal"
    return "length_controlled_v1" if gamed else "length_controlled_noreg"


def _design(
    preference: NDArray[np.float64],
    length: ArrayLike,
    baseline_length: ArrayLike,
    questions: Sequence[Hashable] | None,
    difficulty: ArrayLike | None,
    gamed: Gamed | None,
) -> _Design:
    gap = _standard_gap(preference, length, baseline_length)
    n = len(gap)
    hard = None if difficulty is None else finite_vector(difficulty, "difficulty")
    if hard is not None:
        same_length(preference, hard, ("preference", "difficulty"))
    if gamed is not None and hard is None:
        raise DataError("Rows of gamed baselines are given without the difficulty of the instructions; give both.")
    own = {"length": np.tanh(gap), "difficulty": hard, "model": np.ones(n)}
    columns = np.column_stack([column for column in own.values() if column is not None])
    at_zero = columns * (np.arange(columns.shape[1]) > 0)
    target, weight = preference, np.ones(n)
    if gamed is not None:
        k = len(gamed.gap)
        extra = np.column_stack([np.tanh(gamed.gap), gamed.difficulty, np.zeros(k)])
        # Published order: the gamed rows come first, which decides the folds of the cross-validation.
        columns, target = np.concatenate([extra, columns]), np.concatenate([gamed.preference, target])
        weight = np.concatenate([np.full(k, GAMED_WEIGHT / 2), weight])
    codes, count = (np.arange(n), n) if questions is None else cluster_codes(questions)
    same_length(preference, codes, ("preference", "questions"))
    terms = tuple(name for name, column in own.items() if column is not None)
    return _Design(terms, columns, target, weight, at_zero, codes, count)


def _standard_gap(
    preference: NDArray[np.float64], length: ArrayLike, baseline_length: ArrayLike
) -> NDArray[np.float64]:
    """Baseline's length less the model's over its standard deviation, ``(n,)``."""
    own, other = finite_vector(length, "length"), finite_vector(baseline_length, "baseline_length")
    same_length(own, other, ("length", "baseline_length"))
    same_length(preference, own, ("preference", "length"))
    kept = preference[np.isfinite(preference)]
    if len(kept) < _FOLDS or kept.min() < 0.0 or kept.max() > 1.0:
        raise DataError(
            f"There are {len(kept)} preferences{f' from {kept.min()} to {kept.max()}' if len(kept) else ''}; a length-"
            f"controlled rate needs at least {_FOLDS}, from 0 (the baseline wins) to 1."
        )
    gap = other - own
    spread = float(gap.std(ddof=1))
    if spread == 0.0:
        raise DataError(
            f"The lengths of all answers differ from the baseline's by {own[0] - other[0]:+g} characters; without "
            "differing gaps nothing can be controlled."
        )
    return np.asarray(gap / spread, dtype=np.float64)


def _best_penalty(columns: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """The penalty with the least log loss over five folds; both copies of a row (see ``_solve``) share a fold."""
    from sklearn.model_selection import GroupKFold

    n, losses = len(target), np.zeros(len(PENALTIES))
    rows = np.tile(np.arange(n), 2)
    for train, test in GroupKFold(_FOLDS).split(rows, groups=rows):
        learned, held = rows[train[train < n]], rows[test[test < n]]
        # The published fits of a fold share one random stream, and stop early enough for it to show.
        stream = np.random.RandomState(_SEED)
        for i, penalty in enumerate(PENALTIES):
            coefficients = _solve(columns[learned], target[learned], weight[learned], penalty, stream)
            chance = _chance(columns[held], coefficients)
            chance = np.clip(chance, 1e-15, 1 - 1e-15)
            losses[i] += np.mean(weight[held] * _log_loss(target[held], chance))
    return float(PENALTIES[int(np.argmin(losses))])


def _log_loss(target: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(target * np.log(chance) + (1 - target) * np.log(1 - chance)), dtype=np.float64)


def _solve(
    columns: NDArray[np.float64],
    target: NDArray[np.float64],
    weight: NDArray[np.float64],
    penalty: float,
    random_state: np.random.RandomState | int = _SEED,
) -> NDArray[np.float64]:
    """Coefficients of the penalised fit. A soft label is two rows, one won and one lost, that share its weight.

    Fits of few rows may stop before they converge; so do the published ones, so nothing is said about it.
    """
    from warnings import catch_warnings, simplefilter

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    n = len(target)
    model = LogisticRegression(
        C=penalty, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=random_state
    )
    won_lost = np.concatenate([target * weight, (1.0 - target) * weight])
    with catch_warnings():
        simplefilter("ignore", ConvergenceWarning)
        model.fit(np.tile(columns, (2, 1)), np.repeat([1, 0], n), sample_weight=won_lost)
    return np.asarray(model.coef_[0], dtype=np.float64)


def _chance(columns: NDArray[np.float64], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import expit

    return np.asarray(expit(columns @ coefficients), dtype=np.float64)


def _intervals(
    design: _Design, controlled: float, resamples: int, level: float, rng: np.random.Generator | int
) -> tuple[Interval, Interval]:
    """The controlled and the plain rate; the gamed rows are a fixed part of the method and are not resampled."""
    used, own = np.isfinite(design.target), design.target[-len(design.question) :]
    scored = np.isfinite(own)
    fixed, n, draws = np.ones(len(design.target) - len(own)), design.questions, []
    for chunk in cluster_weights(n, resamples, generator(rng)):
        for count in chunk[:, design.question]:
            weight = (design.weight * np.concatenate([fixed, count]))[used]
            if not count[scored].any():
                continue
            fitted = fit_logistic(design.columns[used], design.target[used], weight, l2=_RIDGE)
            predicted = np.average(_chance(design.at_zero, fitted), weights=count)
            draws.append((predicted, np.average(own[scored], weights=count[scored])))
    table = np.array(draws)
    plain = percentile_interval(table[:, 1], float(own[scored].mean()), n=n, level=level)
    return percentile_interval(table[:, 0], controlled, n=n, level=level), plain


def read_gamed(path: Path) -> tuple[Gamed, dict[int, float]]:
    """The published table of gamed baselines (``df_gamed.csv``), and the difficulty of every instruction by its index.

    Raises ``DataError`` for a file without its columns or with a cell that is no number.
    """
    import csv

    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); give the CSV of gamed baselines.") from error
    missing = [column for column in _GAMED_COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; expected {', '.join(_GAMED_COLUMNS)}.")
    try:
        table = np.array([[float(row[column]) for column in _GAMED_COLUMNS] for row in rows])
    except ValueError as error:
        raise DataError(f"{path} has a cell that is no number ({error}); repair it.") from error
    index, preference, gap, difficulty = table.T
    known: dict[int, float] = {}
    for number, value in zip(index.astype(int).tolist(), difficulty.tolist(), strict=True):
        known.setdefault(number, value)
    return Gamed(preference, gap, difficulty), known


def answer_lengths(completions: Sequence[Completion]) -> dict[StyleKey, int]:
    """Characters of answers by (model, prompt id, language), as ``length_controlled_verdicts`` takes them."""
    return {(row.model, row.prompt_id, row.language): len(row.text) for row in completions}


def length_controlled_verdicts(
    verdicts: Sequence[Verdict],
    lengths: Mapping[StyleKey, int],
    model: str,
    *,
    baseline: str | None = None,
    language: str | None = None,
    difficulty: Mapping[Hashable, float] | None = None,
    unparsed: Unparsed = "drop-prompt",
    question: Question = question_of,
    resamples: int = 1_000,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> LengthControlled:
    """Length-controlled rate of a model from verdicts: a prompt's preference is the mean score of its games, ties half.

    ``difficulty`` is by question, in log odds. Raises ``DataError`` for an answer without a length, or a question
    without a difficulty where some are given; otherwise as ``length_controlled`` and ``games.games_of``.
    """
    games = games_of(verdicts, model, baseline, language=language, unparsed=unparsed, question=question)
    score, _ = scores_and_weights(games.strength)
    preference = np.bincount(games.prompt, score) / np.bincount(games.prompt)
    first = np.unique(games.prompt, return_index=True)[1]
    asked = [games.questions[code] for code in games.question[first]]
    try:
        own, other = ([lengths[(name, *prompt)] for prompt in games.prompts] for name in (model, games.baseline))
        hard = None if difficulty is None else [difficulty[name] for name in asked]
    except KeyError as error:
        raise DataError(
            f"There is no length or difficulty for {error.args[0]!r} in {language or ALL}; give the answers of both "
            "models to every judged prompt, and every question's difficulty or none."
        ) from error
    return length_controlled(
        preference, own, other, questions=asked, difficulty=hard, resamples=resamples, level=level, rng=rng
    )
