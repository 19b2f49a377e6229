"""N attention experts in one attention call are the sum over experts; gates sum to one; nothing looks ahead."""

import copy

import pytest
import torch
from mixture_cases import LLAMA, VARIANTS, ids, mixture
from mixture_peers import mixture_of
from test_mixture_dense import dense
from torch import Tensor
from torch.nn import functional as F

from paribus.models.decoder import rotate
from paribus.models.mixture_attention import MixtureAttention
from paribus.models.rotary import rotate_halves
from paribus.models.routing import soft_gates


def by_hand(attention: MixtureAttention, x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """sum_j g_j(x) Attention_j(x), expert by expert and head by head."""
    config = attention.config
    N, M, H, K, A = config.attention_experts, config.kv_experts, config.num_attention_heads, 2, config.head_dim
    weights = attention.qkv_proj.weight.split([N * H * A, M * K * A, M * K * A])
    bias = attention.qkv_proj.bias
    biases = bias.split([N * H * A, M * K * A, M * K * A]) if bias is not None else (None,) * 3
    turn = rotate if config.rope_interleaved else rotate_halves
    gates = soft_gates(x @ attention.router.weight.T, config.attention_top_k, config.attention_gate_norm)
    places = torch.arange(x.shape[1])
    seen = places[:, None] >= places
    if config.sliding_window:
        seen &= places[:, None] - places < config.sliding_window
    total = torch.zeros_like(x)
    for expert in range(N):
        for head in range(H):
            source, kv_head = (0 if config.shared_kv else expert), head // (H // K)
            heads = []
            for which, place in enumerate((expert * H + head, source * K + kv_head, source * K + kv_head)):
                rows = slice(place * A, (place + 1) * A)
                heads.append(F.linear(x, weights[which][rows], biases[which][rows] if bias is not None else None))
            q, k, v = heads
            if config.qk_norm == "rms":
                q = F.rms_norm(q, (A,), attention.q_norm.weight[expert], config.norm_eps)
                k = F.rms_norm(k, (A,), attention.k_norm.weight[source], config.norm_eps)
            elif config.qk_norm == "layer":
                q = F.layer_norm(q, (A,), attention.q_norm.weight[expert, head], eps=config.norm_eps)
                k = F.layer_norm(k, (A,), attention.k_norm.weight[source, kv_head], eps=config.norm_eps)
            q, k = turn(q[:, None], *tables)[:, 0], turn(k[:, None], *tables)[:, 0]
            scores = (q @ k.mT / A**0.5).masked_fill(~seen, float("-inf"))
            columns = slice((expert * H + head) * A, (expert * H + head + 1) * A)
            total += gates[..., expert, None] * (scores.softmax(-1) @ v) @ attention.o_proj.weight[:, columns].T
    return total


@pytest.mark.parametrize("shared_kv", [False, True])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"qk_norm": "layer", "qkv_bias": True},
        {**LLAMA, "qk_norm": "rms", "qkv_bias": True},
        {**LLAMA, "sliding_window": 3, "head_dim": 10},
        {"attention_top_k": 1},
        {"attention_top_k": 2, "attention_gate_norm": "renormalised"},
    ],
)
def test_stacked_heads_are_the_sum_over_experts(changes, implementation, shared_kv):
    model = mixture(
        "bam, own keys", shared_kv=shared_kv, dtype=torch.float64, num_attention_heads=6, **{"head_dim": 8, **changes}
    )
    model.set_attn_implementation(implementation)
    attention = model.model.layers[1].self_attn
    seen = []
    attention.register_forward_hook(
        lambda module, args, kwargs, out: seen.append((args[0], kwargs["tables"], out[0])), with_kwargs=True
    )
    model(ids(2, 7))
    x, tables, got = seen[0]
    assert got.std() > 0.01
    torch.testing.assert_close(got, by_hand(attention, x, tables), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["decoder", "qwen3"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shared_kv": True},
        {"ffn_top_k": 2},
        {"attention_top_k": 2, "attention_gate_norm": "renormalised"},
        {"ffn_gate_norm": "raw", "ffn_top_k": 3},
        {"ffn_gate_norm": "scaled", "router": 0.0},
    ],
)
def test_identical_experts_with_gates_that_sum_to_one_are_the_seed(kind, changes):
    seed = dense(kind)
    router = changes.get("router", 1.0)
    changes = {"ffn_gate_norm": "renormalised", **{name: value for name, value in changes.items() if name != "router"}}
    model = mixture_of([seed] * 3, **changes)
    set_routers(model, router)
    tokens = ids(2, 9)
    torch.testing.assert_close(model(tokens).logits, mixture_of([seed])(tokens).logits, rtol=1e-11, atol=1e-11)


