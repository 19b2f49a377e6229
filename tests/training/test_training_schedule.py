import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_toys import settings
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from paribus.training.schedule import rate_at
from paribus.training.settings import TrainSettings


def test_warm_up_and_cosine_by_hand():
    run = settings(steps=8, warmup_steps=4, min_learning_rate_ratio=0.2)
    rates = [rate_at(step, run) for step in range(8)]
    falling = [0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * done / 4)) for done in range(4)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, *falling])


def test_linear_and_constant_by_hand():
    linear = settings(steps=6, warmup_steps=2, schedule="linear", min_learning_rate_ratio=0.0)
    assert [rate_at(step, linear) for step in range(6)] == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])
    constant = settings(steps=4, warmup_steps=1, schedule="constant")
    assert [rate_at(step, constant) for step in range(4)] == [1.0] * 4


def test_the_cosine_is_that_of_transformers():
    run = settings(steps=20, warmup_steps=5)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_cosine_with_min_lr_schedule_with_warmup(optimizer, 5, 20, min_lr_rate=0.1)
    for step in range(20):
        if step >= 5:
            assert rate_at(step, run) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@given(st.integers(1, 50), st.integers(0, 60), st.sampled_from(["cosine", "linear", "constant"]), st.floats(0, 1))
def test_rates_rise_to_the_peak_and_never_again(steps, warmup, schedule, floor):
    run = TrainSettings(
        steps=steps,
        batch_size=1,
        learning_rate=1,
        warmup_steps=warmup,
        schedule=schedule,
        min_learning_rate_ratio=floor,
    )
    rates = [rate_at(step, run) for step in range(steps)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert all(rate >= floor - 1e-12 for rate in rates[warmup:])
