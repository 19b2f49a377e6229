"""Trees and boosting: slow recursive oracles with the same rule for ties, and scikit-learn."""

import numpy as np
import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.learner import correct
from paribus.testbeds.incontext.learners_trees import BoostedTrees, GreedyTree
from paribus.testbeds.incontext.prompts import Prompts


def prompts_of(name: str, count: int, seed: int = 0, **settings: float) -> Prompts:
    """Prompts of a class."""
    return parse_class(name, **settings).sample(count, torch.Generator().manual_seed(seed))


def slow_tree(
    x: np.ndarray, target: np.ndarray, query: np.ndarray, depth: int, penalty: float, pure_only: bool
) -> float:
    """Value of a greedy tree at a query: the first coordinate that lowers the penalised squared error most."""

    def score(part: np.ndarray) -> float:
        return part.sum() ** 2 / max(len(part) + penalty, 1e-9)

    if depth and len(target):
        gains = [-1.0] * x.shape[1]
        for k in range(x.shape[1]):
            high, low = target[x[:, k] > 0], target[x[:, k] < 0]
            if len(high) and len(low):
                gains[k] = round(score(high) + score(low) - score(target), 5)
        best = int(np.argmax(gains))
        wanted = np.ptp(target) > 0 and gains[best] >= 0 if pure_only else gains[best] > 0
        if wanted:
            side = x[:, best] == query[best]
            return slow_tree(x[side], target[side], query, depth - 1, penalty, pure_only)
    return target.sum() / max(len(target) + penalty, 1e-9)


@pytest.mark.parametrize("depth", [None, 1, 2])
def test_one_path_gives_what_the_whole_tree_gives(depth):
    prompts = prompts_of("dnf", 8, dimensions=6, points=25, density=0.4)
    x, y = prompts.x.numpy().astype(float), prompts.y.numpy().astype(float)
    scores = GreedyTree(depth).predict(prompts)
    for b in range(8):
        for i in range(1, 25):
            expected = slow_tree(x[b, :i], y[b, :i], x[b, i], depth or 6, 0.0, True)
            if expected:
                assert scores[b, i].item() == pytest.approx(expected, abs=1e-6)
            else:
                assert abs(scores[b, i]) < 1e-5


def test_the_tree_is_one_that_scikit_learn_grows_under_some_order_of_the_coordinates():
    from sklearn.tree import DecisionTreeRegressor

    prompts = prompts_of("threshold", 3, dimensions=4, points=16)
    scores = GreedyTree().predict(prompts)
    for b in range(3):
        for i in (3, 7, 15):
            x, y, query = prompts.x[b, :i].numpy(), prompts.y[b, :i].numpy(), prompts.x[b, i : i + 1].numpy()
            grown = {DecisionTreeRegressor(random_state=s).fit(x, y).predict(query)[0] for s in range(40)}
            assert any(abs(scores[b, i].item() - value) < 1e-5 for value in grown)


def test_a_tree_remembers_every_point_it_has_seen():
    prompts = prompts_of("parity", 4, dimensions=4, points=20)
    twice = Prompts(prompts.x.repeat(1, 2, 1), prompts.y.repeat(1, 2), {}, prompts.forced.repeat(1, 2), prompts.taught)
    assert correct(GreedyTree().predict(twice), twice)[:, 20:].min() == 1


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("depth", [1, 3])
def test_boosting_adds_up_trees_fitted_to_residuals(depth, penalty):
    prompts = prompts_of("threshold", 3, dimensions=5, points=18, seed=1)
    x, y = prompts.x.numpy().astype(float), prompts.y.numpy().astype(float)
    learner = BoostedTrees(rounds=4, depth=depth, rate=0.5, penalty=penalty)
    scores = learner.predict(prompts)
    for b in range(3):
        for i in (2, 5, 11, 17):
            values = np.full(i + 1, y[b, :i].mean())
            for _ in range(4):
                residual = y[b, :i] - values[:i]
                tree = [slow_tree(x[b, :i], residual, point, depth, penalty, False) for point in x[b, : i + 1]]
                values += 0.5 * np.array(tree)
            assert scores[b, i].item() == pytest.approx(values[i], abs=1e-4)


def test_boosting_is_scikit_learns_where_ties_cannot_matter():
    """Two coordinates and two levels: the leaves are the four points, whichever coordinate is split first."""
    from sklearn.ensemble import GradientBoostingRegressor

    rng = np.random.default_rng(0)
    x = rng.choice([-1, 1], (4, 40, 2))
    # Labels that lean towards one side at each point, so that the first split always gains something.
    y = np.where(rng.random((4, 40)) < 0.1, -1, 1) * np.where(x.sum(-1) > -1, 1, -1)
    points, labels = torch.tensor(x, dtype=torch.int8), torch.tensor(y, dtype=torch.int8)
    prompts = Prompts(points, labels, {}, labels > 2, torch.zeros(4, dtype=torch.int64))
    scores = BoostedTrees(rounds=10, depth=2, rate=0.3, penalty=0.0).predict(prompts)
    for b in range(4):
        for i in (20, 39):
            oracle = GradientBoostingRegressor(n_estimators=10, max_depth=2, learning_rate=0.3)
            oracle.fit(x[b, :i], y[b, :i])
            assert scores[b, i].item() == pytest.approx(oracle.predict(x[b, i : i + 1])[0], abs=1e-3)


def test_positions_not_asked_are_nan_and_the_others_unchanged():
    prompts = prompts_of("dnf", 4, dimensions=5, points=13)
    whole = BoostedTrees(rounds=5).predict(prompts)
    some = BoostedTrees(rounds=5, every=4).predict(prompts)
    asked = [0, 4, 8, 12]
    assert torch.isnan(some).sum() == 4 * (13 - len(asked))
    torch.testing.assert_close(some[:, asked], whole[:, asked])


def test_boosted_trees_learn_a_formula_and_single_ones_less():
    prompts = prompts_of("conjunction", 100, dimensions=8, points=60)
    tree = correct(GreedyTree().predict(prompts), prompts)[:, -10:].mean()
    stump = correct(GreedyTree(1).predict(prompts), prompts)[:, -10:].mean()
    boosted = correct(BoostedTrees(rounds=40).predict(prompts), prompts)[:, -10:].mean()
    assert boosted > 0.93 and tree > 0.93 and stump < tree - 0.05


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="depth is 0"):
        GreedyTree(0)
    with pytest.raises(ConfigError, match="rate=2"):
        BoostedTrees(rate=2)
    with pytest.raises(ConfigError, match="every is 0"):
        BoostedTrees(every=0).predict(prompts_of("dnf", 1))
