"""Averaging and least squares against closed forms and numpy on every prefix."""

import numpy as np
import pytest
import torch

from paribus.testbeds.incontext.learner import GUESS, correct
from paribus.testbeds.incontext.learners_linear import Averaging, LeastSquares
from paribus.testbeds.incontext.prompts import Prompts


def labelled(count: int, points: int, dimensions: int, seed: int = 0) -> Prompts:
    """Uniform points labelled by random halfspaces."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (count, points, dimensions), generator=generator) * 2 - 1
    weights = torch.randn(count, dimensions, 1, generator=generator)
    y = torch.where((x.float() @ weights).squeeze(-1) > 0, 1, -1)
    nothing = torch.zeros(count, points, dtype=torch.bool)
    return Prompts(x.to(torch.int8), y.to(torch.int8), {}, nothing, torch.zeros(count, dtype=torch.int64))


def test_averaging_is_the_mean_of_labelled_points_times_the_query():
    prompts = labelled(5, 12, 4)
    x, y = prompts.x.numpy().astype(float), prompts.y.numpy().astype(float)
    scores = Averaging(released=True).predict(prompts)
    assert (scores[:, 0] == 0).all()
    for b in range(5):
        for i in range(1, 12):
            mean = (x[b, :i] * y[b, :i, None]).mean(0)
            assert scores[b, i].item() == pytest.approx(mean @ x[b, i], abs=1e-6)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("dimensions", [1, 3, 8])
def test_least_squares_is_the_pseudo_inverse_on_every_prefix(dimensions, intercept):
    prompts = labelled(6, 25, dimensions)
    x, y = prompts.x.numpy().astype(float), prompts.y.numpy().astype(float)
    if intercept:
        x = np.concatenate([x, np.ones_like(x[..., :1])], -1)
    scores = LeastSquares(intercept=intercept, released=True).predict(prompts)
    expected = [[x[b, i] @ (np.linalg.pinv(x[b, :i]) @ y[b, :i]) if i else 0.0 for i in range(25)] for b in range(6)]
    torch.testing.assert_close(scores, torch.tensor(expected).float(), atol=1e-5, rtol=0)


def test_least_squares_agrees_with_torch_lstsq_once_the_points_span():
    prompts = labelled(4, 60, 5)
    scores = LeastSquares().predict(prompts)
    x, y = prompts.x.double(), prompts.y.double()[..., None]
    for i in (20, 40, 59):
        weights = torch.linalg.lstsq(x[:, :i], y[:, :i]).solution
        torch.testing.assert_close(scores[:, i].double(), (x[:, i : i + 1] @ weights).flatten(), atol=1e-5, rtol=0)


def test_a_query_orthogonal_to_everything_seen_is_a_guess():
    x = torch.tensor([[[1, 1], [1, -1]]], dtype=torch.int8)
    prompts = Prompts(x, torch.tensor([[1, 1]], dtype=torch.int8), {}, x[..., 0] > 2, torch.zeros(1, dtype=torch.int64))
    for learner in (LeastSquares, Averaging):
        assert learner(released=True).predict(prompts)[0, 1] == 0
        assert learner().predict(prompts)[0].tolist() == pytest.approx([-GUESS, GUESS])


def test_least_squares_learns_a_halfspace():
    prompts = labelled(100, 60, 5)
    right = correct(LeastSquares().predict(prompts), prompts)
    assert right[:, -10:].mean() > 0.85
    assert right[:, -10:].mean() > right[:, 1:4].mean() + 0.1
