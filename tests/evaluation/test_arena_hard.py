"""Arena-Hard-Auto files of both versions, and the official scores next to the published arithmetic on plain rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from paribus.errors import ConfigError, DataError
from paribus.evaluation.arena_hard import judgment_files, official_scores, read_answers, read_judgments
from paribus.evaluation.bradley_terry import bradley_terry
from paribus.evaluation.style import Style
from paribus.evaluation.winrate import win_rate

LABELS = ("A>>B", "A>B", "A=B", "B>A", "B>>A", None)
BASE = "gpt-4-0314"


def v01(model: str, number: int, first: Any, second: Any) -> dict[str, Any]:
    games = [{"user_prompt": "…", "judgment": f"[[{score}]]", "score": score} for score in (first, second)]
    return {"question_id": f"q{number}", "model": model, "judge": "gpt-4-1106-preview", "games": games}


def v20(model: str, number: int, first: Any, second: Any, **fields: Any) -> dict[str, Any]:
    games = [{"score": score, "judgment": {"answer": f"[[{score}]]"}, "prompt": []} for score in (first, second)]
    row = {"uid": f"u{number}", "category": "hard_prompt", "judge": "gpt-4.1", "model": model, "games": games}
    return row | fields


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _board(seed: int, questions: int = 80) -> dict[str, list[tuple[Any, Any]]]:
    """Labels of two games for three models of rising strength, a few of them unreadable."""
    rng = np.random.default_rng(seed)
    shares = {"weak": (2, 2, 1, 1, 0.5), "even": (1, 1, 1, 1, 1), "strong": (0.5, 1, 1, 2, 2)}
    board = {}
    for model, share in shares.items():
        chance = np.array([*share, 0.15]) / (sum(share) + 0.15)
        drawn = rng.choice(6, size=(questions, 2), p=chance)
        # Game 2 has the model in the first place.
        board[model] = [(LABELS[a], LABELS[4 - b] if b < 5 else None) for a, b in drawn]
    return board


def _rows(games: list[tuple[Any, Any]], *, both: bool) -> np.ndarray:
    """Scores of a model as the published code lists them; ``both``: a question counts only with two readable games."""
    value = {"A>>B": [0.0] * 3, "A>B": [0.0], "A=B": [0.5], "B>A": [1.0], "B>>A": [1.0] * 3}
    scores: list[float] = []
    for first, second in games:
        if both and None in (first, second):
            continue
        scores += value[first] if first else []
        scores += [1.0 - x for x in value[second]] if second else []
    return np.array(scores)


def test_v01_scores_follow_the_published_fit(tmp_path: Path) -> None:
    board = _board(0)
    files = [
        write(tmp_path / f"{name}.jsonl", [v01(name, i, *labels) for i, labels in enumerate(games)])
        for name, games in board.items()
    ]
    found = official_scores(read_judgments(files), BASE, "v0.1")
    assert [row.model for row in found] == ["strong", "even", "weak"]
    battles = {name: _rows(games, both=False) for name, games in board.items()}
    columns = np.concatenate([np.tile(np.eye(3)[i], (2 * len(battles[n]), 1)) for i, n in enumerate(board)]) * np.log(
        10
    )
    outcomes = np.concatenate([np.concatenate([np.ceil(s), np.floor(s)]) for s in battles.values()])
    fit = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(columns, outcomes)
    expected = dict(zip(board, 1 / (1 + 10 ** -fit.coef_[0]), strict=True))
    rng = np.random.default_rng(1)
    for row in found:
        assert row.score.estimate == pytest.approx(expected[row.model], abs=1e-5)
        scores = battles[row.model]
        draws = rng.choice(scores, size=(4_000, len(scores))).mean(axis=1)
        low, high = np.percentile(draws, [2.5, 97.5])
        # A hundred resamples put the ends within a fifth or so of the width.
        assert row.score.low == pytest.approx(low, abs=0.2 * (high - low))
        assert row.score.high == pytest.approx(high, abs=0.2 * (high - low))
        assert (row.score.level, row.version, row.dropped) == (0.95, "v0.1", 0)
        assert row.unparsed == sum(label is None for pair in board[row.model] for label in pair)


def test_v20_scores_are_means_of_bootstraps_within_a_model(tmp_path: Path) -> None:
    board = _board(2)
    files = [
        write(tmp_path / f"{name}.jsonl", [v20(name, i, *labels) for i, labels in enumerate(games)])
        for name, games in board.items()
    ]
    verdicts = read_judgments(files)
    found = official_scores(verdicts, "o3-mini-2025-01-31", "v2.0")
    for row in found:
        scores = _rows(board[row.model], both=True)
        spread = scores.std() / len(scores) ** 0.5
        # The mean of a hundred bootstraps scatters around the plain mean by a tenth of the standard error.
        assert row.score.estimate == pytest.approx(scores.mean(), abs=0.5 * spread)
        assert row.score.estimate != win_rate(verdicts, row.model, "strong_x3", resamples=10).rate.estimate
        assert row.score.width == pytest.approx(2 * 1.645 * spread, rel=0.3)
        assert row.score.level == 0.90
        broken = [pair for pair in board[row.model] if None in pair]
        assert row.unparsed + row.dropped == 2 * len(broken)


def test_both_versions_mean_the_same_games(tmp_path: Path) -> None:
    games = [("B>>A", "A>B"), ("A=B", None), ("A>B", "B>A")]
    old = read_judgments([write(tmp_path / "a.jsonl", [v01("m", i, *pair) for i, pair in enumerate(games)])])
    new = read_judgments(
        [write(tmp_path / "b.jsonl", [v20("m", i, *pair, baseline=BASE) for i, pair in enumerate(games)])]
    )
    assert [(v.order, v.label) for v in old] == [
        ("ba", "A>>B"),
        ("ab", "A>B"),
        ("ba", "A=B"),
        ("ab", None),
        ("ba", "B>A"),
        ("ab", "B>A"),
    ]
    assert [(v.a, v.b, v.order, v.label) for v in old] == [(v.a, v.b, v.order, v.label) for v in new]
    assert new[0].raw == "[[B>>A]]" and new[0].meta["category"] == "hard_prompt"
    # They are verdicts like any other.
    assert win_rate(old, "m", "half_ties", resamples=10).wins == 1
    assert bradley_terry(new, BASE, resamples=10).models == (BASE, "m")


def test_the_old_board_published_anew_is_the_old_board(tmp_path: Path) -> None:
    old = v01("m", 0, "A=B", "A>B")
    new = {"uid": "q0", "category": "arena-hard-v0.1", "baseline": BASE} | {
        k: old[k] for k in ("judge", "model", "games")
    }
    first, second = (read_judgments([write(tmp_path / f"{i}.jsonl", [row])]) for i, row in enumerate((old, new)))
    assert [(v.b, v.order, v.label, v.raw) for v in first] == [(v.b, v.order, v.label, v.raw) for v in second]
    with pytest.raises(DataError, match=r"1\.jsonl:1: 'gpt-4-1106-preview' has judged 'm' on 'q0' before"):
        read_judgments([tmp_path / "0.jsonl", tmp_path / "1.jsonl"])


def test_backwards_and_unknown_labels(tmp_path: Path) -> None:
    pairs = [("A<B", "A<<B"), ("B=A", "B<A"), ("A=>B", "B<<A")]
    old = read_judgments([write(tmp_path / "a.jsonl", [v01("m", i, *pair) for i, pair in enumerate(pairs)])])
    new = read_judgments([write(tmp_path / "b.jsonl", [v20("m", i, *pair) for i, pair in enumerate(pairs)])])
    assert [v.label for v in old] == [None] * 6
    assert [v.label for v in new] == ["A>B", "B>>A", "A=B", "A>B", None, "A>>B"]


def test_baselines_by_category_and_a_judge_that_plays(tmp_path: Path) -> None:
    rows = [v20("m", i, "B>A", "A>B", category=c) for i, c in enumerate(("hard_prompt", "creative_writing") * 3)]
    rows += [v20("gpt-4.1", i, "B>A", "A>B") for i in range(3)]
    rows.append(v20("m", 9, None, None) | {"games": [None, None]})
    file = write(tmp_path / "m.jsonl", rows)
    verdicts = read_judgments([file])
    assert {v.b for v in verdicts} == {"o3-mini-2025-01-31", "gemini-2.0-flash-001"}
    with pytest.raises(ConfigError, match="the official board has one baseline"):
        official_scores(verdicts, "o3-mini-2025-01-31", "v2.0")
    hard = read_judgments([file], category="hard_prompt")
    (row,) = official_scores(hard, "o3-mini-2025-01-31", "v2.0")
    assert (row.model, row.unparsed) == ("m", 2)
    with pytest.raises(ConfigError, match="The version is 'v3'"):
        official_scores(hard, "o3-mini-2025-01-31", "v3")


def test_files_of_one_judge_are_found(tmp_path: Path) -> None:
    for judge in ("gpt-4.1", "gemini-2.5"):
        write(tmp_path / "model_judgment" / judge / "m.jsonl", [v20("m", 0, "A>B", "A>B")])
    write(tmp_path / "model_answer" / "m.jsonl", [{"uid": "u0"}])
    assert [file.parent.name for file in judgment_files(tmp_path, "gpt-4.1")] == ["gpt-4.1"]
    with pytest.raises(DataError, match=r"by gemini-2\.5, gpt-4\.1; name one judge"):
        judgment_files(tmp_path)
    with pytest.raises(DataError, match="no JSONL files in a folder 'nobody'"):
        judgment_files(tmp_path, "nobody")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"model": 3}, r"m\.jsonl:2: model is 3; expected a str"),
        ({"games": []}, r"m\.jsonl:2: games is \[\]"),
        ({"games": [{"judgment": "x"}]}, r"m\.jsonl:2, game 1 has no score"),
        ({"games": [None] * 3}, "games has 3 entries"),
        ({"category": "poems"}, "no baseline is known for the category 'poems'"),
        ({"model": "o3-mini-2025-01-31"}, "is its own baseline"),
    ],
)
def test_bad_rows_are_named(broken: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "m.jsonl", [v20("m", 0, "A>B", "A>B"), v20("m", 1, "A>B", "A>B") | broken])
    with pytest.raises(DataError, match=message):
        read_judgments([file])


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"uid": \n')
    with pytest.raises(DataError, match=r"m\.jsonl cannot be read as JSON lines"):
        read_judgments([tmp_path / "m.jsonl"])
    with pytest.raises(DataError, match="no judgments in the category 'math'"):
        read_judgments([write(tmp_path / "n.jsonl", [v20("m", 0, "A>B", "A>B")])], category="math")


TEXT = "# Title\n\n1. **bold** item\n- another\n\n```\n# no header\n```\n"


def _stored(tokens: int) -> dict[str, Any]:
    return {
        "token_len": tokens,
        "header_count": {"h1": 1, "h2": 0},
        "list_count": {"ordered": 1, "unordered": 1},
        "bold_count": {"**": 1, "__": 0},
    }


def test_answers_of_both_versions_give_one_style(tmp_path: Path) -> None:
    old_turn = {"choices": [{"index": 0, "turns": [{"content": TEXT, "token_len": 21}]}]}
    rows = [
        {"question_id": "q0", "answer_id": "x", "model_id": "old"} | old_turn,
        {"question_id": "q1", "answer_id": "y", "model_id": "old"} | old_turn | {"conv_metadata": _stored(23)},
        {
            "uid": "q0",
            "ans_id": "z",
            "model": "new",
            "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": {"answer": TEXT}}],
            "metadata": _stored(25),
        },
    ]
    answers = read_answers([write(tmp_path / "m.jsonl", rows)])
    assert answers.styles == {
        ("old", "q0", "en"): Style(21, 1, 2, 1),
        ("old", "q1", "en"): Style(23, 1, 2, 1),
        ("new", "q0", "en"): Style(25, 1, 2, 1),
    }
    assert {row.text for row in answers.completions} == {TEXT}
    assert answers.mean_tokens("old") == 22.0
    with pytest.raises(DataError, match="no answers of 'nobody'"):
        answers.mean_tokens("nobody")


def test_answers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    bare = {"question_id": "q", "model_id": "m", "choices": [{"turns": [{"content": "text"}]}]}
    file = write(tmp_path / "m.jsonl", [bare])
    with pytest.raises(DataError, match=r"m\.jsonl:1 has no token count"):
        read_answers([file])
    assert read_answers([file], count_tokens=len).styles["m", "q", "en"].tokens == 4
    with pytest.raises(DataError, match="has answered 'q' before"):
        read_answers([write(tmp_path / "n.jsonl", [bare, bare])], count_tokens=len)
    with pytest.raises(DataError, match="has no answer"):
        read_answers([write(tmp_path / "o.jsonl", [{"uid": "u", "model": "m", "messages": []}])])
