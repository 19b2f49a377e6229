"""Arena-Hard-Auto as published (arXiv 2406.11939): judgments and answers of v0.1 and v2.0, and their official scores.

A judgment row holds the two games of one model on one question; the baseline's answer comes first in game 1 and second
in game 2, and a score such as ``"A>>B"`` speaks of the places. v0.1 rows name the question ``question_id`` and do not
name the baseline (``gpt-4-0314``); v2.0 rows have ``uid``, ``category`` and, lately, ``baseline``, and so do v0.1's
since they were published anew, in the category ``arena-hard-v0.1``. As in the published code a score that is none of
the known labels counts as unreadable; v2.0 also knows backward labels (``"A<B"``).

``official_scores`` repeats the published intervals, labelled as such: both versions resample *rows*, taking the two
games of a question and the three copies of a strong verdict for independent, which makes intervals about half as wide
as resampling questions does (``bradley_terry`` and ``win_rate``, the default elsewhere here).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from paribus.errors import ConfigError, DataError
from paribus.evaluation.bradley_terry import bradley_terry
from paribus.evaluation.games import games_of, scores_and_weights
from paribus.evaluation.style import Style, StyleKey, count_style
from paribus.evaluation.winrate import row_draws
from paribus.records import Completion, Verdict, VerdictLabel
from paribus.statistics import Interval, percentile_interval
from paribus.statistics.arrays import generator

Version = Literal["v0.1", "v2.0"]

BASELINES = {
    "arena-hard-v0.1": "gpt-4-0314",
    "hard_prompt": "o3-mini-2025-01-31",
    "coding": "o3-mini-2025-01-31",
    "math": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
}
RESAMPLES = 100
LEVELS = {"v0.1": 0.95, "v2.0": 0.90}

# From the places A (shown first) and B to the record's sides: the label for the side that was shown second.
_SHOWN_SECOND: dict[str, VerdictLabel] = {"A>>B": "B>>A", "A>B": "B>A", "A=B": "A=B", "B>A": "A>B", "B>>A": "A>>B"}
_BACKWARDS: dict[str, VerdictLabel] = {"B<<A": "B>>A", "B<A": "B>A", "B=A": "A=B", "A<B": "A>B", "A<<B": "A>>B"}


@dataclass(frozen=True)
class OfficialScore:
    """A model's line of the official board: chance to win against the baseline, with the published kind of interval.

    ``score.level`` is 0.95 in v0.1 and 0.90 in v2.0, where the board calls it a confidence interval without saying so.
    """

    model: str
    baseline: str
    version: Version
    score: Interval
    unparsed: int
    dropped: int


@dataclass(frozen=True)
class Answers:
    """Model answers, and the style of each by (model, question, language) as ``style_control`` takes it."""

    completions: tuple[Completion, ...]
    styles: dict[StyleKey, Style]

    def mean_tokens(self, model: str) -> float:
        """Mean tokens of a model's answers; ``DataError`` if it has none."""
        tokens = [style.tokens for key, style in self.styles.items() if key[0] == model]
        if not tokens:
            raise DataError(f"There are no answers of {model!r}; give its file of model_answer.")
        return float(np.mean(tokens))


def judgment_files(path: Path, judge: str | None = None) -> list[Path]:
    """``path`` itself, or the JSONL files below it or its ``model_judgment`` folder, where each judge has a folder.

    Raises ``DataError`` where there are none, or those of several judges and none of them is named.
    """
    if path.is_file():
        return [path]
    base = path / "model_judgment" if (path / "model_judgment").is_dir() else path
    found = sorted(file for file in base.rglob("*.jsonl") if judge in (None, file.parent.name))
    judges = sorted({file.parent.name for file in found})
    if len(judges) > 1:
        raise DataError(f"{base} holds judgments by {', '.join(judges)}; name one judge.")
    if not found:
        raise DataError(f"{base} has no JSONL files{f' in a folder {judge!r}' if judge else ''}; check the path.")
    return found


