"""Nearest neighbours: slow oracles, ties, the quirks of the release, which queries are ambiguous."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.curves import accuracy, where
from paribus.testbeds.incontext.learner import GUESS, Null, correct
from paribus.testbeds.incontext.learners_neighbours import NearestNeighbours, ambiguous, nearest_points
from paribus.testbeds.incontext.prompts import Prompts


def random_prompts(count: int, points: int, dimensions: int, seed: int = 0) -> Prompts:
    """Uniform points with fair random labels."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.choice([-1, 1], (count, points, dimensions)), dtype=torch.int8)
    y = torch.tensor(rng.choice([-1, 1], (count, points)), dtype=torch.int8)
    return plain(x, y)


def plain(x: Tensor, y: Tensor) -> Prompts:
    """Prompts of these points and labels, with no function behind them."""
    return Prompts(x, y, {}, torch.zeros_like(y, dtype=torch.bool), torch.zeros(len(y), dtype=torch.int64))


def slow_vote(x: np.ndarray, y: np.ndarray, i: int, k: int, ties: str, measure: str) -> float:
    """The k nearest of the points before i, by a sort; floats only where cosine needs them."""
    if i == 0:
        return 0.0
    likeness = [_like(x[i], x[j], measure) for j in range(i)]
    order = sorted(range(i), key=lambda j: (-likeness[j], j))
    k = min(k, i)
    if ties == "earliest":
        return sum(y[j] for j in order[:k]) / k
    limit = likeness[order[k - 1]]
    closer = [j for j in range(i) if likeness[j] > limit]
    tied = [j for j in range(i) if likeness[j] == limit]
    return (sum(y[j] for j in closer) + (k - len(closer)) * float(np.mean([y[j] for j in tied]))) / k


def _like(a: np.ndarray, b: np.ndarray, measure: str) -> float:
    if measure == "euclidean":
        return -float(((a - b) ** 2).sum())
    return round(float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)), 9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    points=st.integers(1, 12),
    dimensions=st.integers(1, 5),
    k=st.integers(1, 5),
    ties=st.sampled_from(["shared", "earliest"]),
    measure=st.sampled_from(["euclidean", "cosine"]),
)
def test_votes_equal_a_sort_of_all_earlier_points(seed, points, dimensions, k, ties, measure):
    prompts = random_prompts(3, points, dimensions, seed)
    x, y = prompts.x.numpy().astype(int), prompts.y.numpy().astype(int)
    expected = [[slow_vote(x[b], y[b], i, k, ties, measure) for i in range(points)] for b in range(3)]
    scores = NearestNeighbours(k, ties=ties, released=True).predict(prompts)
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=0)


def test_the_release_abstains_at_the_first_point_and_on_an_even_vote():
    x = torch.ones(1, 3, 2, dtype=torch.int8)
    prompts = plain(x, torch.tensor([[1, -1, 1]], dtype=torch.int8))
    assert NearestNeighbours(3, ties="earliest", released=True).predict(prompts).tolist() == [[0.0, 1.0, 0.0]]
    assert correct(NearestNeighbours(3, ties="earliest", released=True).predict(prompts), prompts)[0, 2] == 0
    # The default guesses: nothing seen -> -1; one of each label -> -1.
    scores = NearestNeighbours(3).predict(prompts)[0]
    assert scores.tolist() == pytest.approx([-GUESS, 1.0, -GUESS])


def test_ties_go_to_all_or_to_the_earliest():
    x = torch.tensor([[[1, 1], [-1, -1], [-1, -1], [1, -1]]], dtype=torch.int8)
    prompts = plain(x, torch.tensor([[1, -1, -1, 1]], dtype=torch.int8))
    assert NearestNeighbours(1, ties="earliest").predict(prompts)[0, 3] == 1
    assert NearestNeighbours(1, ties="shared").predict(prompts)[0, 3] == pytest.approx(-1 / 3)


def test_nearest_points_and_ambiguity_agree_with_a_loop():
    prompts = random_prompts(20, 15, 4)
    nearest, split = nearest_points(prompts.x), ambiguous(prompts)
    assert not nearest[:, 0].any()
    for b in range(20):
        for i in range(1, 15):
            distance = [(prompts.x[b, i] != prompts.x[b, j]).sum().item() for j in range(i)]
            best = [j for j in range(i) if distance[j] == min(distance)]
            assert nearest[b, i].nonzero().flatten().tolist() == best
            assert bool(split[b, i]) == (len({prompts.y[b, j].item() for j in best}) == 2)
    assert 0.2 < split.float().mean() < 0.8


def test_a_third_of_the_nearest_neighbour_task_is_decided_by_the_rule_for_ties():
    """Share of queries with nearest points that disagree, and accuracies of the rules, as measured independently."""
    prompts = parse_class("nearest_neighbour").sample(300, torch.Generator().manual_seed(0))
    asked = (torch.arange(100) >= 30).expand_as(prompts.y)
    split = ambiguous(prompts)
    assert split[asked].float().mean().item() == pytest.approx(0.32, abs=0.02)
    rules = {
        "earliest": NearestNeighbours(ties="earliest"),
        "shared": NearestNeighbours(),
        "abstaining": NearestNeighbours(released=True),
    }
    right = {name: where(correct(rule.predict(prompts), prompts), asked) for name, rule in rules.items()}
    assert accuracy(right["earliest"]) == 1
    assert accuracy(right["abstaining"]) == pytest.approx(0.82, abs=0.02)
    assert accuracy(where(right["shared"], ~split)) == 1
    assert 0.55 < accuracy(where(right["shared"], split)) < 0.7


def test_the_null_learner_is_right_as_often_as_its_label_occurs():
    prompts = random_prompts(8, 9, 3)
    for label in (-1, 1):
        right = correct(Null(label).predict(prompts), prompts)
        assert right.mean().item() == pytest.approx((prompts.y == label).float().mean().item())


def test_scores_of_a_wrong_shape_and_impossible_settings_are_refused():
    prompts = random_prompts(2, 4, 3)
    with pytest.raises(ConfigError, match=r"\(2, 8\).*\(2, 4\)"):
        correct(torch.zeros(2, 8), prompts)
    with pytest.raises(ConfigError, match="k=0"):
        NearestNeighbours(0)
    with pytest.raises(ConfigError, match="latest"):
        NearestNeighbours(1, ties="latest")


def test_an_abstention_is_wrong_and_an_unasked_position_is_neither():
    prompts = random_prompts(1, 3, 2)
    scores = torch.stack([prompts.y[0, 0].float(), torch.tensor(0.0), torch.tensor(float("nan"))])[None]
    right = correct(scores, prompts)
    assert right[0, :2].tolist() == [1.0, 0.0]
    assert right[0, 2].isnan()
