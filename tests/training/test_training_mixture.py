"""What a mixture adds to training: the routers' loss, frozen experts, active operations, the experts' backend."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch.nn import functional as F
from training_toys import (
    SHAPE,
    bare_loop,
    build,
    conversation,
    conversations,
    decoder,
    every,
    mixture,
    packed,
    pairs,
    settings,
    stream,
    weights,
)
from transformers import MixtralConfig, MixtralForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from paribus.data.packing import pack
from paribus.data.unpacked import one_a_row
from paribus.errors import ConfigError, ModelError
from paribus.models.shapes import MixtureShape
from paribus.training.compute import FP32
from paribus.training.objectives.base import Loss
from paribus.training.objectives.causal import Causal, real_tokens
from paribus.training.objectives.dpo import DPO
from paribus.training.preparation import frozen
from paribus.training.references import add_reference_logprobs
from paribus.training.settings import LoraSettings
from paribus.training.trainer import counted_parameters, train


def by_hand(model, conversations):
    """The routers' loss of conversations, each routed alone and unpadded, from the definitions."""
    with torch.no_grad():
        outputs = [model(torch.tensor(row.input_ids)[None].long(), output_routing=True) for row in conversations]
    total, config = 0.0, model.config
    for layer in range(config.num_hidden_layers):
        logits = torch.cat([output.router_logits[layer][0] for output in outputs]).double()
        picked = F.one_hot(logits.topk(config.ffn_top_k).indices, config.ffn_experts).double().mean((0, 1))
        balance = config.ffn_experts * (picked * logits.softmax(-1).mean(0)).sum()
        size = logits.logsumexp(-1).square().mean()
        total += float(config.load_balance_coefficient * balance + config.router_z_coefficient * size)
    return total


@pytest.mark.parametrize("top_k", [1, 3])
@pytest.mark.parametrize("length", [16, 40])
def test_the_regulariser_counts_the_conversations_tokens_and_no_pads(top_k, length):
    rows = conversations(9)
    model = mixture(ffn_top_k=top_k)
    expected = by_hand(model, rows)
    model.train()
    for data in (pack(rows, length), one_a_row(rows, length)):
        loss = Causal().loss(model, every(data))
        assert loss.regulariser.item() == pytest.approx(expected, rel=1e-5)
        in_evaluation = Causal().loss(copy.deepcopy(model).eval(), every(data))
        assert loss.value.item() == pytest.approx(in_evaluation.value.item(), rel=1e-6)


def test_there_is_no_regulariser_without_a_choice_or_outside_training():
    batch = every(packed())
    assert Causal().loss(mixture(), batch).regulariser is None
    assert Causal().loss(mixture(ffn_experts=1).train(), batch).regulariser is None
    assert Causal().loss(decoder().train(), batch).regulariser is None


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_is_the_loop_written_out(accumulation):
    run = settings(gradient_accumulation=accumulation, schedule="constant", weight_decay=0.1, router_learning_rate=0.03)
    ours, bare = mixture(), mixture()
    bare.set_experts_backend("loop")
    rows = bare_loop(bare, stream(packed()), run)
    result = train(ours, stream(packed()), Causal(), run, compute=FP32)
    assert [(row["loss"], row["aux_loss"]) for row in result.history] == [pytest.approx(row, rel=1e-5) for row in rows]
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight, bare.get_parameter(name), atol=1e-5, rtol=1e-4, msg=name)


