"""The search for merge weights."""

import pytest

from paribus.errors import ConfigError
from paribus.weights.gradients import LayerDepth, at_depth
from paribus.weights.search import DevScorer, coordinate_search, search_weights, weight_grid
from paribus.weights.writing import size_in_bytes


def closeness(target):
    return DevScorer(lambda weights: -sum((w - t) ** 2 for w, t in zip(weights, target, strict=True)))


def test_the_grid_is_scanned_and_the_planted_optimum_found():
    found = search_weights(weight_grid(3), closeness((0.6, 0.3, 0.1)))
    assert len(found.tried) == len(weight_grid(3))
    assert found.best == max(found.tried, key=lambda row: row[1])[0]
    assert max(abs(w - t) for w, t in zip(found.best, (0.6, 0.3, 0.1), strict=True)) < 0.12


def test_grid_vectors_sum_to_one_and_proportional_ones_occur_once():
    for models in (1, 2, 3):
        grid = weight_grid(models)
        assert all(sum(row) == pytest.approx(1.0) for row in grid)
        assert len({tuple(round(w, 6) for w in row) for row in grid}) == len(grid)
    assert weight_grid(1) == [(1.0,)]
    assert (0.5, 0.5) in weight_grid(2) and (1.0, 0.0) in weight_grid(2)


def test_coordinate_search_reaches_the_optimum_with_far_fewer_scores():
    found = coordinate_search(5, closeness((1.0, 0.0, 0.0, 0.0, 0.0)))
    assert found.best == (1.0, 0.0, 0.0, 0.0, 0.0)
    assert len(found.tried) <= 2 * 5 * 5 + 1


def test_only_a_scorer_of_the_dev_split_is_taken():
    with pytest.raises(ConfigError, match="split 'test'"):
        DevScorer(lambda weights: 0.0, split="test")
    with pytest.raises(ConfigError, match="DevScorer"):
        search_weights([(1.0,)], lambda weights: 0.0)
    with pytest.raises(ConfigError, match="no candidate"):
        search_weights([], DevScorer(lambda weights: 0.0))


def test_depth_is_read_off_names_of_many_architectures():
    names = [
        "transformer.wte.weight", "transformer.h.0.attn.weight", "transformer.h.11.attn.weight", "lm_head.weight",
        "encoder.block.0.w", "encoder.block.3.w", "decoder.block.1.w", "decoder.block.2.mlp.experts.7.w",
        "model.embed_tokens.weight", "model.norm.weight",
    ]  # fmt: skip
    depth = LayerDepth(names)
    assert [depth(name) for name in names] == [0, 0, 1, 1, 0, 1, 0.5, 1, 0, 1]


def test_anchors_are_interpolated():
    assert at_depth([[0.0], [1.0], [0.0]], 0.25).tolist() == [0.5]
    assert at_depth([[0.3]], 0.7).tolist() == [0.3]


def test_sizes():
    assert (size_in_bytes("5GB"), size_in_bytes("2 MiB"), size_in_bytes(7)) == (5 * 10**9, 2 * 2**20, 7)
    with pytest.raises(ConfigError, match="'-1'"):
        size_in_bytes("-1")
