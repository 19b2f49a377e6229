"""AlpacaEval's published annotations and leaderboards: read, scored as published, compared with the published numbers.

A model's ``annotations.json`` is a list of rows, one per instruction, with ``preference`` on the scale 1 (the baseline,
``output_1``) .. 1.5 or 0 (a draw) .. 2 (the model, ``output_2``): hard labels in AlpacaEval 1, and in AlpacaEval 2
weights by the judge's log-probabilities. Published are the win rate, the mean of ``preference - 1`` over the rows that
have one, and its standard error, the standard deviation (n - 1 below) over the root of n, both in percent (Dubois et
al., arXiv 2404.04475, and the package ``alpaca_eval`` 0.6.6).
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.items import ItemRow
from paribus.evaluation.significance import Groups, draw_groups
from paribus.statistics import Interval, clustered_bootstrap, resampled_means

COLUMNS = ("instruction", "output_1", "generator_1", "output_2", "generator_2", "annotator", "preference")
PUBLISHED = ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate")
_SHOWN = 5


@dataclass(frozen=True)
class Annotations:
    """One model against one baseline under one annotator (the judge and its prompt), n rows in the order of the file.

    preference: ``(n,)`` in [0, 1], 1 where the model wins; NaN where there is none that counts.
    length, baseline_length: characters of the two outputs, ``(n,)``.
    left_out: rows whose preference is missing or not on the scale; they do not count, as in the published package.
    """

    model: str
    baseline: str
    annotator: str
    source: str
    instructions: tuple[str, ...] = field(repr=False)
    preference: NDArray[np.float64] = field(repr=False)
    length: NDArray[np.int64] = field(repr=False)
    baseline_length: NDArray[np.int64] = field(repr=False)
    left_out: int

    def __len__(self) -> int:
        return len(self.preference)


@dataclass(frozen=True)
class AlpacaScore:
    """A model's line of the leaderboard, with the published names and in percent, and an interval of the win rate.

    ``rate`` resamples instructions (bootstrap, percent). ``avg_length`` is in whole characters, over all rows.
    """

    model: str
    baseline: str
    annotator: str
    win_rate: float
    standard_error: float
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int
    discrete_win_rate: float
    avg_length: int
    left_out: int
    rate: Interval


@dataclass(frozen=True)
class Comparison:
    """Ours beside the published number, and what is missing: ``published`` is None for a model not on the board."""

    score: AlpacaScore
    published: Mapping[str, float] | None

    def difference(self, column: str) -> float | None:
        """Ours minus published; None where the board has no such number."""
        if self.published is None or column not in self.published:
            return None
        return float(getattr(self.score, column)) - self.published[column]


def annotation_files(path: Path, annotator: str | None = None) -> list[Path]:
    """``path`` itself, or every ``annotations.json`` below it (published as ``<model>/<annotator>/annotations.json``),
    of one ``annotator``'s folder if named; ``DataError`` for none.
    """
    if path.is_file():
        return [path]
    found = sorted(path.rglob("annotations.json"))
    kept = [file for file in found if annotator is None or file.parent.name == annotator]
    if not kept:
        folders = sorted({file.parent.name for file in found})
        there = f"; those there are by {', '.join(folders)}" if folders else ""
        raise DataError(f"{path} has no annotations.json{f' by {annotator!r}' if annotator else ''}{there}.")
    return kept


def read_annotations(path: Path, *, models: Mapping[str, Any] | None = None) -> Annotations:
    """Read one ``annotations.json``.

    ``models`` are the names of a leaderboard: some published files give the model as ``"example"``, and are known by
    the folder above their annotator's. Without it a model is called as the rows call it.

    Raises:
        DataError: not a list of rows, a row without a column or with a value of the wrong kind (named by its number),
            rows of several models, baselines or annotators, or no row with a preference.
    """
    rows = _rows(path)
    for number, row in enumerate(rows, 1):
        _check_row(row, f"{path}, row {number}")
    named = {key: _one(rows, key, path) for key in ("generator_1", "generator_2", "annotator")}
    raw = np.array([np.nan if row["preference"] is None else float(row["preference"]) for row in rows])
    scale = np.where(raw == 0.0, 1.5, raw)
    preference = np.where((scale >= 1.0) & (scale <= 2.0), scale - 1.0, np.nan)
    if np.isnan(preference).all():
        raise DataError(f"{path} has {len(rows)} rows and none with a preference between 1 and 2; check the file.")
    return Annotations(
        model=_model_name(named["generator_2"], path, models or {}),
        baseline=named["generator_1"],
        annotator=named["annotator"],
        source=str(path),
        instructions=tuple(row["instruction"] for row in rows),
        preference=preference,
        length=np.array([len(row["output_2"]) for row in rows]),
        baseline_length=np.array([len(row["output_1"]) for row in rows]),
        left_out=int(np.isnan(preference).sum()),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); give an annotations.json of AlpacaEval.") from error
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path} holds {type(rows).__name__} and not a list of rows; give an annotations.json.")
    return rows


def _check_row(row: Any, where: str) -> None:
    missing = [column for column in COLUMNS if column not in row] if isinstance(row, dict) else list(COLUMNS)
    if missing:
        raise DataError(f"{where} has no {missing[0]!r}; an annotation has the columns {', '.join(COLUMNS)}.")
    preference = row["preference"]
    if isinstance(preference, bool) or not isinstance(preference, int | float | None):
        raise DataError(f"{where}: preference is {preference!r}; expected a number from 1 to 2, 0 or null.")
    for column in COLUMNS[:-1]:
        if not isinstance(row[column], str):
            raise DataError(f"{where}: {column} is {row[column]!r}; expected a text.")


def _one(rows: Sequence[Mapping[str, Any]], column: str, path: Path) -> str:
    found = list(dict.fromkeys(row[column] for row in rows))
    if len(found) != 1:
        raise DataError(
            f"{path} has {len(found)} values of {column} ({', '.join(found[:_SHOWN])}); give one file each."
        )
    return str(found[0])


def _model_name(given: str, path: Path, models: Mapping[str, Any]) -> str:
    folder = path.resolve().parent.parent.name
    return folder if given not in models and folder in models else given


def alpaca_score(
    annotations: Annotations, *, resamples: int = 10_000, level: float = 0.95, rng: np.random.Generator | int = 0
) -> AlpacaScore:
    """Win rate and standard error as published. With one row that counts the standard error is NaN."""
    kept = annotations.preference[np.isfinite(annotations.preference)]
    n, wins, losses = len(kept), int((kept > 0.5).sum()), int((kept < 0.5).sum())
    draws = n - wins - losses
    error = float(kept.std(ddof=1)) / n**0.5 if n > 1 else float("nan")
    return AlpacaScore(
        model=annotations.model,
        baseline=annotations.baseline,
        annotator=annotations.annotator,
        win_rate=100.0 * float(kept.mean()),
        standard_error=100.0 * error,
        n_wins=wins,
        n_wins_base=losses,
        n_draws=draws,
        n_total=n,
        discrete_win_rate=100.0 * (wins + draws / 2) / n,
        avg_length=int(annotations.length.mean()),
        left_out=annotations.left_out,
        rate=clustered_bootstrap(100.0 * kept, resamples=resamples, level=level, rng=rng),
    )


def preference_groups(
    annotations: Sequence[Annotations],
    *,
    alpha: float = 0.05,
    resamples: int = 2_000,
    rng: np.random.Generator | int = 0,
) -> Groups:
    """Which models' win rates are told apart, by their differences on the same instructions (Holm over all pairs).

    Raises ``DataError`` for two files of one model; otherwise as ``significance.draw_groups``.
    """
    place: dict[str, int] = {}
    for rows in annotations:
        for instruction in rows.instructions:
            place.setdefault(instruction, len(place))
    scores: dict[str, float] = {}
    sums, counts = np.zeros((2, len(place), len(annotations)))
    for i, rows in enumerate(annotations):
        if rows.model in scores:
            raise DataError(f"{rows.source} is the second file of {rows.model!r}; give one file a model and annotator.")
        given, asked = np.isfinite(rows.preference), np.array([place[text] for text in rows.instructions])
        np.add.at(sums[:, i], asked[given], rows.preference[given])
        np.add.at(counts[:, i], asked[given], 1.0)
        scores[rows.model] = float(rows.preference[given].mean())
    draws = resampled_means(sums, counts, resamples=resamples, rng=rng)
    return draw_groups(scores, draws, n=len(place), alpha=alpha)


def preference_rows(annotations: Annotations) -> list[ItemRow]:
    """One row per instruction with a preference, whose mean is the win rate as a share; instructions are clusters."""
    measure = f"win_rate:alpaca_eval:{annotations.baseline}"
    return [
        ItemRow(measure, f"{number}", instruction, "en", float(value))
        for number, (instruction, value) in enumerate(
            zip(annotations.instructions, annotations.preference, strict=True)
        )
        if np.isfinite(value)
    ]


def read_leaderboard(path: Path) -> dict[str, dict[str, float]]:
    """Published numbers by model from a leaderboard CSV (the model in its first column); empty cells are left out.

    Raises ``DataError`` for a file without the columns ``win_rate`` and ``standard_error``, or a cell with no number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The leaderboard {path} cannot be read ({error}); give a CSV file.") from error
    missing = [column for column in PUBLISHED[:2] if not rows or column not in rows[0]]
    if missing:
        raise DataError(f"The leaderboard {path} has no column {missing[0]!r}; give one that AlpacaEval published.")
    board: dict[str, dict[str, float]] = {}
    for number, row in enumerate(rows, 2):
        name, *_ = row.values()
        board[name] = {key: _number(row[key], f"{path}:{number}, {key}") for key in _numeric(row) if row[key]}
    return board


def _numeric(row: Mapping[str, str]) -> list[str]:
    return [key for key in (*PUBLISHED, "avg_length", "length_controlled_winrate", "lc_standard_error") if key in row]


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{where} is {text!r}; expected a number.") from error


def compare(scores: Sequence[AlpacaScore], board: Mapping[str, Mapping[str, float]]) -> tuple[Comparison, ...]:
    """Our scores beside the published ones, the best first.

    Raises ``ConfigError`` where scores of several annotators or baselines would stand in one table.
    """
    for side in ("annotator", "baseline"):
        found = sorted({getattr(score, side) for score in scores})
        if len(found) != 1:
            raise ConfigError(f"One table compares scores of one {side}, and these have {', '.join(found)}; make two.")
    ordered = sorted(scores, key=lambda score: -score.win_rate)
    return tuple(Comparison(score, board.get(score.model)) for score in ordered)
