"""Best-of-n: the closed form against all subsets, order and ties, gains over a random pick."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_cases import By, number_in

from paribus.errors import ConfigError, DataError
from paribus.evaluation.best_of_n import best_of_n_rows, expected_best, summarise_selection
from paribus.records import Completion, Message, Prompt


def by_enumeration(gold: list[float], scores: list[float], n: int) -> float:
    """Mean over all subsets of the gold of the best-scored, tied ones averaged."""
    found = []
    for subset in combinations(range(len(gold)), n):
        top = max(scores[i] for i in subset)
        found.append(np.mean([gold[i] for i in subset if scores[i] == top]))
    return float(np.mean(found))


answers = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7)


@settings(max_examples=60)
@given(answers)
def test_all_subsets_give_the_closed_form(rows: list[tuple[int, int]]) -> None:
    gold, scores = [float(g) for g, _ in rows], [float(s) for _, s in rows]
    for n in range(1, len(rows) + 1):
        assert expected_best(gold, scores, n) == pytest.approx(by_enumeration(gold, scores, n))


@given(answers, st.randoms())
def test_ends_and_order(rows: list[tuple[int, int]], random) -> None:
    gold, scores = np.array(rows, dtype=float).T
    assert expected_best(gold, scores, 1) == pytest.approx(gold.mean())
    assert expected_best(gold, gold, len(gold)) == pytest.approx(gold.max())
    order = list(range(len(gold)))
    random.shuffle(order)
    for n in range(1, len(gold) + 1):
        best, worst = expected_best(gold, gold, n), expected_best(gold, -gold, n)
        assert worst - 1e-9 <= expected_best(gold, scores, n) <= best + 1e-9
        assert expected_best(gold[order], scores[order], n) == pytest.approx(expected_best(gold, scores, n))


def test_right_and_wrong_gives_pass_at_k() -> None:
    gold = np.array([1.0] * 7 + [0.0] * 193)
    for k in (1, 10, 100, 200):
        assert expected_best(gold, gold, k) == pytest.approx(1.0 - comb(193, k) / comb(200, k))


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"n=4.*3 answers"):
        expected_best([1, 0, 0], [1, 0, 0], 4)
    with pytest.raises(DataError, match="finite"):
        expected_best([1.0, np.nan], [0.0, 1.0], 1)


def pool(count: int = 40, answers: int = 8, seed: int = 0):
    random = np.random.default_rng(seed)
    prompts = [
        Prompt(
            id=f"q{n}/{code}",
            language=code,
            messages=(Message(role="user", content="?"),),
            meta={"question_id": f"q{n}"},
        )
        for n in range(count)
        for code in ("de", "sw")
    ]
    rows = [
        Completion(
            id=f"{prompt.id}#{i}",
            prompt_id=prompt.id,
            language=prompt.language,
            model="m",
            text=f"answer {random.normal():.4f}",
        )
        for prompt in prompts
        for i in range(answers)
    ]
    return prompts, rows


def test_good_noisy_and_bad_scorers_stand_in_order() -> None:
    prompts, completions = pool()
    noise = np.random.default_rng(5)
    scorers = [
        By(number_in, "perfect"),
        By(lambda text: number_in(text) + noise.normal(), "noisy"),
        By(lambda text: noise.normal(), "blind"),
        By(lambda text: -number_in(text), "inverted"),
    ]
    rows = best_of_n_rows(prompts, completions, lambda prompt, text: number_in(text), scorers, sizes=(1, 4, 8))
    found = {(row.by, row.n, row.language): row for row in summarise_selection(rows, resamples=400)}
    at = {name: found[name, 8, "all"] for name in ("oracle", "perfect", "noisy", "blind", "inverted", "random pick")}
    assert at["perfect"].gold == at["oracle"].gold
    assert at["oracle"].gold.estimate > at["noisy"].gold.high and at["noisy"].gain.low > 0.3
    assert at["blind"].gain.contains(0.0) and at["inverted"].gain.high < -0.5
    assert at["random pick"].gain.low == at["random pick"].gain.high == 0.0
    assert found["noisy", 4, "sw"].prompts == 40 and at["noisy"].gold.n == 40  # 80 prompts, 40 questions
    one = [row for row in found.values() if row.n == 1 and row.language == "all"]
    assert len(one) == 6 and np.ptp([row.gold.estimate for row in one]) < 1e-12
    # The expected maximum of 8 standard normal numbers is 1.4236.
    assert at["oracle"].gold.contains(1.4236)


def test_pools_that_do_not_fit_are_refused() -> None:
    prompts, completions = pool(count=2, answers=3)
    gold = lambda prompt, text: number_in(text)  # noqa: E731
    with pytest.raises(DataError, match="fewer than 4 answers, the first is 'q0/de' with 3"):
        best_of_n_rows(prompts, completions, gold, [], sizes=(4,))
    with pytest.raises(DataError, match="unknown prompts"):
        best_of_n_rows(prompts[1:], completions, gold, [], sizes=(1,))
    with pytest.raises(ConfigError, match="name of its own"):
        best_of_n_rows(prompts, completions, gold, [By(number_in, "oracle")], sizes=(1,))
