"""Perceptron, Winnow, Lasso and the largest margin: loops, mistake bounds, scikit-learn, linear programs."""

import numpy as np
import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.learner import correct
from paribus.testbeds.incontext.learners_fitted import Lasso, MaxMargin
from paribus.testbeds.incontext.learners_linear import with_intercept
from paribus.testbeds.incontext.learners_online import Perceptron, Winnow
from paribus.testbeds.incontext.prompts import Prompts


def prompts_of(name: str, count: int, seed: int = 0, **settings: float) -> Prompts:
    """Prompts of a class."""
    return parse_class(name, **settings).sample(count, torch.Generator().manual_seed(seed))


def test_the_perceptron_is_the_textbook_loop():
    prompts = prompts_of("halfspace", 6, dimensions=5, points=20)
    scores = Perceptron().predict(prompts)
    for b in range(6):
        weights = np.zeros(6)
        for i in range(20):
            point, label = np.append(prompts.x[b, i].numpy(), 1.0), int(prompts.y[b, i])
            score = weights @ point
            if score != 0:
                assert scores[b, i].item() == score
            if label * score <= 0:
                weights = weights + label * point


def test_the_perceptron_makes_no_more_mistakes_than_the_margin_allows():
    """Weights +-1 of three variables and no bias: margin 1 / sqrt(3) on points of length sqrt(n + 1)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 2, (50, 400, 6), generator=generator, dtype=torch.int8) * 2 - 1
    y = (x[..., 0] - x[..., 1] + x[..., 2]).sign()
    prompts = Prompts(x, y, {}, y > 2, torch.zeros(50, dtype=torch.int64))
    mistakes = (correct(Perceptron().predict(prompts), prompts) == 0).sum(1)
    assert mistakes.max() <= 3 * (6 + 1)
    assert mistakes.min() >= 1


def test_winnow_is_the_textbook_loop_and_a_conjunction_its_mirror_image():
    prompts = prompts_of("disjunction", 5, dimensions=6, points=25)
    scores = Winnow().predict(prompts)
    for b in range(5):
        weights = np.ones(12)
        for i in range(25):
            true = np.concatenate([prompts.x[b, i].numpy() > 0, prompts.x[b, i].numpy() < 0])
            says, label = (1 if weights @ true >= 12 else -1), int(prompts.y[b, i])
            assert np.sign(scores[b, i].item()) == says
            if says != label:
                weights = np.where(true, weights * 2.0**label, weights)
    mirrored = Prompts(-prompts.x, -prompts.y, {}, prompts.forced, prompts.taught)
    assert torch.equal(Winnow("conjunction").predict(mirrored), -scores)


@pytest.mark.parametrize("dimensions", [8, 64])
def test_winnow_stays_within_its_mistake_bound(dimensions):
    prompts = prompts_of("sparse_disjunction", 40, dimensions=dimensions, points=300, size=2)
    mistakes = (correct(Winnow(monotone=True).predict(prompts), prompts) == 0).sum(1)
    assert mistakes.max() <= 3 * 2 * (np.log2(dimensions) + 1) + 2
    assert mistakes.max() >= 2


@pytest.mark.parametrize("alpha", [0.3, 0.05])
def test_lasso_is_scikit_learns(alpha):
    from sklearn.linear_model import Lasso as Oracle

    prompts = prompts_of("halfspace", 3, dimensions=6, points=30)
    x, y = prompts.x.double(), prompts.y.double()
    weights = Lasso(alpha, tolerance=1e-9).fit(x, y)
    for b in range(3):
        for i in (1, 4, 12, 29):
            oracle = Oracle(alpha, fit_intercept=False, tol=1e-10, max_iter=100_000)
            oracle.fit(x[b, :i].numpy(), y[b, :i].numpy())
            fitted = x[b].numpy() @ weights[b, i].numpy()
            np.testing.assert_allclose(fitted[:i], x[b, :i].numpy() @ oracle.coef_, atol=1e-4)
    torch.testing.assert_close(weights[:, 0], torch.zeros_like(weights[:, 0]))


def test_lasso_meets_the_conditions_of_its_minimum():
    """Slopes are alpha with the sign of the weight, or smaller where the weight is 0; at every prefix."""
    prompts = prompts_of("threshold", 4, dimensions=8, points=25)
    x, y, alpha = prompts.x.double(), prompts.y.double(), 0.1
    weights = Lasso(alpha, tolerance=1e-8).fit(x, y)
    for i in range(1, 25):
        residual = y[:, :i] - (x[:, :i] @ weights[:, i, :, None]).squeeze(-1)
        slopes = (x[:, :i] * residual[..., None]).mean(1)
        used = weights[:, i] != 0
        torch.testing.assert_close(slopes[used], alpha * weights[:, i].sign()[used], atol=1e-6, rtol=0)
        assert slopes[~used].abs().max() <= alpha + 1e-6 if (~used).any() else True
    assert (weights == 0).any() and (weights != 0).any()


def test_lasso_says_when_it_does_not_settle():
    with pytest.raises(ConfigError, match="1 moves"):
        Lasso(0.01, moves=1).predict(prompts_of("halfspace", 2, dimensions=8, points=20))
    with pytest.raises(ConfigError, match="alpha is 0"):
        Lasso(0)


@pytest.mark.parametrize("cost", [0.5, 100.0])
def test_the_margin_is_that_of_a_support_vector_machine(cost):
    from sklearn.svm import LinearSVC

    prompts = prompts_of("majority", 3, dimensions=5, points=24)
    x, y = with_intercept(prompts.x.double(), True), prompts.y.double()
    weights = MaxMargin(cost, tolerance=1e-9, moves=100_000).fit(x, y)
    for b in range(3):
        for i in (8, 16, 23):
            if len(set(prompts.y[b, :i].tolist())) < 2:
                continue
            oracle = LinearSVC(C=cost, loss="hinge", intercept_scaling=1.0, tol=1e-9, max_iter=1_000_000)
            oracle.fit(prompts.x[b, :i].numpy(), prompts.y[b, :i].numpy())
            expected = np.append(oracle.coef_[0], oracle.intercept_[0])
            np.testing.assert_allclose(weights[b, i].numpy(), expected, atol=2e-3)


def test_a_halfspace_that_separates_is_found_wherever_a_linear_program_finds_one():
    from scipy.optimize import linprog

    rng = np.random.default_rng(0)
    x = rng.choice([-1, 1], (12, 14, 4))
    y = np.where(rng.random((12, 14)) < 0.2, -1, 1) * np.where(x.sum(-1) > 0, 1, -1)
    points, labels = with_intercept(torch.tensor(x).double(), True), torch.tensor(y).double()
    weights = MaxMargin(moves=5_000).fit(points, labels)
    separable = []
    for b in range(12):
        for i in range(1, 14):
            rows = -y[b, :i, None] * np.append(x[b, :i], np.ones((i, 1)), 1)
            exists = linprog(np.zeros(5), A_ub=rows, b_ub=-np.ones(i), bounds=(None, None)).status == 0
            margins = labels[b, :i] * (points[b, :i] @ weights[b, i])
            assert exists == bool((margins > 0).all())
            separable.append(exists)
    assert 0.1 < np.mean(separable) < 0.95


def test_linear_learners_learn_linear_classes():
    prompts = prompts_of("halfspace", 100, dimensions=6, points=60)
    for learner in (Lasso(), MaxMargin()):
        right = correct(learner.predict(prompts), prompts)
        assert right[:, -10:].mean() > 0.88
