import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from training_toys import SHAPE, VOCABULARY, build, conversation, conversations, decoder, every
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GemmaConfig,
    LlamaConfig,
    LlamaModel,
    Qwen2Config,
    Qwen3Config,
)

from paribus.data.chat import Encoded
from paribus.data.packing import IGNORE, PackedDataset, pack
from paribus.errors import ModelError
from paribus.models.decoder import DecoderConfig
from paribus.models.mixture import MixtureConfig
from paribus.training.objectives.causal import Causal, target_logits

CONFIGS = [DecoderConfig, MixtureConfig, LlamaConfig, GemmaConfig, Gemma2Config, Qwen2Config, Qwen3Config, CohereConfig]


def token_losses(model, row):
    """Cross-entropy of each learned token of one conversation, in float64, the long way."""
    ids = torch.tensor(row.input_ids, dtype=torch.long)
    with torch.no_grad():
        logprobs = model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
    return [-float(logprobs[t - 1, ids[t]]) for t in np.flatnonzero(row.completion_mask) if t > 0]


def one_per_row(rows):
    """The same conversations unpacked: one a row, padded."""
    longest = max(len(row) for row in rows)
    datasets = [pack([row], longest) for row in rows]
    names = ("input_ids", "labels", "position_ids", "segment_ids")
    return PackedDataset(*(np.concatenate([getattr(dataset, name) for dataset in datasets]) for name in names))


def from_config(config_class, attention):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config_class(**SHAPE), attn_implementation=attention).eval()


# Gemma 2 caps its attention scores, which transformers offers in eager attention only.
ARCHITECTURES = [(config, attention) for config in CONFIGS for attention in ("sdpa", "eager")]
ARCHITECTURES.remove((Gemma2Config, "sdpa"))


@pytest.mark.parametrize(("config_class", "attention"), ARCHITECTURES)
def test_packed_losses_of_any_architecture_are_those_of_the_conversations_alone(config_class, attention):
    model = from_config(config_class, attention)
    rows = conversations(10)
    losses = [token_losses(model, row) for row in rows]
    batch = every(pack(rows, 20))
    by_token = Causal().loss(model, batch)
    by_example = Causal(average="example").loss(model, batch)
    assert by_token.value.item() == pytest.approx(np.mean(np.concatenate(losses)), abs=2e-5)
    assert by_example.value.item() == pytest.approx(np.mean([np.mean(loss) for loss in losses]), abs=2e-5)
    assert by_token.targets == by_example.targets == sum(len(loss) for loss in losses)


@hypothesis_settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(2, 9), st.integers(0, 8)), min_size=1, max_size=6), length=st.integers(9, 20)
)
def test_packing_changes_neither_average(shapes, length):
    generator = np.random.default_rng(0)
    rows = [conversation(generator, size, min(prompt, size - 1)) for size, prompt in shapes]
    model = decoder()
    for average in ("token", "example"):
        objective = Causal(average=average)
        together, alone = every(pack(rows, length)), every(one_per_row(rows))
        assert objective.weight(together) == objective.weight(alone)
        torch.testing.assert_close(objective.loss(model, together).value, objective.loss(model, alone).value)


def test_weights_count_targets_and_examples():
    rows = [Encoded(np.arange(3, 3 + n, dtype=np.int32), np.arange(n) >= p) for n, p in ((6, 2), (4, 3), (5, 1))]
    batch = every(pack(rows, 10))
    assert Causal().weight(batch) == 4 + 1 + 4
    assert Causal(average="example").weight(batch) == 3


def test_prompt_tokens_get_no_gradient_from_their_own_prediction():
    model = decoder(tie_word_embeddings=False)
    row = Encoded(np.asarray([5, 6, 7, 8, 9], np.int32), np.asarray([0, 0, 0, 1, 1], bool))
    Causal().loss(model, every(pack([row], 5))).value.backward()
    # d loss / d lm_head[v] = mean_t (p_t(v) - [v = target_t]) h_t: rebuilt from the two target positions alone.
    with torch.no_grad():
        hidden = model.model(input_ids=torch.tensor([[5, 6, 7, 8, 9]])).last_hidden_state[0]
        gap = model.lm_head(hidden[2:4]).softmax(-1)
    gap[0, 8] -= 1
    gap[1, 9] -= 1
    torch.testing.assert_close(model.lm_head.weight.grad, gap.T @ hidden[2:4] / 2)


def test_the_first_token_of_a_segment_is_never_a_target():
    rows = [Encoded(np.asarray([5, 6, 7], np.int32), np.ones(3, bool)) for _ in range(2)]
    loss = Causal().loss(decoder(), every(pack(rows, 6)))
    assert loss.targets == 4


def test_the_output_layer_sees_targets_only():
    model = decoder()
    seen = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    batch = every(pack(conversations(6), 20))
    loss = Causal().loss(model, batch)
    assert seen == [(loss.targets, VOCABULARY)]


def test_losses_are_transformers_own_when_nothing_is_packed():
    model = decoder()
    batch = every(one_per_row(conversations(6)))
    labels = batch["labels"]
    mask = (batch["segment_ids"] > 0).long()
    theirs = model(input_ids=batch["input_ids"], attention_mask=mask, labels=labels).loss
    torch.testing.assert_close(Causal().loss(model, batch).value, theirs)


def test_the_hook_is_gone_after_a_failure():
    model = decoder()
    batch = {"input_ids": torch.full((1, 4), VOCABULARY), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    with pytest.raises(IndexError):
        target_logits(model, batch, torch.ones(1, 3, dtype=torch.bool))
    assert not model.lm_head._forward_pre_hooks


def test_a_model_without_an_output_layer_is_refused():
    bare = build(LlamaModel, LlamaConfig)
    batch = every(pack(conversations(2), 20))
    with pytest.raises(ModelError, match=r"LlamaModel has no output layer .* load a causal language model"):
        Causal().loss(bare, batch)


@pytest.mark.parametrize("average", ["token", "example"])
def test_a_micro_batch_without_any_target_adds_nothing(average):
    """Its share of the step is 0, and 0 times a mean over nothing would be NaN."""
    model = decoder()
    batch = every(pack(conversations(2), 20))
    batch["labels"] = torch.full_like(batch["labels"], IGNORE)
    objective = Causal(average=average)
    loss = objective.loss(model, batch)
    loss.value.backward()
    assert objective.weight(batch) == loss.targets == loss.value.item() == 0
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)
