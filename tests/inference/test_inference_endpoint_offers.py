"""Text completions, log-probabilities of generated tokens, estimates, event loops, and where a key must never be."""

import asyncio
import copy
import dataclasses
import json
import logging
import time

import pytest
from loopback_server import Answer, LoopbackServer, completion
from tokenizers.processors import TemplateProcessing

from paribus.errors import ConfigError, EngineError
from paribus.inference.chat import Chat
from paribus.inference.endpoint import EndpointEngine, Prices, most_read
from paribus.inference.endpoint_limits import Estimate
from paribus.records import Message

KEY = "sk-planted-secret-0123456789"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PLANTED_KEY", KEY)
    started = LoopbackServer()
    yield started
    started.close()


def written(text: str, tokens: int, logprobs=None) -> Answer:
    """A text completion."""
    choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": logprobs}
    return Answer({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}})


def chatted(values: list[object], tokens: int) -> Answer:
    answer = completion("some words", tokens=tokens)
    answer.body["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": value} for value in values]}
    return answer


# --- text completions


def test_a_prompt_goes_out_as_the_ids_that_a_local_engine_reads(server, ask, tokenizer):
    server.rule = lambda body: written("fine", 2)
    engine = EndpointEngine(server.url, "m", api="completions", tokenizer=tokenizer)
    [got] = engine.generate([ask("hi", max_tokens=7)])
    assert (got.text, got.tokens, got.finish) == ("fine", 2, "stop")
    assert server.paths == ["/v1/completions"]
    assert server.bodies[0]["prompt"] == Chat(tokenizer).prompts([ask("hi").messages])[0]
    assert server.bodies[0]["max_tokens"] == 7 and "messages" not in server.bodies[0]


def test_text_prompts_encode_to_the_same_ids_where_the_tokenizer_adds_its_first_token(server, ask, tokenizer):
    bos = tokenizer.bos_token
    adding = copy.deepcopy(tokenizer)  # the fixture is everybody's
    adding.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    adding.chat_template = bos + "{{ messages[0]['content'] }}"
    server.rule = lambda body: written("fine", 2)
    for each in (tokenizer, adding):
        EndpointEngine(server.url, "m", api="completions", token_prompts=False, tokenizer=each).generate([ask("hi")])
        assert each(server.bodies[-1]["prompt"])["input_ids"] == Chat(each).prompts([ask("hi").messages])[0]


def test_text_completions_need_a_tokenizer_and_a_known_api(server, ask):
    with pytest.raises(EngineError, match="Text completions from m need the served model's tokenizer"):
        EndpointEngine(server.url, "m", api="completions").generate([ask("a")])
    with pytest.raises(ConfigError, match="api is 'responses'"):
        EndpointEngine(server.url, "m", api="responses")


# --- log-probabilities of generated tokens


@pytest.mark.parametrize(
    ("values", "tokens", "logprob"),
    [
        ([-0.5, -1.25], 2, -1.75),
        ([-0.5], 2, None),  # the stop token is missing: another quantity
        ([], 2, None),
        ([-0.5, None], 2, None),
        ([-0.5, float("-inf")], 2, None),
    ],
)
def test_listed_log_probabilities_are_summed_if_there_is_one_for_each_token(
    server, ask, tmp_path, values, tokens, logprob
):
    server.rule = lambda body: chatted(values, tokens)
    for _ in range(2):
        engine = EndpointEngine(server.url, "m", reply_logprobs=True, cache=tmp_path / "c.sqlite")
        assert engine.generate([ask("a")])[0].logprob == logprob
    assert len(server.bodies) == 1
    assert server.bodies[0]["logprobs"] is True


def test_text_completions_list_them_in_their_own_way(server, ask, tokenizer):
    server.rule = lambda body: written("fine", 2, {"token_logprobs": [-0.5, -0.25], "tokens": ["f", "ine"]})
    settings = {"api": "completions", "tokenizer": tokenizer}
    assert EndpointEngine(server.url, "m", reply_logprobs=True, **settings).generate([ask("a")])[0].logprob == -0.75
    assert server.bodies[0]["logprobs"] == 1
    assert EndpointEngine(server.url, "m", **settings).generate([ask("a")])[0].logprob is None
    assert "logprobs" not in server.bodies[1]


def test_asking_for_them_is_another_request(server, ask, tmp_path):
    """Answers kept without them stay valid for those who do not ask."""
    cache = tmp_path / "c.sqlite"
    EndpointEngine(server.url, "m", cache=cache).generate([ask("a")])
    EndpointEngine(server.url, "m", cache=cache, reply_logprobs=True).generate([ask("a")])
    EndpointEngine(server.url, "m", cache=cache).generate([ask("a")])
    assert len(server.bodies) == 2


def test_keys_of_paid_answers_do_not_change_between_versions(ask):
    """Written down from the first version that kept answers: another key would ask, and pay, for everything again."""
    engine = EndpointEngine("http://localhost:8000/v1", "m", extra={"stop": ["."]})
    request = ask("hé", id="a", temperature=0.5, seed=3)
    assert engine._chat_call(request).key == "1f81a30df94bfeef9785686c708e7941ce80b7fde8d3be5190cc2790577b4368"
    assert engine._score_call([1, 2], [3]).key == "9a971824336695914070adff4091574bf4100a233e9361993a999d7b7b01e6aa"


