import copy

import pytest
import torch
from torch.optim import AdamW, Muon
from training_toys import build, decoder, mixture, settings
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from paribus.errors import ConfigError
from paribus.training.optimizers import PairedOptimizer, build_optimizer, split_parameters


def names(model, chosen):
    by_id = {id(weight): name for name, weight in model.named_parameters()}
    return {by_id[id(weight)] for weight in chosen}


@pytest.mark.parametrize("tied", [True, False])
def test_decay_and_muon_touch_matrices_of_the_body_only(tied):
    model = decoder(tie_word_embeddings=tied)
    kinds = split_parameters(model)
    matrices, rest = kinds.matrices, kinds.rest
    layers = {f"model.layers.{layer}" for layer in range(2)}
    projections = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
    projections += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    assert names(model, matrices) == {f"{layer}.{projection}.weight" for layer in layers for projection in projections}
    assert names(model, rest) == {name for name, _ in model.named_parameters()} - names(model, matrices)
    assert not kinds.stacks and not kinds.routers
    assert ("lm_head.weight" in names(model, rest)) is not tied


def test_position_tables_and_biases_do_not_decay():
    shape = {"vocab_size": 48, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=1, eos_token_id=2))
    matrices = split_parameters(model).matrices
    assert all(name.endswith(("attn.weight", "proj.weight", "fc.weight")) for name in names(model, matrices))


def test_adamw_has_two_groups_that_differ_in_decay():
    model = decoder()
    optimizer = build_optimizer(model, settings(weight_decay=0.3, learning_rate=0.02, betas=(0.8, 0.99)))
    assert isinstance(optimizer, AdamW)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert all(group["lr"] == 0.02 and group["betas"] == (0.8, 0.99) for group in optimizer.param_groups)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


@pytest.mark.parametrize("experts", [1, 4])
def test_experts_are_stacks_and_routers_a_kind_of_their_own(experts):
    model = mixture(attention_experts=experts, ffn_experts=experts, qkv_bias=True, qk_norm="layer")
    kinds = split_parameters(model)
    ends = {
        "matrices": ("self_attn.qkv_proj.weight", "self_attn.o_proj.weight"),
        "stacks": ("mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
        "routers": ("self_attn.router.weight", "mlp.router.weight") if experts > 1 else (),
    }
    for kind, parts in ends.items():
        expected = {f"model.layers.{layer}.{part}" for layer in range(2) for part in parts}
        assert names(model, getattr(kinds, kind)) == expected
    assert sum(map(len, vars(kinds).values())) == len(list(model.parameters()))


def test_transformers_mixtures_are_sorted_alike():
    shape = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1}
    model = build(Qwen3MoeForCausalLM, Qwen3MoeConfig, **shape)
    kinds = split_parameters(model)
    assert names(model, kinds.routers) == {f"model.layers.{layer}.mlp.gate.weight" for layer in range(2)}
    assert all(".experts." in name for name in names(model, kinds.stacks)) and len(kinds.stacks) == 4
    assert all("_proj.weight" in name for name in names(model, kinds.matrices)) and len(kinds.matrices) == 8


def test_norms_of_heads_do_not_decay_though_they_are_two_dimensional():
    model = build(CohereForCausalLM, CohereConfig, use_qk_norm=True, num_key_value_heads=2)
    norm = model.model.layers[0].self_attn.q_norm.weight
    assert norm.ndim == 2 and min(norm.shape) > 1
    assert any(norm is weight for weight in split_parameters(model).rest)


def test_a_gated_feed_forward_is_no_router():
    model = build(LlamaForCausalLM, LlamaConfig)
    assert not split_parameters(model).routers
    assert any("gate_proj" in name for name in names(model, split_parameters(model).matrices))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_routers_have_settings_of_their_own(optimizer):
    run = settings(optimizer=optimizer, weight_decay=0.3, learning_rate=0.02)
    groups = build_optimizer(mixture(), run).param_groups
    own = build_optimizer(
        mixture(), run.model_copy(update={"router_learning_rate": 0.5, "router_weight_decay": 0.0})
    ).param_groups
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {(0.02, 0.3), (0.02, 0.0)}
    differing = [one for one, other in zip(own, groups, strict=True) if one["lr"] != other["lr"]]
    assert [(group["lr"], group["weight_decay"], len(group["params"])) for group in differing] == [(0.5, 0.0, 4)]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_expert_stacks_decay_like_matrices(optimizer):
    model = mixture()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    stepping = build_optimizer(
        model, settings(optimizer=optimizer, weight_decay=0.5, learning_rate=0.1, router_weight_decay=1.0)
    )
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    stepping.step()
    kinds = split_parameters(model)
    factors = dict.fromkeys(names(model, kinds.matrices + kinds.stacks), 0.95)
    factors |= dict.fromkeys(names(model, kinds.routers), 0.9)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, before[name] * factors.get(name, 1.0), msg=name)


def test_decay_shrinks_matrices_and_leaves_the_rest():
    model = decoder()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = build_optimizer(model, settings(weight_decay=0.5, learning_rate=0.1))
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    matrices = names(model, split_parameters(model).matrices)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, before[name] * (0.95 if name in matrices else 1.0))


def test_frozen_weights_are_left_out():
    model = build(LlamaForCausalLM, LlamaConfig)
    model.requires_grad_(False)
    model.model.norm.weight.requires_grad_(True)
    optimizer = build_optimizer(model, settings())
    assert names(model, [w for group in optimizer.param_groups for w in group["params"]]) == {"model.norm.weight"}
    with pytest.raises(ConfigError, match="this model has none outside its embeddings; use adamw"):
        build_optimizer(model, settings(optimizer="muon"))
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="no trainable parameter; check what was frozen"):
        build_optimizer(model, settings())


def grads(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)


def test_the_pair_steps_as_its_members_would_alone():
    together, apart = decoder(), decoder()
    run = settings(optimizer="muon", weight_decay=0.1)
    pair = build_optimizer(together, run)
    kinds = split_parameters(apart)
    alone = (
        Muon(kinds.matrices, lr=run.learning_rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        AdamW(kinds.rest, lr=run.learning_rate, betas=run.betas, weight_decay=0.0),
    )
    for step in range(3):
        grads(together, step)
        grads(apart, step)
        for group in pair.param_groups:
            group["lr"] = 0.01 / (step + 1)
        for group in (*alone[0].param_groups, *alone[1].param_groups):
            group["lr"] = 0.01 / (step + 1)
        pair.step()
        for optimizer in alone:
            optimizer.step()
    for one, other in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_pair_s_state_goes_round():
    models = decoder(), decoder()
    pairs = [build_optimizer(model, settings(optimizer="muon")) for model in models]
    grads(models[0], 0)
    pairs[0].step()
    models[1].load_state_dict(models[0].state_dict())
    # A copy, as a file would be: torch keeps the very tensors it is given.
    pairs[1].load_state_dict(copy.deepcopy(pairs[0].state_dict()))
    for model, optimizer in zip(models, pairs, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = 0.5
        grads(model, 1)
        optimizer.step()
        optimizer.zero_grad()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.grad is None


def test_the_pair_takes_no_closure():
    pair = build_optimizer(decoder(), settings(optimizer="muon"))
    assert isinstance(pair, PairedOptimizer)
    with pytest.raises(ConfigError, match="takes no closure"):
        pair.step(lambda: 0.0)
