"""Elimination and GF(2) elimination: slow oracles, one-sided error, full rank means certainty."""

import itertools

import numpy as np
import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.incontext.learner import correct
from paribus.testbeds.incontext.learners_exact import Elimination, ParityElimination
from paribus.testbeds.incontext.prompts import Prompts


def of(x: np.ndarray, y: np.ndarray) -> Prompts:
    """Prompts of these points and labels."""
    points, labels = torch.tensor(x, dtype=torch.int8), torch.tensor(y, dtype=torch.int8)
    return Prompts(points, labels, {}, labels > 2, torch.zeros(len(labels), dtype=torch.int64))


def conjunctions(count: int, points: int, dimensions: int, seed: int = 0, monotone: bool = False) -> Prompts:
    """Random conjunctions; three points in ten are moved into the term."""
    rng = np.random.default_rng(seed)
    w = rng.choice(
        [0, 1] if monotone else [0, 1, -1], (count, 1, dimensions), p=[0.7, 0.3] if monotone else [0.7, 0.15, 0.15]
    )
    x = rng.choice([-1, 1], (count, points, dimensions))
    x = np.where((rng.random((count, points, 1)) < 0.3) & (w != 0), w, x)
    return of(x, np.where((x * w).sum(-1) == np.abs(w).sum(-1), 1, -1))


def slow_elimination(x: np.ndarray, y: np.ndarray, i: int, monotone: bool) -> int:
    """Keep the literals that every positive example before i satisfies; then ask all that are left."""
    literals = [(k, 1) for k in range(x.shape[1])] + ([] if monotone else [(k, -1) for k in range(x.shape[1])])
    for j in range(i):
        if y[j] == 1:
            literals = [(k, sign) for k, sign in literals if x[j, k] == sign]
    return 1 if all(x[i, k] == sign for k, sign in literals) else -1


@pytest.mark.parametrize("monotone", [False, True])
def test_elimination_keeps_the_literals_that_positives_allow(monotone):
    prompts = conjunctions(15, 20, 5, monotone=monotone)
    x, y = prompts.x.numpy(), prompts.y.numpy()
    expected = [[slow_elimination(x[b], y[b], i, monotone) for i in range(20)] for b in range(15)]
    assert Elimination(monotone=monotone).predict(prompts).tolist() == expected


@pytest.mark.parametrize("monotone", [False, True])
def test_disjunctions_are_the_mirror_image(monotone):
    prompts = conjunctions(10, 20, 5, seed=3, monotone=monotone)
    mirrored = of(-prompts.x.numpy(), -prompts.y.numpy())
    conjunction = Elimination(monotone=monotone).predict(prompts)
    assert torch.equal(Elimination("disjunction", monotone).predict(mirrored), -conjunction)


def test_elimination_never_errs_on_a_negative_example_and_errs_at_most_once_a_literal():
    prompts = conjunctions(200, 60, 8, seed=1)
    wrong = correct(Elimination().predict(prompts), prompts) == 0
    assert not (wrong & (prompts.y < 0)).any()
    # The first positive drops n of the 2n literals, every later error drops at least one of the n left.
    assert wrong.sum(1).max() <= 8 + 1
    assert wrong[:, 40:].float().mean() < 0.01


def test_elimination_is_as_accurate_as_measured_before():
    """Accuracy after 0, 5, 10, 20, 30 examples at n = 10, from an independent implementation."""
    prompts = conjunctions(4000, 31, 10, seed=5)
    right = correct(Elimination().predict(prompts), prompts).mean(0)
    assert [right[i].item() for i in (0, 5, 10, 20, 30)] == pytest.approx([0.55, 0.69, 0.85, 0.97, 0.998], abs=0.025)


