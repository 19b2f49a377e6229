"""rank, and winrate on published files: planted ladders, boards that agree, and one sentence for what does not fit."""

import csv
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_calls import call, sentence

from paribus.records import Completion, Prompt, Verdict, read_records, write_records

LADDER = {"good": 1250.0, "fair": 1000.0, "poor": 750.0}


def _verdicts(names: dict[str, float] = LADDER, judge: str = "j") -> list[Verdict]:
    rng, rows = np.random.default_rng(0), []
    for language in ("en", "sw"):
        for number in range(60):
            for a, b in combinations(names, 2):
                label = "A>B" if rng.random() < 1 / (1 + 10 ** ((names[b] - names[a]) / 400)) else "B>A"
                fields = {"prompt_id": f"q{number}-{language}", "language": language, "judge": judge}
                meta = {"question_id": f"q{number}"}
                rows += [Verdict(a=a, b=b, order=order, label=label, meta=meta, **fields) for order in ("ab", "ba")]
    return rows


@pytest.fixture
def ladder(tmp_path: Path) -> Path:
    write_records(tmp_path / "verdicts.jsonl", _verdicts())
    return tmp_path / "verdicts.jsonl"


def _answers(folder: Path) -> list[str]:
    words = []
    for name in LADDER:
        rows = [
            Completion(
                id=f"{name}{n}{code}", prompt_id=f"q{n}-{code}", language=code, model=name, text="word " * (n + 1)
            )
            for n in range(60)
            for code in ("en", "sw")
        ]
        write_records(folder / f"{name}.jsonl", rows)
        words += ["--answers", str(folder / f"{name}.jsonl")]
    return words


def test_a_ranking_by_language_goes_to_the_table_and_the_file(ladder: Path, tmp_path: Path) -> None:
    votes = tmp_path / "votes.csv"
    votes.write_text("model,score,low,high\ngood,3,2.5,3.5\npoor,1,0.5,1.5\n")
    out = tmp_path / "ranking.json"
    done = call("rank", ladder, "--baseline", "fair", "--reference", votes, "--resamples", 200, "--out", out)
    assert done.exit_code == 0, done.output
    assert "3 models, judged by j, fair at 1,000 points" in done.stdout
    assert "agreement 1.000" in done.stderr and "not in it: fair" in done.stderr
    content = json.loads(out.read_text())
    assert [row["language"] for row in content["rankings"]] == ["all", "en", "sw"]
    for ranking in content["rankings"]:
        assert [row["model"] for row in ranking["models"]] == ["good", "fair", "poor"]
        assert [row["group"] for row in ranking["models"]] == ["a", "b", "c"]
    assert content["rankings"][0]["models"][1]["n"] == 60
    assert content["rankings"][0]["quality"]["spearman"] == pytest.approx(1.0)
    # What it wrote is a reference for the next ranking.
    again = call("rank", ladder, "--reference", out, "--resamples", 200, "--no-by-language")
    assert "on 3 shared models" in again.stderr and again.exit_code == 0


def test_style_control_needs_one_length_for_all(ladder: Path, tmp_path: Path) -> None:
    words = ["--resamples", 100, "--no-by-language", *_answers(tmp_path)]
    assert "has no token count" in sentence(call("rank", ladder, *words))
    done = call("rank", ladder, *words, "--length-in", "words")
    assert done.exit_code == 0, done.output
    assert "equal style" in done.stdout and "never differs" in done.stdout


def test_two_judges_are_told_apart(tmp_path: Path) -> None:
    write_records(tmp_path / "two.jsonl", [*_verdicts(), *_verdicts(judge="k")])
    assert "2 judges (j, k)" in sentence(call("rank", tmp_path / "two.jsonl"))
    assert "its judges are j, k" in sentence(call("rank", tmp_path / "two.jsonl", "--judge", "x"))
    assert call("rank", tmp_path / "two.jsonl", "--judge", "k", "--resamples", 100).exit_code == 0


