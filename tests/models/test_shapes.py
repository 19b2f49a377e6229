"""Every integer of BAM's cost section, its two slips included, and what the formulas leave out by construction."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import ConfigError, ModelError
from paribus.models.shapes import MixtureShape, matched_steps

SMALL = MixtureShape(
    vocabulary=256_000, width=1024, layers=6, heads=8, kv_heads=8, head_dim=128, ffn_width=2048, tied=False
)
LARGE = MixtureShape(
    vocabulary=256_000, width=2304, layers=18, heads=18, kv_heads=6, head_dim=128, ffn_width=9216, tied=True
)
PRINTED_WIDTH = {"ffn_width": 2049}
"""BAM's table says a fused width of 4096; its printed operations fit 4098."""


def btx(dense, experts=4, top_k=1, **changes):
    return replace(dense, ffn_experts=experts, ffn_top_k=top_k, **changes)


def bam(dense, **changes):
    return replace(dense, attention_experts=4, ffn_experts=4, **changes)


@pytest.mark.parametrize(
    ("shape", "total"),
    [
        (SMALL, 587_209_728),
        (btx(SMALL), 700_480_512),
        (btx(SMALL, 5), 738_235_392),
        (btx(SMALL, 6), 775_990_272),
        (btx(SMALL, 7), 813_745_152),
        (btx(SMALL, 8), 851_500_032),
        (bam(SMALL), 776_002_560),
        (bam(SMALL, shared_kv=True), 738_253_824),
        (LARGE, 1_991_289_600),
        (btx(LARGE), 5_431_309_056),
        (bam(LARGE), 6_195_886_848),
        (bam(LARGE, shared_kv=True), 6_004_783_872),
    ],
)
def test_total_parameters_of_the_paper(shape, total):
    assert shape.total_parameters == total


@pytest.mark.parametrize(
    ("shape", "active"),
    [
        (SMALL, 587_209_728),
        (btx(SMALL), 587_234_304),
        (bam(SMALL), 662_756_352),
        (bam(SMALL, shared_kv=True), 625_007_616),
        (bam(LARGE), 2_756_033_280),
    ],
)
def test_active_parameters_count_both_routers(shape, active):
    assert shape.active_parameters == active


def test_the_paper_s_slips_are_what_it_left_out():
    router = 6 * 4 * 1024
    assert bam(SMALL).active_parameters - router == 662_731_776
    keys_and_values = 6 * 2 * 1024 * 1024
    assert bam(SMALL, shared_kv=True).active_parameters - keys_and_values - router == 612_400_128
    # "700M" for three of six experts is the size of BTX with four
    assert round(btx(SMALL, 6, 3).total_parameters / 1e6) == 776
    assert round(btx(SMALL).total_parameters / 1e6) == 700


def test_the_matched_active_arm_matches():
    assert btx(SMALL, 6, 3).active_parameters == pytest.approx(bam(SMALL).active_parameters, rel=1e-4)
    assert btx(SMALL, 6, 3).total_parameters == pytest.approx(bam(SMALL).total_parameters, rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "layer"),
    [(bam(SMALL), 48_257_024), (btx(SMALL), 21_510_144), (btx(SMALL, 6, 3), 46_692_352)],
)
def test_operations_a_layer_of_the_paper(shape, layer):
    printed = replace(shape, **PRINTED_WIDTH)
    logits = 2 * 1024 * 256_000
    assert printed.flops_per_token(256, with_logits=False, causal=True) == 6 * layer
    assert printed.flops_per_token(256, causal=True) == 6 * layer + logits
    # the table's own width gives two of gate, up and down less, per active expert
    typo = 6 * 2 * 3 * 1024 * shape.ffn_top_k
    assert shape.flops_per_token(256, with_logits=False, causal=True) == 6 * layer - typo


def test_bam_costs_twice_btx_without_the_logits_and_a_quarter_more_with_them():
    costs = [(bam(SMALL).flops_per_token(256, **how), btx(SMALL).flops_per_token(256, **how)) for how in BOTH_WAYS]
    assert [round(mine / theirs, 2) for mine, theirs in costs] == [2.24, 1.25]
    steps = [matched_steps(1000, btx(SMALL), bam(SMALL), context=256, **how) for how in BOTH_WAYS]
    assert steps == [446, 803]


BOTH_WAYS = [{"with_logits": False, "causal": True}, {"with_logits": True, "causal": True}]