def read_judgments(
    paths: Iterable[Path], *, baseline: str | None = None, language: str = "en", category: str | None = None
) -> list[Verdict]:
    """Verdicts from judgment files: ``a`` is the model, ``b`` the baseline; an unreadable score has no label.

    Args:
        paths: JSONL files, one model each, of either version.
        baseline: who was played against in rows that do not say so; else by version and category as published.
        language: of the prompts. category: keep the rows of one category of v2.0, such as ``"hard_prompt"``.

    Raises:
        DataError: a line that does not fit (file, line and field are named), a model judged twice on a question, or
            no row.
    """
    verdicts: list[Verdict] = []
    seen: set[tuple[str, str, str]] = set()
    for path in paths:
        for row, where in _lines(path):
            if category is not None and row.get("category") != category:
                continue
            games = _verdicts(row, where, baseline, language)
            key = (games[0].a, games[0].judge, games[0].prompt_id)
            if key in seen:
                raise DataError(
                    f"{where}: {key[1]!r} has judged {key[0]!r} on {key[2]!r} before; keep one of the rows."
                )
            seen.add(key)
            verdicts += games
    if not verdicts:
        raise DataError(
            f"There are no judgments{f' in the category {category!r}' if category else ''}; check the files."
        )
    return verdicts


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DataError(f"{path}:{number} holds {type(row).__name__}; expected an object.")
                yield row, f"{path}:{number}"
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as JSON lines ({error}); give a file that Arena-Hard wrote.") from error


def _verdicts(row: Mapping[str, Any], where: str, baseline: str | None, language: str) -> list[Verdict]:
    key = "uid" if "uid" in row else "question_id"
    question, model, judge = (_field(row, name, str, where) for name in (key, "model", "judge"))
    games = _field(row, "games", list, where)
    if not 1 <= len(games) <= 2:
        raise DataError(f"{where}: games has {len(games)} entries; expected the two games of a question.")
    against = row.get("baseline") or baseline or _published_baseline(row, key, where)
    if against == model:
        raise DataError(f"{where}: {model!r} is its own baseline; name another baseline.")
    protocol = "double" if len(games) == 2 else "single"
    verdicts = []
    for number, game in enumerate(games):
        label, raw = _game(game, _SHOWN_SECOND | (_BACKWARDS if key == "uid" else {}), f"{where}, game {number + 1}")
        verdicts.append(
            Verdict(
                prompt_id=question,
                language=language,
                a=model,
                b=against,
                judge=judge,
                order="ab" if number else "ba",
                label=_SHOWN_SECOND[label] if label and number else label,
                raw=raw,
                meta={"question_id": question, "category": row.get("category", ""), "protocol": protocol},
            )
        )
    return verdicts


