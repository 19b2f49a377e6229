"""AlpacaEval files: published boards rebuilt from their counts, the package as oracle, bad rows named."""

import csv
import json
from pathlib import Path
from typing import Any

import alpaca_oracle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import ConfigError, DataError
from paribus.evaluation.alpaca_eval import (
    alpaca_score,
    annotation_files,
    compare,
    preference_groups,
    preference_rows,
    read_annotations,
    read_leaderboard,
)
from paribus.evaluation.items import summarise

HARD_LABELS = [path for path in alpaca_oracle.leaderboards() if not path.name.startswith("weighted")]
# Their published errors do not follow from their published counts: the first two count a draw as a loss.
OWN_ARITHMETIC = {"humpback-llama2-70b", "humpback-llama-65b", "baize-v2-7b"}


def row(preference: Any, number: int = 0, **fields: Any) -> dict[str, Any]:
    """An annotation as published, less what nobody reads."""
    return {
        "instruction": f"Question {number}?",
        "output_1": "short",
        "generator_1": "text_davinci_003",
        "dataset": "helpful_base",
        "output_2": "a longer answer",
        "generator_2": "model",
        "annotator": "alpaca_eval_gpt4",
        "preference": preference,
    } | fields


def write(path: Path, preferences: list[Any], **fields: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([row(p, i, **fields) for i, p in enumerate(preferences)]))
    return path


@pytest.mark.skipif(not HARD_LABELS, reason="the package alpaca_eval, which carries the boards, is not installed")
@pytest.mark.parametrize("board", HARD_LABELS, ids=lambda path: path.stem)
def test_published_boards_come_out_of_their_counts(board: Path, tmp_path: Path) -> None:
    published = read_leaderboard(board)
    assert len(published) >= 4
    scores = []
    for name, numbers in published.items():
        counts = [int(numbers[key]) for key in ("n_wins", "n_wins_base", "n_draws")]
        labels = [label for label, count in zip((2.0, 1.0, 1.5), counts, strict=True) for _ in range(count)]
        file = write(tmp_path / name / "annotations.json", labels, generator_2=name)
        scores.append(alpaca_score(read_annotations(file), resamples=10))
    for found in compare(scores, published):
        # Old rows are rounded to eight digits.
        assert found.difference("win_rate") == pytest.approx(0.0, abs=1e-7)
        wide = 0.01 if found.score.model in OWN_ARITHMETIC and board.name.startswith("alpaca_eval_gpt4_l") else 1e-8
        assert found.difference("standard_error") == pytest.approx(0.0, abs=wide)
        assert found.difference("n_total") == 0


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("seed", range(3))
def test_the_package_finds_the_same(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = alpaca_oracle.metrics(monkeypatch)
    rng = np.random.default_rng(seed)
    drawn = [rng.uniform(1, 2, 200), rng.choice([1.0, 2.0, 1.5], 200), rng.choice([1.0, 2.0, 1.5, 0.0], 200)][seed]
    preferences = [*drawn.round(10).tolist(), None, None]
    file = write(tmp_path / "annotations.json", preferences)
    ours = alpaca_score(read_annotations(file), resamples=10)
    for name, value in theirs.get_winrate(json.loads(file.read_text())).items():
        assert getattr(ours, name) == pytest.approx(value, abs=1e-10), name
    assert ours.left_out == 2 and ours.avg_length == len("a longer answer")


@given(preferences=st.lists(st.floats(1, 2), min_size=2, max_size=30))
def test_the_mirror_image_wins_what_is_lost(preferences: list[float], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mirror")

    def score(values: list[float]) -> Any:
        return alpaca_score(read_annotations(write(folder / "annotations.json", values)), resamples=2)

    plain, mirrored = score(preferences), score([3.0 - value for value in preferences])
    assert plain.win_rate + mirrored.win_rate == pytest.approx(100.0)
    assert plain.standard_error == pytest.approx(mirrored.standard_error, abs=1e-9)


def test_item_rows_carry_the_win_rate(tmp_path: Path) -> None:
    annotations = read_annotations(write(tmp_path / "annotations.json", [2.0, 1.0, 1.7, None, 0]))
    rows = preference_rows(annotations)
    assert [r.value for r in rows] == pytest.approx([1.0, 0.0, 0.7, 0.5])
    (summary,) = summarise(rows, by_language=False, by_group=False, resamples=50)
    assert 100 * summary.interval.estimate == pytest.approx(alpaca_score(annotations, resamples=10).win_rate)


def test_files_are_found_by_annotator_and_models_by_folder(tmp_path: Path) -> None:
    weighted, hard = "weighted_alpaca_eval_gpt4_turbo", "alpaca_eval_gpt4"
    for model in ("NullModel", "other"):
        for judge in (weighted, hard):
            write(tmp_path / model / judge / "annotations.json", [2.0, 1.2], generator_2="example", annotator=judge)
    assert len(annotation_files(tmp_path)) == 4
    found = annotation_files(tmp_path, weighted)
    assert [read_annotations(file, models={"NullModel": 1}).model for file in found] == ["NullModel", "example"]
    with pytest.raises(DataError, match=f"by 'claude'; those there are by {hard}, {weighted}"):
        annotation_files(tmp_path, "claude")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"preference": "2"}, "row 2: preference is '2'; expected a number"),
        ({"preference": True}, "row 2: preference is True"),
        ({"output_2": None}, "row 2: output_2 is None; expected a text"),
        ({"generator_2": "another"}, "2 values of generator_2"),
    ],
)
def test_bad_rows_are_named(broken: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps([row(2.0), row(1.0) | broken]))
    with pytest.raises(DataError, match=message):
        read_annotations(file)


