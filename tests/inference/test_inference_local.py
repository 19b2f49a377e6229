"""The local engine against transformers' own generate and plain forward passes, and against itself in other batches."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tiny_models import decoder
from token_oracle import engine_of_ids, forward_logprob, greedy_alone, ids_of

from paribus.errors import EngineError
from paribus.inference.engine import Engine
from paribus.inference.local import LocalEngine


@pytest.fixture(scope="module")
def engine(model, tokenizer):
    return engine_of_ids(model, tokenizer)


@pytest.fixture(scope="module")
def pool(ask):
    """Requests of all kinds: prompts of 1-150 letters, 1-24 tokens, greedy and sampled."""
    source = random.Random(0)
    kinds = [{}, {"temperature": 0.7}, {"temperature": 1.0, "top_p": 0.8}, {"temperature": 1.5, "top_p": 0.3}]
    return [
        ask(
            "".join(source.choices("abcdefgh نعم", k=source.randint(1, 150))) + ".",
            id=f"r{index}",
            max_tokens=source.randint(1, 24),
            seed=source.randrange(3),
            **kinds[index % 4],
        )
        for index in range(24)
    ]


@pytest.fixture(scope="module")
def alone(engine, pool):
    """Each request of the pool in a call of its own."""
    return {request.id: engine.generate([request])[0] for request in pool}


def same(found, wanted):
    assert (found.request_id, found.text, found.tokens, found.finish) == (
        wanted.request_id, wanted.text, wanted.tokens, wanted.finish,
    )  # fmt: skip
    assert found.logprob == pytest.approx(wanted.logprob, rel=1e-5, abs=1e-5)


# --- greedy


def test_greedy_equals_generate_token_by_token(engine, pool):
    asked = [request.model_copy(update={"temperature": 0.0, "max_tokens": 24}) for request in pool]
    for request, reply in zip(asked, engine.generate(asked), strict=True):
        tokens, logprob = greedy_alone(engine, request)
        assert ids_of(reply.text) == [token for token in tokens if token not in engine.stop_ids]
        assert reply.tokens == len(tokens)
        assert reply.logprob == pytest.approx(logprob, abs=1e-4)


def test_the_key_value_cache_changes_nothing(engine, model, pool):
    request = pool[0].model_copy(update={"max_tokens": 20})
    [ids] = engine.chat.prompts([request.messages])
    said: list[int] = []
    with torch.inference_mode():
        for _ in range(20):
            said.append(int(model(torch.tensor([ids + said]), use_cache=False).logits[0, -1].argmax()))
    assert ids_of(engine.generate([request])[0].text) == said


def test_an_answer_stops_at_the_end_of_turn_which_counts_but_is_not_said(model, tokenizer, ask, monkeypatch):
    request = ask("count", max_tokens=20)
    said = ids_of(engine_of_ids(model, tokenizer).generate([request])[0].text)
    end = said[7]
    monkeypatch.setattr(model.generation_config, "eos_token_id", [2, end])
    engine = engine_of_ids(model, tokenizer)
    [reply] = engine.generate([request])
    before = said[: said.index(end)]
    assert (ids_of(reply.text), reply.tokens, reply.finish) == (before, len(before) + 1, "stop")
    [prompt] = engine.chat.prompts([request.messages])
    assert reply.logprob == pytest.approx(forward_logprob(model, prompt, [*before, end]), abs=1e-4)


def test_an_answer_that_is_cut_says_so(engine, ask):
    [reply] = engine.generate([ask("count", max_tokens=5)])
    assert (reply.tokens, reply.finish, len(ids_of(reply.text))) == (5, "length", 5)


# --- batches


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_reply_does_not_depend_on_its_batch(engine, pool, alone, data):
    asked = data.draw(st.lists(st.sampled_from(pool), unique=True, min_size=1), label="requests")
    engine.max_batch_tokens = data.draw(st.sampled_from([1, 200, 700, 3000, 16_384]), label="max_batch_tokens")
    for request, reply in zip(asked, engine.generate(asked), strict=True):
        same(reply, alone[request.id])


@pytest.mark.parametrize("samples", [3, 40])
def test_samples_of_one_prompt_share_its_prefill_and_nothing_else(engine, ask, samples):
    asked = [ask("same prompt", id=f"s{i}", temperature=1.0, max_tokens=4 + i % 9) for i in range(samples)]
    together = engine.generate(asked)
    for request, reply in list(zip(asked, together, strict=True))[::5]:
        same(reply, engine.generate([request])[0])
    assert len({reply.text for reply in together}) > samples // 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_tokenizer_s_padding_side_does_not_matter(tokenizer, pool, alone, engine, side, monkeypatch):
    monkeypatch.setattr(tokenizer, "padding_side", side)
    for request, reply in zip(pool, engine.generate(pool), strict=True):
        same(reply, alone[request.id])


def test_lockstep_gives_what_slots_give(model, tokenizer, pool, alone):
    engine = engine_of_ids(model, tokenizer)
    engine.__dict__["batching"] = "lockstep"
    for request, reply in zip(pool, engine.generate(pool), strict=True):
        same(reply, alone[request.id])


# --- random numbers


def test_the_same_id_and_seed_draw_the_same_and_others_differ(engine, ask):
    def drawn(**changes):
        return engine.generate([ask("hi", **{"id": "a", "temperature": 1.0, "max_tokens": 16, **changes})])[0].text

    assert drawn() == drawn()
    assert len({drawn(), drawn(id="b"), drawn(seed=1)}) == 3


def pooled(counts, expected, least=5.0):
    """Counts with the rare tokens put together, as the chi-square test wants them."""
    rare = expected < least
    together = [float(counts[rare].sum())] if expected[rare].sum() > 0 else []
    return counts[~rare].tolist() + together


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 0.6)])
def test_sampled_frequencies_follow_the_model(engine, model, ask, temperature, top_p):
    """3000 draws; the seed is fixed, so the level of 0.001 is passed or failed for good."""
    count = 3000
    asked = [ask("hi", id=f"d{i}", max_tokens=1, temperature=temperature, top_p=top_p) for i in range(count)]
    [prompt] = engine.chat.prompts([asked[0].messages])
    with torch.inference_mode():
        p = torch.softmax(model(torch.tensor([prompt])).logits[0, -1].double() / temperature, dim=-1)
    kept = torch.zeros_like(p)
    mass = 0.0
    for token in p.argsort(descending=True).tolist():  # the nucleus by its definition
        if mass >= top_p:
            break
        kept[token] = p[token]
        mass += float(p[token])
    observed = torch.zeros_like(p)
    for reply in engine.generate(asked):
        observed[ids_of(reply.text)[0] if reply.finish == "length" else 2] += 1
    assert not observed[kept == 0].any()
    expected = kept / kept.sum() * count
    assert len(pooled(observed, expected)) > 4
    assert chisquare(pooled(observed, expected), pooled(expected, expected)).pvalue > 0.001


def test_a_sampled_logprob_is_at_temperature_one(engine, model, pool, alone):
    request = pool[3]
    [prompt] = engine.chat.prompts([request.messages])
    assert request.temperature == 1.5
    said = ids_of(alone[request.id].text)
    assert alone[request.id].logprob == pytest.approx(forward_logprob(model, prompt, said), abs=1e-4)


# --- scores


def test_logprobs_equal_a_plain_forward_pass_end_of_turn_included(engine, model, tokenizer, score):
    source = random.Random(1)
    asked = [
        score("p" * source.randint(1, 90), "".join(source.choices("xyz é", k=source.randint(0, 60)))) for _ in range(30)
    ]
    asked = list({request.id: request for request in asked}.values())
    for request, got in zip(asked, engine.logprobs(asked), strict=True):
        [prompt] = engine.chat.prompts([request.messages])
        completion = tokenizer(request.completion + "<end>", add_special_tokens=False)["input_ids"]
        assert got.tokens == len(completion)
        assert got.logprob == pytest.approx(forward_logprob(model, prompt, completion), abs=1e-4)


def test_a_score_does_not_depend_on_its_batch(model, tokenizer, score):
    asked = [score("q" * n, "a" * (n % 7)) for n in range(1, 40)]
    wanted = [LocalEngine(model, tokenizer).logprobs([request])[0] for request in asked]
    for tokens in (1, 300, 16_384):
        got = LocalEngine(model, tokenizer, max_batch_tokens=tokens).logprobs(asked[::-1])[::-1]
        assert [found.logprob for found in got] == pytest.approx([found.logprob for found in wanted], abs=1e-5)
        assert [found.tokens for found in got] == [found.tokens for found in wanted]


def test_the_empty_completion_is_the_end_of_turn_alone(engine, model, score):
    request = score("say nothing", "")
    [prompt] = engine.chat.prompts([request.messages])
    [got] = engine.logprobs([request])
    assert (got.tokens, got.logprob) == (1, pytest.approx(forward_logprob(model, prompt, [2]), abs=1e-5))


# --- refusals and manners


def test_no_requests_are_no_replies(engine):
    assert engine.generate([]) == []
    assert engine.logprobs([]) == []


def test_ids_that_occur_twice_are_refused(engine, ask, score):
    with pytest.raises(EngineError, match="'a' occurs twice"):
        engine.generate([ask("x", id="a"), ask("y", id="a")])
    with pytest.raises(EngineError, match=r"'x\|y' occurs twice"):
        engine.logprobs([score("x", "y"), score("x", "y")])


def test_what_does_not_fit_the_model_is_refused_by_name(engine, ask, score):
    with pytest.raises(EngineError, match=r"'long': 5\d\d prompt tokens and 1 for the answer exceed the 512"):
        engine.generate([ask("short"), ask("x" * 520, id="long", max_tokens=1)])
    with pytest.raises(EngineError, match=r"'greedy': .* and 600 for the answer exceed the 512 positions of"):
        engine.generate([ask("x", id="greedy", max_tokens=600)])
    with pytest.raises(EngineError, match="exceed the 512"):
        engine.logprobs([score("x", "y" * 520)])


def test_the_last_place_of_the_model_is_used(engine, ask):
    [prompt] = engine.chat.prompts([ask("x" * 500).messages])
    request = ask("x" * 500, max_tokens=512 - len(prompt))
    assert ids_of(engine.generate([request])[0].text) == greedy_alone(engine, request)[0]


def test_a_long_prompt_with_a_short_answer_fits_though_its_padding_does_not(tokenizer, ask):
    """521 tokens would be padded to 576, more than the 544 places of their slot and the 530 positions of the model."""
    model = decoder(max_position_embeddings=530)
    request = ask("x" * 517, max_tokens=2)
    engine = engine_of_ids(model, tokenizer)
    (reply,) = engine.generate([request])
    tokens, _ = greedy_alone(engine, request)
    assert ids_of(reply.text) == [token for token in tokens[:2] if token not in engine.stop_ids]


def test_progress_counts_every_request(model, tokenizer, pool):
    seen = []
    LocalEngine(model, tokenizer, progress=lambda done, total: seen.append((done, total))).generate(pool)
    assert seen == [(done, len(pool)) for done in range(1, len(pool) + 1)]


def test_the_model_is_left_as_it_was(tokenizer, ask, score):
    model = decoder().train()
    engine = LocalEngine(model, tokenizer)
    engine.generate([ask("a")])
    engine.logprobs([score("a", "b")])
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    with torch.enable_grad():
        model(torch.tensor([[3, 4]])).logits.sum().backward()


def test_the_name_is_the_model_s_unless_given(model, tokenizer):
    assert LocalEngine(model, tokenizer).name
    assert LocalEngine(model, tokenizer, name="mine").name == "mine"
    assert isinstance(LocalEngine(model, tokenizer), Engine)


def test_text_is_decoded_without_special_tokens(model, tokenizer, ask, monkeypatch):
    engine = LocalEngine(model, tokenizer)
    assert engine.chat.text(tokenizer("<user>نعم 👩<end>", add_special_tokens=False)["input_ids"]) == "نعم 👩"
