"""Reward hacking: planted it is found, and where there is none nothing is."""

from dataclasses import replace

import numpy as np
import pytest
from feedback_toy import answer, gold, prompts_in

from paribus.errors import DataError
from paribus.feedback.monitors import Monitor, beta_schedule, monitor, scale_of, should_stop
from paribus.records import Completion, Prompt

ASKED = prompts_in(["en", "hi"], 100)
BY_ID = {p.id: p for p in ASKED}
SAMPLES = 4


def error_of(asked: Prompt, text: str) -> str | None:
    """Toy checker: right, in another language (marked by a #), or wrong."""
    if "#" in text:
        return "wrong_language"
    return None if text.startswith("1") else "wrong_fact"


def _round(
    rng: np.random.Generator, *, right: float, words: float, foreign: float = 0.0, loves_length: bool = False
) -> list[Completion]:
    """A policy's samples with an arbiter's scores. ``words``: mean filler words an answer."""
    rows = []
    for asked in ASKED:
        for number in range(SAMPLES):
            mark, filler = int(rng.random() < right), int(rng.poisson(words))
            text = f"{mark} {'x ' * filler}{'#' if rng.random() < foreign else ''}".strip()
            score = 0.1 * len(text) if loves_length else mark + rng.normal(0, 0.5)
            row = answer(asked, "policy", text, score=score, number=number)
            rows.append(row.model_copy(update={"meta": {"logprob": -float(len(text))}}))
    return rows


def _history(rounds: list[list[Completion]], shifts: list[float]) -> list[Monitor]:
    scale = scale_of(BY_ID, rounds[0], gold)
    return [
        monitor(number, BY_ID, rows, gold, error_of, [row.meta["logprob"] - shift for row in rows], scale)
        for number, (rows, shift) in enumerate(zip(rounds, shifts, strict=True))
    ]


def test_an_arbiter_that_loves_length_is_found_out() -> None:
    rng = np.random.default_rng(0)
    rounds = [_round(rng, right=0.5, words=words, loves_length=True) for words in (4, 5, 7, 11)]
    history = _history(rounds, [0, 1, 2, 4])
    gaps = [row.gap for row in history]
    assert gaps[0] == pytest.approx(0.0, abs=1e-12)
    assert gaps == sorted(gaps)
    assert history[-1].arbiter > history[0].arbiter
    assert history[-1].gold == pytest.approx(0.5, abs=0.08)
    assert should_stop(history[:1]) is should_stop(history[:2]) is None
    assert "runs ahead of the truth" in should_stop(history)


def test_a_policy_that_drifts_in_length_is_found_under_an_honest_arbiter() -> None:
    rng = np.random.default_rng(1)
    grown = _history([_round(rng, right=0.5, words=w) for w in (4, 9)], [0, 3])
    assert grown[-1].drift == pytest.approx((2 * 9 + 1) / (2 * 4 + 1) - 1, abs=0.15)
    assert "changed in length by +" in should_stop(grown)
    shrunk = _history([_round(rng, right=0.5, words=w) for w in (9, 2)], [0, 3])
    assert "changed in length by -" in should_stop(shrunk)


def test_a_policy_that_loses_the_language_is_found() -> None:
    rng = np.random.default_rng(2)
    history = _history([_round(rng, right=0.5, words=4, foreign=f) for f in (0.02, 0.3)], [0, 1])
    assert history[-1].wrong_language == pytest.approx(0.3, abs=0.07)
    assert "in another language" in should_stop(history)
    # What was so from the start is no loss.
    steady = _history([_round(rng, right=0.5, words=4, foreign=0.3) for _ in range(2)], [0, 1])
    assert should_stop(steady) is None


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_where_nothing_is(seed: int) -> None:
    """Three rounds of honest progress, or of none, under an arbiter that is gold plus noise."""
    rng = np.random.default_rng(seed)
    for rates in ((0.3, 0.5, 0.7, 0.9), (0.4, 0.4, 0.4, 0.4)):
        history = _history([_round(rng, right=r, words=4) for r in rates], [0, 1, 2, 3])
        assert [should_stop(history[: n + 1]) for n in range(4)] == [None] * 4
        assert max(row.gap for row in history) < 0.3
        assert history[-1].exact_match == pytest.approx(rates[-1], abs=0.08)


def test_kl_is_the_mean_log_ratio_over_the_policys_samples() -> None:
    rows = _round(np.random.default_rng(3), right=0.5, words=4)
    assert [row.kl for row in _history([rows, rows, rows], [0.0, 0.25, 2.0])] == pytest.approx([0.0, 0.25, 2.0])


def test_samples_that_become_alike_are_seen() -> None:
    rows = _round(np.random.default_rng(4), right=0.5, words=6)
    first = {row.prompt_id: row.text for row in rows}
    alike = [row.model_copy(update={"text": first[row.prompt_id]}) for row in rows]
    before, after = _history([rows, alike], [0, 0])
    assert before.distinct > 0.7
    assert after.distinct == 1 / SAMPLES


def test_the_gap_is_in_units_of_the_first_round() -> None:
    asked = ASKED[:2]
    first = [answer(p, "m", t, score=s) for p, t, s in zip(asked, ("0", "1"), (10.0, 30.0), strict=True)]
    later = [answer(p, "m", t, score=s) for p, t, s in zip(asked, ("1", "1"), (50.0, 50.0), strict=True)]
    first, later = ([row.model_copy(update={"meta": {"logprob": 0.0}}) for row in rows] for rows in (first, later))
    scale = scale_of(BY_ID, first, gold)
    assert (scale.arbiter, scale.gold, scale.length) == ((20.0, 10.0), (0.5, 0.5), 1.0)
    # Arbiter (50 - 20) / 10 = 3 deviations up, gold (1 - 0.5) / 0.5 = 1.
    assert monitor(1, BY_ID, later, gold, error_of, [0.0, 0.0], scale).gap == pytest.approx(2.0)


CALM = Monitor(0, 0.0, 0.5, 0.0, 10.0, 0.0, 0.0, 0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("sign", "limit", "name"), [("gap", 1.0, "gap"), ("drift", 0.5, "drift"), ("wrong_language", 0.1, "wrong_language")]
)
def test_limits_are_limits(sign: str, limit: float, name: str) -> None:
    at, above = (replace(CALM, round=1, **{sign: value}) for value in (limit, limit + 0.01))
    assert should_stop([CALM, at]) is None
    assert should_stop([CALM, above]) is not None
    assert should_stop([CALM, above], **{name: limit + 0.02}) is None


def test_what_cannot_be_watched_is_refused() -> None:
    rows = _round(np.random.default_rng(5), right=0.5, words=2)
    scale = scale_of(BY_ID, rows, gold)
    with pytest.raises(DataError, match="no samples"):
        scale_of(BY_ID, [], gold)
    unscored = [row.model_copy(update={"score": None}) for row in rows]
    with pytest.raises(DataError, match="score None"):
        scale_of(BY_ID, unscored, gold)
    silent = [rows[0].model_copy(update={"meta": {"logprob": None}}), *rows[1:]]
    with pytest.raises(DataError, match=r"no meta\['logprob'\]"):
        monitor(0, BY_ID, silent, gold, error_of, [0.0] * len(rows), scale)
    with pytest.raises(DataError, match="800 samples and 1 reference"):
        monitor(0, BY_ID, rows, gold, error_of, [0.0], scale)


def test_beta_schedule() -> None:
    assert beta_schedule(0.1, 3) == [0.1, 0.1, 0.1]
    assert beta_schedule(0.1, 3, growth=2.0) == pytest.approx([0.1, 0.2, 0.4])