def collapsed(**changes):
    """A mixture whose first expert takes every token: embeddings share a direction that its router row points to."""
    model = mixture(router_z_coefficient=0.0, ffn_gate_norm="renormalised", **changes)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] += 3.0
        for layer in model.model.layers:
            layer.mlp.router.weight[:, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    return model


def first_load(model):
    """Share of tokens that the first expert of the first layer gets."""
    batch = every(packed())
    with torch.no_grad():
        logits = model(batch["input_ids"], output_routing=True).router_logits[0]
    return float((logits.argmax(-1)[real_tokens(batch)] == 0).double().mean())


def test_the_regulariser_brings_a_collapsed_router_back():
    """Renormalised top-1 gates are 1, so the regulariser is all that such a router learns from."""
    everything_else = ("*.self_attn.*", "*.experts.*", "*norm*", "*embed*")
    run = settings(steps=30, schedule="constant", learning_rate=0.05, freeze=everything_else)
    loads = []
    for coefficient in (0.0, 1.0):
        model = collapsed(load_balance_coefficient=coefficient)
        assert first_load(model) == 1.0
        loads.append(first_load(train(model, stream(packed()), Causal(), run, compute=FP32).model))
    assert loads[0] == 1.0
    assert loads[1] < 0.6


class Broken(Causal):
    def loss(self, model, batch):
        found = super().loss(model, batch)
        return Loss(found.value, found.targets, regulariser=found.value * float("inf"))


def test_a_regulariser_that_is_not_finite_stops_the_run():
    with pytest.raises(ModelError, match="The loss is inf at step 1 of 6"):
        train(decoder(), stream(packed()), Broken(), settings(), compute=FP32)


# ---- Frozen parameters -----------------------------------------------------------------------------------------------

EXPERTS = ("*.mlp.experts.*", "*.self_attn.qkv_proj.*", "*.self_attn.o_proj.*")


def test_frozen_parameters_stay_and_the_others_learn():
    model = mixture()
    before = weights(model)
    train(model, stream(packed()), Causal(), settings(freeze=EXPERTS, weight_decay=0.5), compute=FP32)
    after = weights(model)
    stayed = {name for name in before if before[name] == after[name]}
    assert stayed == {name for name in before if any(part in name for part in ("experts", "qkv_proj", "o_proj"))}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_was_frozen_before_stays_frozen_afterwards():
    model = mixture()
    model.lm_head.weight.requires_grad_(False)
    train(model, stream(packed()), Causal(), settings(steps=1, freeze=("*embed_tokens*", "*norm*")), compute=FP32)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["model.embed_tokens.weight"]


def test_a_pattern_without_a_parameter_is_refused_and_leaves_nothing_frozen():
    model = mixture()
    with pytest.raises(ConfigError, match=r"pattern '\*\.expert\.\*', which no parameter of Mixture"):
        train(model, stream(packed()), Causal(), settings(freeze=("*.experts.*", "*.expert.*")), compute=FP32)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_parameters_are_free_again_after_a_failure():
    model = mixture()
    with pytest.raises(ZeroDivisionError), frozen(model, EXPERTS):
        assert not model.model.layers[0].mlp.experts.down_proj.requires_grad
        raise ZeroDivisionError
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_everything_frozen_is_refused():
    with pytest.raises(ConfigError, match="no trainable parameter"):
        train(mixture(), stream(packed()), Causal(), settings(freeze=("*",)), compute=FP32)


# ---- Counting --------------------------------------------------------------------------------------------------------


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    experts=st.integers(1, 5),
    top_k=st.integers(1, 5),
    attention=st.integers(1, 3),
    shared=st.booleans(),
    tied=st.booleans(),
)
def test_operations_count_the_parameters_a_token_meets(experts, top_k, attention, shared, tied):
    changes = {"ffn_experts": experts, "ffn_top_k": min(top_k, experts), "attention_experts": attention}
    model = mixture(**changes, shared_kv=shared, tie_word_embeddings=tied)
    lookup = 0 if tied else SHAPE["vocab_size"] * SHAPE["hidden_size"]
    assert counted_parameters(model) == MixtureShape.of(model.config).active_parameters - lookup


def test_a_run_s_operations_are_those_of_active_parameters():
    result = train(mixture(), stream(packed()), Causal(), settings(steps=2), compute=FP32)
    assert result.flops == 6.0 * MixtureShape.of(result.model.config).active_parameters * result.tokens


# ---- The experts' backend --------------------------------------------------------------------------------------------