def test_what_is_no_annotation_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    incomplete = {key: value for key, value in row(2.0).items() if key != "annotator"}
    for content, message in [
        ("{", "cannot be read as JSON"),
        ('{"a": 1}', "holds dict and not a list"),
        ("[]", "not a list of rows"),
        (json.dumps([incomplete]), "row 1 has no 'annotator'"),
        (json.dumps([row(None)]), "none with a preference between 1 and 2"),
    ]:
        file.write_text(content)
        with pytest.raises(DataError, match=message):
            read_annotations(file)


def test_boards_are_checked(tmp_path: Path) -> None:
    board = tmp_path / "board.csv"
    board.write_text(",win_rate,standard_error,avg_length\nmodel,50.0,1.0,\n")
    assert read_leaderboard(board) == {"model": {"win_rate": 50.0, "standard_error": 1.0}}
    board.write_text(",win_rate,standard_error\nmodel,half,1.0\n")
    with pytest.raises(DataError, match=r"board\.csv:2, win_rate is 'half'"):
        read_leaderboard(board)
    with board.open("w", newline="") as file:
        csv.writer(file).writerow(["model", "win_rate"])
    with pytest.raises(DataError, match="no column 'win_rate'"):
        read_leaderboard(board)


def test_letters_tell_models_apart_on_the_same_instructions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    # The second loses a tenth on every instruction of a wide spread: only the paired difference shows it. The third
    # answered half of the instructions, as well as the first.
    made = {"one": 1 + 0.9 * hard, "two": 1 + 0.9 * hard - 0.1 * hard, "half": (1 + 0.9 * hard)[:100]}
    read = [
        read_annotations(write(tmp_path / name / "gpt4" / "annotations.json", values.tolist(), generator_2=name))
        for name, values in made.items()
    ]
    letters = preference_groups(read, resamples=500).letters
    assert not set(letters["one"]) & set(letters["two"])
    assert set(letters["one"]) & set(letters["half"])
    with pytest.raises(DataError, match="second file of 'one'"):
        preference_groups([read[0], read[0]])


def test_a_table_has_one_judge(tmp_path: Path) -> None:
    scores = [
        alpaca_score(
            read_annotations(write(tmp_path / name / "annotations.json", [2.0, 1.0], annotator=name)), resamples=2
        )
        for name in ("gpt4", "claude")
    ]
    with pytest.raises(ConfigError, match="one annotator, and these have claude, gpt4"):
        compare(scores, {})
    (alone,) = compare(scores[:1], {})
    assert alone.published is None and alone.difference("win_rate") is None
