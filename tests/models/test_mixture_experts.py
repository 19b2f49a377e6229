"""Three ways to run the experts: the same numbers forward and backward, empty experts, repeatability, the self-test."""

from itertools import product

import pytest
import torch
from mixture_cases import config, ids, mixture
from torch.nn import functional as F

from paribus.errors import ModelError
from paribus.models import experts as experts_module
from paribus.models.experts import BACKENDS, Experts, fastest_backend

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}


def layer(E: int = 4, D: int = 16, width: int = 24, *, top_k: int = 2, activation: str = "silu") -> Experts:
    torch.manual_seed(0)
    experts = Experts(E, D, width, activation, top_k)
    for weight in experts.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return experts


def by_hand(experts: Experts, x: torch.Tensor, chosen: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
    rows = []
    for token, places, weights in zip(x, chosen, gates, strict=True):
        out = 0
        for place, weight in zip(places.tolist(), weights, strict=True):
            gate, up = (experts.gate_up_proj[place] @ token).chunk(2)
            out = out + weight * (experts.down_proj[place] @ (experts.act(gate) * up))
        rows.append(out)
    return torch.stack(rows)


def routed(tokens: int, top_k: int, places: list[int], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Inputs (tokens, 16), experts drawn from ``places``, gates, all with gradients where there can be any."""
    generator = torch.Generator().manual_seed(tokens)
    x = torch.randn(tokens, 16, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    order = torch.rand(tokens, len(places), generator=generator).argsort(1)[:, :top_k]
    gates = torch.rand(tokens, top_k, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    return x, torch.tensor(places)[order], gates


def backward(experts: Experts, out: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    loss = (out.double() * torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)).sum()
    return list(torch.autograd.grad(loss, [*experts.parameters(), *inputs]))


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [pair for pair in product(BACKENDS, TOLERANCE) if pair != ("grouped_mm", torch.float64)],  # torch has no kernel
)
@pytest.mark.parametrize(
    ("tokens", "top_k", "places"),
    [(40, 2, [0, 1, 2, 3]), (9, 1, [1, 3]), (5, 1, [3]), (1, 2, [0, 2]), (7, 4, [0, 1, 2, 3])],
)
def test_every_backend_is_the_sum_by_hand(backend, dtype, tokens, top_k, places):
    experts = layer(top_k=top_k).to(dtype)
    experts.backend = backend
    x, chosen, gates = routed(tokens, top_k, places, dtype)
    got = experts(x, chosen, gates)
    assert got.dtype == dtype
    exact = layer(top_k=top_k).to(dtype).double()
    wide = [tensor.detach().double().requires_grad_() for tensor in (x, gates)]
    expected = by_hand(exact, wide[0], chosen, wide[1])
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * max(expected.abs().max().item(), 1)}
    torch.testing.assert_close(got.double(), expected, **tolerance)
    pairs = zip(backward(experts, got, x, gates), backward(exact, expected, *wide), strict=True)
    for gradient, exactly in pairs:
        assert gradient.dtype == dtype
        close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * max(exactly.abs().max().item(), 1)}
        torch.testing.assert_close(gradient.double(), exactly, **close)
    if backend != "dense":  # an expert without tokens: a gradient, of zeros
        for weight_gradient in backward(experts, experts(x, chosen, gates), x, gates)[:2]:
            for place in set(range(4)) - set(chosen.flatten().tolist()):
                assert not weight_gradient[place].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_gives_bfloat16_products_and_float32_gradients(backend):
    experts = layer()
    experts.backend = backend
    x, chosen, gates = routed(40, 2, [0, 1, 2, 3], torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        low = experts(x, chosen, gates)
    assert low.dtype == torch.bfloat16
    high = by_hand(experts, x, chosen, gates)
    torch.testing.assert_close(low.float(), high, rtol=3e-2, atol=3e-2 * high.abs().max().item())
    for gradient in backward(experts, low, x, gates):
        assert gradient.dtype == torch.float32 and gradient.isfinite().all() and gradient.any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", ["bam, own keys", "btx top-2", "sequential"])
def test_a_whole_model_gives_the_same_with_every_backend(backend, variant):
    dtype, tolerance = (torch.float32, 1e-4) if backend == "grouped_mm" else (torch.float64, 1e-10)
    first, second = (mixture(variant, dtype=dtype).train() for _ in range(2))
    second.set_experts_backend(backend)
    tokens = ids(2, 9)
    for model in (first, second):
        model(tokens, labels=tokens).loss.backward()
    for (name, a), (_, b) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=tolerance, atol=tolerance / 10, msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_repeats_bit_for_bit(backend):
    experts = layer()
    experts.backend = backend
    x, chosen, gates = routed(64, 2, [0, 1, 2, 3], torch.float32)
    first, second = (backward(experts, experts(x, chosen, gates), x, gates) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("activation", ["silu", "gelu_pytorch_tanh"])
def test_the_single_expert_is_a_gated_network(activation):
    experts, x = layer(1, activation=activation), torch.randn(3, 5, 16)
    gate, up = F.linear(x, experts.gate_up_proj[0]).chunk(2, -1)
    expected = F.linear(experts.act(gate) * up, experts.down_proj[0])
    torch.testing.assert_close(experts.only(x), expected)
    through = experts(x.flatten(0, 1), torch.zeros(15, 1, dtype=torch.long), torch.ones(15, 1))
    torch.testing.assert_close(through.view(3, 5, 16), expected)


def test_the_self_test_picks_the_quickest_and_asks_once(monkeypatch):
    clock, seconds = [0.0], {"grouped_mm": 1.0, "loop": 0.95, "dense": 0.5}
    experts_module._fastest.cache_clear()
    monkeypatch.setattr(experts_module.time, "perf_counter", lambda: clock[0])
    forward, calls = Experts.forward, []

    def slow(self, *inputs):
        clock[0] += seconds[self.backend]
        calls.append(self.backend)
        return forward(self, *inputs)

    monkeypatch.setattr(Experts, "forward", slow)
    asked = {"tokens": 100, "device": "cpu", "dtype": torch.float32}
    assert fastest_backend(config(), **asked) == "dense"
    assert set(calls) == set(BACKENDS)
    count = len(calls)
    assert fastest_backend(config(), **{**asked, "tokens": 128}) == "dense" and len(calls) == count
    seconds["dense"] = 2.0  # a twentieth is no reason to leave the first
    assert fastest_backend(config(), **{**asked, "tokens": 200}) == "grouped_mm"
    seconds["loop"], seconds["dense"] = 0.8, 9.0
    calls.clear()
    assert fastest_backend(config(), **{**asked, "tokens": 500}) == "loop"
    assert calls.count("dense") == 2 and calls.count("loop") == calls.count("grouped_mm") == 4  # hopeless, left out
    experts_module._fastest.cache_clear()


def test_the_self_test_of_a_large_layer_is_small_and_keeps_what_kernels_ask_of_its_width(monkeypatch):
    experts_module._fastest.cache_clear()
    made = []
    monkeypatch.setattr(experts_module, "_seconds", lambda layer, _, inputs: made.append((layer, inputs)) or 1.0)
    large = config(hidden_size=4096, intermediate_size=14_341, ffn_experts=8)
    assert fastest_backend(large, tokens=100_000, device="cpu", dtype=torch.bfloat16) == "grouped_mm"
    layer, inputs = made[0]
    branch = layer.down_proj.shape[2]
    assert inputs[0].shape == (512, 4096) and 32 <= branch < 48 and branch % 16 == 14_341 % 16
    assert fastest_backend(config(), tokens=4096, device="cpu", dtype=torch.float32) == "grouped_mm"
    assert made[-1][0].down_proj.shape == (4, 32, 24) and made[-1][1][0].shape == (4096, 32)
    experts_module._fastest.cache_clear()


def test_the_self_test_passes_over_a_kernel_that_the_device_lacks(monkeypatch):
    def lacking(*_, **__):
        raise NotImplementedError("no kernel")

    experts_module._fastest.cache_clear()
    assert fastest_backend(config(), tokens=16, device="cpu", dtype=torch.float64) in ("loop", "dense")
    monkeypatch.setattr(experts_module.F, "grouped_mm", lacking)
    assert fastest_backend(config(), tokens=16, device="cpu", dtype=torch.float32) in ("loop", "dense")
    experts_module._fastest.cache_clear()


def test_auto_measures_at_first_use_also_without_gradients(monkeypatch):
    experts_module._fastest.cache_clear()
    asked = []
    monkeypatch.setattr(experts_module, "_fastest", lambda *question: asked.append(question) or "loop")
    model = mixture()
    model.set_experts_backend("auto")
    with torch.inference_mode():
        model(ids(2, 5))
    with torch.autocast("cpu", torch.bfloat16):
        model(ids(2, 5))
    shape = (4, 1, 32, 24, "silu")
    assert asked == [(shape, 16, "cpu", torch.float32)] * 2 + [(shape, 16, "cpu", torch.bfloat16)] * 2
    monkeypatch.undo()
    with torch.inference_mode():
        assert model(ids(2, 5)).logits.isfinite().all()


def test_the_self_test_leaves_random_numbers_alone():
    experts_module._fastest.cache_clear()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fastest_backend(config(), tokens=8, device="cpu", dtype=torch.float32)
    assert torch.equal(torch.rand(1), expected)


def test_backends_are_set_for_all_layers_and_named_if_wrong():
    model = mixture()
    assert model.experts_backend == "loop"
    model.set_experts_backend("dense")
    assert {block.mlp.experts.backend for block in model.model.layers} == {"dense"} and model.experts_backend == "dense"
    model.set_experts_backend("grouped_mm")
    with pytest.raises(ModelError, match=r"no float64 kernel.*'loop'"):
        model.double()(ids(1, 3))
    with pytest.raises(ModelError, match="'fast'; use auto, grouped_mm, loop, dense"):
        model.set_experts_backend("fast")


def test_inactive_parameters_are_those_of_the_experts_not_chosen():
    assert mixture("dense").inactive_parameters == 0
    per_expert = 3 * 32 * 24
    assert mixture("bam, own keys").inactive_parameters == 2 * 3 * per_expert
    assert mixture("btx top-2").model.inactive_parameters == 2 * 2 * per_expert
