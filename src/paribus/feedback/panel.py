"""Several judges on the same games: how far they agree, what each is worth, and their common verdict.

Anyone is a judge whose verdicts are records: models, rules, people (`paribus arena`). A game is one comparison in one
order; judges are compared on outcomes (win, tie, loss), since they may use different labels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.games import STRENGTH, question_of
from paribus.evaluation.items import ALL, ItemRow, summarise
from paribus.evaluation.position import PositionReport, position_report
from paribus.feedback.games import Game, Judge, parse_rates
from paribus.records import Verdict, VerdictLabel
from paribus.statistics import Interval
from paribus.statistics.agreement import Terms, agreement_interval, alpha_terms, kappa_terms

_LABELS: dict[int, VerdictLabel] = {2: "A>>B", 1: "A>B", 0: "A=B", -1: "B>A", -2: "B>>A"}


class GameKey(NamedTuple):
    """Which game a verdict is about, whichever of the two models it calls ``a``: ``models`` are sorted."""

    prompt_id: str
    language: str
    models: tuple[str, str]
    first: str


@dataclass(frozen=True)
class PairAgreement:
    """How far two judges agree in one language (or ``"all"``); intervals are clustered by question.

    Attributes:
        same: share of games with the same outcome. opposite: share in which each names another winner.
        kappa: Cohen's, on win, tie and loss; ``None`` where it does not exist (both gave one outcome throughout).
        games: read by both. left_out: played by both and unread by one of them, or played by one alone.
    """

    first: str
    second: str
    language: str
    same: Interval
    opposite: Interval
    kappa: Interval | None
    games: int
    left_out: int


@dataclass(frozen=True)
class Standing:
    """One judge on one pair of models in one language: replies read, and position bias (``None``: nothing to count)."""

    judge: str
    models: tuple[str, str]
    language: str
    parse_rate: Interval
    position: PositionReport | None


@dataclass(frozen=True)
class PanelReport:
    """Agreement of all judges at once (ordinal alpha by language), of each two, and each judge's own faults.

    ``alpha`` is ``None`` in a language where it does not exist; ``apart`` names pairs of judges with no game in common.
    """

    judges: tuple[str, ...]
    alpha: dict[str, Interval | None]
    pairs: tuple[PairAgreement, ...]
    apart: tuple[tuple[str, str], ...]
    standings: tuple[Standing, ...]


class JudgePanel:
    """Judges under one name: each is asked about every game, and the panel's verdict is their majority.

    Raises ``ConfigError`` for fewer than two judges, or two of one identity.
    """

    def __init__(self, judges: Sequence[Judge]) -> None:
        names = [judge.identity for judge in judges]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if len(names) < 2 or twice:
            raise ConfigError(
                f"A panel of {', '.join(names) or 'nobody'} has {'the same judge twice' if twice else 'too few judges'}"
                "; give two or more that differ."
            )
        self.judges = tuple(judges)

    @property
    def identity(self) -> str:
        """All judges' names: a model that sits on the panel must not have marked the training data."""
        return panel_name(judge.identity for judge in self.judges)

    def members(self, games: Sequence[Game]) -> list[Verdict]:
        """Every judge's own verdicts, with their raw replies, judge by judge."""
        return [row for judge in self.judges for row in judge.judge(games)]

    def judge(self, games: Sequence[Game]) -> list[Verdict]:
        """One verdict a game, as ``majority`` makes it."""
        return majority(self.members(games))


def panel_name(judges: Iterable[str]) -> str:
    """What a panel is called in verdicts."""
    return f"panel of {', '.join(sorted(judges))}"


