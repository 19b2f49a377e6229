"""Scores of attention heads: built heads score 1, uniform ones their share, a real model something in between."""

import pytest
import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.heads import found, induction_scores, nearest_neighbour_scores, repeated
from paribus.testbeds.incontext.learners_neighbours import nearest_points
from paribus.testbeds.incontext.prompts import Prompts, encode


def prompts_of(count: int, points: int) -> Prompts:
    """Prompts of the nearest-neighbour class."""
    function_class = parse_class("nearest_neighbour", dimensions=5, points=points, start=4)
    return function_class.sample(count, torch.Generator().manual_seed(0))


def built(prompts: Prompts, targets: Tensor) -> Tensor:
    """Attention of one head that spreads evenly over the labels of ``targets`` ``(B, m, m)``, else looks at itself."""
    count, points = prompts.y.shape
    attention = torch.eye(2 * points).repeat(count, 1, 1, 1)
    for b in range(count):
        for i in range(points):
            chosen = targets[b, i].nonzero().flatten()
            if len(chosen):
                attention[b, 0, 2 * i] = 0
                attention[b, 0, 2 * i, 2 * chosen + 1] = 1 / len(chosen)
    return attention


def uniform(prompts: Prompts) -> Tensor:
    """Causal attention that is the same everywhere."""
    length = 2 * prompts.y.shape[1]
    weights = torch.ones(length, length).tril()
    return (weights / weights.sum(-1, keepdim=True)).repeat(len(prompts), 1, 1, 1)


def test_a_built_nearest_neighbour_head_scores_one_and_others_their_share():
    prompts = prompts_of(3, 12)
    nearest = nearest_points(prompts.x)
    earliest = nearest & (nearest.cumsum(-1) == 1)
    ideal, sharing, even = built(prompts, earliest), built(prompts, nearest), uniform(prompts)
    layers = [torch.cat([ideal, sharing], 1), torch.cat([even, even], 1)]
    scores = nearest_neighbour_scores(layers, prompts, start=6)
    assert scores.shape == (2, 2)
    assert scores[0, 0] == pytest.approx(1.0)
    assert scores[0, 1] == pytest.approx((1 / nearest.sum(-1)[:, 6:]).mean().item(), abs=1e-6)
    assert scores[1, 0] == pytest.approx(sum(1 / (2 * i + 1) for i in range(6, 12)) / 6)
    shared = nearest_neighbour_scores(layers, prompts, start=6, ties="shared")
    assert shared[0].tolist() == pytest.approx([1.0, 1.0])
    assert found(shared) == [(0, 0), (0, 1)]


def test_a_built_induction_head_scores_one():
    prompts = repeated(prompts_of(2, 5))
    assert prompts.y.shape == (2, 20)
    assert torch.equal(prompts.x[:, 5:10], prompts.x[:, :5]) and torch.equal(prompts.y[:, 15:], prompts.y[:, :5])
    places = torch.arange(20)
    copies = ((places[:, None] > places) & ((places[:, None] - places) % 5 == 0)).expand(2, 20, 20)
    previous = copies & (places[:, None] - places == 5)
    layers = [torch.cat([built(prompts, copies), built(prompts, previous), uniform(prompts)], 1)]
    scores = induction_scores(layers, 20, 5)
    assert scores[0, :2].tolist() == pytest.approx([1.0, 1.0])
    assert scores[0, 2] == pytest.approx(sum((i // 5) / (2 * i + 1) for i in range(5, 20)) / 15)
    assert found(scores) == [(0, 0), (0, 1)]


def test_looking_at_points_instead_of_labels_scores_nothing():
    prompts = repeated(prompts_of(2, 4), 2)
    shifted = built(prompts, nearest_points(prompts.x)).roll(-1, dims=-1)
    assert nearest_neighbour_scores([shifted], prompts, start=1).item() == 0
    assert induction_scores([shifted], 8, 4).item() == 0


def test_heads_of_a_real_model_score_between_zero_and_one():
    from transformers import GPT2Config, GPT2Model

    prompts = repeated(prompts_of(3, 4), 3)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=1, n_embd=16, n_layer=2, n_head=4, n_positions=24, attn_implementation="eager")
    vectors = encode(prompts)["inputs_embeds"] @ torch.randn(5, 16)
    with torch.no_grad():
        attentions = GPT2Model(config).eval()(inputs_embeds=vectors, output_attentions=True).attentions
    for scores in (nearest_neighbour_scores(attentions, prompts, start=4), induction_scores(attentions, 12, 4)):
        assert scores.shape == (2, 4)
        assert (scores > 0).all() and (scores < 1).all()


def test_attention_of_another_length_and_empty_ranges_are_refused():
    prompts = prompts_of(2, 6)
    with pytest.raises(ConfigError, match=r"\(2, 1, 6, 6\).*12, 12"):
        nearest_neighbour_scores([torch.zeros(2, 1, 6, 6)], prompts, start=2)
    with pytest.raises(ConfigError, match="start is 41"):
        nearest_neighbour_scores([uniform(prompts)], prompts)
    with pytest.raises(ConfigError, match="block of 6"):
        induction_scores([uniform(prompts)], 6, 6)
    with pytest.raises(ConfigError, match="copies is 1"):
        repeated(prompts, 1)
