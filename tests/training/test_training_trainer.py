import copy
import logging
import sys
import warnings

import numpy as np
import pytest
import torch
from training_toys import (
    SHAPE,
    build,
    conversations,
    decoder,
    every,
    packed,
    pairs,
    samples,
    settings,
    stream,
    weights,
)
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    GemmaConfig,
    LlamaConfig,
    LlamaForSequenceClassification,
    Qwen2Config,
    Qwen3Config,
)

from paribus.data.packing import IGNORE, pack
from paribus.data.stream import BatchStream
from paribus.errors import ConfigError, DataError, ModelError
from paribus.models.decoder import DecoderConfig, DecoderForSequenceClassification
from paribus.training.compute import FP32, ComputePath
from paribus.training.objectives.causal import Causal
from paribus.training.objectives.dpo import DPO
from paribus.training.objectives.reward import Reward
from paribus.training.objectives.rloo import RLOO
from paribus.training.optimizers import build_optimizer
from paribus.training.references import add_reference_logprobs, add_sample_logprobs
from paribus.training.schedule import rate_at
from paribus.training.settings import LoraSettings
from paribus.training.trainer import train

BF16 = ComputePath(dtype="bfloat16", attention="eager")


def by_hand(model, feed, objective, run):
    """The same run as a bare loop."""
    optimizer = build_optimizer(model, run)
    losses = []
    for step in range(run.steps):
        for group in optimizer.param_groups:
            group["lr"] = run.learning_rate * rate_at(step, run)
        loss = objective.loss(model, feed.batch(step))
        loss.value.backward()
        if run.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), run.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.value.item())
    return losses


def assert_same_weights(first, second, **tolerance):
    for (name, one), (_, other) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


@pytest.mark.parametrize("changes", [{}, {"optimizer": "muon"}, {"max_grad_norm": 0.05}, {"weight_decay": 0.5}])
def test_a_run_is_the_bare_loop(changes):
    run = settings(warmup_steps=2, **changes)
    feed, model, bare = stream(packed()), decoder(), decoder()
    result = train(model, feed, Causal(), run)
    assert [row["loss"] for row in result.history] == by_hand(bare, feed, Causal(), run)
    assert weights(model) == weights(bare)


def test_equal_settings_give_equal_runs_and_another_seed_another():
    runs = [train(decoder(), stream(packed(), seed=seed), Causal(), settings()) for seed in (0, 0, 1)]
    assert weights(runs[0].model) == weights(runs[1].model)
    assert weights(runs[0].model) != weights(runs[2].model)


@pytest.mark.parametrize("average", ["token", "example"])
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_micro_batches_are_one_big_batch(average, parts):
    """Rows with very uneven numbers of targets and examples, so that a mean of means would be visibly wrong."""
    generator = np.random.default_rng(0)
    rows = conversations(20, shortest=3, longest=4) + conversations(4, seed=1, shortest=14, longest=16)
    feed = stream(pack([rows[i] for i in generator.permutation(24)], 16))
    objective = Causal(average=average)
    weights_of_rows = [objective.weight(feed.dataset.batch(np.array([row]))) for row in range(len(feed.dataset))]
    assert max(weights_of_rows) > 2 * min(weights_of_rows)
    whole = train(decoder(), feed, objective, settings())
    split = train(decoder(), feed, objective, settings(gradient_accumulation=parts))
    assert_same_weights(whole.model, split.model, atol=2e-5, rtol=1e-4)
    assert [row["loss"] for row in split.history] == pytest.approx([row["loss"] for row in whole.history], abs=1e-5)
    assert (split.tokens, split.targets, split.flops) == (whole.tokens, whole.targets, whole.flops)


def test_metrics_of_accumulated_micro_batches_are_those_of_the_whole():
    feed = stream(add_reference_logprobs(decoder(), pairs()))
    whole = train(decoder(), feed, DPO(), settings())
    split = train(decoder(), feed, DPO(), settings(gradient_accumulation=4))
    for one, other in zip(whole.history, split.history, strict=True):
        assert other == pytest.approx(one, abs=1e-5)


def test_a_micro_batch_without_targets_is_carried_and_a_step_without_any_is_refused():
    data = packed()
    data.labels[:2] = IGNORE
    feed = stream(data, batch_size=len(data))
    run = settings(batch_size=len(data), gradient_accumulation=len(data), steps=2)
    result = train(decoder(), feed, Causal(average="example"), run)
    assert all(np.isfinite(row["loss"]) for row in result.history)
    data.labels[:] = IGNORE
    with pytest.raises(DataError, match="Step 1 has no token to learn: every label of its 4 rows is masked"):
        train(decoder(), stream(data), Causal(), settings())


