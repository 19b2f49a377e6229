"""Mixers with copied weights against torch's nets, transformers' GPT-2 and Mamba-2, and flash-linear-attention."""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch
from sequence_cases import alone, config, ids, model, stepped, vectors
from torch import nn
from transformers import GPT2Config, GPT2Model, Mamba2Config, Mamba2Model

from paribus.models.linear_attention import scalar_decay, vector_decay
from paribus.models.sequence import SequenceModel

NETS = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("mixer", NETS)
def test_a_plain_net_is_torchs_stack_with_a_linear_head(mixer, layers):
    plain = {"norm": "none", "ffn_size": 0, "residual": False, "num_hidden_layers": layers}
    ours = model(mixer, **plain)
    extra = {"nonlinearity": "relu"} if mixer == "elman" else {}
    stack = NETS[mixer](8, 8, num_layers=layers, batch_first=True, **extra).double()
    with torch.no_grad():
        for index, layer in enumerate(ours.model.layers):
            for name, weight in layer.mixer.net.named_parameters():
                getattr(stack, name.replace("l0", f"l{index}")).copy_(weight)
    tokens = ids(3, 9)
    expected = ours.head(stack(ours.model.embed_tokens(tokens))[0])
    torch.testing.assert_close(ours(input_ids=tokens).logits, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(stepped(ours, tokens)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_model_is_gpt2(attention):
    ours = model("attention", num_hidden_layers=2)
    ours.set_attn_implementation(attention)
    theirs = GPT2Model(
        GPT2Config(
            vocab_size=7, n_positions=80, n_embd=8, n_layer=2, n_head=2, activation_function="gelu", attn_pdrop=0.0,
            resid_pdrop=0.0, embd_pdrop=0.0, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
        )
    ).double()  # fmt: skip
    names = {
        "embed_tokens": "wte", "embed_positions": "wpe", "layers": "h", "mixer_norm": "ln_1", "mlp_norm": "ln_2",
        "qkv_proj": "c_attn", "o_proj": "c_proj", "up_proj": "c_fc", "down_proj": "c_proj", "mixer": "attn",
        "norm": "ln_f",
    }  # fmt: skip
    weights = {}
    for name, weight in ours.model.state_dict().items():
        parts = [names.get(part, part) for part in name.split(".")]
        # GPT-2 keeps its products as (inputs, outputs).
        weights[".".join(parts)] = weight.T if "_proj.weight" in name else weight
    theirs.load_state_dict(weights)
    tokens = ids(3, 12)
    expected = theirs(input_ids=tokens, use_cache=False).last_hidden_state
    torch.testing.assert_close(ours.model(input_ids=tokens).last_hidden_state, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("length", [1, 3, 20, 70])
def test_mamba2_is_transformers_mamba2(length):
    ours = SequenceModel(config("mamba2", ffn_size=0, num_hidden_layers=2, initializer_range=0.5)).eval()
    theirs = Mamba2Model(
        Mamba2Config(
            vocab_size=7, hidden_size=8, state_size=3, num_heads=2, head_dim=8, n_groups=1, expand=2, conv_kernel=4,
            num_hidden_layers=2, layer_norm_epsilon=1e-5, chunk_size=16, use_bias=False, use_conv_bias=True,
            residual_in_fp32=False,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        theirs.embeddings.weight.copy_(ours.embed_tokens.weight)
        for ours_layer, theirs_layer in zip(ours.layers, theirs.layers, strict=True):
            a, b = ours_layer.mixer, theirs_layer.mixer
            pairs = (
                (a.in_proj.weight, b.in_proj.weight), (a.o_proj.weight, b.out_proj.weight),
                (a.conv.weight[:, None], b.conv1d.weight), (a.conv.bias, b.conv1d.bias), (a.step_bias, b.dt_bias),
                (a.log_rate, b.A_log), (a.skip, b.D), (a.norm.weight, b.norm.weight),
            )  # fmt: skip
            for mine, yours in pairs:
                yours.copy_(mine)
            # transformers' block has an RMS norm before the mixer, ours a LayerNorm; compare without either.
            ours_layer.mixer_norm, theirs_layer.norm = nn.Identity(), _Named(theirs_layer.norm.weight)
        ours.norm = theirs.norm_f = nn.Identity()
        tokens = ids(2, length)
        expected = theirs(input_ids=tokens, use_cache=False).last_hidden_state
        torch.testing.assert_close(ours(input_ids=tokens).last_hidden_state, expected, rtol=1e-4, atol=1e-5)


class _Named(nn.Identity):
    """transformers' block asks its norm for the type of its weight."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight


def library_file(path: str) -> ModuleType:
    """A pure PyTorch file of flash-linear-attention, without its package, whose import needs Triton."""
    found = find_spec("fla")
    if found is None or found.submodule_search_locations is None or find_spec("einops") is None:
        pytest.skip("flash-linear-attention (fla-core) and einops are not installed")
    spec = spec_from_file_location("naive", Path(found.submodule_search_locations[0]) / "ops" / path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("length", [1, 16, 65])
def test_retention_is_the_librarys(length):
    naive = library_file("retention/naive.py")
    net = alone("retention")
    q, k, v = (vectors(2, 2, length, 4, seed=seed).float() for seed in range(3))
    decays = torch.tensor(net.log_decays)[None, :, None].expand(1, 2, length)
    expected = naive.naive_retention(q, k, v)
    torch.testing.assert_close(scalar_decay(q / 2, k, v, decays, chunk=16), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [1, 16, 65])
def test_gated_linear_attention_is_the_librarys(length):
    naive = library_file("simple_gla/naive.py")
    q, k, v = (vectors(2, length, 2, 4, seed=seed).float() for seed in range(3))
    decays = -vectors(2, length, 2, seed=4).abs().float()
    expected, _ = naive.naive_chunk_simple_gla(q, k, v, decays, scale=1.0)
    got = scalar_decay(*(x.transpose(1, 2) for x in (q, k, v, decays)), chunk=16)
    torch.testing.assert_close(got.transpose(1, 2), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [1, 16, 65])
def test_rwkv_is_the_librarys(length):
    naive = library_file("rwkv6/recurrent_naive.py")
    q, k, v = (vectors(2, 2, length, 4, seed=seed).float() for seed in range(3))
    decays, bonus = -vectors(2, 2, length, 4, seed=4).abs().float(), vectors(2, 4, seed=5).float()
    expected, _ = naive.naive_recurrent_rwkv6(q, k, v, decays, bonus, scale=1.0)
    torch.testing.assert_close(vector_decay(q, k, v, decays, bonus, chunk=16), expected, rtol=1e-4, atol=1e-5)
