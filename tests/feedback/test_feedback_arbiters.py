"""The gold arbiter and its noise knob, measured accuracy, and arbiter apart from judge."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from feedback_toy import answer, gold, prompt, prompts_in
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from paribus.errors import ConfigError, DataError
from paribus.feedback.arbiters import (
    GoldArbiter,
    agreements,
    arbiter_accuracy,
    ensure_distinct,
    noise_for,
    unit_noise,
)
from paribus.records import Completion, Prompt
from paribus.statistics import wilson


def _scored(arbiter: GoldArbiter, asked: list[Prompt], texts: tuple[str, ...] = ("1", "0")) -> list[Completion]:
    rows = [answer(row, f"m{i}", text) for row in asked for i, text in enumerate(texts)]
    scores = arbiter.score([row for row in asked for _ in texts], rows)
    return [row.model_copy(update={"score": float(score)}) for row, score in zip(rows, scores, strict=True)]


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_the_noise_formula_is_what_a_simulation_finds(noise: float) -> None:
    asked = prompts_in(["en"], 3000)
    accuracy = arbiter_accuracy({p.id: p for p in asked}, _scored(GoldArbiter(gold, noise), asked), gold)[0]
    expected = 1 - noise**2 / 2
    # Four standard errors of a share over 3,000 pairs.
    assert accuracy.accuracy == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 3000) + 1e-12)
    assert (accuracy.language, accuracy.pairs) == ("all", 3000)


@given(st.floats(0.5, 1.0))
def test_noise_for_inverts_the_formula(accuracy: float) -> None:
    assert 1 - noise_for(accuracy) ** 2 / 2 == pytest.approx(accuracy)


def test_settings_out_of_range_are_refused() -> None:
    for noise in (-0.1, 1.5):
        with pytest.raises(ConfigError, match=f"noise={noise}"):
            GoldArbiter(gold, noise)
    for accuracy in (0.4, 1.01):
        with pytest.raises(ConfigError, match=f"accuracy of {accuracy}"):
            noise_for(accuracy)


def test_noise_belongs_to_the_answer_not_to_the_call() -> None:
    asked = prompts_in(["en", "hi"], 50)
    arbiter = GoldArbiter(gold, noise=0.7, seed=3)
    together = [row.score for row in _scored(arbiter, asked)]
    reversed_order = [row.score for row in _scored(arbiter, asked[::-1])]
    by_two = np.array(reversed_order).reshape(-1, 2)[::-1].ravel()
    assert together == by_two.tolist()
    assert together != [row.score for row in _scored(GoldArbiter(gold, noise=0.7, seed=4), asked)]


def test_unit_noise_is_uniform_and_depends_on_every_part() -> None:
    values = np.array([unit_noise("u", 0, number) for number in range(4000)])
    assert values.min() >= 0 and values.max() < 1
    grid = np.linspace(0, 1, 101)
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is the 0.1% critical distance.
    assert np.abs(np.searchsorted(np.sort(values), grid) / 4000 - grid).max() < 1.95 / np.sqrt(4000)
    assert len({unit_noise("a", 1), unit_noise("b", 1), unit_noise("a", 2), unit_noise("a1")}) == 4


def test_accuracy_by_hand_with_ties_and_partial_credit() -> None:
    asked = prompt(0)
    marks = [("1", 0.9), ("0.5", 0.9), ("0", 0.95), ("0 again", 0.1)]
    rows = [answer(asked, f"m{i}", text, score=score) for i, (text, score) in enumerate(marks)]
    # 1 > 0.5 tied (1/2), 1 > 0 wrong, 1 > 0 right, 0.5 > 0 wrong, 0.5 > 0 right; the two wrong answers are no pair.
    found = arbiter_accuracy({asked.id: asked}, rows, gold)[0]
    assert (found.accuracy, found.pairs) == (pytest.approx(2.5 / 5), 5)


def test_accuracy_is_reported_for_every_language() -> None:
    asked = prompts_in(["ar", "en"], 400)
    good, bad = GoldArbiter(gold), GoldArbiter(gold, noise=noise_for(0.7))
    rows = _scored(good, [p for p in asked if p.language == "en"])
    rows += _scored(bad, [p for p in asked if p.language == "ar"])
    table = {row.language: row for row in arbiter_accuracy({p.id: p for p in asked}, rows, gold)}
    assert set(table) == {"all", "ar", "en"}
    assert table["en"].accuracy == 1.0
    assert table["ar"].low < 0.7 < table["ar"].high
    assert table["all"].accuracy == pytest.approx((table["ar"].accuracy + 1) / 2)


def test_an_arbiter_never_wrong_is_not_called_certain() -> None:
    asked = prompts_in(["en", "hi", "tr"], 12)
    found = arbiter_accuracy({p.id: p for p in asked}, _scored(GoldArbiter(gold), asked), gold)[0]
    expected = wilson(12, 12)  # 12 questions; their languages are no further evidence
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_intervals_resample_questions_with_all_their_languages() -> None:
    """An arbiter that errs on whole questions: prompt-wise intervals would be about sqrt(6) too narrow."""
    languages = ["ar", "de", "en", "hi", "ja", "tr"]
    asked = prompts_in(languages, 60)
    rows = []
    for row in asked:
        right = unit_noise("easy", row.meta["question_id"]) < 0.7
        rows += [answer(row, "a", "1", score=float(right)), answer(row, "b", "0", score=0.5)]
    by_id = {p.id: p for p in asked}
    clustered = arbiter_accuracy(by_id, rows, gold)[0]
    naive = arbiter_accuracy(by_id, rows, gold, cluster=lambda p: p.id)[0]
    ratio = (clustered.high - clustered.low) / (naive.high - naive.low)
    assert ratio == pytest.approx(np.sqrt(6), rel=0.2)


def test_accuracy_needs_scores_and_known_prompts() -> None:
    asked = prompt(0)
    pair = [answer(asked, "a", "1"), answer(asked, "b", "0", score=0.0)]
    with pytest.raises(DataError, match=r"'a/q0/en#0' has the score None"):
        arbiter_accuracy({asked.id: asked}, pair, gold)
    with pytest.raises(DataError, match=r"which is not among the prompts"):
        agreements({}, pair, gold)
    alike = [answer(asked, name, f"1 {name}", score=1.0) for name in "ab"]
    assert arbiter_accuracy({asked.id: asked}, alike, gold) == []


@pytest.mark.parametrize(
    ("arbiter", "judge"),
    [
        ("org/model", "org/model"),
        ("org/model", "Org/Model/"),
        ("org/model@main", "org/model@v2"),
        (GoldArbiter(gold, 0.1), "gold checker (noise 0.1)"),
    ],
)
def test_one_name_is_one_model(arbiter: object, judge: str) -> None:
    with pytest.raises(ConfigError, match="are the same"):
        ensure_distinct(arbiter, judge)


def _weights(folder: Path, value: float) -> Path:
    folder.mkdir()
    save_file({"w": torch.full((4, 4), value)}, folder / "model.safetensors")
    return folder


def test_one_set_of_weights_is_one_model_whatever_it_is_called(tmp_path: Path) -> None:
    first, other = _weights(tmp_path / "reward", 1.0), _weights(tmp_path / "judge", 2.0)
    ensure_distinct(str(first), str(other))
    copied = shutil.copytree(first, tmp_path / "renamed")
    (tmp_path / "link").symlink_to(first)
    for same in (copied, tmp_path / "link", tmp_path / "judge" / ".." / "reward"):
        with pytest.raises(ConfigError, match="are the same"):
            ensure_distinct(str(first), str(same))


def test_different_models_pass(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ensure_distinct("org/reward", "org/judge")
    ensure_distinct(str(tmp_path / "empty"), str(_weights(tmp_path / "judge", 1.0)))
