"""The model as transformers and the trainer use it: files, masks, leaks, precision, checkpointing, learning, errors."""

import pytest
import torch
from sequence_cases import config, ids, model, stepped, vectors
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification

from paribus.errors import ModelError
from paribus.models.sequence import BUILDERS, SequenceConfig, SequenceForPrediction, SequenceModel, register
from paribus.models.sequence_shape import MIXERS
from paribus.training.compute import ComputePath
from paribus.training.preparation import prepared
from paribus.training.settings import TrainSettings


def test_every_mixer_has_a_class():
    assert tuple(sorted(BUILDERS)) == tuple(sorted(MIXERS))


@pytest.mark.parametrize("mixer", MIXERS)
def test_saved_as_safetensors_and_loaded_again_it_computes_the_same(mixer, tmp_path):
    net = model(mixer, num_hidden_layers=2)
    net.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    tokens = ids(2, 20)
    for kind in (SequenceForPrediction, AutoModelForTokenClassification):
        again = kind.from_pretrained(tmp_path)
        assert again.config.shape == net.config.shape
        torch.testing.assert_close(again(input_ids=tokens).logits, net(input_ids=tokens).logits, rtol=0, atol=0)
    body = AutoModel.from_pretrained(tmp_path)
    assert isinstance(body, SequenceModel)
    expected = net.model(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(body(input_ids=tokens).last_hidden_state, expected, rtol=0, atol=0)


def test_configurations_survive_their_files(tmp_path):
    before = config("attention", head_dim=5, attention_scale=1.0, causal=False, ffn_size=0, positions="none")
    before.save_pretrained(tmp_path)
    after = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(after, SequenceConfig)
    assert after.shape == before.shape
    assert after.attention_scale == 1.0
    register()


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_step_form_of_a_whole_model_gives_its_logits(mixer):
    net, x = model(mixer, vocab_size=0, input_size=5, num_hidden_layers=2), vectors(2, 18, 5)
    logits, state = stepped(net, x)
    assert state.position == 18
    torch.testing.assert_close(logits, net(inputs_embeds=x).logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("mixer", MIXERS)
def test_a_prediction_never_depends_on_what_comes_after_it(mixer, attention):
    """Interleaved x_1, y_1, x_2, ...: the prediction at x_i may see neither y_i nor anything later."""
    net, x = model(mixer, vocab_size=0, input_size=5, num_hidden_layers=2), vectors(1, 16, 5)
    net.set_attn_implementation(attention)
    before = net(inputs_embeds=x).logits
    for place in range(0, 16, 2):
        changed = x.clone()
        changed[:, place + 1 :] += vectors(1, 15 - place, 5, seed=place)
        after = net(inputs_embeds=changed).logits
        torch.testing.assert_close(after[:, : place + 1], before[:, : place + 1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_without_a_causal_mask_sees_everything_but_padding(attention):
    net, tokens = model("attention", causal=False, num_hidden_layers=2), ids(2, 9)
    net.set_attn_implementation(attention)
    first = net(input_ids=tokens).logits[:, 0]
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 7
    assert (net(input_ids=changed).logits[:, 0] - first).abs().max() > 1e-3
    mask = torch.ones_like(tokens)
    mask[:, 6:] = 0
    padded = net(input_ids=tokens, attention_mask=mask).logits[:, :6]
    torch.testing.assert_close(padded, net(input_ids=tokens[:, :6]).logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mixer", MIXERS)
def test_padding_at_the_end_changes_nothing_before_it(mixer):
    net, tokens = model(mixer), ids(2, 9)
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    padded = net(input_ids=tokens, attention_mask=mask).logits
    torch.testing.assert_close(padded[1, :5], net(input_ids=tokens[1:, :5]).logits[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("causal", [True, False])
def test_a_head_computes_softmax_of_scaled_scores(attention, causal):
    """One head of one layer, written out, with a scale of 1 and a head wider than the model."""
    sizes = {"hidden_size": 6, "num_attention_heads": 1, "head_dim": 10, "attention_scale": 1.0, "causal": causal}
    plain = {"norm": "none", "ffn_size": 0, "positions": "none", "vocab_size": 0}
    net, x = model("attention", **sizes, **plain), vectors(2, 7, 6)
    net.set_attn_implementation(attention)
    mixer = net.model.layers[0].mixer
    q, k, v = (x @ mixer.qkv_proj.weight.T + mixer.qkv_proj.bias).split(10, dim=-1)
    scores = q @ k.transpose(1, 2)
    if causal:
        scores = scores.masked_fill(torch.ones(7, 7, dtype=torch.bool).triu(1), -torch.inf)
    expected = net.head(x + mixer.o_proj(scores.softmax(-1) @ v))
    torch.testing.assert_close(net(inputs_embeds=x).logits, expected, rtol=1e-9, atol=1e-9)


def test_attention_weights_and_hidden_states_can_be_asked_for():
    net = model("attention", num_hidden_layers=2)
    net.set_attn_implementation("eager")
    outputs = net(input_ids=ids(2, 9), output_attentions=True, output_hidden_states=True)
    assert [tuple(weights.shape) for weights in outputs.attentions] == [(2, 2, 9, 9)] * 2
    for weights in outputs.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 9, dtype=weights.dtype))
        assert weights.triu(1).abs().max() == 0
    assert len(outputs.hidden_states) == 3


def test_a_block_is_what_its_switches_say():
    net, x = model("gru", num_hidden_layers=1, vocab_size=0), vectors(2, 5, 8)
    block = net.model.layers[0]
    mixed = x + block.mixer(F.layer_norm(x, (8,), block.mixer_norm.weight, block.mixer_norm.bias, 1e-5))
    up, down = block.mlp.up_proj, block.mlp.down_proj
    normed = F.layer_norm(mixed, (8,), block.mlp_norm.weight, block.mlp_norm.bias, 1e-5)
    expected = mixed + down(F.gelu(up(normed)))
    torch.testing.assert_close(block(x), expected)
    bare = model("gru", vocab_size=0, residual=False, norm="none", ffn_activation="relu").model.layers[0]
    expected = bare.mlp.down_proj(bare.mlp.up_proj(bare.mixer(x)).relu())
    torch.testing.assert_close(bare(x), expected)


@pytest.mark.parametrize("mixer", MIXERS)
def test_checkpointed_activations_give_the_same_gradients(mixer):
    net, x = model(mixer, num_hidden_layers=2, vocab_size=0, input_size=5).train(), vectors(2, 9, 5)

    def gradients() -> list[torch.Tensor]:
        net.zero_grad()
        net(inputs_embeds=x).logits.square().mean().backward()
        return [weight.grad.clone() for weight in net.parameters()]

    plain = gradients()
    net.activation_checkpointing_enable()
    net.enable_input_require_grads()
    for checkpointed, expected in zip(gradients(), plain, strict=True):
        torch.testing.assert_close(checkpointed, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mixer", MIXERS)
def test_half_precision_runs_in_both_forms_and_stays_near(mixer, dtype):
    net, tokens = model(mixer, initializer_range=0.2), ids(2, 12)
    exact = net(input_ids=tokens).logits
    net.to(dtype)
    with torch.no_grad():
        got = net(input_ids=tokens).logits
        logits, state = stepped(net, tokens)
    assert got.dtype == dtype
    assert all(part.dtype == dtype for layer in state.layers for part in layer)
    for half in (got, logits):
        torch.testing.assert_close(half.double(), exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("mixer", MIXERS)
def test_autocast_and_the_trainers_preparation_work_and_leave_no_trace(mixer):
    net, tokens = model(mixer).float(), ids(2, 12)
    before = net(input_ids=tokens).logits
    path = ComputePath(dtype="bfloat16", attention="eager")
    with (
        prepared(net, path, TrainSettings(steps=1, batch_size=2, learning_rate=1e-3)),
        torch.autocast("cpu", torch.bfloat16),
    ):
        inside = net(input_ids=tokens).logits
        inside.float().square().mean().backward()
    torch.testing.assert_close(inside.float(), before, rtol=0.1, atol=0.1)
    assert all(weight.grad is not None for weight in net.parameters())
    net.zero_grad()
    torch.testing.assert_close(net(input_ids=tokens).logits, before, rtol=0, atol=0)


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_learns_to_say_the_token_before(mixer):
    """Two tokens, width 16: chance is a loss of 0.69; each mixer must bring what it saw one step ago to the output."""
    torch.manual_seed(0)
    net = SequenceForPrediction(
        SequenceConfig(mixer=mixer, vocab_size=2, hidden_size=16, num_attention_heads=2, max_positions=16)
    )
    optimizer, generator = torch.optim.AdamW(net.parameters(), lr=1e-2), torch.Generator().manual_seed(0)
    losses = []
    for _ in range(150):
        tokens = torch.randint(0, 2, (32, 12), generator=generator)
        logits = net(input_ids=tokens).logits[:, 1:]
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, :-1].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] > 0.6
    assert min(losses[-10:]) < 0.35


def test_one_input_of_the_right_kind_is_demanded():
    net = model("gru", vocab_size=0, input_size=5)
    with pytest.raises(ModelError, match="exactly one of input_ids and inputs_embeds"):
        net()
    with pytest.raises(ModelError, match="vocab_size=0, no tokens; pass inputs_embeds"):
        net(input_ids=ids(1, 3))
    with pytest.raises(ModelError, match=r"shape \(1, 3, 4\), the model reads \(batch, length, 5\)"):
        net(inputs_embeds=vectors(1, 3, 4))
    with pytest.raises(ModelError, match="exactly one"):
        model("gru")(input_ids=ids(1, 3), inputs_embeds=vectors(1, 3, 8))


def test_padding_before_tokens_and_other_masks_are_refused():
    net, tokens = model("attention"), ids(1, 3)
    with pytest.raises(ModelError, match="padding at the end of its rows; pad on the right"):
        net(input_ids=tokens, attention_mask=torch.tensor([[0, 1, 1]]))
    with pytest.raises(ModelError, match=r"attention_mask of shape \(1, 1, 3, 3\)"):
        net(input_ids=tokens, attention_mask=torch.ones(1, 1, 3, 3))


def test_sequences_beyond_the_table_are_refused_in_both_forms():
    net = model("attention", max_positions=4)
    with pytest.raises(ModelError, match="5 tokens is longer than max_positions=4"):
        net(input_ids=ids(1, 5))
    _, state = stepped(net, ids(1, 4))
    with pytest.raises(ModelError, match="5 tokens is longer than max_positions=4"):
        net.step(ids(1, 1)[:, 0], state)


def test_steps_of_bidirectional_attention_are_refused():
    net = model("attention", causal=False)
    with pytest.raises(ModelError, match="has no steps; use the parallel form"):
        net.step(ids(1, 1)[:, 0], net.initial_state(1))


def test_input_embeddings_are_the_table_or_what_reads_vectors():
    assert isinstance(model("lstm").get_input_embeddings(), nn.Embedding)
    assert isinstance(model("lstm", vocab_size=0, input_size=5).get_input_embeddings(), nn.Linear)
    assert isinstance(model("lstm", vocab_size=0).model.get_input_embeddings(), nn.Identity)


def test_recurrent_nets_start_as_torch_starts_them_and_matrices_as_configured():
    net = SequenceForPrediction(SequenceConfig(mixer="lstm", hidden_size=100, initializer_range=0.01, vocab_size=50))
    weight = net.model.layers[0].mixer.net.weight_hh_l0
    assert weight.abs().max() <= 0.1
    assert weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert net.model.layers[0].mlp.up_proj.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert net.head.bias.abs().max() == 0
