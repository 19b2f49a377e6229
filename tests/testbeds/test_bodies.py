"""Vector heads around language models: the same computation as the model's own, causal, frozen where told to be."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    Mamba2Config,
    PreTrainedModel,
    RwkvConfig,
    T5Config,
)

from paribus.errors import ModelError
from paribus.models.decoder import DecoderConfig
from paribus.models.mixture_config import MixtureConfig
from paribus.testbeds.fitting import fit_sampled
from paribus.testbeds.incontext.bodies import VectorHeads, VectorHeadsConfig
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.prompts import encode
from paribus.training.objectives.labelled import Labelled
from paribus.training.settings import TrainSettings

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 50}
GPT2 = GPT2Config(
    n_embd=32, n_layer=2, n_head=2, vocab_size=500, n_positions=64, bos_token_id=0, eos_token_id=1, resid_pdrop=0.5
)
CONFIGS = {
    "gpt2": GPT2,
    "llama": LlamaConfig(**SMALL, num_key_value_heads=1),
    "mamba2": Mamba2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_heads=8,
        head_dim=8,
        n_groups=1,
        state_size=8,
        vocab_size=50,
        chunk_size=8,
    ),
    "rwkv": RwkvConfig(hidden_size=32, attention_hidden_size=32, num_hidden_layers=2, vocab_size=50),
    "decoder": DecoderConfig(**SMALL),
    "mixture": MixtureConfig(**SMALL, ffn_experts=2, attention_experts=2),
}
SIZE = 5


def language_model(name: str = "gpt2") -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[name]).eval()


def vectors(rows: int = 3, length: int = 12) -> torch.Tensor:
    return torch.randn(rows, length, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("heads", ["linear", "mlp"])
def test_the_body_computes_what_the_language_model_computes(name: str, heads: str) -> None:
    model = language_model(name)
    wrapped = VectorHeads.around(model, input_size=SIZE, outputs=2, heads=heads, head_width=16).eval()
    x = vectors()
    hidden = model.base_model(inputs_embeds=wrapped.read_in(x), use_cache=False)[0]
    logits = wrapped(inputs_embeds=x).logits
    assert logits.shape == (3, 12, 2)
    torch.testing.assert_close(logits, wrapped.read_out(hidden))


@pytest.mark.parametrize("name", CONFIGS)
def test_later_vectors_change_nothing(name: str) -> None:
    wrapped = VectorHeads.around(language_model(name), input_size=SIZE).eval()
    x = vectors()
    changed = x.clone()
    changed[:, 7:] += 1.0
    seen, unseen = wrapped(inputs_embeds=x).logits, wrapped(inputs_embeds=changed).logits
    torch.testing.assert_close(seen[:, :7], unseen[:, :7])
    assert not torch.allclose(seen[:, 7:], unseen[:, 7:])


@pytest.mark.parametrize("name", CONFIGS)
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    wrapped = VectorHeads.around(language_model(name), input_size=SIZE, heads="mlp", freeze="all_but_norms").eval()
    wrapped.save_pretrained(tmp_path)
    loaded = VectorHeads.from_pretrained(tmp_path).eval()
    assert [path.suffix for path in tmp_path.glob("model*")] == [".safetensors"]
    torch.testing.assert_close(loaded(inputs_embeds=vectors()).logits, wrapped(inputs_embeds=vectors()).logits)
    learning = {name: p.requires_grad for name, p in loaded.named_parameters()}
    assert learning == {name: p.requires_grad for name, p in wrapped.named_parameters()}


def test_the_token_embedding_is_in_no_count() -> None:
    model = language_model()
    wrapped = VectorHeads.around(model, input_size=SIZE)
    heads = 32 * SIZE + 32 + 32 + 1
    assert wrapped.num_parameters() == model.num_parameters() - 500 * 32 + heads


@pytest.mark.parametrize(("freeze", "learned"), [("all", 0), ("all_but_norms", 2 * 2 * 2 + 2)])
def test_what_is_frozen_is_bit_identical_after_training(freeze: str, learned: int) -> None:
    task = parse_class("conjunction", dimensions=SIZE, points=6)
    wrapped = VectorHeads.around(language_model(), input_size=SIZE, heads="mlp", head_width=16, freeze=freeze)
    before = {name: p.detach().clone() for name, p in wrapped.named_parameters()}
    settings = TrainSettings(steps=3, batch_size=4, learning_rate=1e-2, weight_decay=0.1)
    fit_sampled(wrapped, lambda count, g: encode(task.sample(count, g)), "conjunction", Labelled("classes"), settings)
    changed = {name for name, p in wrapped.named_parameters() if not torch.equal(p, before[name])}
    of_body = {name for name in changed if name.startswith("body.")}
    assert len(of_body) == learned and all("ln_" in name for name in of_body)
    assert changed - of_body == {name for name in before if not name.startswith("body.")}
    assert {name for name, p in wrapped.named_parameters() if p.requires_grad} == changed


@pytest.mark.parametrize("random", [False, True])
def test_heads_around_a_frozen_body_learn_what_a_point_says_of_itself(random: bool) -> None:
    """The label is the first coordinate, which passes through any body that keeps its inputs apart."""

    def drawn(count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        x = 2.0 * torch.randint(0, 2, (count, 6, SIZE), generator=generator) - 1
        return {"inputs_embeds": x, "labels": (x[..., 0] > 0).long()}

    wrapped = VectorHeads.around(language_model(), input_size=SIZE, freeze="all")
    if random:
        wrapped.randomise_body(torch.Generator().manual_seed(0))
    settings = TrainSettings(steps=60, batch_size=16, learning_rate=3e-2)
    result = fit_sampled(wrapped, drawn, "first coordinate", Labelled("classes"), settings)
    assert result.history[0]["accuracy"] < 0.8 and result.history[-1]["accuracy"] > 0.99


def test_an_unfrozen_body_learns() -> None:
    wrapped = VectorHeads.around(language_model(), input_size=SIZE, freeze="all")
    wrapped.freeze("nothing")
    wrapped(inputs_embeds=vectors()).logits.sum().backward()
    assert all(p.grad is not None for p in wrapped.parameters())


def test_a_frozen_body_has_no_dropout_in_training() -> None:
    wrapped = VectorHeads.around(language_model(), input_size=SIZE, freeze="all").train()
    assert wrapped.training and torch.equal(
        wrapped(inputs_embeds=vectors()).logits, wrapped(inputs_embeds=vectors()).logits
    )
    wrapped.freeze("nothing")
    assert not torch.equal(wrapped(inputs_embeds=vectors()).logits, wrapped(inputs_embeds=vectors()).logits)


def test_the_random_body_is_drawn_by_xaviers_rule() -> None:
    wrapped = VectorHeads.around(language_model(), input_size=SIZE, freeze="all")
    heads = wrapped.read_in.weight.clone()
    before = {name: p.clone() for name, p in wrapped.body.named_parameters()}
    wrapped.randomise_body(torch.Generator().manual_seed(3))
    for name, parameter in wrapped.body.named_parameters():
        if parameter.ndim == 2:
            bound = (6 / sum(parameter.shape)) ** 0.5
            assert not torch.equal(parameter, before[name])
            assert 0.8 * bound < parameter.abs().max() <= bound
        else:
            assert torch.equal(parameter, torch.ones_like(parameter) * (name.endswith("weight"))), name
    assert torch.equal(wrapped.read_in.weight, heads)
    assert not any(p.requires_grad for p in wrapped.body.parameters())
    again = VectorHeads.around(language_model(), input_size=SIZE)
    again.randomise_body(torch.Generator().manual_seed(3))
    assert all(torch.equal(p, q) for p, q in zip(again.body.parameters(), wrapped.body.parameters(), strict=True))


def test_the_model_it_was_made_around_is_left_alone() -> None:
    model = language_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrapped = VectorHeads.around(model, input_size=SIZE)
    wrapped.randomise_body()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model(input_ids=torch.tensor([[1, 2]])).logits.shape == (1, 2, 500)


def test_attention_kernels_are_set_on_the_body() -> None:
    wrapped = VectorHeads.around(language_model("llama"), input_size=SIZE).eval()
    fast = wrapped(inputs_embeds=vectors()).logits
    wrapped.set_attn_implementation("eager")
    assert wrapped.body.config._attn_implementation == "eager"
    torch.testing.assert_close(wrapped(inputs_embeds=vectors()).logits, fast)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m(), "without inputs_embeds"),
        (lambda m: m(inputs_embeds=torch.zeros(1, 3, 4)), r"\(1, 3, 4\)"),
        (lambda m: m(inputs_embeds=torch.zeros(1, 65, SIZE)), "65 vectors exceeds the 64 positions"),
        (lambda m: m.freeze("norms"), "freeze is 'norms'"),
        (lambda m: m.body(input_ids=torch.zeros(1, 2, dtype=torch.long)), "looks tokens up"),
    ],
)
def test_what_cannot_be_done_is_said(call, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        call(VectorHeads.around(language_model(), input_size=SIZE))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"body_config": T5Config()}, "T5Config, no causal"),
        ({"body_config": GPT2, "heads": "cubic"}, "heads is 'cubic'"),
        ({"body_config": GPT2, "outputs": 0}, "outputs is 0"),
    ],
)
def test_configurations_that_are_refused(fields: dict, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        VectorHeadsConfig(**fields)


def test_a_body_that_sees_later_vectors_is_refused() -> None:
    bert = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    with pytest.raises(ModelError, match="sees later vectors"):
        VectorHeads(VectorHeadsConfig(body_config=BertConfig(**bert)))
    assert VectorHeads(VectorHeadsConfig(body_config=BertConfig(**bert, is_decoder=True)))
