"""The model as transformers uses it: caches, masks, generation, files, training, adapters, precision, compilation."""

import json

import pytest
import torch
from mixture_cases import VARIANTS, config, ids, mixture
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    DynamicCache,
    StaticCache,
    Trainer,
    TrainingArguments,
)

from paribus.errors import ModelError
from paribus.models.load import load_causal
from paribus.models.mixture import (
    MixtureConfig,
    MixtureForCausalLM,
    MixtureForSequenceClassification,
    MixtureModel,
    register,
)

ATTENTION = ["eager", "sdpa"]


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("variant", VARIANTS)
def test_cached_decoding_equals_the_full_forward(variant, attention):
    model, tokens = mixture(variant), ids(2, 12)
    model.set_attn_implementation(attention)
    full = model(tokens).logits
    caches = [DynamicCache(config=model.config), StaticCache(config=model.config, max_cache_len=16)]
    for cache in caches:
        pieces = []
        for start, end in [(0, 5), (5, 6), (6, 10), (10, 12)]:
            pieces.append(model(tokens[:, start:end], past_key_values=cache).logits)
        torch.testing.assert_close(torch.cat(pieces, dim=1), full, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("shared_kv", "heads"), [(False, 6), (True, 2)])
def test_the_cache_has_the_keys_of_every_expert_or_of_one(shared_kv, heads):
    model = mixture(shared_kv=shared_kv)
    cache = model(ids(2, 5), use_cache=True).past_key_values
    assert [tuple(layer.keys.shape) for layer in cache.layers] == [(2, heads, 5, 8)] * 2


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("variant", VARIANTS)
def test_packed_rows_equal_separate_rows_by_positions_and_by_ready_masks(variant, attention):
    model, first, second = mixture(variant), ids(1, 7), ids(1, 9)
    model.set_attn_implementation(attention)
    apart = torch.cat((model(first).logits, model(second).logits), dim=1)
    tokens, positions = torch.cat((first, second), dim=1), torch.cat((torch.arange(7), torch.arange(9)))[None]
    for mask in (None, *ready_masks(model)):
        packed = model(tokens, position_ids=positions, attention_mask=mask).logits
        torch.testing.assert_close(packed, apart, rtol=1e-4, atol=1e-4)
    assert (model(tokens).logits - apart)[:, 7:].abs().max() > 1e-3


def ready_masks(model: MixtureForCausalLM) -> tuple[Tensor, Tensor]:
    """Two rows of 7 and 9 tokens in one, as truth values and as numbers to add; a window is the caller's business."""
    places, segments = torch.arange(16), torch.tensor([0] * 7 + [1] * 9)
    allowed = (places[:, None] >= places) & (segments[:, None] == segments)
    allowed &= places[:, None] - places < (model.config.sliding_window or 16)
    numbers = torch.zeros(16, 16).masked_fill(~allowed, torch.finfo(torch.float32).min)
    return allowed[None, None], numbers[None, None]


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("variant", VARIANTS)
def test_left_padded_generation_equals_unpadded(variant, attention):
    model = mixture(variant)
    model.set_attn_implementation(attention)
    rows = [ids(1, length)[0] for length in (3, 9, 6)]
    padded = torch.stack([torch.cat((torch.zeros(9 - len(row), dtype=torch.long), row)) for row in rows])
    asked = {"max_new_tokens": 8, "do_sample": False}
    together = model.generate(padded, attention_mask=(padded != 0).long(), **asked)
    for row, out in zip(rows, together, strict=True):
        alone = model.generate(row[None], attention_mask=torch.ones(1, len(row)), **asked)
        assert out[9:].tolist() == alone[0, len(row) :].tolist()
    fixed = model.generate(padded, attention_mask=(padded != 0).long(), cache_implementation="static", **asked)
    assert fixed.tolist() == together.tolist()


def test_embeddings_may_be_given_instead_of_ids():
    model, tokens = mixture("sequential"), ids(2, 6)
    given = model(inputs_embeds=model.get_input_embeddings()(tokens)).logits
    torch.testing.assert_close(given, model(tokens).logits)
    for inputs in ({}, {"input_ids": tokens, "inputs_embeds": given}):
        with pytest.raises(ModelError, match="exactly one"):
            model(**inputs)


def test_logits_to_keep_takes_a_count_or_positions():
    model, tokens = mixture("sequential"), ids(2, 8)
    full = model(tokens).logits
    torch.testing.assert_close(model(tokens, logits_to_keep=3).logits, full[:, -3:])
    torch.testing.assert_close(model(tokens, logits_to_keep=torch.tensor([1, 6])).logits, full[:, [1, 6]])