def _field(row: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    if not isinstance(row.get(name), kind) or not row[name]:
        raise DataError(f"{where}: {name} is {row.get(name)!r}; expected a {kind.__name__} that is not empty.")
    return row[name]


def _published_baseline(row: Mapping[str, Any], key: str, where: str) -> str:
    category = "arena-hard-v0.1" if key == "question_id" else row.get("category")
    if category not in BASELINES:
        raise DataError(f"{where}: no baseline is known for the category {category!r}; name the baseline.")
    return BASELINES[category]


def _game(game: Any, labels: Mapping[str, VerdictLabel], where: str) -> tuple[VerdictLabel | None, str]:
    """The label for the answer shown second, and the judge's words. A game is null where the judge did not answer."""
    if game is None:
        return None, ""
    if not isinstance(game, dict) or "score" not in game:
        raise DataError(f"{where} has no score; expected an object with score and judgment.")
    judgment = game.get("judgment", "")
    raw = judgment.get("answer", "") if isinstance(judgment, dict) else judgment
    return labels.get(str(game["score"])), str(raw or "")


def read_answers(
    paths: Iterable[Path], *, language: str = "en", count_tokens: Callable[[str], int] | None = None
) -> Answers:
    """Answers and their styles from files of ``model_answer`` of either version.

    Tokens and markdown counts are those stored with the answer; a v0.1 row without markdown counts is counted anew, and
    one without a token count needs ``count_tokens``. Raises ``DataError`` for a line that does not fit.
    """
    completions, styles = [], {}
    for path in paths:
        for row, where in _lines(path):
            completion, style = _answer(row, where, language, count_tokens)
            key = (completion.model, completion.prompt_id, language)
            if key in styles:
                raise DataError(f"{where}: {key[0]!r} has answered {key[1]!r} before; keep one of the answers.")
            completions.append(completion)
            styles[key] = style
    return Answers(tuple(completions), styles)


def _answer(
    row: Mapping[str, Any], where: str, language: str, count_tokens: Callable[[str], int] | None
) -> tuple[Completion, Style]:
    names = ("uid", "model", "ans_id", "metadata") if "uid" in row else ("question_id", "model_id", "answer_id", "")
    question, model = (_field(row, name, str, where) for name in names[:2])
    text, stored = _answer_text(row, where), row.get(names[3] or "conv_metadata") or {}
    tokens = stored.get("token_len", _turn(row).get("token_len"))
    if tokens is None and count_tokens is not None:
        tokens = count_tokens(text)
    if not isinstance(tokens, int):
        raise DataError(f"{where} has no token count; give count_tokens.")
    style = _stored_style(stored, tokens) if "header_count" in stored else count_style(text, tokens)
    completion = Completion(
        id=str(row.get(names[2]) or f"{model}/{question}"),
        prompt_id=question,
        language=language,
        model=model,
        text=text,
        tokens=tokens,
    )
    return completion, style


def _turn(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer's turn in a v0.1 row, or nothing."""
    choices = row.get("choices") or [{}]
    turns = choices[0].get("turns") or [{}]
    return dict(turns[0])


def _answer_text(row: Mapping[str, Any], where: str) -> str:
    try:
        content = row["messages"][-1]["content"] if "messages" in row else _turn(row)["content"]
        text = content["answer"] if isinstance(content, dict) else content
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"{where} has no answer ({error!r}); expected messages (v2.0) or choices (v0.1).") from error
    if not isinstance(text, str):
        raise DataError(f"{where}: the answer is {text!r}; expected a text.")
    return text


def _stored_style(stored: Mapping[str, Any], tokens: int) -> Style:
    headers, lists, bold = (
        sum(value.values()) if isinstance(value := stored[name], dict) else int(value)
        for name in ("header_count", "list_count", "bold_count")
    )
    return Style(tokens, headers, lists, bold)


def official_scores(
    verdicts: Sequence[Verdict], baseline: str, version: Version, *, rng: np.random.Generator | int = 0
) -> tuple[OfficialScore, ...]:
    """The official board from verdicts against one baseline, the best model first.

    ``"v0.1"``: Bradley-Terry on all games, a game without a label dropped; 100 resamples of the rows of all models,
    2.5th to 97.5th percentile. ``"v2.0"``: mean score of each model, both games of a question dropped where one has no
    label; 100 resamples of the model's own rows, whose *mean* is the score, 5th to 95th percentile. A judge that also
    plays is left out in v2.0. The published resamples themselves cannot be repeated, only their kind.

    Raises:
        ConfigError: another version, or games against another baseline.
        DataError: no parsed game.
    """
    if version not in LEVELS:
        raise ConfigError(f"The version is {version!r}; use 'v0.1' or 'v2.0'.")
    strangers = sorted({v.b if v.a != baseline else v.a for v in verdicts if baseline not in (v.a, v.b)})
    if strangers:
        raise ConfigError(f"{', '.join(strangers[:5])} did not play {baseline!r}; the official board has one baseline.")
    scores = (_v01 if version == "v0.1" else _v20)(verdicts, baseline, generator(rng))
    return tuple(sorted(scores, key=lambda row: -row.score.estimate))


def _v01(verdicts: Sequence[Verdict], baseline: str, rng: np.random.Generator) -> list[OfficialScore]:
    options: dict[str, Any] = {"resample": "row", "resamples": RESAMPLES, "level": LEVELS["v0.1"], "rng": rng}
    fit = bradley_terry(verdicts, baseline, unparsed="drop-game", **options)
    lost = _unparsed(verdicts)
    return [
        OfficialScore(model, baseline, "v0.1", score, lost.get(model, 0), 0)
        for model, score in fit.win_probability.items()
        if model != baseline
    ]


def _unparsed(verdicts: Sequence[Verdict]) -> dict[str, int]:
    lost: dict[str, int] = {}
    for verdict in verdicts:
        if verdict.label is None:
            for name in (verdict.a, verdict.b):
                lost[name] = lost.get(name, 0) + 1
    return lost


def _v20(verdicts: Sequence[Verdict], baseline: str, rng: np.random.Generator) -> list[OfficialScore]:
    judges = {verdict.judge for verdict in verdicts}
    models = sorted({name for v in verdicts for name in (v.a, v.b)} - judges - {baseline})
    scores = []
    for model in models:
        games = games_of(verdicts, model, baseline, unparsed="drop-prompt")
        score, weight = scores_and_weights(games.strength, strong=3.0)
        draws = row_draws(score, weight, RESAMPLES, rng)
        n = int(weight.sum())
        interval = percentile_interval(draws, float(draws.mean()), n=n, level=LEVELS["v2.0"], method="percentile")
        scores.append(OfficialScore(model, baseline, "v2.0", interval, games.unparsed, games.dropped))
    return scores
