"""Parameters, operations and state by formula against real models, torch's counter and traced states."""

import sys
from functools import partial
from subprocess import run

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_cases import RECURRENT, config, ids, model, stepped
from torch.utils.flop_counter import FlopCounterMode

from paribus.errors import ModelError
from paribus.models.sequence import SequenceConfig, SequenceForPrediction
from paribus.models.sequence_shape import GROWING, MIXERS, SequenceShape, check_length, default_positions

VARIANTS = [
    {},
    {"num_hidden_layers": 3, "ffn_size": 0, "norm": "none", "residual": False},
    {"vocab_size": 0, "input_size": 5, "linear_bias": False, "attention_bias": False, "positions": "none"},
    {"vocab_size": 0, "ffn_size": 13, "positions": "learned", "state_size": 7, "hyena_order": 2, "filter_size": 9},
]


def built(config: SequenceConfig) -> SequenceForPrediction:
    """The model without storage."""
    with torch.device("meta"):
        return SequenceForPrediction(config)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mixer", MIXERS)
def test_parameters_equal_those_of_the_real_model(mixer, variant):
    net = built(config(mixer, **variant))
    assert net.config.shape.parameters == sum(weight.numel() for weight in net.parameters())


@settings(max_examples=40, deadline=None)
@given(
    mixer=st.sampled_from(MIXERS),
    heads=st.integers(1, 4),
    factor=st.integers(1, 5),
    layers=st.integers(1, 3),
    ffn=st.one_of(st.none(), st.integers(0, 40)),
    state=st.integers(1, 20),
    bias=st.booleans(),
)
def test_parameters_equal_those_of_any_real_model(mixer, heads, factor, layers, ffn, state, bias):
    sizes = {"hidden_size": 2 * heads * factor, "num_attention_heads": heads, "num_hidden_layers": layers}
    net = built(SequenceConfig(mixer=mixer, vocab_size=5, ffn_size=ffn, state_size=state, linear_bias=bias, **sizes))
    assert net.config.shape.parameters == sum(weight.numel() for weight in net.parameters())


def test_heads_of_another_width_are_counted():
    net = built(config("attention", head_dim=5))
    assert net.model.layers[0].mixer.qkv_proj.weight.shape == (3 * 2 * 5, 8)
    assert net.config.shape.parameters == sum(weight.numel() for weight in net.parameters())
    assert net.config.shape.state_numbers(3) == 2 * 2 * 5 * 3


