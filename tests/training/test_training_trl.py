"""Our losses against TRL's on the same batches."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from training_toys import VOCABULARY, build, conversations, decoder, every, pairs
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

from paribus.data.packing import pack
from paribus.training.objectives.causal import Causal
from paribus.training.objectives.dpo import DPO
from paribus.training.objectives.reward import Reward
from paribus.training.references import add_reference_logprobs

# TRL's defaults of bf16 and checkpointing do not suit a CPU in float32.
COMMON = {
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "report_to": [],
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}


# Special tokens are found anywhere in a text, so that none may begin the name of another.
WORDS = ["<pad>", "<bos>", "<end>", *(f"w{index}" for index in range(3, VOCABULARY))]
PADDED = ("input_ids", "attention_mask", "completion_mask")


@pytest.fixture(scope="module")
def tokenizer():
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<bos>", eos_token="<end>")


@pytest.fixture
def arguments(tmp_path, tokenizer):
    return lambda config, rows, **more: {
        "args": config(output_dir=str(tmp_path), per_device_train_batch_size=64, **COMMON, **more),
        "train_dataset": Dataset.from_list(rows),
        "processing_class": tokenizer,
    }


def text(ids):
    return " ".join(WORDS[index] for index in ids)


def with_end(dataset):
    """TRL ends every completion with the end token; so do these pairs."""
    for row in (*dataset.chosen, *dataset.rejected):
        row.input_ids[-1] = 2
    return dataset


def written_out(dataset):
    """Pairs as rows of text."""
    rows = []
    for chosen, rejected in zip(dataset.chosen, dataset.rejected, strict=True):
        prompt, good = chosen.input_ids[~chosen.completion_mask], chosen.input_ids[chosen.completion_mask]
        bad = rejected.input_ids[rejected.completion_mask]
        rows.append({"prompt": text(prompt), "chosen": " " + text(good), "rejected": " " + text(bad)})
    return rows


def only_batch(trainer):
    batches = list(trainer.get_train_dataloader())
    assert len(batches) == 1
    return batches[0]


def exchanged(theirs):
    """The same batch with chosen and rejected exchanged."""
    rows = {name: theirs[name].roll(len(theirs[name]) // 2, 0) for name in PADDED}
    return rows | {"ref_chosen_logps": theirs["ref_rejected_logps"], "ref_rejected_logps": theirs["ref_chosen_logps"]}


@pytest.mark.parametrize("make", [decoder, lambda: build(LlamaForCausalLM, LlamaConfig)], ids=["decoder", "llama"])
@pytest.mark.parametrize(("beta", "label_smoothing"), [(0.1, 0.0), (0.5, 0.0), (0.5, 0.2)])
def test_dpo(arguments, make, beta, label_smoothing):
    """TRL's sigmoid loss knows no smoothing; by definition it is the mixture of the losses of both labellings."""
    rows = written_out(with_end(pairs()))
    policy = make()
    more = {"beta": beta, "precompute_ref_log_probs": True}
    trainer = DPOTrainer(policy, ref_model=make(), **arguments(DPOConfig, rows, **more))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.05 * torch.randn_like(weight)
    theirs = only_batch(trainer)
    reference = torch.stack([theirs["ref_chosen_logps"], theirs["ref_rejected_logps"]], dim=1)
    ours = DPO(beta, label_smoothing).loss(policy, {name: theirs[name] for name in PADDED} | {"reference": reference})
    clean, flipped = (trainer.compute_loss(policy, dict(batch)).item() for batch in (theirs, exchanged(theirs)))
    assert ours.value.item() == pytest.approx((1 - label_smoothing) * clean + label_smoothing * flipped, abs=1e-5)
    metrics = {name: values[0] for name, values in trainer._metrics["eval"].items() if name.startswith("rewards")}
    assert ours.metrics["reward_accuracy"].item() == pytest.approx(metrics["rewards/accuracies"])
    assert ours.metrics["reward_margin"].item() == pytest.approx(metrics["rewards/margins"], abs=1e-5)
    assert ours.metrics["chosen_reward"].item() == pytest.approx(metrics["rewards/chosen"], abs=1e-5)


def test_reference_log_probabilities(arguments):
    data = with_end(pairs())
    rows = written_out(data)
    trainer = DPOTrainer(decoder(), ref_model=decoder(), **arguments(DPOConfig, rows, precompute_ref_log_probs=True))
    theirs = [trainer.train_dataset["ref_chosen_logps"], trainer.train_dataset["ref_rejected_logps"]]
    ours = add_reference_logprobs(decoder(), data).reference
    torch.testing.assert_close(torch.tensor(theirs).double().T, torch.from_numpy(ours), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("use_margin", "centre"), [(False, 0.0), (True, 0.1)])
def test_reward(arguments, use_margin, centre):
    data = pairs()
    rows = [
        {"chosen_ids": chosen.input_ids.tolist(), "rejected_ids": rejected.input_ids.tolist()}
        | ({"margin": float(margin)} if use_margin else {})
        for chosen, rejected, margin in zip(data.chosen, data.rejected, data.margins, strict=True)
    ]
    model = build(LlamaForSequenceClassification, LlamaConfig, num_labels=1)
    more = {"center_rewards_coefficient": centre or None}
    trainer = RewardTrainer(model, **arguments(RewardConfig, rows, **more))
    theirs = only_batch(trainer)
    batch = {name: theirs[name] for name in ("input_ids", "attention_mask")}
    ours = Reward(use_margin=use_margin, centre=centre).loss(model, batch | {"margins": theirs.get("margin")})
    assert ours.value.item() == pytest.approx(trainer.compute_loss(model, dict(theirs)).item(), abs=1e-5)
    assert ours.metrics["accuracy"].item() == pytest.approx(trainer._metrics["eval"]["accuracy"][0])
    assert ours.metrics["gap"].item() == pytest.approx(trainer._metrics["eval"]["margin"][0], abs=1e-5)


@pytest.mark.parametrize("make", [decoder, lambda: build(LlamaForCausalLM, LlamaConfig)], ids=["decoder", "llama"])
def test_sft(arguments, make):
    rows = conversations(10)
    labelled = [
        {"input_ids": row.input_ids.tolist(), "labels": np.where(row.completion_mask, row.input_ids, -100).tolist()}
        for row in rows
    ]
    model = make()
    trainer = SFTTrainer(model, **arguments(SFTConfig, labelled))
    expected = trainer.compute_loss(model, dict(only_batch(trainer)))
    assert Causal().loss(model, every(pack(rows, 24))).value.item() == pytest.approx(expected.item(), abs=1e-5)
