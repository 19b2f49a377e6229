"""Fresh draws: a step's rows follow from (hash, seed, step) and from nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data.sampled import SampledStream, generator_of
from paribus.errors import ConfigError, DataError


def numbers(count, generator):
    """Rows that could hardly be equal by chance."""
    x = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    return {"inputs_embeds": x, "labels": (x[:, 0] > 0.5).long()}


def stream(seed=0, data_hash="numbers", batch_size=6, sampler=numbers):
    return SampledStream(sampler, batch_size, seed, data_hash)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@given(steps=st.lists(st.integers(0, 10**9), min_size=1, max_size=8), seed=st.integers(0, 2**40))
@settings(max_examples=50, deadline=None)
def test_a_step_s_rows_do_not_depend_on_what_was_drawn_before(steps, seed):
    used = stream(seed)
    for step in steps:
        assert same(used.batch(step), stream(seed).batch(step))


def test_steps_seeds_and_hashes_draw_apart():
    drawn = [stream(seed, name).batch(step) for seed in (0, 1) for name in ("a", "b") for step in range(20)]
    rows = torch.cat([batch["inputs_embeds"] for batch in drawn])
    assert len(rows.unique(dim=0)) == len(rows) == 2 * 2 * 20 * 6


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_micro_batches_are_parts_of_the_step(parts):
    feed = stream()
    for step in (0, 7, 1):
        pieces = [feed.dataset.batch(rows) for rows in feed.rows(step).reshape(parts, -1)]
        whole = stream().batch(step)
        assert same({name: torch.cat([piece[name] for piece in pieces]) for name in whole}, whole)


def test_a_step_is_drawn_once_for_all_its_micro_batches():
    calls = []
    feed = stream(sampler=lambda count, generator: calls.append(count) or numbers(count, generator))
    for step in (0, 0, 1):
        for rows in feed.rows(step).reshape(3, -1):
            feed.dataset.batch(rows)
    assert calls == [6, 6]


def test_rows_of_two_steps_are_no_micro_batch():
    feed = stream()
    with pytest.raises(AssertionError, match="within one step"):
        feed.dataset.batch(np.array([5, 6]))


def test_row_numbers_go_on_far_beyond_32_bits():
    rows = stream().rows(10**12)
    assert rows[0] == 6 * 10**12
    assert stream().batch(10**12)["inputs_embeds"].shape == (6, 3)


def test_the_random_state_of_the_process_is_neither_read_nor_moved():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = stream().batch(3)
    assert torch.rand(1) == expected
    torch.manual_seed(2)
    assert same(first, stream().batch(3))


WRONG = {
    "{'labels': (5,)}": lambda count, generator: numbers(count, generator) | {"labels": torch.zeros(5)},
    "nothing": lambda count, generator: {},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_sampler_that_draws_another_number_is_named(sentence):
    with pytest.raises(DataError) as caught:
        stream(sampler=WRONG[sentence]).batch(0)
    assert f"'numbers' should draw 6 rows and drew {sentence}" in str(caught.value)


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(ConfigError, match="batch_size=0"):
        stream(batch_size=0)


def test_a_name_gives_a_generator():
    draws = [torch.rand(2, generator=generator_of(name)).tolist() for name in ("a", "a", "b")]
    assert draws[0] == draws[1] != draws[2]
