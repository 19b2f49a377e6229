import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_toys import completion_logprob, decoder, every, samples

from paribus.errors import ConfigError
from paribus.training.objectives.rloo import RLOO, leave_one_out
from paribus.training.references import add_sample_logprobs


def moved():
    model = decoder()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return model


def test_advantages_by_hand():
    found = leave_one_out(torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]]))


@given(
    st.integers(2, 6).flatmap(
        lambda k: st.lists(st.lists(st.floats(-100, 100), min_size=k, max_size=k), min_size=1, max_size=4)
    )
)
def test_advantages_sum_to_zero_and_ignore_a_shift(rows):
    rewards = torch.tensor(rows, dtype=torch.float64)
    advantages = leave_one_out(rewards)
    torch.testing.assert_close(advantages.sum(1), torch.zeros(len(rows), dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(leave_one_out(rewards + 7), advantages, atol=1e-9, rtol=0)


def test_one_sample_has_no_baseline():
    with pytest.raises(ConfigError, match="at least 2 samples a prompt, got 1"):
        leave_one_out(torch.zeros(3, 1))


def test_loss_by_hand_with_its_kl_penalty():
    policy, anchor, data = moved(), decoder(), samples()
    data = add_sample_logprobs(policy, anchor, data)
    old = np.array([completion_logprob(policy, row) for row in data.answers]).reshape(data.rewards.shape)
    reference = np.array([completion_logprob(anchor, row) for row in data.answers]).reshape(data.rewards.shape)
    rewards = data.rewards - 0.3 * (old - reference)
    baseline = (rewards.sum(1, keepdims=True) - rewards) / (data.samples - 1)
    loss = RLOO(samples=3, kl_coefficient=0.3).loss(policy, every(data))
    assert loss.value.item() == pytest.approx(-np.mean((rewards - baseline) * old), abs=1e-4)
    assert loss.metrics["kl"].item() == pytest.approx((old - reference).mean(), abs=1e-4)
    assert loss.metrics["reward"].item() == pytest.approx(data.rewards.mean(), abs=1e-6)


def test_the_gradient_is_that_of_advantage_times_log_probability():
    """Finite differences of sum A log pi with A held fixed, in float64."""
    policy = moved().double()
    data = add_sample_logprobs(policy, decoder(), samples())
    rewards = data.rewards - 0.05 * (data.sampled_logprobs - data.reference)
    advantages = leave_one_out(torch.from_numpy(rewards)).reshape(-1)
    RLOO(samples=3).loss(policy, every(data)).value.backward()
    weight = policy.model.layers[0].mlp.down_proj.weight
    generator = np.random.default_rng(0)
    for _ in range(3):
        row, column = int(generator.integers(weight.shape[0])), int(generator.integers(weight.shape[1]))
        values = []
        for nudge in (1e-5, -1e-5):
            with torch.no_grad():
                weight[row, column] += nudge
            logprobs = torch.tensor([completion_logprob(policy, row) for row in data.answers], dtype=torch.float64)
            values.append(-(advantages * logprobs).mean().item())
            with torch.no_grad():
                weight[row, column] -= nudge
        slope = (values[0] - values[1]) / 2e-5
        # Logits are taken to float32 before their softmax, so the gradient has float32's precision.
        assert weight.grad[row, column].item() == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_equal_rewards_teach_nothing():
    policy = decoder()
    data = add_sample_logprobs(policy, policy, samples())
    batch = every(data) | {"rewards": torch.full((18,), 2.0)}
    RLOO(samples=3).loss(policy, batch).value.backward()
    assert all(weight.grad.abs().max() < 1e-6 for weight in policy.parameters())


def test_samples_without_log_probabilities_are_refused():
    with pytest.raises(ConfigError, match="no log-probabilities; call add_sample_logprobs first"):
        RLOO(samples=3).loss(decoder(), every(samples()))