def test_tokens_targets_and_flops_are_counted():
    data, steps = packed(), 6
    feed = stream(data)
    seen = np.concatenate([feed.rows(step) for step in range(steps)])
    result = train(decoder(), feed, Causal(), settings(steps=steps))
    assert result.tokens == (data.segment_ids[seen] > 0).sum()
    assert result.targets == (data.labels[seen] != IGNORE).sum()
    # Width 16, 2 query heads and 1 key/value head of width 8, feed-forward 24, vocabulary 48, output layer tied.
    block = 2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 24 + 16
    assert result.flops == 6 * (2 * block + 16 + 16 * 48) * result.tokens
    assert result.steps == steps and result.seconds > 0 and result.resumed_at == 0


@pytest.mark.parametrize("tied", [True, False])
def test_an_output_layer_counts_once_whether_tied_or_not(tied):
    result = train(decoder(tie_word_embeddings=tied), stream(packed()), Causal(), settings(steps=1))
    assert result.flops == 6 * (2 * 1936 + 16 + 768) * result.tokens


def test_padded_pairs_count_their_tokens_and_completions():
    data = add_reference_logprobs(decoder(), pairs())
    result = train(decoder(), stream(data, batch_size=12), DPO(), settings(batch_size=12, steps=1))
    rows = (*data.chosen, *data.rejected)
    assert result.tokens == sum(len(row) for row in rows)
    assert result.targets == sum(int(row.completion_mask.sum()) for row in rows)


def test_every_step_is_reported_with_its_metrics():
    reports = []
    feed = stream(add_reference_logprobs(decoder(), pairs()))
    result = train(decoder(), feed, DPO(), settings(), on_step=reports.append)
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert all(report.total == 6 for report in reports)
    assert reports[-1].tokens == result.tokens
    assert [report.loss for report in reports] == [row["loss"] for row in result.history]
    assert reports[0].metrics["reward_margin"] == result.history[0]["reward_margin"]
    assert "loss" not in reports[0].metrics


OBJECTIVES = {
    "causal": lambda: (decoder(), packed(), Causal()),
    "dpo": lambda: (decoder(), add_reference_logprobs(decoder(), pairs(2)), DPO(beta=0.5)),
    "rloo": lambda: (decoder(), add_sample_logprobs(decoder(), decoder(), samples(2)), RLOO(samples=3)),
    "reward": lambda: (DecoderForSequenceClassification(DecoderConfig(**SHAPE, num_labels=1)), pairs(2), Reward()),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_goes_down(name):
    model, data, objective = OBJECTIVES[name]()
    result = train(model, stream(data, batch_size=2), objective, settings(batch_size=2, steps=15))
    losses = [row["loss"] for row in result.history]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.02


@pytest.mark.parametrize("config_class", [LlamaConfig, GemmaConfig, Qwen2Config, Qwen3Config, CohereConfig])
def test_architectures_of_transformers_train(config_class):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config_class(**SHAPE)).eval()
    reference = copy.deepcopy(model)
    losses = [row["loss"] for row in train(model, stream(packed(8)), Causal(), settings(steps=10)).history]
    assert losses[-1] < losses[0] - 0.1
    result = train(model, stream(add_reference_logprobs(reference, pairs())), DPO(), settings(steps=2))
    assert np.isfinite(result.history[-1]["loss"])


def test_activation_checkpointing_changes_nothing_but_the_memory():
    plain = train(decoder(), stream(packed()), Causal(), settings())
    model = decoder()
    spared = train(model, stream(packed()), Causal(), settings(activation_checkpointing=True))
    assert weights(plain.model) == weights(spared.model)
    assert not model.is_activation_checkpointing


@pytest.mark.parametrize("compute", [FP32, BF16], ids=["fp32", "bf16"])
def test_a_run_leaves_everything_but_the_weights_as_it_found_it(compute):
    model = decoder()
    before = set(vars(model))
    train(model, stream(packed()), Causal(), settings(activation_checkpointing=True), compute=compute)
    assert not model.training
    assert model.config.use_cache
    assert model.config._attn_implementation == "sdpa"
    assert set(vars(model)) == before
    assert model(input_ids=torch.tensor([[5, 6]])).logits.dtype == torch.float32
    assert not model.lm_head._forward_pre_hooks


