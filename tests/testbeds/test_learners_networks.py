"""Stacked networks train exactly as single ones do, and learn what they should."""

import pytest
import torch
from torch import Generator, nn

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.learner import correct
from paribus.testbeds.incontext.learners_networks import TrainedNetwork, initial_layers, logits
from paribus.testbeds.incontext.prompts import Prompts


def prompts_of(name: str, count: int, seed: int = 0, **settings: float) -> Prompts:
    """Prompts of a class."""
    return parse_class(name, **settings).sample(count, Generator().manual_seed(seed))


def single(layers: list[tuple[torch.Tensor, torch.Tensor]], which: int) -> nn.Sequential:
    """Network ``which`` of a stack as an ordinary module."""
    modules: list[nn.Module] = []
    for weight, bias in layers:
        linear = nn.Linear(*weight.shape[1:])
        linear.weight.data = weight[which].detach().T.clone()
        linear.bias.data = bias[which, 0].detach().clone()
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def test_a_stack_trains_as_its_networks_would_alone():
    prompts = prompts_of("threshold", 4, dimensions=6, points=15)
    x, y = prompts.x.float(), prompts.y.float()
    learner = TrainedNetwork(width=16, steps=30)
    trained = learner.train(x, y, Generator().manual_seed(0))
    start = initial_layers(4, (6, 16, 16, 1), Generator().manual_seed(0))
    for which in range(4):
        net = single(start, which)
        optimizer = torch.optim.Adam(net.parameters(), lr=learner.rate)
        for _ in range(30):
            loss = nn.functional.binary_cross_entropy_with_logits(net(x[which]).squeeze(-1), (y[which] + 1) / 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.testing.assert_close(logits(trained, x)[which], net(x[which]).squeeze(-1), atol=1e-4, rtol=1e-4)


def test_the_start_is_that_of_a_linear_layer():
    layers = initial_layers(200, (9, 4), Generator().manual_seed(0))
    for numbers in layers[0]:
        assert numbers.abs().max() <= 1 / 3
        assert numbers.std().item() == pytest.approx(1 / 3 / 3**0.5, rel=0.05)


def test_large_prefixes_are_trained_on_batches():
    prompts = prompts_of("threshold", 3, dimensions=6, points=40)
    learner = TrainedNetwork(batch=10)
    points, labels = learner._drawn(prompts.x.float(), prompts.y.float(), Generator().manual_seed(0))
    assert points.shape == (3, 10, 6)
    for b in range(3):
        shown = [tuple(row) for row in torch.cat([prompts.x[b].float(), prompts.y[b, :, None].float()], 1).tolist()]
        drawn = [tuple(row) for row in torch.cat([points[b], labels[b, :, None]], 1).tolist()]
        assert all(drawn.count(row) <= shown.count(row) for row in drawn)


def test_answers_do_not_depend_on_what_else_is_asked_and_repeat():
    prompts = prompts_of("threshold", 3, dimensions=4, points=13)
    often, seldom = (TrainedNetwork(width=8, steps=5, every=every).predict(prompts) for every in (4, 8))
    assert torch.equal(often[:, [0, 8]], seldom[:, [0, 8]])
    assert torch.isnan(seldom[:, 4]).all() and not torch.isnan(often[:, [0, 4, 8, 12]]).any()
    other = TrainedNetwork(width=8, steps=5, every=8, seed=1).predict(prompts)
    assert not torch.equal(other[:, 8], seldom[:, 8])


def test_gradient_descent_learns_sparse_parity_and_nearest_neighbours_do_not():
    prompts = prompts_of("sparse_parity", 12, points=121)
    scores = TrainedNetwork(width=64, steps=150, every=120).predict(prompts)
    assert correct(scores, prompts)[:, 120].mean() > 0.9


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="steps=0"):
        TrainedNetwork(steps=0)
