"""Gates and balancing losses: closed forms, conventions, gradients, padding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_cases import ids, mixture
from torch.nn import functional as F

from paribus.models.routing import Router, auxiliary_loss, soft_gates, sparse_gates, top_experts

Z = {"load_balance": 0.0, "router_z": 1.0}
BALANCE = {"load_balance": 1.0, "router_z": 0.0}


def logits_choosing(experts: list[int], size: float, E: int) -> torch.Tensor:
    """One row of tokens (1, T, E) in float64, each with its logit raised by ``size`` at its expert."""
    return size * F.one_hot(torch.tensor(experts), E).double()[None]


def test_ties_go_to_the_lower_index():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 2.0, 0.0], [3.0, 1.0, 3.0, 3.0]])
    assert top_experts(logits, 2).tolist() == [[0, 1], [1, 2], [0, 2]]
    many = torch.zeros(500, 64)
    assert (top_experts(many, 3) == torch.arange(3)).all()
    assert soft_gates(many[:1, :4], 2, "raw").tolist() == [[0.25, 0.25, 0.0, 0.0]]
    assert soft_gates(many[:1, :4], 2, "renormalised").tolist() == [[0.5, 0.5, 0.0, 0.0]]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000), st.data())
def test_gates_are_shares_of_a_softmax(experts, seed, data):
    top_k = data.draw(st.integers(1, experts))
    logits = 3 * torch.randn(7, experts, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    probabilities = logits.softmax(-1)
    chosen, raw = sparse_gates(logits, top_k, "raw")
    assert all(len(set(row)) == top_k for row in chosen.tolist())
    torch.testing.assert_close(raw, probabilities.topk(top_k).values)
    torch.testing.assert_close(sparse_gates(logits, top_k, "scaled")[1], raw * experts)
    renormalised = sparse_gates(logits, top_k, "renormalised")[1]
    torch.testing.assert_close(renormalised, raw / raw.sum(-1, keepdim=True))
    for gate_norm, sparse in (("raw", raw), ("renormalised", renormalised)):
        gates = soft_gates(logits, top_k, gate_norm)
        torch.testing.assert_close(gates, torch.zeros_like(logits).scatter(-1, chosen, sparse))
    torch.testing.assert_close(soft_gates(logits, None, "raw").sum(-1), torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_balance_is_one_at_uniform_and_grows_to_the_number_of_experts_over_k_at_collapse(top_k):
    """For any k: shares f sum to one, where transformers' Mixtral would say k at balance."""
    cycle = torch.stack([torch.arange(8).roll(-shift) < top_k for shift in range(8)])
    uniform = (1e-9 * cycle.double())[None]  # probabilities equal to 1e-9, choices evenly spread
    assert auxiliary_loss((uniform,), None, top_k=top_k, **BALANCE).item() == pytest.approx(1, abs=1e-8)
    collapsed = (60.0 * (torch.arange(8) < top_k).double()).expand(1, 5, 8)
    assert auxiliary_loss((collapsed,), None, top_k=top_k, **BALANCE).item() == pytest.approx(8 / top_k)


def test_balance_of_four_tokens_by_hand():
    logits = logits_choosing([0, 0, 0, 1], math.log(3), 3)  # 3/5 at the choice, 1/5 elsewhere
    f, P = (3 / 4, 1 / 4, 0), ((3 * 3 + 1) / 20, (3 + 3) / 20, 4 / 20)
    expected = 3 * sum(a * b for a, b in zip(f, P, strict=True))
    assert auxiliary_loss((logits,), None, top_k=1, **BALANCE).item() == pytest.approx(expected, abs=1e-12)
    both = auxiliary_loss((logits, 0 * logits), None, top_k=1, **BALANCE)  # zeros: all to expert 0, P uniform: 1
    assert both.item() == pytest.approx(expected + 1, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000), st.data())
def test_balance_lies_between_zero_and_the_number_of_experts(experts, seed, data):
    top_k = data.draw(st.integers(1, experts))
    logits = 4 * torch.randn(2, 9, experts, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    loss = auxiliary_loss((logits,), None, top_k=top_k, **BALANCE).item()
    assert 0 < loss <= experts + 1e-9
    if top_k == experts:
        assert loss == pytest.approx(1)


def test_z_loss_is_the_squared_log_of_the_number_of_experts_at_zero_and_follows_a_shift():
    zeros = torch.zeros(2, 3, 4, dtype=torch.float64)
    assert math.log(4) ** 2 == pytest.approx(1.921812)
    assert auxiliary_loss((zeros,), None, top_k=1, **Z).item() == pytest.approx(math.log(4) ** 2)
    shifted = auxiliary_loss((zeros + 0.7,), None, top_k=1, **Z)
    assert shifted.item() == pytest.approx((math.log(4) + 0.7) ** 2)
    assert auxiliary_loss((zeros + 5,), None, top_k=1, **BALANCE).item() == pytest.approx(1)


def test_the_gradient_goes_through_the_probabilities_alone():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    auxiliary_loss((logits,), None, top_k=2, **BALANCE).backward()
    f = torch.zeros(10, 4, dtype=torch.float64).scatter(1, logits.detach().flatten(0, 1).topk(2).indices, 0.5).mean(0)
    again = logits.detach().clone().requires_grad_()
    (4 * (f * again.softmax(-1).mean((0, 1))).sum()).backward()
    assert logits.grad.abs().max() > 1e-3
    torch.testing.assert_close(logits.grad, again.grad)


def test_padding_counts_nowhere():
    torch.manual_seed(0)
    logits = torch.randn(2, 6, 4, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]], dtype=torch.bool)
    kept = logits[mask][None]
    for weights in (Z, BALANCE):
        padded = auxiliary_loss((logits, 2 * logits), mask, top_k=2, **weights)
        torch.testing.assert_close(padded, auxiliary_loss((kept, 2 * kept), None, top_k=2, **weights))
    assert auxiliary_loss((logits,), torch.zeros(2, 6), top_k=1, load_balance=1.0, router_z=1.0).item() == 0