def test_a_run_records_the_backend_uses_it_and_puts_the_model_back(monkeypatch):
    seen = set()

    def watch(report):
        seen.add(model.experts_backend)

    model = mixture()
    short = train(model, stream(packed()), Causal(), settings(), on_step=watch)
    assert (short.compute.experts, seen, model.experts_backend) == ("loop", {"loop"}, "auto")
    model.set_experts_backend("dense")
    kept = train(model, stream(packed()), Causal(), settings(), compute=FP32, on_step=watch)
    assert (kept.compute.experts, seen, model.experts_backend) == ("dense", {"loop", "dense"}, "dense")
    told = FP32.model_copy(update={"experts": "grouped_mm"})
    train(model, stream(packed()), Causal(), settings(), compute=told, on_step=watch)
    assert (seen, model.experts_backend) == ({"loop", "dense", "grouped_mm"}, "dense")


def test_a_long_run_measures_the_backend_for_the_tokens_of_its_passes(monkeypatch):
    asked = []

    def fastest(config, *, tokens, device, dtype):
        asked.append((config.ffn_experts, tokens, device, dtype))
        return "grouped_mm"

    monkeypatch.setattr("paribus.models.experts.fastest_backend", fastest)
    run = settings(steps=50, batch_size=2, gradient_accumulation=2)
    result = train(mixture(), stream(packed(), batch_size=2), Causal(), run, compute=FP32)
    assert result.compute.experts == "grouped_mm"
    assert asked == [(4, 16, "cpu", torch.float32)]


@pytest.mark.parametrize("backend", ["grouped_mm", "dense"])
def test_backends_end_in_the_same_place(backend):
    runs = [
        train(mixture(ffn_top_k=2), stream(packed()), Causal(), settings(), compute=path)
        for path in (FP32, FP32.model_copy(update={"experts": backend}))
    ]
    assert [run.compute.experts for run in runs] == ["loop", backend]
    for name, weight in runs[0].model.named_parameters():
        torch.testing.assert_close(weight, runs[1].model.get_parameter(name), atol=1e-4, rtol=1e-3, msg=name)


def test_a_dense_model_s_path_names_no_backend():
    for dense in (decoder(), mixture(ffn_experts=1)):
        assert train(dense, stream(packed()), Causal(), settings(steps=1)).compute.experts is None


# ---- Other objectives, adapters, transformers' own mixtures ----------------------------------------------------------


def test_preferences_and_adapters_train_mixtures_too():
    data = add_reference_logprobs(mixture(), pairs())
    assert "aux_loss" not in train(mixture(), stream(data), DPO(), settings(), compute=FP32).history[0]
    model = mixture()
    adapted = train(model, stream(packed()), Causal(), settings(lora=LoraSettings(rank=2)), compute=FP32)
    assert adapted.compute.experts == "loop"
    assert adapted.history[0]["aux_loss"] > 0
    learned = {name for name, p in adapted.model.named_parameters() if p.requires_grad}
    assert learned and all("lora" in name for name in learned)


HUB = {
    "mixtral": (MixtralForCausalLM, MixtralConfig, {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3": (
        Qwen3MoeForCausalLM,
        Qwen3MoeConfig,
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1},
    ),
}


@pytest.mark.parametrize("name", HUB)
def test_transformers_own_mixtures_balance_only_if_their_configuration_says_so(name):
    model_class, config_class, changes = HUB[name]
    quiet = build(model_class, config_class, **changes)
    assert "aux_loss" not in train(quiet, stream(packed()), Causal(), settings(steps=2), compute=FP32).history[0]

    generator = np.random.default_rng(0)
    rows = [conversation(generator, length, 2) for length in (5, 9, 7, 9)]
    model = build(model_class, config_class, **changes, output_router_logits=True, router_aux_loss_coef=0.25)
    model.train()
    batch = every(one_a_row(rows, 9))
    loss = Causal().loss(model, batch)
    theirs = model(**batch)
    assert loss.regulariser.item() == pytest.approx(0.25 * theirs.aux_loss.item(), rel=1e-6)
    assert (loss.value + loss.regulariser).item() == pytest.approx(theirs.loss.item(), rel=1e-5)
    result = train(model, stream(one_a_row(rows, 9)), Causal(), settings(steps=2), compute=FP32)
    assert result.history[0]["aux_loss"] > 0
