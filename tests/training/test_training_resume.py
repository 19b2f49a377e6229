"""A run killed anywhere and resumed ends with the bytes of one that never stopped."""

import json
import logging

import pytest
import torch
from training_toys import Killed, decoder, killer, mixture, packed, pairs, settings, stream, weights
from transformers import GPT2Config, GPT2LMHeadModel

from paribus.errors import ConfigError, ModelError
from paribus.training.compute import FP32, ComputePath
from paribus.training.objectives.causal import Causal
from paribus.training.objectives.dpo import DPO
from paribus.training.references import add_reference_logprobs
from paribus.training.settings import LoraSettings
from paribus.training.trainer import train


def with_dropout():
    torch.manual_seed(0)
    shape = {"vocab_size": 48, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(**shape, resid_pdrop=0.3, bos_token_id=1, eos_token_id=2)).eval()


CASES = {
    "adamw": (decoder, {}),
    "muon": (decoder, {"optimizer": "muon", "weight_decay": 0.1}),
    "dropout": (with_dropout, {}),
    "lora": (decoder, {"lora": LoraSettings(rank=2, dropout=0.2)}),
    "accumulated": (decoder, {"gradient_accumulation": 2, "warmup_steps": 5, "schedule": "linear"}),
    "bf16": (decoder, {}),
    "bf16 mixture": (mixture, {}),
    "mixture": (mixture, {"gradient_accumulation": 2, "router_learning_rate": 0.05, "router_weight_decay": 0.1}),
    "mixture, muon, frozen": (mixture, {"optimizer": "muon", "freeze": ("*.0.mlp.experts.*",), "weight_decay": 0.1}),
}


@pytest.mark.parametrize("name", CASES)
def test_killed_and_resumed_is_never_stopped(tmp_path, name):
    make, changes = CASES[name]
    run = settings(steps=9, checkpoint_every=3, **changes)
    compute = ComputePath(dtype="bfloat16", attention="eager") if "bf16" in name else FP32

    def go(directory, on_step=None):
        return train(
            make(), stream(packed()), Causal(), run, compute=compute, checkpoint_dir=directory, on_step=on_step
        )

    whole = go(tmp_path / "whole")
    # Before any checkpoint; between two; on a checkpoint's step before it is written; just after one; at the very end.
    for at in (2, 5, 6, 7, 9) if name == "adamw" else (5, 7):
        with pytest.raises(Killed):
            go(tmp_path / "killed", killer(at))
    resumed = go(tmp_path / "killed")
    assert resumed.resumed_at == 6
    assert weights(resumed.model) == weights(whole.model)
    assert resumed.history == whole.history
    assert (resumed.tokens, resumed.targets, resumed.flops) == (whole.tokens, whole.targets, whole.flops)


def test_checkpoints_do_not_change_the_run(tmp_path):
    with_them = train(
        decoder(), stream(packed()), Causal(), settings(checkpoint_every=2), checkpoint_dir=tmp_path / "here"
    )
    without = train(decoder(), stream(packed()), Causal(), settings())
    assert weights(with_them.model) == weights(without.model)


def test_preference_runs_resume_too(tmp_path):
    data = add_reference_logprobs(decoder(), pairs())
    run = settings(checkpoint_every=2)
    whole = train(decoder(), stream(data), DPO(), run)
    with pytest.raises(Killed):
        train(decoder(), stream(data), DPO(), run, checkpoint_dir=tmp_path, on_step=killer(5))
    resumed = train(decoder(), stream(data), DPO(), run, checkpoint_dir=tmp_path)
    assert resumed.resumed_at == 4
    assert weights(resumed.model) == weights(whole.model)
    assert resumed.history == whole.history


def test_a_finished_run_is_loaded_and_not_trained_further(tmp_path):
    run = settings(checkpoint_every=3)
    whole = train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path)
    steps = []
    again = train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path, on_step=steps.append)
    assert not steps
    assert again.resumed_at == 6
    assert weights(again.model) == weights(whole.model)
    assert again.history == whole.history