@pytest.mark.parametrize("variant", ["bam, own keys", "btx top-2"])
def test_a_padded_batch_has_the_auxiliary_loss_of_its_tokens(variant):
    model, row = mixture(variant, dtype=torch.float64).train(), ids(1, 6)
    alone = model(row).aux_loss
    assert alone > 0
    for side in (lambda row, pad: (row, pad), lambda row, pad: (pad, row)):
        padded = torch.cat(side(row, torch.zeros(1, 3, dtype=torch.long)), dim=1)
        mask = torch.cat(side(torch.ones(1, 6), torch.zeros(1, 3)), dim=1).long()
        torch.testing.assert_close(model(padded, attention_mask=mask).aux_loss, alone)
    # packed rows: the mask is a ready one, so the tokens that count are said apart
    padded, positions = torch.cat((row, row[:, :3]), dim=1), torch.tensor([[0, 1, 2, 3, 4, 5, 0, 1, 2]])
    segments = torch.tensor([[1] * 6 + [0] * 3])
    allowed = (segments[:, :, None] == segments[:, None]) & torch.ones(9, 9).tril().bool()
    packed = model(padded, position_ids=positions, attention_mask=allowed[:, None], token_mask=segments > 0)
    torch.testing.assert_close(packed.aux_loss, alone)
    counted = model(padded, position_ids=positions, attention_mask=allowed[:, None]).aux_loss
    assert (counted - alone).abs() > 1e-6


def test_behind_a_cache_the_new_tokens_are_counted():
    model, tokens = mixture("btx top-2", dtype=torch.float64).train(), ids(2, 8)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0]])
    cache = model(tokens[:, :3], attention_mask=mask[:, :3], use_cache=True).past_key_values
    out = model(tokens[:, 3:], attention_mask=mask, past_key_values=cache, output_routing=True)
    weights = {"load_balance": 0.01, "router_z": 0.001}
    expected = auxiliary_loss(out.router_logits, mask[:, 3:], top_k=2, **weights)
    torch.testing.assert_close(out.aux_loss, expected)


def test_the_auxiliary_loss_is_part_of_the_loss_in_training_only():
    model, tokens = mixture(load_balance_coefficient=0.3, router_z_coefficient=0.2), ids(2, 7)
    cold = model(tokens, labels=tokens)
    assert cold.aux_loss is None
    warm = model.train()(tokens, labels=tokens, output_routing=True)
    torch.testing.assert_close(warm.loss, cold.loss + warm.aux_loss)
    rebuilt = auxiliary_loss(warm.router_logits, None, top_k=1, load_balance=0.3, router_z=0.2)
    torch.testing.assert_close(warm.aux_loss, rebuilt)
    assert mixture("dense").train()(tokens).aux_loss is None


def test_micro_batches_of_transformers_trainer_add_up_to_the_mean_auxiliary_loss():
    model, tokens = mixture().train(), ids(4, 7)
    halves = [model(part, labels=part, num_items_in_batch=24) for part in tokens.split(2)]
    apart = [model(part, labels=part) for part in tokens.split(2)]
    torch.testing.assert_close(sum(out.loss for out in halves), sum(out.loss for out in apart) / 2)


@pytest.mark.parametrize(("gate_norm", "top_k", "learns"), [
    ("raw", 1, True), ("scaled", 1, True), ("renormalised", 1, False), ("renormalised", 2, True),
])  # fmt: skip
def test_whether_the_language_loss_teaches_the_router(gate_norm, top_k, learns):
    changes = {"load_balance_coefficient": 0.0, "router_z_coefficient": 0.0}
    model = mixture(ffn_gate_norm=gate_norm, ffn_top_k=top_k, dtype=torch.float64, **changes).train()
    model(ids(2, 8), labels=ids(2, 8)).loss.backward()
    for block in model.model.layers:
        gradient = block.mlp.router.weight.grad.abs().max().item()
        assert gradient > 1e-6 if learns else gradient == 0
        assert block.self_attn.router.weight.grad.abs().max() > 1e-6


def test_the_router_computes_in_float32_under_autocast_and_in_float64_where_the_model_does():
    torch.manual_seed(0)
    router, x = Router(64, 4), torch.randn(3, 5, 64)
    with torch.autocast("cpu", torch.bfloat16):
        logits = router(x)
    assert logits.dtype == torch.float32 and torch.equal(logits, F.linear(x, router.weight))
    low = Router(64, 4).bfloat16()
    assert torch.equal(low(x.bfloat16()), F.linear(x.bfloat16().float(), low.weight.float()))
    assert Router(64, 4).double()(x.double()).dtype == torch.float64


def test_routing_is_given_out_layer_by_layer_on_request():
    model, tokens = mixture(), ids(2, 5)
    out = model(tokens, output_routing=True)
    assert [tuple(logits.shape) for logits in out.router_logits] == [(2, 5, 4)] * 2
    assert [tuple(gates.shape) for gates in out.attention_gates] == [(2, 5, 3)] * 2
    for gates in out.attention_gates:
        torch.testing.assert_close(gates.sum(-1), torch.ones(2, 5))
    assert model(tokens).router_logits is None and model(tokens).attention_gates is None
    seen = []
    model.model.layers[1].mlp.router.register_forward_hook(lambda module, args, logits: seen.append(logits))
    assert torch.equal(model(tokens, output_routing=True).router_logits[1], seen[0])
    quiet = mixture("dense")(tokens, output_routing=True)
    assert quiet.router_logits is None and quiet.attention_gates is None
