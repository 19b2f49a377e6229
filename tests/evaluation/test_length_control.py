"""Length-controlled win rates: the published package as oracle, planted length effects, what is refused."""

import csv
from pathlib import Path

import alpaca_oracle
import numpy as np
import pytest
from scipy.special import expit
from simulated_games import game

from paribus.errors import DataError
from paribus.evaluation.length_control import (
    Gamed,
    answer_lengths,
    length_controlled,
    length_controlled_verdicts,
    read_gamed,
)
from paribus.records import Completion


class Planted:
    """Rows of a model whose true log odds against the baseline are ``odds`` at equal length."""

    def __init__(self, seed: int, n: int = 300, odds: float = 0.4, longer: float = 0.8, taste: float = 1.5) -> None:
        rng = np.random.default_rng(seed)
        self.difficulty = rng.normal(0, 1, n).round(6)
        self.baseline_length = rng.integers(400, 3_000, n)
        self.length = (self.baseline_length * rng.uniform(1 + longer - 0.6, 1 + longer + 0.6, n)).astype(int)
        gap = self.baseline_length - self.length
        self.truth = float(expit(odds + self.difficulty).mean())
        self.chance = expit(odds + self.difficulty - taste * np.tanh(gap / gap.std(ddof=1)))
        # As files hold it, between 1 and 2, and taken back.
        self.preference = (np.clip(self.chance + rng.normal(0, 0.05, n), 0, 1) + 1.0) - 1.0
        self.gamed = Gamed(
            rng.uniform(0.2, 0.7, 2 * n).round(6), rng.normal(0, 1.2, 2 * n).round(6), np.tile(self.difficulty, 2)
        )

    def write_gamed(self, path: Path) -> Path:
        n = len(self.difficulty)
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(
                ["index", "preference", "std_delta_len", "instruction_difficulty", "not_gamed_baseline", "model"]
            )
            for i, row in enumerate(zip(self.gamed.preference, self.gamed.gap, self.gamed.difficulty, strict=True)):
                table.writerow([i % n, *row, False, f"gamed{i // n}"])
        return path


@pytest.mark.filterwarnings("ignore::FutureWarning:sklearn")
@pytest.mark.parametrize("variant", ["length_controlled_v1", "length_controlled_noreg", "length_controlled_minimal"])
def test_the_published_package_finds_the_same(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = alpaca_oracle.metrics(monkeypatch)
    import pandas as pd
    from alpaca_eval.metrics import glm_winrate

    rows = Planted(3)
    rows.preference[[4, 9]] = np.nan
    table = rows.write_gamed(tmp_path / "gamed.csv")
    monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(table))
    frame = pd.DataFrame(
        {
            "preference": rows.preference + 1,
            "output_1": ["x" * k for k in rows.baseline_length],
            "output_2": ["x" * k for k in rows.length],
            "generator_1": "base",
            "generator_2": "ours",
            "annotator": "judge",
        }
    )
    expected = theirs.get_length_controlled_winrate(
        frame, glm_name=variant, save_weights_dir=None, is_add_glm_preference_inplace=False
    )
    gamed, difficulty = read_gamed(table)
    ours = length_controlled(
        rows.preference,
        rows.length,
        rows.baseline_length,
        difficulty=None if "minimal" in variant else [difficulty[i] for i in range(len(rows.preference))],
        gamed=gamed if variant.endswith("v1") else None,
        resamples=5,
    )
    assert ours.variant == variant
    assert 100 * ours.rate.estimate == pytest.approx(expected["length_controlled_winrate"], abs=1e-9)
    assert 100 * ours.standard_error == pytest.approx(expected["lc_standard_error"], abs=1e-9)
    assert 100 * ours.plain.estimate == pytest.approx(expected["win_rate"], abs=1e-9)
    assert ours.left_out == 2


def test_a_planted_taste_for_length_is_taken_out() -> None:
    rows = Planted(0, n=800)
    found = length_controlled(rows.preference, rows.length, rows.baseline_length, difficulty=rows.difficulty)
    assert found.plain.low > rows.truth + 0.1
    assert found.rate.estimate == pytest.approx(rows.truth, abs=0.03)
    assert found.coefficients["length"] == pytest.approx(-1.5, abs=0.2)
    assert found.mean_gap == pytest.approx(float((rows.length - rows.baseline_length).mean()))