@pytest.mark.parametrize("length", [1, 2, 17, 40])
@pytest.mark.parametrize("mixer", MIXERS)
def test_state_numbers_equal_the_traced_state(mixer, length):
    net = model(mixer, num_hidden_layers=2)
    _, state = stepped(net, ids(3, length))
    assert state.numbers == net.config.shape.state_numbers(length)
    assert net.config.shape.state_bits(length, 16) == 16 * state.numbers


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_traced_state_is_all_that_crosses_the_cut(mixer):
    """Continuing from a copy of the state's numbers alone gives what the whole sequence gives."""
    net, tokens = model(mixer, num_hidden_layers=2), ids(2, 20)
    _, state = stepped(net, tokens[:, :13])
    copied = type(state)(state.position, tuple(tuple(part.clone() for part in layer) for layer in state.layers))
    rest, _ = stepped(net, tokens[:, 13:], copied)
    torch.testing.assert_close(rest, net(input_ids=tokens).logits[:, 13:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mixer", RECURRENT)
def test_recurrent_state_does_not_grow(mixer):
    shape = config(mixer).shape
    assert shape.state_numbers(1) == shape.state_numbers(10_000)


@pytest.mark.parametrize("mixer", GROWING)
def test_the_others_keep_the_whole_past(mixer):
    shape = config(mixer).shape
    grown = shape.state_numbers(60) - shape.state_numbers(20)
    assert grown == 40 * (shape.state_numbers(2) - shape.state_numbers(1)) > 0


def test_state_sizes_are_the_published_formulas():
    """Per layer: LSTM 2d, GRU d, retention H dk dv, Mamba-2 inner N and its convolution's past, DSS 2 d N."""
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "state_size": 16, "num_hidden_layers": 2}
    numbers = {mixer: SequenceShape(mixer=mixer, **sizes).state_numbers(50) for mixer in MIXERS}
    assert numbers == {
        "attention": 2 * 2 * 64 * 50,
        "elman": 2 * 64,
        "lstm": 2 * 2 * 64,
        "gru": 2 * 64,
        "dss": 2 * 2 * 64 * 16,
        "retention": 2 * 4 * 16 * 32,
        "mamba2": 2 * (128 * 16 + 3 * (128 + 32)),
        "hyena": 2 * (2 * 64 * 50 + 2 * 4 * 64),
        "rwkv": 2 * (4 * 16 * 16 + 64),
    }


@pytest.mark.parametrize("length", [1, 30, 70])
@pytest.mark.parametrize("mixer", MIXERS)
def test_operations_equal_those_torch_counts(mixer, length):
    """Fourier transforms, which torch does not count, are taken off; filters, made once a batch, are torch's extra."""
    net = model(mixer, num_hidden_layers=2, vocab_size=0, input_size=5).float()
    net.set_attn_implementation("eager")
    if mixer in ("elman", "lstm", "gru"):
        net.set_kernel("steps")
    batch = 3
    mixers = [layer.mixer for layer in net.model.layers if mixer in ("dss", "hyena")]
    made_once = sum(_products(partial(layer.filters, length)) for layer in mixers)
    got = _products(lambda: net(inputs_embeds=torch.zeros(batch, length, 5))) - made_once
    shape = net.config.shape
    transforms = {"dss": 1, "hyena": 2}.get(mixer, 0) * 2 * 8 * 2 * 5.0 * torch.tensor(2.0 * length).log2().item()
    assert got == pytest.approx(batch * length * (shape.flops_per_token(length) - transforms), rel=1e-6)


def _products(work) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_training_costs_three_forward_passes():
    shape = config("attention").shape
    assert shape.training_flops(20, 1000) == 3000 * shape.flops_per_token(20)


def test_defaults_of_the_shape_and_of_the_configuration_are_the_same():
    for mixer in MIXERS:
        assert SequenceShape(mixer=mixer) == SequenceConfig(mixer=mixer).shape
        assert SequenceConfig(mixer=mixer).positions == default_positions(mixer)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mixer": "transformer"}, "mixer is 'transformer'; use one of attention"),
        ({"norm": "rms"}, "norm is 'rms'"),
        ({"positions": "rotary"}, "positions is 'rotary'"),
        ({"ffn_activation": "tanh"}, "ffn_activation is 'tanh'"),
        ({"outputs": 0}, "outputs is 0; it must be at least 1"),
        ({"state_size": 0}, "state_size is 0"),
        ({"vocab_size": -1}, "vocab_size is -1; it cannot be negative"),
        ({"hidden_size": 10}, "attention's width 10 is not divisible by num_attention_heads 4"),
        ({"mixer": "retention", "hidden_size": 12}, "multiple of twice num_attention_heads 4"),
        ({"mixer": "lstm", "causal": False}, "mixer 'lstm' cannot have causal=False"),
        ({"mixer": "gru", "head_dim": 8}, "mixer 'gru' cannot have head_dim=8"),
        ({"mixer": "hyena", "hyena_order": 1}, "hyena_order is 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_value(changes, words):
    for kind in (SequenceShape, SequenceConfig):
        with pytest.raises(ModelError, match=words):
            kind(**changes)


def test_lengths_and_bits_out_of_range_are_refused():
    shape = config("attention").shape
    with pytest.raises(ModelError, match="length is 0"):
        shape.flops_per_token(0)
    with pytest.raises(ModelError, match="81 tokens is longer than max_positions=80, where its table of positions"):
        shape.state_numbers(81)
    with pytest.raises(ModelError, match="where its filters end"):
        check_length(config("hyena", positions="none").shape, 81)
    with pytest.raises(ModelError, match="bits_per_number is 0"):
        shape.state_bits(3, 0)
    with pytest.raises(ModelError, match="no SequenceConfig"):
        SequenceShape.of(object())
    check_length(config("lstm").shape, 10_000)


def test_shapes_are_known_without_torch():
    code = "import sys, paribus.models.sequence_shape as s; s.SequenceShape(); assert 'torch' not in sys.modules"
    assert run([sys.executable, "-c", code], check=False, capture_output=True, text=True).stderr == ""
