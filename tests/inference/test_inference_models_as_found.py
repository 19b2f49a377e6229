"""Models as users have them: half precision, autocast, adapters, configs that declare little or much."""

import pytest
import torch
from tiny_models import byte_tokenizer, decoder
from token_oracle import engine_of_ids, forward_logprob, greedy_alone, ids_of
from transformers import LlamaConfig, LlamaForCausalLM

from paribus.inference.local import LocalEngine

SHAPE = {
    "vocab_size": 262, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "initializer_range": 0.3, "max_position_embeddings": 256,
}  # fmt: skip


def llama(**changes):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**{**SHAPE, **changes})).eval()


@pytest.fixture
def asked(ask):
    return [ask("abcdefgh" * n, id=str(n), max_tokens=6 + n) for n in range(1, 7)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_model_of_another_precision_answers_in_it(tokenizer, asked, score, dtype):
    """Rounding may flip a near tie, so the whole of what is said is scored by plain forward passes instead."""
    engine = engine_of_ids(llama().to(dtype), tokenizer)
    assert engine.batching == "slots"
    for request, reply in zip(asked, engine.generate(asked), strict=True):
        said = ids_of(reply.text) + ([2] if reply.finish == "stop" else [])
        [prompt] = engine.chat.prompts([request.messages])
        assert reply.tokens == len(said)
        assert reply.logprob == pytest.approx(forward_logprob(engine.model, prompt, said), rel=0.03)
    [found] = engine.logprobs([score("hi", "yes")])
    completion = tokenizer("yes<end>", add_special_tokens=False)["input_ids"]
    [prompt] = engine.chat.prompts([score("hi", "yes").messages])
    assert found.logprob == pytest.approx(forward_logprob(engine.model, prompt, completion), rel=0.03)


def test_autocast_is_used_and_gives_about_the_same(tokenizer, asked, score):
    model = llama()
    plain, rounded = LocalEngine(model, tokenizer), LocalEngine(model, tokenizer, autocast=torch.bfloat16)
    [exact], [found] = (engine.logprobs([score("hi", "a longer answer")]) for engine in (plain, rounded))
    assert found.logprob != exact.logprob
    assert found.logprob == pytest.approx(exact.logprob, rel=0.03)
    assert [reply.finish for reply in rounded.generate(asked)] == ["length"] * len(asked)
    assert rounded.batching == "slots"
    assert not torch.is_autocast_enabled("cpu")


def test_a_config_without_special_tokens_is_no_hindrance(tokenizer, asked):
    model = llama(pad_token_id=None, bos_token_id=None, eos_token_id=None)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = None
    engine = engine_of_ids(model, tokenizer)
    for request, reply in zip(asked, engine.generate(asked), strict=True):
        assert ids_of(reply.text) == [token for token in greedy_alone(engine, request)[0] if token != 2]


def test_the_template_s_end_of_turn_stops_a_model_whose_end_of_text_is_another(asked):
    """As in chat models on a base tokenizer: eos ends a text, an added token ends a turn; neither is said."""
    other = byte_tokenizer()
    other.eos_token = "<pad>"
    model = llama(eos_token_id=0)
    first = ids_of(engine_of_ids(model, other).generate([asked[0]])[0].text)[0]
    with torch.no_grad():  # the end of turn takes the place of the token that would come first
        rows = model.lm_head.weight
        rows[[2, first]] = rows[[first, 2]].clone()
    [reply] = LocalEngine(model, other).generate([asked[0]])
    assert (reply.text, reply.tokens, reply.finish) == ("", 1, "stop")


def test_the_model_is_moved_to_the_device_asked_for(tokenizer, asked):
    model = llama().to("meta")
    assert LocalEngine(model, tokenizer).model.device.type == "meta"
    model = llama()
    assert LocalEngine(model, tokenizer, device="cpu").generate(asked[:1])[0].finish == "length"
    assert LocalEngine(model, tokenizer, device="meta").model.device.type == "meta"


def test_every_tensor_is_made_where_the_model_is(tokenizer, asked, score, monkeypatch):
    """On a machine with one device: every tensor that generation makes from Python numbers names the model's device."""
    engine = engine_of_ids(llama(), tokenizer)
    wanted = engine.generate(asked), engine.logprobs([score("hi", "yes")])
    made = []
    plain = torch.tensor

    def watched(*args, **kwargs):
        made.append(kwargs.get("device"))
        return plain(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "tensor", watched)
        assert engine.generate(asked) == wanted[0]
    assert made
    assert all(device == engine.model.device for device in made)


def test_a_low_rank_adapter_is_used(tokenizer, asked, score):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    adapted = peft.get_peft_model(llama(), peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False)).eval()
    engine = engine_of_ids(adapted, tokenizer)
    for request, reply in zip(asked, engine.generate(asked), strict=True):
        assert ids_of(reply.text) == [token for token in greedy_alone(engine, request)[0] if token != 2]
    assert engine.batching == "slots"
    with adapted.disable_adapter():
        without = engine.logprobs([score("hi", "yes")])
    assert engine.logprobs([score("hi", "yes")]) != without


def test_answers_follow_weights_that_change(tokenizer, asked):
    """The engine of an online loop: nothing of a former model is kept."""
    model = decoder()
    engine = engine_of_ids(model, tokenizer)
    before = engine.generate(asked)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    after = engine.generate(asked)
    assert after != before
    assert [ids_of(reply.text) for reply in after] == [
        [token for token in greedy_alone(engine, request)[0] if token != 2] for request in asked
    ]