def test_without_a_taste_for_length_nothing_changes() -> None:
    rows = Planted(1, n=800, taste=0.0)
    found = length_controlled(rows.preference, rows.length, rows.baseline_length, difficulty=rows.difficulty)
    assert found.rate.estimate == pytest.approx(found.plain.estimate, abs=0.02)
    assert found.coefficients["length"] == pytest.approx(0.0, abs=0.1)


def test_the_interval_covers_the_planted_rate() -> None:
    hits = 0
    for seed in range(20):
        rows = Planted(seed, n=200)
        wins = (np.random.default_rng(100 + seed).random(200) < rows.chance).astype(float)
        found = length_controlled(
            wins, rows.length, rows.baseline_length, difficulty=rows.difficulty, resamples=50, rng=seed
        )
        hits += found.rate.contains(rows.truth)
    # 95% promised; fewer than 16 of 20 would come up less than once in three hundred times.
    assert hits >= 16


def test_the_published_standard_error_is_no_sampling_error() -> None:
    rows = Planted(2)
    wins = (np.random.default_rng(5).random(len(rows.chance)) < rows.chance).astype(float)
    found = length_controlled(wins, rows.length, rows.baseline_length)
    # Without difficulties every row has the same prediction, so the published error is zero and the interval is not.
    assert found.standard_error == pytest.approx(0.0, abs=1e-12)
    assert found.rate.width > 0.05


def test_a_penalty_that_silences_everything_is_not_shown_as_certainty() -> None:
    rng = np.random.default_rng(8)
    found = length_controlled(rng.uniform(0, 1, 60), rng.integers(10, 99, 60), rng.integers(10, 99, 60))
    assert found.coefficients == {"length": 0.0, "model": 0.0} and found.rate.estimate == 0.5
    assert found.rate.width > 0.1


def test_a_model_that_wins_everything_has_an_interval() -> None:
    rng = np.random.default_rng(9)
    found = length_controlled(np.ones(40), rng.integers(10, 99, 40), rng.integers(10, 99, 40), resamples=50)
    assert found.rate.estimate > 0.95 and found.rate.low > 0.9


def test_copies_of_a_question_add_nothing() -> None:
    rows = Planted(4, n=60)
    wins = (np.random.default_rng(6).random(60) < rows.chance).astype(float)
    one = length_controlled(wins, rows.length, rows.baseline_length, resamples=300)
    copied = (np.tile(part, 4) for part in (wins, rows.length, rows.baseline_length))
    four = length_controlled(*copied, questions=[f"q{i}" for i in range(60)] * 4, resamples=300)
    assert four.rate.n == 60
    assert four.rate.width == pytest.approx(one.rate.width, rel=0.25)


def test_verdicts_with_the_lengths_of_answers() -> None:
    rng, verdicts, answers = np.random.default_rng(7), [], []
    for number in range(250):
        sizes = {"base": int(rng.integers(200, 900)), "ours": int(rng.integers(500, 1_600))}
        for model, size in sizes.items():
            answers.append(
                Completion(id=f"{model}{number}", prompt_id=f"q{number}", language="en", model=model, text="x" * size)
            )
        won = rng.random() < expit(3 * np.tanh((sizes["ours"] - sizes["base"]) / 450))
        for order in ("ab", "ba"):
            verdicts.append(game("A>B" if won else "B>A", order, f"q{number}"))
    found = length_controlled_verdicts(verdicts, answer_lengths(answers), "ours")
    assert found.plain.low > 0.6
    assert found.rate.contains(0.5) and found.rate.n == 250
    lengths = answer_lengths(answers[1:])
    with pytest.raises(DataError, match="no length or difficulty for"):
        length_controlled_verdicts(verdicts, lengths, "ours")


def test_what_cannot_be_controlled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"differ from the baseline.s by \+5 characters"):
        length_controlled([1, 0, 1, 0, 1], [10] * 5, [5] * 5)
    with pytest.raises(DataError, match=r"preferences from 0\.0 to 2\.0"):
        length_controlled([2, 0, 1, 0, 1], [1, 2, 3, 4, 5], [5] * 5)
    with pytest.raises(DataError, match="at least 5"):
        length_controlled([np.nan] * 5, [1, 2, 3, 4, 5], [5] * 5)
    with pytest.raises(DataError, match="without the difficulty"):
        length_controlled([1, 0, 1, 0, 1], [1, 2, 3, 4, 5], [5] * 5, gamed=Planted(0).gamed)
    (tmp_path / "bad.csv").write_text("index,preference\n0,1\n")
    with pytest.raises(DataError, match="no column 'std_delta_len'"):
        read_gamed(tmp_path / "bad.csv")