def test_a_token_mask_of_another_shape_is_refused():
    with pytest.raises(ModelError, match=r"token_mask has shape \(2, 4\), the tokens \(2, 5\)"):
        mixture()(ids(2, 5), token_mask=torch.ones(2, 4))


def test_outputs_come_as_a_tuple_on_request_and_states_are_recorded():
    model, tokens = mixture("bam, shared keys"), ids(2, 5)
    model.set_attn_implementation("eager")
    out = model(tokens, output_hidden_states=True, output_attentions=True)
    assert [tuple(state.shape) for state in out.hidden_states] == [(2, 5, 32)] * 3
    assert [tuple(weights.shape) for weights in out.attentions] == [(2, 12, 5, 5)] * 2
    torch.testing.assert_close(out.attentions[0].sum(-1), torch.ones(2, 12, 5))
    assert torch.equal(model(tokens, return_dict=False)[0], out.logits)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_as_safetensors_and_loaded_back(tmp_path, variant, tied):
    model = mixture(variant, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".json") == ["model.safetensors"]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    loaded.set_experts_backend("loop")
    assert type(loaded) is MixtureForCausalLM
    assert loaded.config.to_diff_dict() == model.config.to_diff_dict()
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tied
    assert torch.equal(loaded(ids(2, 5)).logits, model(ids(2, 5)).logits)
    assert type(AutoModel.from_pretrained(tmp_path)) is MixtureModel
    assert type(AutoConfig.from_pretrained(tmp_path)) is MixtureConfig
    assert "backend" not in json.loads((tmp_path / "config.json").read_text())
    low = load_causal(tmp_path, dtype="bfloat16")
    assert low.model.embed_tokens.weight.dtype == torch.bfloat16
    low.set_experts_backend("loop")
    a, b = low(ids(2, 5)).logits.float().flatten(), model(ids(2, 5)).logits.flatten()
    assert torch.cosine_similarity(a, b, dim=0) > 0.95  # a token near a tie may go to another expert


def test_tensor_names_and_shapes_are_the_documented_ones():
    shapes = {name: tuple(weight.shape) for name, weight in mixture("bam, own keys").named_parameters()}
    layer = "model.layers.1."
    assert shapes[layer + "self_attn.qkv_proj.weight"] == ((3 * 4 + 2 * 3 * 2) * 8, 32)
    assert shapes[layer + "self_attn.o_proj.weight"] == (32, 3 * 4 * 8)
    assert shapes[layer + "self_attn.router.weight"] == (3, 32)
    assert shapes[layer + "mlp.router.weight"] == (4, 32)
    assert shapes[layer + "mlp.experts.gate_up_proj"] == (4, 48, 32)
    assert shapes[layer + "mlp.experts.down_proj"] == (4, 32, 24)
    assert shapes[layer + "input_layernorm.weight"] == shapes["model.norm.weight"] == (32,)
    assert len(shapes) == 2 + 2 * 7
    shared = {name: tuple(weight.shape) for name, weight in mixture("bam, shared keys").named_parameters()}
    assert shared[layer + "self_attn.qkv_proj.weight"] == ((3 * 4 + 2 * 2) * 8, 32)
    normed = {name: tuple(w.shape) for name, w in mixture("sequential, shared keys, window").named_parameters()}
    assert normed[layer + "self_attn.q_norm.weight"] == (2, 4, 8)
    assert normed[layer + "self_attn.k_norm.weight"] == (1, 2, 8)
    assert normed[layer + "post_attention_layernorm.weight"] == (32,)
    biased = {name: tuple(weight.shape) for name, weight in mixture("sequential").named_parameters()}
    assert biased[layer + "self_attn.qkv_proj.bias"] == (3 * (4 + 2 + 2) * 8,)
    assert biased[layer + "self_attn.q_norm.weight"] == biased[layer + "self_attn.k_norm.weight"] == (3, 8)


def test_weights_start_with_the_stated_spread():
    torch.manual_seed(0)
    model = MixtureForCausalLM(config("sequential", hidden_size=128, intermediate_size=256, initializer_range=0.05))
    for name, weight in model.named_parameters():
        if "norm" in name:
            assert torch.equal(weight, torch.ones_like(weight))
        elif name.endswith("bias"):
            assert not weight.any()
        else:
            assert weight.std().item() == pytest.approx(0.05, rel=0.15 if "router" in name else 0.05), name
    gemma = MixtureForCausalLM(config("sequential, shared keys, window"))
    assert not gemma.model.norm.weight.any() and not gemma.model.layers[0].input_layernorm.weight.any()
    assert gemma.model.layers[0].self_attn.q_norm.weight.eq(1).all()