def test_winrate_of_all_that_met_the_baseline_carries_letters(ladder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rates.json"
    done = call("winrate", ladder, "--baseline", "fair", "--resamples", 300, "--out", out)
    assert done.exit_code == 0, done.output
    assert "good, poor against fair" in done.stdout
    rows = {(row["model"], row["language"]): row["group"] for row in json.loads(out.read_text())["rows"]}
    assert rows["good", "all"] == "a" and rows["poor", "all"] == "b"
    assert "Name one --model" in sentence(call("winrate", ladder))
    assert "no games of 'nobody'" in sentence(call("winrate", ladder, "--baseline", "nobody"))


def test_winrate_at_equal_length(tmp_path: Path) -> None:
    rng, rows, answers = np.random.default_rng(1), [], []
    for number in range(80):
        sizes = {"ours": int(rng.integers(100, 900)), "base": int(rng.integers(100, 500))}
        label = "A>B" if rng.random() < 1 / (1 + np.exp((sizes["base"] - sizes["ours"]) / 150)) else "B>A"
        fields = {"prompt_id": f"q{number}", "language": "en"}
        rows.append(Verdict(a="ours", b="base", judge="j", order="ab", label=label, **fields))
        answers += [Completion(id=f"{m}{number}", model=m, text="x" * size, **fields) for m, size in sizes.items()]
    write_records(tmp_path / "v.jsonl", rows)
    write_records(tmp_path / "answers.jsonl", answers)
    out = tmp_path / "w.json"
    done = call(
        "winrate", tmp_path / "v.jsonl", "--model", "ours", "--answers", tmp_path / "answers.jsonl", "--out", out
    )
    assert done.exit_code == 0, done.output
    assert "at equal length" in done.stdout
    row = json.loads(out.read_text())["rows"][0]
    assert row["rate"]["estimate"] > 0.65
    assert row["at_equal_length"]["rate"]["low"] < 0.5 < row["at_equal_length"]["rate"]["high"] + 0.05


def _annotations(root: Path, model: str, judge: str, preferences: list[float]) -> None:
    rows = [
        {
            "instruction": f"Question {i}?",
            "output_1": "short " * (i % 5 + 1),
            "generator_1": "base",
            "output_2": "longer " * (i % 7 + 1),
            "generator_2": model,
            "annotator": judge,
            "preference": preference,
        }
        for i, preference in enumerate(preferences)
    ]
    (root / model / judge).mkdir(parents=True)
    (root / model / judge / "annotations.json").write_text(json.dumps(rows))


def _board(path: Path, rows: dict[str, tuple[float, float]]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["", "win_rate", "standard_error"])
        table.writerows([name, *numbers] for name, numbers in rows.items())
    return path


def test_alpaca_eval_beside_its_board(tmp_path: Path) -> None:
    scale = [1.0, 2.0, 1.5, 1.25, 2.0, 1.0, 1.75, 2.0]
    _annotations(tmp_path / "results", "one", "gpt4", scale)
    _annotations(tmp_path / "results", "two", "gpt4", [2.0] * 4 + scale)
    _annotations(tmp_path / "results", "two", "claude", [1.0] * 8)
    half = np.array(scale) - 1
    error = 100 * half.std(ddof=1) / 8**0.5
    board = _board(tmp_path / "board.csv", {"one": (100 * half.mean(), error), "two": (50.0, 1.0)})
    words = ["winrate", tmp_path / "results", "--format", "alpaca-eval", "--resamples", 200, "--leaderboard", board]
    assert "one annotator" in sentence(call(*words))
    out = tmp_path / "table.json"
    done = call(*words, "--judge", "gpt4", "--length-control", "--out", out)
    assert done.exit_code == 0, done.output
    assert "1 of 2 models come out as in" in done.stderr
    assert "length_controlled_minimal" in done.stderr
    rows = {row["model"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["one"]["differences"]["win_rate"] == pytest.approx(0.0, abs=1e-9)
    assert rows["two"]["differences"]["win_rate"] == pytest.approx(rows["two"]["win_rate"] - 50.0)
    assert 0 < rows["one"]["length_controlled"]["rate"]["estimate"] < 1
    assert {row["group"] for row in rows.values()} == {"a"} and "not told apart" in done.stdout


def _judgments(folder: Path, model: str, scores: list[tuple[Any, Any]]) -> None:
    rows = [
        {
            "question_id": f"q{i}",
            "model": model,
            "judge": "gpt-4-1106-preview",
            "games": [{"user_prompt": "", "judgment": f"[[{score}]]", "score": score} for score in pair],
        }
        for i, pair in enumerate(scores)
    ]
    place = folder / "model_judgment" / "gpt-4-1106-preview"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_arena_hard_files_are_ranked_with_their_official_scores(tmp_path: Path) -> None:
    for model, won in {"strong": 30, "weak": 10}.items():
        _judgments(tmp_path, model, [("B>>A", "A>B") if i < won else ("A>B", "B>A") for i in range(40)])
    words = ["rank", tmp_path, "--format", "arena-hard", "--baseline", "gpt-4-0314", "--official", "v0.1"]
    out = tmp_path / "out.json"
    done = call(*words, "--resamples", 200, "--out", out)
    assert done.exit_code == 0, done.output
    assert "independence assumed: too narrow" in done.stdout
    content = json.loads(out.read_text())
    official = {row["model"]: row["score"] for row in content["official"]}
    ours = {row["model"]: row["win_probability"] for row in content["rankings"][0]["models"]}
    # Strong verdicts count three times: 30 questions of 3 + 1 won, 10 of 1 + 1 lost.
    assert official["strong"]["estimate"] == pytest.approx(120 / 140)
    assert ours["strong"]["estimate"] == pytest.approx(120 / 140)
    assert official["strong"]["high"] - official["strong"]["low"] < ours["strong"]["high"] - ours["strong"]["low"]
    rates = call("winrate", tmp_path, "--format", "arena-hard", "--model", "strong", "--resamples", 200)
    assert rates.exit_code == 0 and "strong against gpt-4-0314" in rates.stdout


def test_options_of_another_format_are_refused(ladder: Path, tmp_path: Path) -> None:
    refused = sentence(call("winrate", ladder, "--baseline", "fair", "--gamed", tmp_path / "g.csv"))
    assert "--gamed cannot be used with --format paribus" in refused
    refused = sentence(call("winrate", tmp_path, "--format", "alpaca-eval", "--model", "m", "--languages", "de"))
    assert "--model, --languages cannot be used with --format alpaca-eval" in refused
    refused = sentence(call("rank", tmp_path, "--format", "arena-hard", "--languages", "de"))
    assert "--languages cannot be used with --format arena-hard" in refused
    assert "--category cannot be used" in sentence(call("rank", ladder, "--category", "math"))


def test_m_arena_hard_becomes_a_file_of_prompts(tmp_path: Path) -> None:
    for code, text in {"en": "Write a loop", "de": "Schreibe eine Schleife"}.items():
        (tmp_path / "set" / code).mkdir(parents=True)
        row = {"question_id": "q0", "cluster": "Loops", "category": "c", "prompt": text}
        (tmp_path / "set" / code / "test.jsonl").write_text(json.dumps(row) + "\n")
    out = tmp_path / "prompts.jsonl"
    done = call("m-arena-hard", tmp_path / "set", "--out", out)
    assert done.exit_code == 0, done.output
    rows = list(read_records(out, Prompt))
    assert [(row.id, row.language, row.meta["question_id"]) for row in rows] == [
        ("q0/de", "de", "q0"),
        ("q0/en", "en", "q0"),
    ]
    assert "1 questions in 2 languages" in done.stderr
    assert "has no sw" in sentence(call("m-arena-hard", tmp_path / "set", "--languages", "sw", "--out", out))
