"""Every mixer alone: parallel and step form agree, gradients are right, the future never leaks, vmap batches it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_cases import CHUNKED, alone, model, vectors
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from paribus.models import sequence_shape
from paribus.models.convolution import ShortConvolution, long_convolution
from paribus.models.linear_attention import scalar_decay, vector_decay
from paribus.models.sequence import SequenceForPrediction
from paribus.models.sequence_shape import MIXERS
from paribus.models.state_space import hippo_frequencies

LENGTHS = [1, 15, 16, 17, 31, 32, 33, 65]  # around the chunks of 16 and of 32


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_parallel_form_equals_step_form_at_the_edges_of_chunks(mixer, dtype, tolerance):
    net = alone(mixer).to(dtype)
    for length in LENGTHS:
        x = vectors(2, length, 8, seed=length).to(dtype)
        torch.testing.assert_close(net.parallel(x), net.scan(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mixer", CHUNKED)
@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
def test_any_chunking_gives_the_same_numbers(mixer, chunk, monkeypatch):
    net, x = alone(mixer), vectors(2, 11, 8)
    whole = net(x)
    monkeypatch.setitem(sequence_shape.CHUNKS, mixer, chunk)
    torch.testing.assert_close(net(x), whole, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mixer", MIXERS)
def test_kernel_steps_runs_the_step_form(mixer):
    net, x = alone(mixer), vectors(2, 5, 8)
    expected, seen = net(x), []
    step = net.step
    net.step = lambda token, state: seen.append(token) or step(token, state)
    net.kernel = "steps"
    torch.testing.assert_close(net(x), expected, rtol=1e-10, atol=1e-10)
    assert len(seen) == 5


@pytest.mark.parametrize("mixer", MIXERS)
def test_gradients_of_input_and_weights_are_right(mixer, monkeypatch):
    if mixer in CHUNKED:
        monkeypatch.setitem(sequence_shape.CHUNKS, mixer, 2)
    net = alone(mixer, hidden_size=4, num_attention_heads=1)
    names = [name for name, _ in net.named_parameters()]

    def run(x, *weights):
        return functional_call(net, dict(zip(names, weights, strict=True)), (x,))

    weights = [weight.detach().clone().requires_grad_() for weight in net.parameters()]
    assert torch.autograd.gradcheck(run, (vectors(1, 5, 4).requires_grad_(), *weights), fast_mode=True)


@pytest.mark.parametrize("mixer", MIXERS)
def test_later_tokens_never_change_earlier_outputs(mixer):
    net, x = alone(mixer), vectors(2, 40, 8)
    before = net(x)
    for cut in (1, 15, 16, 17, 39):
        changed = x.clone()
        changed[:, cut:] = vectors(2, 40 - cut, 8, seed=9)
        after = net(changed)
        torch.testing.assert_close(after[:, :cut], before[:, :cut], rtol=0, atol=1e-9)
        assert (after[:, cut] - before[:, cut]).abs().max() > 1e-3


@pytest.mark.parametrize("mixer", MIXERS)
def test_gradients_of_one_output_reach_no_later_input(mixer):
    net, x = alone(mixer), vectors(1, 20, 8).requires_grad_()
    net(x)[:, 9].sum().backward()
    assert x.grad[:, 10:].abs().max() < 1e-12
    assert x.grad[:, 9].abs().max() > 0


@pytest.mark.parametrize("mixer", MIXERS)
def test_rows_of_a_batch_do_not_see_each_other(mixer):
    net, x = alone(mixer), vectors(3, 18, 8)
    together = net(x)
    torch.testing.assert_close(torch.cat([net(row[None]) for row in x]), together, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mixer", MIXERS)
def test_vmap_batches_the_step_form_of_every_mixer(mixer):
    members = [model(mixer, seed=seed) for seed in range(2)]
    for member in members:
        member.set_kernel("steps")
        member.set_attn_implementation("eager")
    _agrees_under_vmap(members)


@pytest.mark.parametrize("mixer", ["attention", "dss", "retention", "mamba2", "hyena", "rwkv"])
def test_vmap_batches_the_parallel_form_where_torch_has_rules_for_it(mixer):
    members = [model(mixer, seed=seed) for seed in range(2)]
    for member in members:
        member.set_attn_implementation("eager")
    _agrees_under_vmap(members)


def _agrees_under_vmap(members: list[SequenceForPrediction]) -> None:
    tokens = torch.arange(12).view(2, 6) % 7
    weights, buffers = stack_module_state(members)

    def run(weight, buffer):
        return functional_call(members[0], (weight, buffer), kwargs={"input_ids": tokens}).logits

    together = vmap(run)(weights, buffers)
    apart = torch.stack([member(input_ids=tokens).logits for member in members])
    torch.testing.assert_close(together, apart, rtol=1e-10, atol=1e-10)
    assert not torch.equal(apart[0], apart[1])


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 40),
    chunk=st.integers(1, 16),
    shared=st.booleans(),
    seed=st.integers(0, 10**6),
    strength=st.sampled_from([0.0, 0.1, 5.0]),
)
def test_chunked_linear_attention_equals_its_recurrence(length, chunk, shared, seed, strength):
    heads = 1 if shared else 2
    q, k = (vectors(2, heads, length, 3, seed=seed + n) for n in (0, 1))
    v, decay = (
        vectors(2, 2, length, 4, seed=seed + 2),
        -strength * vectors(2, 2, length, seed=seed + 3).abs().clamp(max=1),
    )
    state, expected = torch.zeros(2, 2, 3, 4, dtype=v.dtype), []
    for t in range(length):
        state = state * decay[:, :, t, None, None].exp() + k[:, :, t, :, None] * v[:, :, t, None]
        expected.append((q[:, :, t, None] @ state)[:, :, 0])
    got = scalar_decay(q, k, v, decay, chunk=chunk)
    torch.testing.assert_close(got, torch.stack(expected, dim=2), rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 40), chunk=st.integers(1, 16), seed=st.integers(0, 10**6))
def test_linear_attention_with_channel_decays_equals_its_recurrence(length, chunk, seed):
    q, k = (vectors(2, 2, length, 3, seed=seed + n) for n in (0, 1))
    v, decay = vectors(2, 2, length, 4, seed=seed + 2), -5 * torch.rand(2, 2, length, 3, dtype=torch.float64)
    bonus = vectors(2, 3, seed=seed + 3)
    state, expected = torch.zeros(2, 2, 3, 4, dtype=v.dtype), []
    for t in range(length):
        new = k[:, :, t, :, None] * v[:, :, t, None]
        expected.append((q[:, :, t, None] @ (state + bonus[..., None] * new))[:, :, 0])
        state = state * decay[:, :, t, :, None].exp() + new
    got = vector_decay(q, k, v, decay, bonus, chunk=chunk)
    torch.testing.assert_close(got, torch.stack(expected, dim=2), rtol=1e-9, atol=1e-9)


def test_the_strongest_channel_decays_stay_finite_in_float32_with_right_gradients():
    q, k, v = (vectors(1, 1, 48, 4, seed=n).float().requires_grad_() for n in range(3))
    decay, bonus = torch.full((1, 1, 48, 4), -5.0), torch.ones(1, 4)
    got = vector_decay(q, k, v, decay, bonus, chunk=16)
    exact = vector_decay(q.double(), k.double(), v.double(), decay.double(), bonus.double(), chunk=1)
    torch.testing.assert_close(got, exact.float(), rtol=1e-5, atol=1e-5)
    got.sum().backward()
    assert all(bool(x.grad.isfinite().all()) for x in (q, k, v))


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 30), taps=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_convolutions_equal_their_sums(length, taps, seed):
    x, filters = vectors(2, length, 3, seed=seed), vectors(length, 3, seed=seed + 1)
    written_out = [sum(filters[t - s] * x[:, s] for s in range(t + 1)) for t in range(length)]
    torch.testing.assert_close(long_convolution(x, filters), torch.stack(written_out, dim=1))
    short = ShortConvolution(3, taps).double()
    nn.init.normal_(short.weight)
    nn.init.normal_(short.bias)
    padded = torch.cat((torch.zeros(2, taps - 1, 3, dtype=x.dtype), x), dim=1)
    sums = sum(padded[:, tap : tap + length] * short.weight[:, tap] for tap in range(taps)) + short.bias
    torch.testing.assert_close(short(x), sums)


def test_skew_hippo_has_the_published_spectrum():
    size = 4
    n = torch.arange(2 * size, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    hippo = -torch.outer(root, root).tril(-1) - torch.diag(n + 1)
    normal = hippo + 0.5 * torch.outer(root, root)  # normal: -1/2 on the diagonal and a skew part
    eigenvalues = torch.linalg.eigvals(normal)
    torch.testing.assert_close(eigenvalues.real, torch.full((2 * size,), -0.5, dtype=torch.float64))
    positive = eigenvalues.imag[eigenvalues.imag > 0].sort().values
    torch.testing.assert_close(hippo_frequencies(size), positive.float())


def test_retention_decays_are_the_published_ones_and_forget_at_that_rate():
    net = alone("retention", num_attention_heads=2)
    torch.testing.assert_close(torch.tensor(net.log_decays).exp(), torch.tensor([1 - 2**-5, 1 - 2**-6]))
    (state,) = net.step(vectors(1, 8), net.initial_state(1, dtype=torch.float64))[1]
    silent = torch.zeros(1, 8, dtype=torch.float64)
    (later,) = net.step(silent, (state,))[1]
    kept = later.flatten(2).norm(dim=-1) / state.flatten(2).norm(dim=-1)
    torch.testing.assert_close(kept[0], torch.tensor([1 - 2**-5, 1 - 2**-6], dtype=torch.float64))


def test_decays_of_rwkv_never_pass_their_floor():
    net = alone("rwkv")
    with torch.no_grad():
        net.decay += 50
    x = vectors(2, 40, 8).float()
    assert net.float()(x).isfinite().all()
    torch.testing.assert_close(net.parallel(x), net.scan(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mixer", MIXERS)
def test_states_have_a_batch_first_and_the_type_asked_for(mixer):
    net = alone(mixer).float()
    state = net.initial_state(3, dtype=torch.float32)
    y, after = net.step(vectors(3, 8).float(), state)
    assert y.shape == (3, 8)
    assert all(part.shape[0] == 3 and part.dtype == torch.float32 for part in (*state, *after))


@pytest.mark.parametrize("mixer", MIXERS)
def test_fresh_models_of_one_seed_are_equal_and_of_two_are_not(mixer):
    first, again, other = (model(mixer, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert all(bool(weight.isfinite().all()) for weight in first.values())
