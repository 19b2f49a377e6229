"""agree: files of several judges, people among them, into tables and majority verdicts."""

import json
from pathlib import Path

import pytest
from cli_calls import call, sentence
from parts_small import rows, write

VOTES = {
    "one": ("A>B", "A>B", "A>B", "B>A", "A=B", "A>B"),
    "two": ("A>B", "A>B", "B>A", "B>A", "A=B", None),
    "three": ("A>>B", "A>B", "A>B", "B>A", "B>A", "A>B"),
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three judges on six single games, the first three in German."""
    return {
        name: write(
            tmp_path / f"{name}.jsonl",
            [
                {"prompt_id": f"q{n}", "language": "de" if n < 3 else "sw", "a": "a", "b": "b"}
                | {"judge": name, "order": "ab", "label": label}
                for n, label in enumerate(labels)
            ],
        )
        for name, labels in VOTES.items()
    }


def test_tables_and_majority_verdicts(files: dict[str, Path], tmp_path: Path) -> None:
    out, common = tmp_path / "agreement.json", tmp_path / "panel.jsonl"
    done = call("agree", *files.values(), "--out", out, "--majority", common, "--resamples", 100)
    assert done.exit_code == 0, done.stderr
    assert "one and two" in done.stdout and "Agreement, sw" in done.stdout
    written = json.loads(out.read_text())
    found = {(row["first"], row["second"], row["language"]): row for row in written["pairs"]}
    assert found["one", "two", "de"]["same"]["estimate"] == pytest.approx(2 / 3)
    assert found["one", "two", "de"]["opposite"]["estimate"] == pytest.approx(1 / 3)
    assert (found["one", "two", "sw"]["games"], found["one", "two", "sw"]["left_out"]) == (2, 1)
    assert found["one", "three", "all"]["same"]["estimate"] == pytest.approx(5 / 6)
    assert written["judges"] == ["one", "three", "two"]
    standing = {(row["judge"], row["language"]): row["parse_rate"]["estimate"] for row in written["standings"]}
    assert standing["two", "sw"] == pytest.approx(2 / 3) and standing["one", "all"] == 1.0
    assert [row["label"] for row in rows(common)] == ["A>B", "A>B", "A>B", "B>A", "A=B", "A>B"]
    rated = call("winrate", common, "--model", "a", "--resamples", 200)
    assert rated.exit_code == 0, rated.stderr
    assert "panel of one, three, two" in rated.stdout and "66.7%" in rated.stdout


def test_many_people_are_one_judge_under_one_name(files: dict[str, Path], tmp_path: Path) -> None:
    people = [row | {"judge": f"person {n}"} for n, row in enumerate(rows(files["three"]))]
    arena = write(tmp_path / "arena.jsonl", people)
    done = call("agree", files["one"], f"people={arena}", "--out", tmp_path / "t.json", "--resamples", 100)
    assert done.exit_code == 0, done.stderr
    assert json.loads((tmp_path / "t.json").read_text())["judges"] == ["one", "people"]


def test_what_cannot_be_compared_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    assert "by 'one' alone" in sentence(call("agree", files["one"]))
    assert "twice" in sentence(call("agree", files["one"], files["one"], files["two"]))
    assert "missing.jsonl" in sentence(call("agree", files["one"], tmp_path / "missing.jsonl"))
    told = sentence(call("agree", files["one"], f"x={files['two']}", "--out", files["two"], "--resamples", 100))
    assert "one of the files that are read" in told
    assert len(rows(files["two"])) == 6


def test_judges_without_a_common_game_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    other = write(
        tmp_path / "other.jsonl", [row | {"judge": "far", "prompt_id": "x"} for row in rows(files["one"])[:1]]
    )
    done = call("agree", files["one"], files["two"], other, "--resamples", 100)
    assert done.exit_code == 0, done.stderr
    assert "far and one have no game in common" in done.stderr
