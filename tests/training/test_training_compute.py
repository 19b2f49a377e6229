import pytest
import torch
from training_toys import decoder, mixture, packed, settings, stream

from paribus.training import compute
from paribus.training.compute import BF16_GAIN, COMPILE_STEPS, ComputePath, path_for, self_test, with_experts
from paribus.training.objectives.causal import Causal
from paribus.training.trainer import train


def with_gain(monkeypatch, gain):
    monkeypatch.setattr(compute, "bf16_gain", lambda: gain)


def test_bf16_is_taken_only_where_it_is_clearly_faster(monkeypatch):
    with_gain(monkeypatch, BF16_GAIN - 0.01)
    slow = self_test(100)
    assert (slow.dtype, slow.attention, slow.compile) == ("float32", "sdpa", False)
    assert "bf16 ran 1.24x as fast as fp32 here" in slow.reason and "1.25x" in slow.reason
    with_gain(monkeypatch, 2.0)
    fast = self_test(100)
    assert (fast.dtype, fast.attention, fast.compile) == ("bfloat16", "eager", False)


def test_short_runs_are_not_measured_at_all(monkeypatch):
    def fail():
        raise AssertionError("measured for nothing")

    monkeypatch.setattr(compute, "bf16_gain", fail)
    assert self_test(49).dtype == "float32"


def test_only_long_runs_are_compiled_and_only_with_a_compiler(monkeypatch):
    with_gain(monkeypatch, 2.0)
    monkeypatch.setattr(compute.shutil, "which", lambda name: "/usr/bin/g++")
    assert not self_test(4 * COMPILE_STEPS - 1).compile
    assert self_test(4 * COMPILE_STEPS).compile
    monkeypatch.setattr(compute.shutil, "which", lambda name: None)
    assert not self_test(4 * COMPILE_STEPS).compile


def test_a_device_that_knows_bf16_uses_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert self_test(10, device="cuda") == ComputePath(dtype="bfloat16", reason="cuda with bf16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert self_test(10, device="cuda").dtype == "float32"


@pytest.mark.parametrize("steps", [10, 100, 4 * COMPILE_STEPS])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("bf16", [True, False])
def test_a_backend_chosen_before_is_kept_on_every_path(monkeypatch, steps, device, bf16):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bf16)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    path = path_for(steps, device=device, cpu_bf16=bf16, experts="grouped_mm")
    assert path.experts == "grouped_mm"
    assert ComputePath.model_validate(path.model_dump()) == path
    assert path.compile is False or path.dtype == "bfloat16"


def test_a_path_that_cannot_be_compiled_is_refused():
    with pytest.raises(ValueError, match=r"cannot be compiled in float32.*use experts='dense'"):
        ComputePath(compile=True, experts="grouped_mm")
    measured = with_experts(ComputePath(compile=True), mixture(), steps=5000, tokens=64, device="cpu")
    assert measured.experts == "dense"


def test_the_self_test_chooses_a_backend_for_models_that_have_experts(monkeypatch):
    with_gain(monkeypatch, 2.0)
    asked = []

    def fastest(config, *, tokens, device, dtype):
        asked.append((tokens, device, dtype))
        return "dense"

    monkeypatch.setattr("paribus.models.experts.fastest_backend", fastest)
    assert self_test(100, model=mixture(), tokens=256).experts == "dense"
    assert asked == [(256, "cpu", torch.bfloat16)]
    assert self_test(100, model=decoder()).experts is None
    assert self_test(100).experts is None


def test_the_measurement_is_a_ratio_of_times_and_is_made_once():
    compute.bf16_gain.cache_clear()
    gain = compute.bf16_gain()
    assert 0.01 < gain < 100
    assert compute.bf16_gain() == gain
    assert compute.bf16_gain.cache_info().hits == 1


def test_a_run_asks_the_self_test_unless_told(monkeypatch):
    with_gain(monkeypatch, 2.0)
    model, types = decoder(), []
    model.model.layers[0].mlp.down_proj.register_forward_hook(lambda *inputs: types.append(inputs[-1].dtype))
    result = train(model, stream(packed(), batch_size=1), Causal(), settings(steps=50, batch_size=1))
    assert result.compute.dtype == "bfloat16"
    assert set(types) == {torch.bfloat16}
    fixed = train(
        decoder(), stream(packed(), batch_size=1), Causal(), settings(steps=50, batch_size=1), compute=ComputePath()
    )
    assert fixed.compute.reason == "fixed by the caller"


def test_bf16_ends_near_fp32():
    runs = [
        train(decoder(), stream(packed()), Causal(), settings(steps=20), compute=path).history[-1]["loss"]
        for path in (ComputePath(), ComputePath(dtype="bfloat16", attention="eager"))
    ]
    assert runs[0] != runs[1]
    assert runs[1] == pytest.approx(runs[0], rel=0.02)


@pytest.mark.parametrize("make", [decoder, mixture])
def test_recomputed_activations_change_nothing(make):
    runs = [
        train(make(), stream(packed()), Causal(), settings(activation_checkpointing=how), compute=ComputePath())
        for how in (False, True)
    ]
    assert runs[0].history == runs[1].history


@pytest.mark.slow
@pytest.mark.parametrize("make", [decoder, mixture])
def test_a_compiled_run_ends_where_an_interpreted_one_does(make):
    path = ComputePath(compile=True)
    compiled = train(make(), stream(packed()), Causal(), settings(steps=3), compute=path)
    plain = train(make(), stream(packed()), Causal(), settings(steps=3))
    assert compiled.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], abs=1e-5)
    assert compiled.model.base_model._compiled_call_impl is None


def test_the_gain_of_a_step_is_measured_on_the_model_and_leaves_it_as_it_was(monkeypatch):
    """A clock that ticks once a call in fp32 and twice in bf16 makes bf16 look half as fast."""
    model = mixture().eval()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    attention, now = model.config._attn_implementation, [0.0]

    def clock():
        now[0] += 2.0 if model.config._attn_implementation == "eager" else 1.0
        return now[0]

    monkeypatch.setattr(compute.time, "perf_counter", clock)
    assert compute.step_gain(model, rows=2, length=8, turns=2) == pytest.approx(0.5)
    assert model.config._attn_implementation == attention != "eager" and not model.training
    assert all(weight.grad is None and weight.equal(before[name]) for name, weight in model.named_parameters())