def test_registering_again_changes_nothing():
    register()
    register()
    assert type(AutoModelForCausalLM.from_config(config())) is MixtureForCausalLM
    assert type(AutoConfig.for_model("paribus_mixture")) is MixtureConfig


@pytest.mark.parametrize("variant", VARIANTS)
def test_activation_checkpointing_changes_no_gradient(variant):
    model, tokens = mixture(variant).train(), ids(2, 9)
    weights = list(model.parameters())
    plain = torch.autograd.grad(model(tokens, labels=tokens).loss, weights)
    model.activation_checkpointing_enable()
    assert model.model.layers[0].gradient_checkpointing
    again = torch.autograd.grad(model(tokens, labels=tokens).loss, weights)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


@pytest.mark.parametrize("backend", ["loop", "grouped_mm", "dense"])
def test_bfloat16_autocast_trains_with_float32_routers(backend):
    model, tokens = mixture().train(), ids(2, 9)
    model.set_experts_backend(backend)
    seen = []
    for name, module in model.named_modules():
        if name.endswith("router"):
            module.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    exact = model(tokens, labels=tokens).loss
    with torch.autocast("cpu", torch.bfloat16):
        out = model(tokens, labels=tokens, output_routing=True)
    assert set(seen) == {torch.float32} and len(seen) == 8
    assert {gates.dtype for gates in out.attention_gates} == {out.aux_loss.dtype} == {torch.float32}
    assert out.logits.dtype == torch.bfloat16 and out.loss.item() == pytest.approx(exact.item(), rel=0.03)
    out.loss.backward()
    assert all(weight.grad.dtype == torch.float32 and weight.grad.any() for weight in model.parameters())


def rows(count: int) -> list[dict]:
    """Texts that repeat themselves: token t+1 follows from token t."""
    starts = torch.arange(count) % 13
    return [{"input_ids": ((start + torch.arange(12)) % 13 + 1).tolist()} for start in starts.tolist()]


def collate(batch: list[dict]) -> dict[str, Tensor]:
    tokens = torch.tensor([row["input_ids"] for row in batch])
    return {"input_ids": tokens, "labels": tokens}


@pytest.mark.parametrize("variant", ["bam, own keys", "sequential, shared keys, window"])
def test_transformers_own_trainer_trains_and_saves_it(tmp_path, variant):
    model = mixture(variant, initializer_range=0.02)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=40, per_device_train_batch_size=4, gradient_accumulation_steps=2,
        learning_rate=1e-2, logging_steps=5, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows(64), data_collator=collate)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[0] > 2.5 and losses[-1] < 0.3 * losses[0]
    trainer.save_model(str(tmp_path / "saved"))
    loaded = load_causal(tmp_path / "saved")
    loaded.set_experts_backend("loop")
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    prompt = torch.tensor([[3, 4, 5, 6]])
    answer = loaded.generate(prompt, max_new_tokens=5, do_sample=False, attention_mask=torch.ones_like(prompt))
    assert answer[0].tolist() == list(range(3, 12))


def test_low_rank_adapters_go_on_the_linear_layers_and_merge_back():
    from peft import LoraConfig, get_peft_model

    model, tokens = mixture().train(), ids(2, 9)
    before = model(tokens).logits.detach()
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["qkv_proj", "o_proj", "router"]))
    torch.testing.assert_close(adapted(tokens).logits, before)
    optimizer = torch.optim.Adam([weight for weight in adapted.parameters() if weight.requires_grad], lr=1e-2)
    losses = []
    for _ in range(6):
        losses.append(adapted(input_ids=tokens, labels=tokens, token_mask=tokens > 0).loss)
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.05
    trained = adapted.eval()(tokens).logits
    merged = adapted.merge_and_unload()
    assert type(merged) is MixtureForCausalLM
    torch.testing.assert_close(merged(tokens).logits, trained, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("variant", "backend", "dtype"),
    [
        ("bam, own keys", "dense", torch.float32),
        ("bam, own keys", "grouped_mm", torch.bfloat16),
        ("bam, own keys", "grouped_mm", torch.float32),
        ("sequential, shared keys, window", "auto", torch.float32),
    ],
)
def test_a_block_is_one_graph(variant, backend, dtype):
    """Traced whole, backward too; the compiled kernels themselves are inductor's business."""
    model = mixture(variant, dtype=dtype).train()
    model.set_experts_backend(backend)
    block, x = model.model.layers[0], torch.randn(2, 6, 32, dtype=dtype, requires_grad=True)
    tables = model.model.rotary(torch.arange(6)[None], dtype)
    inputs = {"tables": tables, "attention_mask": None, "past_key_values": None}
    torch._dynamo.reset()
    whole = torch.compile(block, backend="aot_eager", fullgraph=True)
    outs = []
    for run in (block, whole):
        y, logits, gates = run(x, **inputs)
        (y.square().sum() + logits.square().sum()).backward()
        outs.append((y.detach(), logits.detach(), gates.detach(), x.grad))
        x.grad = None
    torch._dynamo.reset()
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-4
    for eager, compiled in zip(*outs, strict=True):
        torch.testing.assert_close(eager, compiled, rtol=tolerance, atol=tolerance)


