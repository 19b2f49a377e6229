import numpy as np
import pytest
import torch
from training_toys import completion_logprob, decoder, pairs, samples

from paribus.training.references import add_reference_logprobs, add_sample_logprobs, model_hash


def counted(model):
    """Count the forward passes of a model."""
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_pairs_get_the_log_probabilities_of_both_sides(batch_size):
    model, data = decoder(), pairs()
    found = add_reference_logprobs(model, data, batch_size=batch_size).reference
    expected = [
        [completion_logprob(model, chosen), completion_logprob(model, rejected)]
        for chosen, rejected in zip(data.chosen, data.rejected, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=3e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_samples_get_the_log_probabilities_of_both_models(batch_size):
    policy, anchor, data = decoder(initializer_range=0.1), decoder(), samples()
    found = add_sample_logprobs(policy, anchor, data, batch_size=batch_size)
    for model, values in ((policy, found.sampled_logprobs), (anchor, found.reference)):
        expected = np.array([completion_logprob(model, row) for row in data.answers]).reshape(6, 3)
        np.testing.assert_allclose(values, expected, atol=3e-5)


def test_one_model_in_both_roles_is_run_once():
    model = decoder()
    calls = counted(model)
    found = add_sample_logprobs(model, model, samples(), batch_size=6)
    assert len(calls) == 1
    np.testing.assert_array_equal(found.sampled_logprobs, found.reference)


def test_the_cache_is_read_for_the_same_weights_and_data_only(tmp_path):
    model, data = decoder(), pairs()
    calls = counted(model)
    first = add_reference_logprobs(model, data, cache=tmp_path)
    again = add_reference_logprobs(model, data, cache=tmp_path)
    assert len(calls) == 1
    np.testing.assert_array_equal(first.reference, again.reference)
    add_reference_logprobs(model, pairs(seed=1), cache=tmp_path)
    assert len(calls) == 2
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] += 1
    changed = add_reference_logprobs(model, data, cache=tmp_path)
    assert len(calls) == 3
    assert not np.array_equal(changed.reference, first.reference)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_model_keeps_its_mode_also_after_a_failure():
    model = decoder().train()
    add_reference_logprobs(model, pairs())
    assert model.training
    broken = pairs()
    broken.chosen[0].input_ids[0] = 1000
    with pytest.raises(IndexError):
        add_reference_logprobs(model, broken)
    assert model.training
    assert not any(weight.grad_fn for weight in model.parameters())


def test_the_hash_sees_every_weight_and_its_name():
    model = decoder()
    before = model_hash(model)
    assert before == model_hash(decoder())
    with torch.no_grad():
        model.model.norm.weight[-1] = torch.nextafter(model.model.norm.weight[-1], torch.tensor(2.0))
    assert model_hash(model) != before


def test_a_model_with_a_single_number_among_its_buffers_can_be_hashed():
    assert len(model_hash(torch.nn.BatchNorm1d(2))) == 64