def set_routers(model: torch.nn.Module, std: float) -> None:
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        if "router" in name:
            weight.data = std * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)


def test_identical_experts_with_the_papers_gate_scale_the_branch_by_the_largest_probability():
    """y - x - A(h) = p_max(h) F(h): the mixture starts away from its seed, as the paper's does."""
    model = mixture_of([dense("decoder")] * 4)
    set_routers(model, 1.0)
    block, seed = model.model.layers[0], mixture_of([dense("decoder")]).model.layers[0]
    x = torch.randn(2, 5, 64, dtype=torch.float64)
    tables = model.model.rotary(torch.arange(5)[None], x.dtype)
    y, logits, _ = block(x, tables=tables, attention_mask=None, past_key_values=None)
    h = block.input_layernorm(x)
    attended = block.self_attn(h, tables, None, None)[0]
    largest = logits.softmax(-1).amax(-1, keepdim=True)
    assert largest.min() < 0.95
    torch.testing.assert_close(y - x - attended, largest * seed.mlp(h)[0], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("shared_kv", [False, True])
def test_a_router_of_zeros_averages_the_attention_experts(shared_kv):
    model = mixture("bam, own keys", shared_kv=shared_kv, dtype=torch.float64)
    attention = model.model.layers[0].self_attn
    torch.nn.init.zeros_(attention.router.weight)
    x, N, A = torch.randn(2, 5, 32, dtype=torch.float64), 3, 8
    tables = model.model.rotary(torch.arange(5)[None], x.dtype)
    mean, _, gates = attention(x, tables, None, None)
    assert torch.equal(gates, torch.full_like(gates, 1 / 3))
    one = MixtureAttention(one_expert(model.config), 0).double()
    q, k, v = attention.qkv_proj.weight.split(attention.split)
    outputs = []
    for expert in range(N):
        source = 0 if shared_kv else expert
        one.qkv_proj.weight.data = torch.cat(
            [q[expert * 4 * A : (expert + 1) * 4 * A], *(w[source * 2 * A : (source + 1) * 2 * A] for w in (k, v))]
        )
        one.o_proj.weight.data = attention.o_proj.weight[:, expert * 4 * A : (expert + 1) * 4 * A]
        outputs.append(one(x, tables, None, None)[0])
    torch.testing.assert_close(mean, torch.stack(outputs).mean(0), rtol=1e-12, atol=1e-13)


def one_expert(config):
    alone = copy.deepcopy(config)
    alone.attention_experts = alone.ffn_experts = 1
    return alone


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_output_and_no_gate_depends_on_a_later_token(variant):
    model, tokens = mixture(variant, dtype=torch.float64), ids(1, 8)
    x = model.model.embed_tokens(tokens).detach().requires_grad_()
    out = model(inputs_embeds=x, output_routing=True)
    routing = [*(out.router_logits or ()), *(out.attention_gates or ())]
    for place in range(8):
        for tensor in (out.logits, *routing):
            part = tensor[0, place].square().sum()
            (gradient,) = torch.autograd.grad(part, x, retain_graph=True, allow_unused=True)
            assert not gradient[0, place + 1 :].any()
            assert gradient[0, place].any() or tensor.shape[-1] == 1


def test_top_one_top_two_and_soft_attention_are_one_path():
    """The same weights; only the gates differ, and with all experts kept nothing does."""
    soft = mixture("bam, own keys", dtype=torch.float64)
    tokens, outs = ids(2, 9), {}
    for top_k in (1, 2, 3):
        model = mixture("bam, own keys", dtype=torch.float64, attention_top_k=top_k)
        out = model(tokens, output_routing=True)
        outs[top_k] = out.logits
        for gates in out.attention_gates:
            assert ((gates > 0).sum(-1) == top_k).all()
    assert torch.equal(outs[3], soft(tokens).logits)
    assert (outs[1] - outs[2]).abs().max() > 1e-3 and (outs[2] - outs[3]).abs().max() > 1e-3