DAMAGE = {
    "weights changed": lambda folder: flip(folder / "model.safetensors"),
    "weights gone": lambda folder: (folder / "model.safetensors").unlink(),
    "optimizer cut": lambda folder: (folder / "optimizer.pt").write_bytes(b""),
    "never sealed": lambda folder: (folder / "sealed.json").unlink(),
    "seal cut": lambda folder: (folder / "sealed.json").write_text('{"files'),
}


def flip(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, caplog, damage):
    run = settings(steps=9, checkpoint_every=2)
    whole = train(decoder(), stream(packed()), Causal(), run)
    with pytest.raises(Killed):
        train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path, on_step=killer(7))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-4", "checkpoint-6"]
    DAMAGE[damage](tmp_path / "checkpoint-6")
    with caplog.at_level(logging.WARNING):
        resumed = train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path)
    assert resumed.resumed_at == 4
    assert f"The checkpoint {tmp_path / 'checkpoint-6'} is not used" in caplog.text
    assert weights(resumed.model) == weights(whole.model)
    assert resumed.history == whole.history


def test_all_damaged_starts_over_and_clears_them_away(tmp_path):
    run = settings(steps=6, checkpoint_every=2)
    whole = train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path)
    for folder in tmp_path.iterdir():
        flip(folder / "model.safetensors")
    with pytest.raises(Killed):
        train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path, on_step=killer(3))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]
    resumed = train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path)
    assert resumed.resumed_at == 2
    assert weights(resumed.model) == weights(whole.model)


CHANGES = {
    "learning_rate=0.01 then, 0.5 now": lambda: (stream(packed()), Causal(), {"learning_rate": 0.5}),
    "steps=6 then, 8 now": lambda: (stream(packed()), Causal(), {"steps": 8}),
    "stream_seed=0 then, 1 now": lambda: (stream(packed(), seed=1), Causal(), {}),
    "data_hash=": lambda: (stream(packed(seed=1)), Causal(), {}),
    r"average='token'.* then, .*average='example'": lambda: (stream(packed()), Causal(average="example"), {}),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_another_run_s_checkpoints_are_refused(tmp_path, sentence):
    train(decoder(), stream(packed()), Causal(), settings(checkpoint_every=3), checkpoint_dir=tmp_path)
    feed, objective, changes = CHANGES[sentence]()
    with pytest.raises(
        ConfigError, match=f"belongs to another run .*{sentence}.* give this run a directory of its own"
    ):
        train(decoder(), feed, objective, settings(checkpoint_every=3, **changes), checkpoint_dir=tmp_path)


def test_saving_more_often_is_no_other_run(tmp_path):
    run = settings(checkpoint_every=3)
    with pytest.raises(Killed):
        train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path, on_step=killer(4))
    oftener = run.model_copy(update={"checkpoint_every": 1})
    assert train(decoder(), stream(packed()), Causal(), oftener, checkpoint_dir=tmp_path).resumed_at == 3


def test_another_model_s_weights_are_refused(tmp_path):
    run = settings(checkpoint_every=3)
    with pytest.raises(Killed):
        train(decoder(), stream(packed()), Causal(), run, checkpoint_dir=tmp_path, on_step=killer(4))
    deeper = decoder(num_hidden_layers=3)
    with pytest.raises(ModelError, match=r"step 3 does not fit DecoderForCausalLM: 8 weights missing, 0 too many"):
        train(deeper, stream(packed()), Causal(), run, checkpoint_dir=tmp_path)


def test_a_resumed_run_keeps_the_checkpoint_s_compute_path(tmp_path):
    run = settings(checkpoint_every=3)
    chosen = ComputePath(dtype="bfloat16", attention="eager", reason="chosen there")
    with pytest.raises(Killed):
        train(decoder(), stream(packed()), Causal(), run, compute=chosen, checkpoint_dir=tmp_path, on_step=killer(4))
    resumed = train(decoder(), stream(packed()), Causal(), run, compute=FP32, checkpoint_dir=tmp_path)
    assert resumed.compute == chosen
    sealed = json.loads((tmp_path / "checkpoint-6" / "sealed.json").read_text())
    assert sealed["extra"]["compute"]["reason"] == "chosen there"