# --- estimates


def test_an_estimate_sends_nothing_and_makes_no_file(server, ask, tmp_path):
    engine = EndpointEngine(server.url, "m", cache=tmp_path / "deep" / "c.sqlite", prices=Prices(1.0, 10.0))
    asked = [ask("aé", id="1"), ask("aé", id="2"), ask("b", id="3", max_tokens=10)]
    read = most_read(asked[0].messages) + most_read(asked[2].messages)
    assert engine.estimate(asked) == Estimate(3, 2, 0, read, 74, pytest.approx((read + 740) / 1e6))
    assert (server.bodies, list(tmp_path.iterdir())) == ([], [])


def test_an_estimate_knows_what_is_kept_and_bounds_the_price(server, ask, tmp_path):
    settings = {"cache": tmp_path / "c.sqlite", "prices": Prices(1.0, 10.0)}
    asked = [ask(f"q{i}") for i in range(10)]
    before = EndpointEngine(server.url, "m", **settings).estimate(asked)
    engine = EndpointEngine(server.url, "m", **settings)
    engine.generate(asked[:4])
    after = engine.estimate(asked)
    assert (after.calls, after.cached, after.requests) == (6, 4, 10)
    assert after.price == pytest.approx(before.price * 6 / 10)
    engine.generate(asked)
    assert engine.usage.price <= before.price
    assert engine.estimate(asked).price == 0.0


def test_the_price_is_unknown_without_prices_and_tokens_are_exact_with_a_tokenizer(server, ask, tokenizer):
    engine = EndpointEngine(server.url, "m", api="completions", tokenizer=tokenizer)
    found = engine.estimate([ask("hi", max_tokens=3)])
    ids = Chat(tokenizer).prompts([ask("hi").messages])[0]
    assert (found.prompt_tokens, found.completion_tokens, found.price) == (len(ids) + 1, 3, None)


# --- event loops


def test_both_ways_work_inside_a_running_event_loop(server, ask):
    """As in a notebook: ``generate`` blocks, ``agenerate`` lets the loop go on."""
    server.rule = lambda body: Answer(completion("x").body, after=lambda: time.sleep(0.05))
    engine, asked = EndpointEngine(server.url, "m"), [ask(f"q{i}") for i in range(4)]

    async def notebook():
        beats = 0

        async def beat():
            nonlocal beats
            while True:
                await asyncio.sleep(0.005)
                beats += 1

        beating = asyncio.create_task(beat())
        waited = await engine.agenerate(asked)
        seen = beats
        beating.cancel()
        return engine.generate(asked), waited, seen

    blocked, waited, seen = asyncio.run(notebook())
    assert blocked == waited
    assert seen >= 2


def test_a_cancelled_call_sends_no_more_and_keeps_what_arrives(server, ask, tmp_path):
    server.rule = lambda body: Answer(completion("x").body, after=lambda: time.sleep(0.02))
    asked = [ask(f"q{i}") for i in range(200)]
    engine = EndpointEngine(server.url, "m", cache=tmp_path / "c.sqlite", concurrency=2)

    async def impatient():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.agenerate(asked), 0.2)

    asyncio.run(impatient())  # waits for the thread, which is soon through
    sent = len(server.bodies)
    assert 0 < sent < 100
    rest = EndpointEngine(server.url, "m", cache=tmp_path / "c.sqlite", concurrency=50)
    rest.generate(asked)
    assert rest.usage.cache_hits == sent


# --- secrets


def test_the_key_is_in_no_log_cache_error_estimate_or_usage(server, ask, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    leak = {"error": {"message": f"your key {KEY} is odd"}}
    server.faults = [Answer(leak, status=500), Answer(leak, status=400), Answer(f"{{{KEY}".encode()), Answer(cut=True)]
    settings = {"cache": tmp_path / "c.sqlite", "retries": 1, "concurrency": 1, "reply_logprobs": True}
    engine = EndpointEngine(
        server.url, "m", api_key_variable="PLANTED_KEY", sleep=lambda seconds: None, prices=Prices(1.0, 1.0), **settings
    )
    server.rule = lambda body: completion(f"I was told {KEY}")
    asked = [ask(f"q{i}") for i in range(5)]
    replies = engine.generate(asked)
    assert {reply.finish for reply in replies} == {"error", "stop"}
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    told = [reply.model_dump_json() for reply in replies]
    told += [json.dumps(dataclasses.asdict(found)) for found in (engine.usage, engine.estimate(asked))]
    told += [repr(engine), repr(vars(engine)), repr(vars(engine._client)), caplog.text]
    assert not any(KEY in text for text in told)
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert sum("[key]" in text for text in told) >= 2


def test_bounds_count_every_turn_and_the_opened_one():
    assert most_read([Message(role="user", content="né")]) == 3 + 32 + 32
    assert most_read([Message(role="system", content="a"), Message(role="user", content="b")]) == 2 + 3 * 32
