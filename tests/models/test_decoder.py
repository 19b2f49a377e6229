import pytest
import torch
from torch.overrides import TorchFunctionMode
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    CohereForCausalLM,
    DynamicCache,
)

from paribus.errors import ModelError
from paribus.models.decoder import (
    DecoderConfig,
    DecoderForCausalLM,
    DecoderForSequenceClassification,
    DecoderModel,
    register,
    rotary_tables,
    rotate,
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def tiny(**changes) -> DecoderConfig:
    shape = {
        "vocab_size": 67,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "initializer_range": 0.2,
        "logit_scale": 0.25,
    }
    return DecoderConfig(**{**shape, **changes})


def causal(**changes) -> DecoderForCausalLM:
    return DecoderForCausalLM(tiny(**changes)).eval()


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(1, 67, (rows, length), generator=torch.Generator().manual_seed(rows * 100 + length))


class LiftToDouble(TorchFunctionMode):
    """transformers' Cohere rounds norms and rotations to float32 whatever the model's type; lift those two casts."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.Tensor.float:
            return args[0].double()
        args = tuple(torch.float64 if value is torch.float32 else value for value in args)
        kwargs = {name: torch.float64 if value is torch.float32 else value for name, value in kwargs.items()}
        return function(*args, **kwargs)


def loss_of(model: torch.nn.Module, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = model(tokens).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    return logits.detach(), loss.detach()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_logits_and_gradients_equal_transformers_cohere(dtype, tolerance, kv_heads, attention):
    ours = causal(num_key_value_heads=kv_heads).to(dtype)
    peer = CohereForCausalLM(ours.config.as_cohere()).eval().to(dtype)
    peer.load_state_dict(ours.state_dict())
    ours.set_attn_implementation(attention)
    peer.set_attn_implementation(attention)
    tokens = ids(3, 21)
    logits, loss = loss_of(ours, tokens)
    if dtype == torch.float64:
        with LiftToDouble():
            peer_logits, peer_loss = loss_of(peer, tokens)
    else:
        peer_logits, peer_loss = loss_of(peer, tokens)
    assert logits.dtype == dtype and logits.std() > 0.1
    torch.testing.assert_close(logits, peer_logits, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(loss, peer_loss, rtol=tolerance, atol=tolerance)
    gradients = dict(peer.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=tolerance, atol=tolerance)


def test_rotation_turns_neighbouring_pairs_by_position_times_frequency():
    x = torch.randn(1, 1, 5, 6, dtype=torch.float64)
    turned = rotate(x, *rotary_tables(torch.arange(5)[None], 6, 100.0, torch.float64))
    for position in range(5):
        for pair in range(3):
            angle = torch.tensor(position * 100.0 ** (-2 * pair / 6), dtype=torch.float64)
            a, b = x[0, 0, position, 2 * pair : 2 * pair + 2]
            expected = torch.stack((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()))
            torch.testing.assert_close(turned[0, 0, position, 2 * pair : 2 * pair + 2], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_cached_decoding_equals_the_full_forward(attention):
    model = causal()
    model.set_attn_implementation(attention)
    tokens = ids(2, 12)
    full = model(tokens).logits
    cache, pieces = DynamicCache(config=model.config), []
    for start, end in [(0, 5), (5, 6), (6, 10), (10, 12)]:
        pieces.append(model(tokens[:, start:end], past_key_values=cache).logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("use_cache", [None, False])
@pytest.mark.parametrize("training", [True, False])
def test_packed_rows_equal_separate_rows(use_cache, training):
    model = causal().train(training)
    first, second = ids(1, 7), ids(1, 9)
    positions = torch.cat((torch.arange(7), torch.arange(9)))[None]
    packed = model(torch.cat((first, second), dim=1), position_ids=positions, use_cache=use_cache).logits
    apart = torch.cat((model(first).logits, model(second).logits), dim=1)
    torch.testing.assert_close(packed, apart, rtol=1e-5, atol=1e-5)
    joined = model(torch.cat((first, second), dim=1)).logits
    assert (joined[:, 7:] - apart[:, 7:]).abs().max() > 1e-2, (
        "without restarting positions the rows must see each other"
    )


def test_a_ready_four_dimensional_mask_equals_packed_positions():
    model, tokens = causal(), ids(1, 16)
    positions = torch.cat((torch.arange(7), torch.arange(9)))[None]
    segments = torch.tensor([[0] * 7 + [1] * 9])
    allowed = torch.ones(16, 16, dtype=torch.bool).tril() & (segments[:, :, None] == segments[:, None, :])
    mask = torch.zeros(1, 1, 16, 16).masked_fill(~allowed[:, None], torch.finfo(torch.float32).min)
    packed = model(tokens, position_ids=positions).logits
    masked = model(tokens, position_ids=positions, attention_mask=mask).logits
    torch.testing.assert_close(masked, packed, rtol=1e-5, atol=1e-5)


def test_left_padded_generation_equals_unpadded():
    model = causal(pad_token_id=0)
    rows = [ids(1, length)[0] for length in (3, 9, 6)]
    padded = torch.stack([torch.cat((torch.zeros(9 - len(row), dtype=torch.long), row)) for row in rows])
    mask = (padded != 0).long()
    together = model.generate(padded, attention_mask=mask, max_new_tokens=12, do_sample=False)
    for row, out in zip(rows, together, strict=True):
        alone = model.generate(row[None], attention_mask=torch.ones(1, len(row)), max_new_tokens=12, do_sample=False)
        assert out[-12:].tolist() == alone[0, -12:].tolist()
    assert len({tuple(out[-12:].tolist()) for out in together}) == 3


def test_logits_to_keep_takes_a_count_or_positions():
    model, tokens = causal(), ids(2, 8)
    full = model(tokens).logits
    torch.testing.assert_close(model(tokens, logits_to_keep=3).logits, full[:, -3:])
    torch.testing.assert_close(model(tokens, logits_to_keep=torch.tensor([1, 6])).logits, full[:, [1, 6]])


@pytest.mark.parametrize("tied", [True, False])
def test_saved_as_safetensors_and_loaded_back(tmp_path, tied):
    model = causal(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".json") == ["model.safetensors"]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is DecoderForCausalLM
    assert loaded.config.to_diff_dict() == model.config.to_diff_dict()
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tied
    assert torch.equal(loaded(ids(2, 5)).logits, model(ids(2, 5)).logits)
    assert type(AutoModel.from_pretrained(tmp_path)) is DecoderModel
    assert type(AutoConfig.from_pretrained(tmp_path)) is DecoderConfig


def test_registering_again_changes_nothing():
    register()
    register()
    assert type(AutoModelForCausalLM.from_config(tiny())) is DecoderForCausalLM
    assert type(AutoConfig.for_model("paribus_decoder")) is DecoderConfig


def test_activation_checkpointing_changes_no_gradient():
    model, tokens = causal().train(), ids(2, 9)
    plain = torch.autograd.grad(model(tokens, labels=tokens).loss, model.model.embed_tokens.weight)[0]
    model.activation_checkpointing_enable()
    assert model.model.layers[0].gradient_checkpointing
    checkpointed = torch.autograd.grad(model(tokens, labels=tokens).loss, model.model.embed_tokens.weight)[0]
    assert torch.equal(plain, checkpointed)


def test_hidden_states_and_attentions_can_be_recorded():
    model = causal()
    model.set_attn_implementation("eager")
    out = model(ids(2, 5), output_hidden_states=True, output_attentions=True)
    assert [tuple(state.shape) for state in out.hidden_states] == [(2, 5, 32)] * 4
    assert [tuple(weights.shape) for weights in out.attentions] == [(2, 4, 5, 5)] * 3
    torch.testing.assert_close(out.attentions[0].sum(-1), torch.ones(2, 4, 5))


def test_classification_reads_the_last_kept_token_wherever_the_padding_lies():
    model = DecoderForSequenceClassification(tiny(num_labels=1)).eval()
    row, pad = ids(1, 6), torch.full((1, 3), 66)
    alone = model(row).logits
    assert alone.shape == (1, 1)
    right = model(torch.cat((row, pad), dim=1), attention_mask=torch.tensor([[1] * 6 + [0] * 3])).logits
    left = model(torch.cat((pad, row), dim=1), attention_mask=torch.tensor([[0] * 3 + [1] * 6])).logits
    torch.testing.assert_close(right, alone, rtol=1e-5, atol=1e-6)
    # rotary attention depends on distances only, so shifted positions change nothing but rounding
    torch.testing.assert_close(left, alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match="4 dimensions"):
        model.model.config._attn_implementation = "eager"
        model(row, attention_mask=torch.zeros(1, 1, 6, 6))


def test_classification_loads_through_auto_with_a_loss(tmp_path):
    DecoderForSequenceClassification(tiny(num_labels=1)).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(model) is DecoderForSequenceClassification and model.num_labels == 1
    out = model(ids(4, 5), labels=torch.tensor([0.0, 1.0, 2.0, 3.0]))
    expected = ((out.logits[:, 0] - torch.arange(4.0)) ** 2).mean()
    torch.testing.assert_close(out.loss, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_key_value_heads": 3}, "num_key_value_heads 3"),
        ({"hidden_size": 30}, "hidden_size 30"),
        ({"head_dim": 7}, "head_dim 7 is odd"),
    ],
)
def test_impossible_shapes_are_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        tiny(**changes)


def test_inputs_must_be_ids_or_embeddings():
    with pytest.raises(ModelError, match="exactly one"):
        causal().model()


def test_weights_start_with_the_stated_spread():
    model = DecoderForCausalLM(tiny(hidden_size=128, intermediate_size=256, initializer_range=0.05))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert torch.equal(parameter, torch.ones_like(parameter))
        else:
            assert parameter.std().item() == pytest.approx(0.05, rel=0.05), name