def test_operations_by_hand():
    # D=8, L=1, H=2, K=1, A=3, F=5, V=7, N=3, E=4, k=2, context 10
    shape = MixtureShape(vocabulary=7, width=8, layers=1, heads=2, kv_heads=1, head_dim=3, ffn_width=5)
    mixture = replace(shape, attention_experts=3, ffn_experts=4, ffn_top_k=2)
    queries, keys, routers, feed_forward = 8 * 18, 8 * 9, 8 * (3 + 4), 2 * 3 * 8 * 5
    matrices = 2 * queries + 2 * keys + routers + feed_forward
    assert mixture.flops_per_token(10) == 2 * matrices + 2 * 2 * 10 * 18 + 2 * 8 * 7
    shared = replace(mixture, shared_kv=True)
    assert mixture.flops_per_token(10) - shared.flops_per_token(10) == 2 * 2 * (keys - 8 * 3)
    assert mixture.training_flops(10, 100) == 300 * mixture.flops_per_token(10)
    assert mixture.training_flops(10, 100, with_logits=False) == 300 * mixture.flops_per_token(10, with_logits=False)


def test_cache_of_the_paper_s_large_model():
    assert [s.kv_cache_bytes(1) for s in (LARGE, btx(LARGE), bam(LARGE, shared_kv=True))] == [55_296] * 3
    assert bam(LARGE).kv_cache_bytes(1) == 221_184
    assert bam(LARGE).kv_cache_bytes(100, bytes_per_value=4) == 200 * 221_184


def test_small_parts_are_counted():
    base = replace(bam(SMALL), layers=1)
    assert replace(base, block="sequential").total_parameters - base.total_parameters == 1024
    assert replace(base, tied=True).total_parameters == base.total_parameters - 256_000 * 1024
    assert replace(base, qkv_bias=True).total_parameters - base.total_parameters == 4 * 3 * 1024
    assert replace(base, qk_norm="rms").total_parameters - base.total_parameters == 4 * 2 * 128
    shared = replace(base, shared_kv=True, kv_heads=4)
    assert replace(shared, qk_norm="layer").total_parameters - shared.total_parameters == (4 * 8 + 4) * 128
    assert replace(shared, qkv_bias=True).total_parameters - shared.total_parameters == (4 * 8 + 2 * 4) * 128


@st.composite
def shapes(draw):
    size = st.integers(1, 6)
    kv_heads, experts = draw(size), draw(size)
    return MixtureShape(
        vocabulary=draw(st.integers(1, 50)),
        width=draw(size),
        layers=draw(size),
        heads=kv_heads * draw(size),
        kv_heads=kv_heads,
        head_dim=draw(size),
        ffn_width=draw(size),
        attention_experts=draw(size),
        shared_kv=draw(st.booleans()),
        ffn_experts=experts,
        ffn_top_k=draw(st.integers(1, experts)),
        tied=draw(st.booleans()),
        block=draw(st.sampled_from(["parallel", "sequential"])),
        qkv_bias=draw(st.booleans()),
        qk_norm=draw(st.sampled_from(["none", "rms", "layer"])),
    )


@given(shapes(), st.integers(1, 100))
def test_orders_that_hold_for_every_shape(shape, context):
    assert shape.embedding_parameters < shape.active_parameters <= shape.total_parameters
    assert (shape.active_parameters == shape.total_parameters) == (shape.ffn_top_k == shape.ffn_experts)
    assert shape.flops_per_token(context, causal=True) < shape.flops_per_token(context)
    dense = replace(shape, attention_experts=1, shared_kv=False, ffn_experts=1, ffn_top_k=1)
    assert dense.total_parameters <= shape.total_parameters
    assert dense.flops_per_token(context) <= shape.flops_per_token(context)
    assert replace(dense, shared_kv=True).total_parameters == dense.total_parameters


@given(shapes(), shapes(), st.integers(1, 64), st.integers(1, 10_000), st.booleans())
def test_matched_steps_spend_the_same_to_half_a_step(reference, arm, context, steps, with_logits):
    costs = [shape.flops_per_token(context, with_logits=with_logits) for shape in (reference, arm)]
    if steps * costs[0] / costs[1] < 0.5:
        with pytest.raises(ConfigError, match="less than one of the arm"):
            matched_steps(steps, reference, arm, context=context, with_logits=with_logits)
        return
    found = matched_steps(steps, reference, arm, context=context, with_logits=with_logits)
    assert abs(found * costs[1] - steps * costs[0]) <= costs[1] / 2 * (1 + 1e-9)
    assert matched_steps(steps, reference, reference, context=context, with_logits=with_logits) == steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "layers is 0; every size"),
        ({"attention_experts": -1}, "attention_experts is -1"),
        ({"kv_heads": 3}, "heads 8 is not a multiple of kv_heads 3"),
        ({"ffn_experts": 2, "ffn_top_k": 3}, "ffn_top_k 3 is more than the 2 FFN experts"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        replace(SMALL, **changes)


def test_a_context_below_one_is_refused():
    with pytest.raises(ModelError, match="context is 0"):
        SMALL.flops_per_token(0)


def test_other_architectures_are_sent_to_the_counter():
    with pytest.raises(ModelError, match=r"model type 'llama'.*paribus\.models\.count"):
        MixtureShape.of(SimpleNamespace(model_type="llama"))


def test_planning_imports_no_torch():
    code = "import sys, paribus.models.shapes; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
