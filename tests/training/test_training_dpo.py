import math

import pytest
import torch
from training_toys import completion_logprob, decoder, every, pairs

from paribus.data.pairs import collate
from paribus.errors import ConfigError
from paribus.training.objectives.dpo import DPO, completion_logprobs, sigmoid_loss
from paribus.training.references import add_reference_logprobs


def disturbed():
    """A policy that has moved away from the reference."""
    model = decoder()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return model


@pytest.fixture
def dataset():
    return add_reference_logprobs(decoder(), pairs())


def test_completion_logprobs_are_those_of_each_row_alone():
    model, data = decoder(), pairs()
    expected = [completion_logprob(model, row) for row in (*data.chosen, *data.rejected)]
    found = completion_logprobs(model, every(data))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), atol=2e-5, rtol=1e-5)


def test_rows_padded_on_the_left_count_the_same():
    model = decoder()
    right = collate(pairs().chosen, pad_id=0)
    left = {name: torch.zeros_like(tensor) for name, tensor in right.items()}
    for number, length in enumerate(right["attention_mask"].sum(1).tolist()):
        for name in right:
            left[name][number, -length:] = right[name][number, :length]
    torch.testing.assert_close(completion_logprobs(model, left), completion_logprobs(model, right))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_the_loss_is_ln_2_where_policy_and_reference_agree(dataset, beta, label_smoothing):
    loss = DPO(beta, label_smoothing).loss(decoder(), every(dataset))
    assert loss.value.item() == pytest.approx(math.log(2), abs=1e-6)
    assert loss.metrics["reward_margin"].item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_loss_and_metrics_by_hand(dataset, label_smoothing):
    model, beta = disturbed(), 0.3
    loss = DPO(beta, label_smoothing).loss(model, every(dataset))
    sides = [
        [beta * (completion_logprob(model, row) - known) for row, known in zip(rows, references, strict=True)]
        for rows, references in zip((dataset.chosen, dataset.rejected), dataset.reference.T, strict=True)
    ]
    chosen, rejected = sides
    margins = torch.tensor(chosen) - torch.tensor(rejected)
    right, wrong = -margins.sigmoid().log(), -(-margins).sigmoid().log()
    by_hand = ((1 - label_smoothing) * right + label_smoothing * wrong).mean()
    assert loss.value.item() == pytest.approx(by_hand.item(), abs=1e-5)
    metrics = {name: value.item() for name, value in loss.metrics.items()}
    assert metrics == pytest.approx(
        {
            "reward_accuracy": (margins > 0).float().mean().item(),
            "reward_margin": margins.mean().item(),
            "chosen_reward": sum(chosen) / len(chosen),
            "rejected_reward": sum(rejected) / len(rejected),
        },
        abs=1e-5,
    )
    assert 0 < metrics["reward_accuracy"] < 1
    assert loss.targets == sum(int(row.completion_mask.sum()) for row in (*dataset.chosen, *dataset.rejected))


def test_one_step_raises_the_chosen_and_lowers_the_rejected(dataset):
    model, batch = decoder(), every(dataset)
    before = completion_logprobs(model, batch).view(2, -1).mean(1)
    DPO(beta=0.5).loss(model, batch).value.backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight -= 0.01 * weight.grad
    after = completion_logprobs(model, batch).view(2, -1).mean(1)
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_the_pull_of_a_pair_fades_with_its_margin():
    margins = torch.tensor([-4.0, 0.0, 4.0], requires_grad=True)
    sigmoid_loss(margins).sum().backward()
    torch.testing.assert_close(margins.grad, -torch.sigmoid(-margins.detach()))


def test_exchanged_labels_and_smoothing_above_a_half_are_the_same_thing():
    margins = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(sigmoid_loss(margins, 0.3), sigmoid_loss(-margins, 0.7))


@pytest.mark.parametrize(("setting", "value"), [("beta", 0.0), ("beta", -1.0), ("label_smoothing", 0.5)])
def test_settings_that_cannot_be_used(setting, value):
    with pytest.raises(ConfigError, match=rf"{setting}={value} cannot be used; it must be"):
        DPO(**{setting: value})


def test_pairs_without_a_reference_are_refused():
    with pytest.raises(ConfigError, match="no reference log-probabilities; call add_reference_logprobs first"):
        DPO().loss(decoder(), every(pairs()))
