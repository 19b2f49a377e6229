"""A ranking of many models from one judge's verdicts: ratings, groups, style, and agreement with a reference."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from paribus.errors import ConfigError, DataError
from paribus.evaluation.benchmark_quality import Quality, benchmark_quality, separability
from paribus.evaluation.bradley_terry import BradleyTerry, Resample, Weighting, bradley_terry
from paribus.evaluation.games import Question, Unparsed, question_of
from paribus.evaluation.items import ALL
from paribus.evaluation.significance import Groups, rating_groups
from paribus.evaluation.style import FeatureSet, Style, StyleKey
from paribus.evaluation.style_control import StyleControlled, style_control
from paribus.records import Verdict
from paribus.statistics import Interval


@dataclass(frozen=True)
class Ranking:
    """One language's ranking (or ``"all"``).

    ``separability`` is the published measure, the share of pairs whose intervals do not overlap; ``groups`` come of
    tests of the differences and are the sharper tool. ``quality`` and ``style`` are None unless asked for; ``unstyled``
    says why a language has no style control although it was.
    """

    language: str
    judge: str
    rating: BradleyTerry
    groups: Groups
    separability: float
    style: StyleControlled | None
    quality: Quality | None
    games: dict[str, int]
    unstyled: str = ""


@dataclass(frozen=True)
class Unranked:
    """A language that could not be ranked, and why."""

    language: str
    reason: str


def rank(
    verdicts: Sequence[Verdict],
    baseline: str | None = None,
    *,
    language: str | None = None,
    weighting: Weighting = "strong_x3",
    unparsed: Unparsed = "drop-prompt",
    resample: Resample = "question",
    resamples: int = 1_000,
    level: float = 0.95,
    alpha: float = 0.05,
    rng: np.random.Generator | int = 0,
    styles: Mapping[StyleKey, Style] | None = None,
    features: FeatureSet = "v2.0",
    style_resamples: int = 200,
    reference: Mapping[str, Interval] | None = None,
    question: Question = question_of,
) -> Ranking:
    """Rank all models in one judge's verdicts.

    Args:
        verdicts: games by one judge.
        baseline: who stands at 1,000 points; ``None`` takes the model with the most games.
        language: rank on this language only.
        styles: style of every judged answer, for style control (see ``style_control``); ``None`` leaves it out.
        reference: scores of models by other means (votes, another judge), for agreement, Brier and Spearman.
        weighting, unparsed, resample, resamples, level, rng, question: as in ``bradley_terry``.
        alpha: chance of any false separation in the groups. features, style_resamples: of the style control.

    Raises:
        DataError: no verdicts, several judges, a game that is there twice, or as ``bradley_terry`` and
            ``style_control``.
        ConfigError: an unknown baseline or setting.
    """
    own = [row for row in verdicts if language in (None, row.language)]
    judge, games = _one_judge(own, language), _games(own)
    _ensure_once(own)
    chosen = baseline or max(sorted(games), key=games.__getitem__)
    fitting: dict[str, Any] = {"weighting": weighting, "unparsed": unparsed, "level": level, "question": question}
    rating = bradley_terry(own, chosen, resample=resample, resamples=resamples, rng=rng, **fitting)
    controlled = None
    if styles is not None:
        controlled = style_control(
            own, styles, chosen, features=features, resamples=style_resamples, rng=rng, **fitting
        )
    quality = None if reference is None else benchmark_quality(rating.ratings, rating.draws, reference)
    return Ranking(
        language=language or ALL,
        judge=judge,
        rating=rating,
        groups=rating_groups(rating, alpha=alpha),
        separability=separability(rating.ratings),
        style=controlled,
        quality=quality,
        games={name: games[name] for name in rating.models},
    )


def rank_by_language(
    verdicts: Sequence[Verdict], baseline: str | None = None, **ranking: Any
) -> tuple[Ranking | Unranked, ...]:
    """The ranking over all languages, then one for each where there are several; ``ranking`` goes to ``rank``.

    A language that cannot be ranked (its games do not connect the models, none was parsed) stands there with the
    reason; one that is too small for style control alone is ranked without. The baseline is the same everywhere.
    """
    whole = rank(verdicts, baseline, **ranking)
    rows: list[Ranking | Unranked] = [whole]
    languages = sorted({row.language for row in verdicts})
    for code in languages if len(languages) > 1 else []:
        rows.append(_in_language(verdicts, whole.rating.baseline, code, ranking))
    return tuple(rows)


def _in_language(
    verdicts: Sequence[Verdict], baseline: str, language: str, ranking: Mapping[str, Any]
) -> Ranking | Unranked:
    try:
        return rank(verdicts, baseline, language=language, **ranking)
    except (DataError, ConfigError) as error:
        if ranking.get("styles") is None:
            return Unranked(language, str(error))
        plain = _in_language(verdicts, baseline, language, {**ranking, "styles": None})
        return replace(plain, unstyled=str(error)) if isinstance(plain, Ranking) else plain


def _one_judge(verdicts: Sequence[Verdict], language: str | None) -> str:
    judges = sorted({row.judge for row in verdicts})
    if len(judges) != 1:
        raise DataError(
            f"The {len(verdicts)} verdicts{f' in {language}' if language else ''} are by "
            f"{len(judges)} judges ({', '.join(judges[:5])}); rank those of one judge."
        )
    return judges[0]


def _ensure_once(verdicts: Sequence[Verdict]) -> None:
    """A game that counts twice (a file given twice, two runs of one judge) would narrow the intervals for nothing."""
    seen: set[tuple[str, str, str, str]] = set()
    for row in verdicts:
        first, second = (row.a, row.b) if row.order == "ab" else (row.b, row.a)
        game = (row.prompt_id, row.language, first, second)
        if game in seen:
            raise DataError(
                f"{row.judge!r} judged the prompt {row.prompt_id!r} ({row.language}) of {first} and {second} twice "
                f"with {first} shown first; give one verdict a game, and every file once."
            )
        seen.add(game)


def _games(verdicts: Sequence[Verdict]) -> dict[str, int]:
    games: dict[str, int] = {}
    for row in verdicts:
        for name in (row.a, row.b):
            games[name] = games.get(name, 0) + 1
    return games


def read_reference(path: Path) -> dict[str, Interval]:
    """Reference scores by model: a CSV with the columns ``model``, ``score`` and, where known, ``low`` and ``high``, or
    the JSON that ``paribus rank --out`` writes.

    A score without an interval is taken as exact. Raises ``DataError`` for a file that is neither, or a bad cell.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            rows = json.loads(text)["rankings"][0]["models"]
        else:
            rows = list(csv.DictReader(text.splitlines()))
        return {str(row["model"]): _reference_interval(row) for row in rows}
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as a reference ({type(error).__name__}: {error}); give a CSV with the columns "
            "model, score[, low, high], or what `paribus rank --out` wrote."
        ) from error


def _reference_interval(row: Mapping[str, Any]) -> Interval:
    score = float(row["score"])
    low, high = (float(row[end]) if row.get(end) not in (None, "") else score for end in ("low", "high"))
    if not low <= score <= high:
        raise ValueError(f"{row['model']} has the score {score} outside its interval [{low}, {high}]")
    return Interval(score, low, high, float(row.get("level") or 0.95), int(row.get("n") or 1), ("reference",))