def majority(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """One verdict a game: the median of the judges' labels on the scale from A>>B to B>>A, in order of first mention.

    So a win needs more than half of the judges that could be read; between two labels the one nearer to a tie counts.
    A game that no more than half of the panel's judges could be read on has label None. ``meta["votes"]`` keeps every
    judge's label, from the side of this verdict's ``a``; the raw replies stay with the judges' own verdicts.

    Raises ``DataError`` for one judge alone, or a game that a judge judged twice.
    """
    votes = _votes(verdicts)
    judges = _judges(verdicts)
    models: dict[GameKey, Verdict] = {}
    for row in verdicts:
        models.setdefault(game_key(row), row)
    return [_common(row, votes, key, judges) for key, row in models.items()]


def _common(
    row: Verdict, votes: dict[str, dict[GameKey, float | None]], key: GameKey, judges: tuple[str, ...]
) -> Verdict:
    side = 1 if row.a == key.models[0] else -1
    cast = {judge: votes[judge][key] for judge in judges if key in votes[judge]}
    read = [vote * side for vote in cast.values() if vote is not None]
    label = _LABELS[int(median(read))] if 2 * len(read) > len(judges) else None  # int() rounds towards the tie
    told: dict[str, VerdictLabel | None] = {
        judge: None if vote is None else _LABELS[int(vote * side)] for judge, vote in cast.items()
    }
    kept = {name: row.meta[name] for name in ("question_id", "task", "protocol") if name in row.meta}
    changes: dict[str, Any] = {"judge": panel_name(judges), "label": label, "raw": "", "meta": {**kept, "votes": told}}
    return row.model_copy(update=changes)


def game_key(verdict: Verdict) -> GameKey:
    """The game behind a verdict."""
    low, high = sorted((verdict.a, verdict.b))
    first = verdict.a if verdict.order == "ab" else verdict.b
    return GameKey(verdict.prompt_id, verdict.language, (low, high), first)


def panel_report(verdicts: Sequence[Verdict], *, resamples: int = 2_000, level: float = 0.95) -> PanelReport:
    """Agreement of the judges in ``verdicts``, by language and over all, and their parse rates and position biases.

    Raises ``DataError`` for one judge alone, or a game that a judge judged twice.
    """
    votes, judges = _votes(verdicts), _judges(verdicts)
    questions = {game_key(row): question_of(row) for row in verdicts}
    table = _Table(votes, questions, resamples, level)
    pairs, apart = [], []
    for first, second in combinations(judges, 2):
        found = table.pair(first, second)
        pairs += found
        apart += [] if found else [(first, second)]
    languages = (ALL, *sorted({key.language for key in questions}))
    alpha = {language: table.alpha(judges, language) for language in languages}
    return PanelReport(judges, alpha, tuple(pairs), tuple(apart), tuple(_standings(verdicts, resamples)))


def _judges(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    judges = tuple(sorted({row.judge for row in verdicts}))
    if len(judges) < 2:
        raise DataError(
            f"The {len(verdicts)} verdicts are by {judges[0] if judges else 'nobody'!r} alone; give those of two or "
            "more judges on the same games."
        )
    return judges


def _votes(verdicts: Sequence[Verdict]) -> dict[str, dict[GameKey, float | None]]:
    """Each judge's strengths by game, seen from the first of the sorted models; None where it was not read."""
    votes: dict[str, dict[GameKey, float | None]] = defaultdict(dict)
    for row in verdicts:
        key = game_key(row)
        if key in votes[row.judge]:
            raise DataError(
                f"{row.judge!r} judged the prompt {key.prompt_id!r} ({key.language}) of {key.models[0]} and "
                f"{key.models[1]} twice with {key.first} shown first; give one verdict a game and judge."
            )
        side = 1.0 if row.a == key.models[0] else -1.0
        votes[row.judge][key] = None if row.label is None else STRENGTH[row.label] * side + 0.0
    return dict(votes)


@dataclass(frozen=True)
class _Table:
    votes: dict[str, dict[GameKey, float | None]]
    questions: dict[GameKey, Hashable]
    resamples: int
    level: float

    def pair(self, first: str, second: str) -> list[PairAgreement]:
        """Agreement over all languages and in each; empty without a game that both were read on."""
        one, two = self.votes[first], self.votes[second]
        common = [key for key in one if one[key] is not None and two.get(key) is not None]
        if not common:
            return []
        outcomes = {key: (np.sign(one[key] or 0.0), np.sign(two[key] or 0.0)) for key in common}
        same = self._shares(common, {key: float(a == b) for key, (a, b) in outcomes.items()})
        opposite = self._shares(common, {key: float(a * b < 0) for key, (a, b) in outcomes.items()})
        rows = []
        for language in same:
            keys = [key for key in common if language in (ALL, key.language)]
            played = [key for key in one.keys() | two.keys() if language in (ALL, key.language)]
            kappa = self._interval(kappa_terms(*np.array([outcomes[key] for key in keys]).T), keys)
            left_out = len(played) - len(keys)
            rows.append(
                PairAgreement(first, second, language, same[language], opposite[language], kappa, len(keys), left_out)
            )
        return rows

    def alpha(self, judges: Sequence[str], language: str) -> Interval | None:
        """Krippendorff's, ordinal, on outcomes of the games that two or more judges were read on."""
        keys = [key for key in self.questions if language in (ALL, key.language)]
        table = np.array([[self._outcome(judge, key) for judge in judges] for key in keys])
        shared = np.isfinite(table).sum(axis=1) > 1
        if not shared.any():
            return None
        kept = [key for key, use in zip(keys, shared, strict=True) if use]
        return self._interval(alpha_terms(table[shared], "ordinal"), kept)

    def _outcome(self, judge: str, key: GameKey) -> float:
        vote = self.votes[judge].get(key)
        return float("nan") if vote is None else float(np.sign(vote))

    def _shares(self, keys: Sequence[GameKey], values: dict[GameKey, float]) -> dict[str, Interval]:
        rows = [
            ItemRow(
                "share", "/".join([*key[:2], *key.models, key.first]), self._question(key), key.language, values[key]
            )
            for key in keys
        ]
        found = summarise(rows, by_group=False, resamples=self.resamples, level=self.level)
        return {row.language: row.interval for row in found}

    def _interval(self, terms: Terms, keys: Sequence[GameKey]) -> Interval | None:
        clusters: NDArray[np.str_] = np.array([self._question(key) for key in keys])
        interval = agreement_interval(terms, clusters, resamples=self.resamples, level=self.level)
        return interval if np.isfinite(interval.estimate) else None

    def _question(self, key: GameKey) -> str:
        return str(self.questions[key])


def _standings(verdicts: Sequence[Verdict], resamples: int) -> list[Standing]:
    groups: dict[tuple[str, tuple[str, str]], list[Verdict]] = defaultdict(list)
    for row in verdicts:
        groups[row.judge, game_key(row).models].append(row)
    return [
        Standing(judge, models, rate.language, rate.interval, _position(rows, models, rate.language, resamples))
        for (judge, models), rows in sorted(groups.items())
        for rate in parse_rates(rows, resamples=resamples)
    ]


def _position(rows: Sequence[Verdict], models: tuple[str, str], language: str, resamples: int) -> PositionReport | None:
    """The report, or None where no game was read or prompts were played in differing numbers of games."""
    try:
        return position_report(rows, *models, language=None if language == ALL else language, resamples=resamples)
    except DataError:
        return None
