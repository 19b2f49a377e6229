"""upcycle(): every tensor of the mixture against its sources, element by element; files, hashes and provenance."""

import json

import numpy as np
import pytest
import torch
from checkpoints import load
from dense_models import decoder_weights, save_decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.weights import checkpoint as checkpoint_module
from paribus.weights import upcycle, weights_hash
from paribus.weights.recipes import round_once

LAYER = "model.layers.1."
H, K, A, D, F = 4, 2, 6, 16, 24
MIXTURES = ("expert_kv", "shared_kv", "btx", "sparse_upcycling")
VARIANTS = (*MIXTURES, "dense_average", "dense_continued")


@pytest.fixture
def models(tmp_path):
    return [save_decoder(tmp_path / f"m{seed}", seed) for seed in range(3)]


@pytest.fixture
def weights():
    return [decoder_weights(seed) for seed in range(3)]


def mean(tensors):
    """The float64 mean, rounded to float32."""
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).float()


def attention(weights, name):
    return [model[f"{LAYER}self_attn.{name}_proj.weight"] for model in weights]


def ffn(model):
    """Gate over up, and down, as one expert stores them."""
    gate, up, down = (model[f"{LAYER}mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
    return torch.cat([gate, up]), down


def test_expert_kv_copies_every_models_attention_and_ffn_to_the_bit(tmp_path, models, weights):
    upcycle("expert_kv", models, tmp_path / "out")
    out = load(tmp_path / "out")
    q, k, v, o = (attention(weights, name) for name in "qkvo")
    assert out[f"{LAYER}self_attn.qkv_proj.weight"].equal(torch.cat([*q, *k, *v]))
    assert out[f"{LAYER}self_attn.o_proj.weight"].equal(torch.cat(o, dim=1))
    for number, model in enumerate(weights):
        gate_up, down = ffn(model)
        assert out[f"{LAYER}mlp.experts.gate_up_proj"][number].equal(gate_up)
        assert out[f"{LAYER}mlp.experts.down_proj"][number].equal(down)


def test_shared_kv_copies_queries_and_outputs_and_averages_keys_and_values(tmp_path, models, weights):
    upcycle("shared_kv", models, tmp_path / "out")
    out = load(tmp_path / "out")
    q, k, v, o = (attention(weights, name) for name in "qkvo")
    assert out[f"{LAYER}self_attn.qkv_proj.weight"].equal(torch.cat([*q, mean(k), mean(v)]))
    assert out[f"{LAYER}self_attn.o_proj.weight"].equal(torch.cat(o, dim=1))


def test_btx_averages_the_whole_attention_and_has_no_attention_router(tmp_path, models, weights):
    upcycle("btx", models, tmp_path / "out")
    out = load(tmp_path / "out")
    q, k, v, o = (mean(attention(weights, name)) for name in "qkvo")
    assert out[f"{LAYER}self_attn.qkv_proj.weight"].equal(torch.cat([q, k, v]))
    assert out[f"{LAYER}self_attn.o_proj.weight"].equal(o)
    assert f"{LAYER}self_attn.router.weight" not in out
    assert out[f"{LAYER}mlp.router.weight"].shape == (3, D)
    assert out[f"{LAYER}mlp.experts.down_proj"][2].equal(ffn(weights[2])[1])


@pytest.mark.parametrize("variant", ["expert_kv", "shared_kv", "btx", "dense_average"])
def test_all_that_is_no_expert_is_the_mean_with_no_difference_at_all(tmp_path, models, weights, variant):
    upcycle(variant, models, tmp_path / "out")
    out = load(tmp_path / "out")
    for name in ("model.embed_tokens.weight", "model.norm.weight", f"{LAYER}input_layernorm.weight"):
        assert (out[name] - mean([model[name] for model in weights])).abs().max() == 0


@pytest.mark.parametrize("seed_model", [0, 2])
def test_sparse_upcycling_and_dense_continued_know_the_seed_alone(tmp_path, models, weights, seed_model):
    upcycle("sparse_upcycling", models, tmp_path / "sparse", seed_model=seed_model)
    upcycle("dense_continued", models, tmp_path / "dense", seed_model=seed_model)
    sparse, dense, seed = load(tmp_path / "sparse"), load(tmp_path / "dense"), weights[seed_model]
    assert sparse[f"{LAYER}mlp.experts.gate_up_proj"].shape == (3, 2 * F, D)
    for expert in range(3):
        assert sparse[f"{LAYER}mlp.experts.gate_up_proj"][expert].equal(ffn(seed)[0])
    assert dense[f"{LAYER}mlp.experts.down_proj"][0].equal(ffn(seed)[1])
    for out in (sparse, dense):
        assert out["model.embed_tokens.weight"].equal(seed["model.embed_tokens.weight"])
        assert out[f"{LAYER}self_attn.o_proj.weight"].equal(seed[f"{LAYER}self_attn.o_proj.weight"])


def test_dense_average_of_one_model_is_that_model(tmp_path, models):
    upcycle("dense_average", models[:1], tmp_path / "average")
    upcycle("dense_continued", models[:1], tmp_path / "seed")
    assert weights_hash(tmp_path / "average") == weights_hash(tmp_path / "seed")


def test_ffn_sources_name_the_model_of_each_expert(tmp_path, models, weights):
    upcycle("btx", models, tmp_path / "out", ffn_sources=(0, 1, 2, 0, 0), ffn_top_k=3)
    stack = load(tmp_path / "out")[f"{LAYER}mlp.experts.gate_up_proj"]
    assert all(stack[n].equal(ffn(weights[source])[0]) for n, source in enumerate((0, 1, 2, 0, 0)))
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert (config["ffn_experts"], config["ffn_top_k"]) == (5, 3)


def apply_ffn(gate_up, down, x):
    gate, up = (x @ gate_up.T).chunk(2, dim=-1)
    return (torch.nn.functional.silu(gate) * up) @ down.T


@pytest.mark.parametrize("blend", [False, True])
def test_parts_of_split_ffns_sum_to_the_ffns(tmp_path, models, weights, blend):
    upcycle("btx", models, tmp_path / "out", split=4, blend=blend)
    out = load(tmp_path / "out")
    gate_up, down = (out[f"{LAYER}mlp.experts.{name}_proj"].double() for name in ("gate_up", "down"))
    assert gate_up.shape == ((4, 2 * 3 * F // 4, D) if blend else (12, 2 * F // 4, D))
    x = torch.randn(5, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    experts = torch.stack([apply_ffn(a, b, x) for a, b in zip(gate_up, down, strict=True)])
    dense = torch.stack([apply_ffn(*(t.double() for t in ffn(model)), x) for model in weights])
    torch.testing.assert_close(experts.sum(0), dense.sum(0), rtol=0, atol=1e-12)
    if not blend:  # the parts of one model lie behind each other
        torch.testing.assert_close(experts.unflatten(0, (3, 4)).sum(1), dense, rtol=0, atol=1e-12)


def test_a_blended_expert_has_one_part_of_every_model(tmp_path, models, weights):
    upcycle("btx", models, tmp_path / "out", split=2, blend=True)
    second = load(tmp_path / "out")[f"{LAYER}mlp.experts.gate_up_proj"][1]
    half = slice(F // 2, F)
    gates = [model[f"{LAYER}mlp.gate_proj.weight"][half] for model in weights]
    ups = [model[f"{LAYER}mlp.up_proj.weight"][half] for model in weights]
    assert second.equal(torch.cat([*gates, *ups]))


def test_routers_depend_on_seed_and_name_alone(tmp_path, models):
    for name, options in {
        "a": {},
        "two": {"ffn_sources": (2, 1, 0)},
        "other": {"router_seed": 1},
        "wide": {"router_std": 0.2},
        "zero": {"router_std": 0.0},
    }.items():
        upcycle("expert_kv", models, tmp_path / name, **options)
    a, two, other, wide, zero = (load(tmp_path / n) for n in ("a", "two", "other", "wide", "zero"))
    routers = [name for name in a if "router" in name]
    assert len(routers) == 4
    for name in routers:
        assert a[name].equal(two[name]) and not a[name].equal(other[name])
        torch.testing.assert_close(wide[name], 10 * a[name])
        assert zero[name].count_nonzero() == 0
    assert len({a[name].sum().item() for name in routers}) == 4
    assert 0.01 < torch.stack([a[name] for name in routers]).std() < 0.03


@pytest.mark.parametrize("variant", VARIANTS)
def test_hashes_are_those_of_the_files(tmp_path, models, variant):
    report = upcycle(variant, models, tmp_path / "out")
    assert report.weights_hash == weights_hash(tmp_path / "out")
    assert list(report.source_hashes) == [weights_hash(model) for model in models]
    assert report.parameters == sum(tensor.numel() for tensor in load(tmp_path / "out").values())


@pytest.mark.parametrize("options", [{"split": 3}, {"split": 2, "blend": True}, {"ffn_sources": (2, 0, 0)}])
def test_hashes_of_the_sources_survive_reading_in_pieces(tmp_path, models, monkeypatch, options):
    upcycle("btx", models, tmp_path / "whole", **options)
    monkeypatch.setattr(checkpoint_module, "CHUNK", 50)
    report = upcycle("btx", models, tmp_path / "pieces", shard_size="3KB", **options)
    assert list(report.source_hashes) == [weights_hash(model) for model in models]
    assert report.shards > 3 and report.weights_hash == weights_hash(tmp_path / "whole")


def rebuilt(tensor, sources):
    """A tensor made from its provenance alone."""
    bands = {}
    for piece in tensor.pieces:
        found = [sources[n][piece.tensor] for n in piece.models]
        rows, columns = slice(*piece.rows), slice(*piece.columns)
        cut = [value.reshape(-1, value.shape[-1])[rows, columns] for value in found]
        bands.setdefault(piece.band, []).append(mean(cut) if len(cut) > 1 else cut[0])
    return torch.cat([torch.cat(row, dim=1).flatten() for _, row in sorted(bands.items())]).reshape(tensor.shape)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_provenance_of_every_tensor_rebuilds_it(tmp_path, models, weights, variant):
    options = {"split": 2} if variant in MIXTURES else {}
    report = upcycle(variant, models, tmp_path / "out", **options)
    out = load(tmp_path / "out")
    assert {tensor.name for tensor in report.tensors} == set(out)
    for tensor in report.tensors:
        assert tensor.shape == out[tensor.name].shape and tensor.dtype == "float32"
        assert (tensor.origin == "drawn") == ("router" in tensor.name)
        if tensor.pieces:
            assert rebuilt(tensor, weights).equal(out[tensor.name]), tensor.name


def test_the_reproducible_part_of_the_report_does_not_change(tmp_path, models):
    first, second = (upcycle("expert_kv", models, tmp_path / name) for name in ("a", "b"))
    assert first.reproducible() == second.reproducible()
    text = json.dumps(first.reproducible())
    assert str(tmp_path) not in text and "seconds" not in text
    stored = json.loads((tmp_path / "a/upcycle_report.json").read_text())
    assert first.reproducible().items() <= stored.items()


def test_companions_come_from_the_seed_first(tmp_path, models):
    (models[0] / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    (models[1] / "chat_template.jinja").write_text("one")
    (models[2] / "chat_template.jinja").write_text("two")
    report = upcycle("btx", models, tmp_path / "out", seed_model=2)
    assert (tmp_path / "out/chat_template.jinja").read_text() == "two"
    assert {"tokenizer.json", "chat_template.jinja"} <= set(report.companions)
    assert json.loads((tmp_path / "out/config.json").read_text())["model_type"] == "paribus_mixture"


@pytest.mark.parametrize(("stored", "wanted"), [("bfloat16", None), ("float32", "bfloat16"), ("bfloat16", "float32")])
def test_dtypes_copies_and_means(tmp_path, stored, wanted):
    stored_type, out_type = getattr(torch, stored), getattr(torch, wanted or stored)
    models = [save_decoder(tmp_path / f"m{seed}", seed, dtype=stored_type) for seed in range(2)]
    upcycle("btx", models, tmp_path / "out", dtype=wanted)
    out, sources = load(tmp_path / "out"), [load(model) for model in models]
    assert {tensor.dtype for tensor in out.values()} == {out_type}
    assert out[f"{LAYER}mlp.experts.down_proj"][1].equal(sources[1][f"{LAYER}mlp.down_proj.weight"].to(out_type))
    exact = torch.stack([source["model.embed_tokens.weight"].double() for source in sources]).mean(0)
    assert out["model.embed_tokens.weight"].equal(exact.to(out_type))
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == str(out_type).removeprefix("torch.")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=64, allow_nan=False), min_size=1, max_size=30))
def test_float64_is_rounded_once_to_half_precision(values):
    with np.errstate(over="ignore"):
        expected = np.array(values, dtype=np.float64).astype(np.float16)  # numpy rounds once
    found = round_once(torch.tensor(values, dtype=torch.float64), torch.float16)
    assert np.array_equal(found.numpy(), expected)


def test_a_value_just_off_a_tie_is_not_rounded_as_the_tie():
    tie = 1.0 + 2.0**-8  # half way between two bfloat16 numbers
    values = torch.tensor([tie - 2.0**-40, tie, tie + 2.0**-40, float("inf"), -1e300], dtype=torch.float64)
    assert round_once(values, torch.bfloat16).tolist() == [1.0, 1.0, 1.0 + 2.0**-7, float("inf"), float("-inf")]
    assert values.to(torch.bfloat16).tolist()[2] == 1.0  # what torch alone does, by way of float32
