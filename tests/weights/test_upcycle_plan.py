"""The plan of an upcycling, as arithmetic on shapes: every element has one source, and the mixture class agrees."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.models.mixture import MixtureForCausalLM
from paribus.models.shapes import MixtureShape
from paribus.weights.families import Architecture
from paribus.weights.upcycling import mixture_config
from paribus.weights.upcycling_plan import plan
from paribus.weights.upcycling_settings import DENSE, UpcycleSettings

DENSE_MODEL = Architecture(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=6,
    intermediate_size=24,
    max_position_embeddings=64,
    initializer_range=0.02,
    tie_word_embeddings=True,
    use_cache=True,
    pad_token_id=None,
    bos_token_id=None,
    eos_token_id=None,
    logit_scale=1.0,
    block="parallel",
    norm="layer",
    norm_eps=1e-5,
    rope_parameters={"rope_type": "default", "rope_theta": 1e4},
    rope_interleaved=True,
    hidden_act="silu",
    qkv_bias=False,
    qk_norm="none",
    embedding_scale=1.0,
    sliding_window=None,
)


@st.composite
def architectures(draw):
    return replace(
        DENSE_MODEL,
        block=draw(st.sampled_from(["parallel", "sequential"])),
        qkv_bias=draw(st.booleans()),
        qk_norm=draw(st.sampled_from(["none", "rms", "layer"])),
        tie_word_embeddings=draw(st.booleans()),
        num_key_value_heads=draw(st.sampled_from([1, 2, 4])),
    )


@st.composite
def upcyclings(draw):
    variant = draw(st.sampled_from(["expert_kv", "shared_kv", "btx", "sparse_upcycling", *DENSE]))
    models = draw(st.integers(2, 4))
    seed_model = draw(st.integers(0, models - 1))
    if variant in DENSE:
        return UpcycleSettings(variant, models, seed_model)
    named = st.just(seed_model) if variant == "sparse_upcycling" else st.integers(0, models - 1)
    split = draw(st.sampled_from([1, 2, 3, 4]))
    return UpcycleSettings(
        variant,
        models,
        seed_model,
        ffn_sources=draw(st.none() | st.lists(named, min_size=2, max_size=6).map(tuple)),
        split=split,
        blend=split > 1 and draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(dense=architectures(), chosen=upcyclings())
def test_every_element_has_a_source_and_the_mixture_class_has_these_tensors(dense, chosen):
    recipes, sources = plan(dense, chosen.assignment()), dense.tensors()
    for recipe in recipes:
        assert recipe.filled == ("router" in recipe.name)
        elements = 0
        for band in recipe.bands:
            assert len({piece.height for piece in band}) == 1
            for piece in band:
                width = sources[piece.tensor][-1]
                assert 0 <= piece.rows[0] < piece.rows[1] <= math.prod(sources[piece.tensor]) // width
                assert 0 <= piece.columns[0] < piece.columns[1] <= width
                assert set(piece.models) <= set(range(chosen.models))
                elements += piece.height * piece.width
        assert recipe.filled or elements == math.prod(recipe.shape)
    config = mixture_config(dense, chosen, torch.float32)
    with torch.device("meta"):
        model = MixtureForCausalLM(config)
    assert {recipe.name: recipe.shape for recipe in recipes} == {n: tuple(p.shape) for n, p in model.named_parameters()}
    assert sum(math.prod(recipe.shape) for recipe in recipes) == MixtureShape.of(config).total_parameters


@settings(max_examples=60, deadline=None)
@given(chosen=upcyclings())
def test_every_part_of_every_source_is_in_exactly_one_expert(chosen):
    parts = [part for expert in chosen.assignment().ffn for part in expert]
    if chosen.variant in DENSE:
        assert len(parts) == 1
        return
    expected = [((source,), number) for source in chosen.sources() for number in range(chosen.split)]
    assert sorted((part.models, part.number) for part in parts) == sorted(expected)


@pytest.mark.parametrize(
    ("variant", "total"),
    [("expert_kv", 776_002_560), ("shared_kv", 738_253_824), ("btx", 700_480_512), ("dense_average", 587_209_728)],
)
def test_the_papers_small_models_have_the_papers_parameters(variant, total):
    """BAM's 590M models (arXiv 2408.08274): width 1024, 6 layers, fused FFN width 4096, 256 k tokens, untied."""
    sizes = {"vocab_size": 256_000, "hidden_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8}
    small = replace(DENSE_MODEL, **sizes, num_key_value_heads=8, head_dim=128, intermediate_size=2048)
    untied = replace(small, tie_word_embeddings=False)
    recipes = plan(untied, UpcycleSettings(variant, 4).assignment())
    assert sum(math.prod(recipe.shape) for recipe in recipes) == total