def test_classification_reads_the_last_kept_token_wherever_the_padding_lies(tmp_path):
    torch.manual_seed(0)
    MixtureForSequenceClassification(config(num_labels=1)).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    model.set_experts_backend("loop")
    assert type(model) is MixtureForSequenceClassification and model.num_labels == 1
    row, pad = ids(1, 6), torch.full((1, 3), 66)
    alone = model(row).logits
    assert alone.shape == (1, 1)
    right = model(torch.cat((row, pad), dim=1), attention_mask=torch.tensor([[1] * 6 + [0] * 3])).logits
    left = model(torch.cat((pad, row), dim=1), attention_mask=torch.tensor([[0] * 3 + [1] * 6])).logits
    torch.testing.assert_close(right, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(left, alone, rtol=1e-4, atol=1e-5)
    labels = torch.tensor([0.0, 1.0, 2.0, 3.0])
    cold, warm = (model.train(mode)(ids(4, 5), labels=labels) for mode in (False, True))
    torch.testing.assert_close(cold.loss, ((cold.logits[:, 0] - labels) ** 2).mean())
    torch.testing.assert_close(warm.loss, cold.loss + model.model(ids(4, 5)).aux_loss)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_key_value_heads": 3}, "num_key_value_heads 3"),
        ({"hidden_size": 30}, "hidden_size 30"),
        ({"head_dim": 7}, "head_dim 7 is odd"),
        ({"block": "serial"}, "block is 'serial'; use one of parallel, sequential"),
        ({"norm": "batch"}, "norm is 'batch'; use one of layer, rms, rms_plus_one"),
        ({"qk_norm": "both"}, "qk_norm is 'both'"),
        ({"ffn_gate_norm": "topk"}, "ffn_gate_norm is 'topk'; use one of raw, renormalised, scaled"),
        ({"attention_gate_norm": "scaled"}, "attention_gate_norm is 'scaled'"),
        ({"ffn_experts": 2, "ffn_top_k": 3}, "ffn_top_k 3 exceeds ffn_experts 2"),
        ({"attention_top_k": 4}, "attention_top_k is 4 of 3"),
        ({"attention_top_k": 0}, "attention_top_k is 0"),
        ({"ffn_experts": 0, "ffn_top_k": 0}, "ffn_experts is 0"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"hidden_act": "swish9"}, "hidden_act 'swish9'"),
        ({"sliding_window": 0}, "sliding_window is 0"),
        ({"load_balance_coefficient": -0.1}, "load_balance_coefficient is -0.1"),
        ({"router_z_coefficient": float("nan")}, "router_z_coefficient is nan"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "type 'dynamic'; the mixture knows def"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "turn 0.5 of each head"),
    ],
)
def test_impossible_configurations_are_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        config(**changes)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("backend", ["auto", "grouped_mm", "dense"])
def test_shapes_are_known_without_storage(variant, backend):
    with torch.device("meta"):
        model = MixtureForCausalLM(config(variant)).train()
        model.set_experts_backend(backend)
        model.set_attn_implementation("eager")  # for sdpa transformers asks whether a mask masks anything
        dtype = torch.bfloat16 if backend == "grouped_mm" else torch.float32
        tokens = torch.zeros(2, 5, dtype=torch.long)
        out = model.to(dtype)(tokens, attention_mask=torch.ones_like(tokens), labels=tokens)
    assert out.logits.shape == (2, 5, 67) and out.loss.device.type == "meta"
    assert model.model.rotary.frequencies == mixture(variant).model.rotary.frequencies


def test_the_callers_rope_dictionary_stays_as_it_was():
    given = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    made = config(rope_parameters=given)
    assert set(given) == {"rope_type", "factor", "low_freq_factor", "high_freq_factor"}
    assert made.rope_parameters["original_max_position_embeddings"] == 128 and made.rope_parameters["rope_theta"] == 1e4


def test_bfloat16_weights_keep_exact_frequencies():
    exact, low = mixture("sequential"), mixture("sequential", dtype=torch.bfloat16)
    positions = torch.arange(1000)[None]
    tables = exact.model.rotary(positions, torch.float32)
    for a, b in zip(tables, low.model.rotary(positions, torch.bfloat16), strict=True):
        assert torch.equal(a, b)
