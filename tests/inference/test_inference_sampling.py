"""Choosing tokens: nuclei by brute force, inverse cumulative distribution, streams of uniform numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kstest

from paribus.inference.sampling import NUCLEUS_GUESS, choose, invert, nucleus, uniforms

shares = st.floats(1 / 64, 1.0, width=32)


def brute_nucleus(p, top_p):
    """Sort, take until the mass is there, let in those that tie with the last: straight from the definition."""
    order = sorted(range(len(p)), key=lambda token: -p[token])
    mass, count = 0.0, 0
    while count < len(order) and mass < top_p:
        mass += p[order[count]]
        count += 1
    least = p[order[count - 1]]
    return {token for token in range(len(p)) if p[token] >= least}


@settings(max_examples=150, deadline=None)
@given(arrays(np.float32, st.integers(1, 300), elements=st.floats(-8, 8, width=32)), shares)
def test_the_nucleus_by_brute_force(logits, top_p):
    p = torch.softmax(torch.tensor(logits), dim=-1)
    kept = nucleus(p[None], torch.tensor([top_p]))[0]
    wanted = brute_nucleus(p.double().tolist(), float(np.float32(top_p))) if top_p < 1 else set(range(len(p)))
    assert set(kept.nonzero()[:, 0].tolist()) == {token for token in wanted if p[token] > 0}
    assert torch.equal(kept[kept > 0], p[kept > 0])


def test_a_nucleus_wider_than_the_guess_is_found():
    p = torch.full((2, 4 * NUCLEUS_GUESS), 1.0) + torch.linspace(1, 0, 4 * NUCLEUS_GUESS)
    p /= p.sum(dim=-1, keepdim=True)
    kept = nucleus(p, torch.tensor([0.9, 0.1]))
    for row, top_p in enumerate((0.9, 0.1)):
        assert set(kept[row].nonzero()[:, 0].tolist()) == brute_nucleus(p[row].double().tolist(), top_p)
    assert (kept[0] > 0).sum() > NUCLEUS_GUESS > (kept[1] > 0).sum()


def test_rows_keep_their_own_settings():
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    temperature, top_p = torch.tensor([0.0, 1.0, 0.3, 2.0, 0.0]), torch.tensor([1.0, 0.5, 1.0, 0.9, 0.1])
    uniform = torch.tensor([0.0, 0.3, 0.9, 0.99, 0.5], dtype=torch.float64)
    together = choose(logits, temperature, top_p, uniform)
    for row in range(5):
        one = slice(row, row + 1)
        alone = choose(logits[one], temperature[one], top_p[one], uniform[one])
        assert together[0][row] == alone[0][0]
        assert together[1][row] == alone[1][0]


def test_the_logprob_is_of_the_token_at_temperature_one():
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    for temperature in (0.0, 5.0):
        [token], [logprob] = choose(logits, torch.tensor([temperature]), torch.tensor([1.0]), torch.tensor([0.5]))
        assert logprob == torch.log_softmax(logits, dim=-1)[0, token]


def test_greedy_takes_the_lowest_id_among_equals():
    assert choose(torch.tensor([[0.0, 3.0, 3.0]]), torch.zeros(1), torch.ones(1), torch.zeros(1))[0].tolist() == [1]


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 1), (0.2499, 1), (0.25, 3), (0.7499, 3), (0.75, 4), (1 - 2**-53, 4)]
)
def test_the_cumulative_distribution_is_inverted_and_zeros_are_never_drawn(uniform, token):
    weights = torch.tensor([[0.0, 0.5, 0.0, 1.0, 0.5, 0.0]])
    assert invert(weights, torch.tensor([uniform], dtype=torch.float64)).tolist() == [token]


def test_a_grid_of_uniform_numbers_gives_every_token_its_share():
    p = torch.softmax(torch.randn(50, generator=torch.Generator().manual_seed(1)), dim=-1)
    grid = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn = torch.bincount(invert(p[None], grid[None].T.reshape(-1)[:1]), minlength=50)
    assert drawn.sum() == 1
    counts = torch.bincount(torch.cat([invert(p.expand(1000, 50), part) for part in grid.split(1000)]), minlength=50)
    assert (counts / 100_000 - p).abs().max() < 2e-5


def test_uniforms_are_a_pure_function_of_seed_and_id_and_a_longer_stream_begins_alike():
    assert np.array_equal(uniforms(0, "a", 8), uniforms(0, "a", 20)[:8])
    streams = [uniforms(seed, name, 4).tolist() for seed in (0, 1) for name in ("a", "b", "1", "")]
    assert len({tuple(stream) for stream in streams}) == 8
    assert not np.array_equal(uniforms(1, "1a", 3), uniforms(11, "a", 3))


def test_uniforms_are_uniform_along_and_across_requests():
    """Seeds are fixed; the level is 0.001."""
    along = uniforms(0, "one", 4000)
    across = np.array([uniforms(0, f"request {i}", 1)[0] for i in range(4000)])
    assert along.min() >= 0 and along.max() < 1
    assert kstest(along, "uniform").pvalue > 0.001
    assert kstest(across, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(across[:-1], across[1:])[0, 1]) < 0.06