def parities(count: int, points: int, dimensions: int, seed: int = 0) -> Prompts:
    """Parities of uniform subsets at uniform points; a bit is 1 where x is +1, the label +1 where their XOR is 1."""
    rng = np.random.default_rng(seed)
    x, subset = rng.choice([-1, 1], (count, points, dimensions)), rng.integers(0, 2, (count, 1, dimensions))
    return of(x, np.where(((x > 0) * subset).sum(-1) % 2, 1, -1))


def test_a_parity_is_predicted_exactly_where_all_consistent_parities_agree():
    prompts = parities(10, 10, 4)
    scores = ParityElimination(abstain=True).predict(prompts)
    x, y = prompts.x.numpy() > 0, prompts.y.numpy()
    subsets = np.array(list(itertools.product([0, 1], repeat=4)))
    for b, i in itertools.product(range(10), range(10)):
        labels = np.where((x[b].astype(int) @ subsets.T) % 2, 1, -1)
        consistent = (labels[:i] == y[b, :i, None]).all(0)
        assert scores[b, i].item() == labels[i, consistent].mean()


def test_accuracy_is_one_once_the_points_have_full_rank():
    n = 8
    prompts = parities(60, 30, n, seed=2)
    right = correct(ParityElimination(abstain=True).predict(prompts), prompts)
    ranks = np.array([[_rank(prompts.x[b, :i].numpy() > 0) for i in range(30)] for b in range(60)])
    assert (right.numpy()[ranks == n] == 1).all()
    assert (ranks == n).any() and (ranks < n).any()


def test_the_share_of_prompts_with_full_rank_follows_the_product_formula():
    """t random vectors of GF(2)^n have rank n with probability prod over i < n of 1 - 2^(i - t)."""
    n, count = 6, 4000
    prompts = parities(count, 15, n, seed=4)
    scores = ParityElimination(abstain=True).predict(prompts)
    # A position is determined with the chance that a fresh point lies in the span: certain at full rank, and
    # 2^(rank - n) otherwise; the expectation over ranks follows from the chance of each rank.
    for t in (3, 6, 8, 12):
        chances = np.array([_rank_chance(n, t, r) for r in range(min(n, t) + 1)])
        expected = (chances * 2.0 ** (np.arange(len(chances)) - n)).sum()
        full = float(np.prod(1 - 2.0 ** (np.arange(n) - t))) if t >= n else 0.0
        assert chances.sum() == pytest.approx(1)
        assert (chances[n] if t >= n else 0.0) == pytest.approx(full)
        assert (scores[:, t] != 0).float().mean().item() == pytest.approx(expected, abs=0.03)


def test_labels_that_contradict_the_equations_are_ignored():
    x = np.array([[[1, -1], [1, -1], [1, -1]]])
    scores = ParityElimination().predict(of(x, np.array([[1, -1, 1]])))
    assert scores[0, 1:].tolist() == [1.0, 1.0]


def test_points_too_long_to_pack_are_refused():
    x = np.ones((1, 2, 63))
    with pytest.raises(ConfigError, match="63"):
        ParityElimination().predict(of(x, np.ones((1, 2))))
    assert ParityElimination().predict(of(x[:, :, :62], np.ones((1, 2))))[0, 1] == 1


def test_an_unknown_target_is_refused():
    with pytest.raises(ConfigError, match="majority"):
        Elimination("majority")


def _rank(rows: np.ndarray) -> int:
    """Rank over GF(2), one row at a time."""
    basis: dict[int, int] = {}
    for row in rows:
        value = int("".join("1" if bit else "0" for bit in row), 2)
        while value and value.bit_length() in basis:
            value ^= basis[value.bit_length()]
        if value:
            basis[value.bit_length()] = value
    return len(basis)


def _rank_chance(n: int, t: int, r: int) -> float:
    """Chance that t uniform vectors of GF(2)^n have rank r."""
    product = 2.0 ** (-(n - r) * (t - r))
    for i in range(r):
        product *= (1 - 2.0 ** (i - n)) * (1 - 2.0 ** (i - t)) / (1 - 2.0 ** (i - r))
    return product