def test_a_failed_run_leaves_the_model_as_it_found_it_too():
    model = decoder()
    before = set(vars(model))

    def stop(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, stream(packed()), Causal(), settings(activation_checkpointing=True), compute=BF16, on_step=stop)
    assert set(vars(model)) == before and not model.training and not model.is_activation_checkpointing


def test_bf16_is_used_in_a_second_run_of_the_same_model_as_well():
    model, types = decoder(), []
    model.model.layers[0].mlp.down_proj.register_forward_hook(lambda *inputs: types.append(inputs[-1].dtype))
    for compute in (FP32, BF16, FP32):
        train(model, stream(packed()), Causal(), settings(steps=1), compute=compute)
    assert types == [torch.float32, torch.bfloat16, torch.float32]
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


@pytest.mark.parametrize("changes", [{}, {"activation_checkpointing": True}, {"optimizer": "muon"}])
@pytest.mark.parametrize("compute", [FP32, BF16], ids=["fp32", "bf16"])
def test_training_is_quiet(tmp_path, capfd, caplog, changes, compute):
    run = settings(checkpoint_every=3, gradient_accumulation=2, **changes)
    for lora in (None, LoraSettings()):
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            for _ in range(2):
                directory = tmp_path / ("lora" if lora else "whole")
                train(
                    decoder(),
                    stream(packed()),
                    Causal(),
                    run.model_copy(update={"lora": lora}),
                    compute=compute,
                    checkpoint_dir=directory,
                )
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_lora_trains_its_adapters_only():
    model = decoder()
    before = weights(model)
    result = train(model, stream(packed(), seed=3), Causal(), settings(lora=LoraSettings(rank=2)))
    trained = {name for name, weight in result.model.named_parameters() if weight.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    # Seven matrices a layer, two layers, two factors each.
    assert len(trained) == 2 * 7 * 2
    after = {name.replace("base_layer.", ""): bits for name, bits in weights(result.model.get_base_model()).items()}
    assert {name: after[name] for name in before} == before
    assert any(
        float(weight.detach().abs().sum()) > 0 for name, weight in result.model.named_parameters() if "lora_B" in name
    )


def test_lora_of_named_layers_and_of_a_reward_model():
    result = train(decoder(), stream(packed()), Causal(), settings(lora=LoraSettings(targets=("q_proj",))))
    assert sum("lora_A" in name for name, _ in result.model.named_parameters()) == 2
    classifier = build(LlamaForSequenceClassification, LlamaConfig, num_labels=1)
    result = train(classifier, stream(pairs()), Reward(), settings(lora=LoraSettings()))
    trained = [name for name, weight in result.model.named_parameters() if weight.requires_grad]
    assert any("score" in name for name in trained), "a fresh head must be trained too"


def test_lora_without_peft_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(
        ModelError, match=r"LoRA needs peft, which is not installed; run `pip install 'paribus\[peft\]'`"
    ):
        train(decoder(), stream(packed()), Causal(), settings(lora=LoraSettings()))


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_the_step():
    model = decoder()

    def spoil(report):
        if report.step == 2:
            with torch.no_grad():
                model.model.norm.weight[0] = float("nan")

    with pytest.raises(ModelError, match=r"The loss is nan at step 3 of 6; lower learning_rate=0.01"):
        train(model, stream(packed()), Causal(), settings(), on_step=spoil)


def test_a_batch_that_cannot_be_split_is_refused():
    with pytest.raises(
        ConfigError, match=r"batch_size=4 cannot be split into 3 equal micro-batches .*change one of them"
    ):
        train(decoder(), stream(packed()), Causal(), settings(gradient_accumulation=3))


def test_dropout_is_on_while_training_and_seeded():
    def dropped(seed):
        model = build_gpt2()
        return weights(train(model, stream(packed()), Causal(), settings(seed=seed)).model)

    assert dropped(0) == dropped(0)
    assert dropped(0) != dropped(1)


def build_gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"vocab_size": 48, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2, "resid_pdrop": 0.3}
    return GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=1, eos_token_id=2)).eval()


def test_the_stream_decides_what_a_step_sees():
    data = packed()
    seen = []

    class Watching(Causal):
        def loss(self, model, batch):
            seen.append(batch["input_ids"])
            return super().loss(model, batch)

    feed = BatchStream(data, 4, 7)
    train(decoder(), feed, Watching(), settings(steps=3))
    for step, ids in enumerate(seen):
        torch.testing.assert_close(ids, feed.batch(step)["input_ids"])
    assert len(seen) == 3
    assert every(data)["input_ids"].shape[1] == 16
