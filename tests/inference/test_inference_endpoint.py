"""The endpoint engine against a server on this machine: requests, cache, resumption, failures, limits, secrets."""

import random
import threading
import time
import traceback

import pytest
from loopback_server import Answer, LoopbackServer, completion

from paribus.errors import ConfigError, EngineError
from paribus.inference.endpoint import EndpointEngine, Prices
from paribus.inference.engine import Engine, GenerationRequest
from paribus.records import Message

KEY = "sk-planted-secret-0123456789"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PLANTED_KEY", KEY)
    started = LoopbackServer()
    yield started
    started.close()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def make(server, waits):
    """Makes an engine on the server whose waits are only written down."""

    def made(**settings):
        return EndpointEngine(server.url, "m", **{"api_key_variable": "PLANTED_KEY", "sleep": waits.append, **settings})

    return made


def texts(replies):
    return [reply.text for reply in replies]


def test_what_is_sent(server, make, ask):
    engine = make(extra={"reasoning_effort": "low"})
    system = (Message(role="system", content="Be brief."), Message(role="user", content="hi"))
    [got] = engine.generate([GenerationRequest(id="a", messages=system, max_tokens=7, seed=3)])
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
            "max_tokens": 7,
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": 3,
            "reasoning_effort": "low",
        }
    ]
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert got.model_dump() == {
        "request_id": "a", "text": "you said: hi", "tokens": 3, "finish": "stop", "logprob": None, "error": None,
        "failure": None,
    }  # fmt: skip
    assert isinstance(engine, Engine)
    assert engine.name == "m"


def test_nothing_is_sent_before_it_is_asked_and_nothing_asked_is_nothing_sent(server, make):
    assert make().generate([]) == []
    assert server.bodies == []


def test_fields_are_renamed_and_left_out_but_samples_stay_apart(server, make, ask):
    engine = make(fields={"max_tokens": "max_completion_tokens", "seed": None})
    engine.generate([ask("hi", id=f"s{i}", temperature=1.0, max_tokens=9) for i in range(3)])
    assert len(server.bodies) == 3
    assert all(
        body["max_completion_tokens"] == 9 and not {"seed", "max_tokens"} & body.keys() for body in server.bodies
    )


def test_samples_get_their_own_seeds_and_keep_them(server, make, ask):
    samples = [ask("hi", id=f"s{i}", temperature=1.0, seed=5) for i in range(4)]
    make().generate(samples)
    first = {body["seed"] for body in server.bodies}
    make().generate(samples)
    assert len(first) == 4
    assert {body["seed"] for body in server.bodies[4:]} == first


def test_order_is_kept_under_random_delays(server, make, ask):
    delays = random.Random(0)

    def slow(body):
        time.sleep(delays.random() / 100)
        return completion(body["messages"][-1]["content"] * 2)

    server.rule = slow
    asked = [f"q{i}" for i in range(60)]
    assert texts(make(concurrency=12).generate([ask(text) for text in asked])) == [text * 2 for text in asked]


def test_concurrency_is_used_and_bounded(server, make, ask):
    together, most, lock = 0, 0, threading.Lock()

    def busy():
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.02)
        with lock:
            together -= 1

    server.rule = lambda body: Answer(completion("x").body, after=busy)
    make(concurrency=3).generate([ask(f"q{i}") for i in range(12)])
    assert most == 3


@pytest.mark.parametrize(
    "text", ["نَعَم، ٤٢", "שלום עולם", "\u202babc\u202c", "日本語 ✓", "👩🏽‍🚀 e\u0301", 'quote " \\ \n tab\t']
)
def test_text_of_any_script_comes_back_whole_and_from_the_cache(server, make, ask, tmp_path, text):
    for _ in range(2):
        [got] = make(cache=tmp_path / "c.sqlite").generate([ask(text)])
        assert got.text == "you said: " + text
    assert server.said == [text]


def test_half_an_emoji_is_replaced(server, make, ask, tmp_path):
    server.rule = lambda body: completion("cut \ud83d", finish="length")
    [got] = make(cache=tmp_path / "c.sqlite").generate([ask("a")])
    assert (got.text, got.finish) == ("cut \ufffd", "length")


# --- cache and resumption


def test_equal_greedy_requests_are_sent_once(server, make, ask):
    engine = make()
    got = engine.generate([ask("same", id=str(i)) for i in range(5)] + [ask("other")])
    assert sorted(server.said) == ["other", "same"]
    assert [reply.request_id for reply in got] == ["0", "1", "2", "3", "4", "other"]
    assert (engine.usage.calls, engine.usage.cache_hits) == (2, 4)


def test_the_cache_answers_another_engine(server, make, ask, tmp_path):
    asked = [ask(f"q{i}", temperature=1.0) for i in range(4)]
    first = make(cache=tmp_path / "deep" / "c.sqlite").generate(asked)
    engine = make(cache=tmp_path / "deep" / "c.sqlite")
    assert engine.generate(asked[::-1]) == first[::-1]
    assert len(server.bodies) == 4
    assert (engine.usage.calls, engine.usage.cache_hits, engine.usage.price) == (0, 4, 0.0)


CHANGES = [
    {"max_tokens": 65},
    {"temperature": 0.5},
    {"top_p": 0.9},
    {"seed": 1},
    {"messages": (Message(role="system", content="a"),)},
]


@pytest.mark.parametrize("change", CHANGES)
def test_any_changed_setting_is_another_request(server, make, ask, tmp_path, change):
    engine = make(cache=tmp_path / "c.sqlite")
    engine.generate([ask("a")])
    engine.generate([ask("a", **change)])
    assert len(server.bodies) == 2


def test_another_model_or_extra_field_is_another_request(server, make, ask, tmp_path):
    for model, extra in (("m", {}), ("n", {}), ("m", {"stop": ["."]})):
        engine = EndpointEngine(server.url, model, extra=extra, cache=tmp_path / "c.sqlite")
        engine.generate([ask("a")])
    assert [body["model"] for body in server.bodies] == ["m", "n", "m"]


def test_a_killed_call_resumes_with_only_the_missing_requests(server, make, ask, tmp_path):
    class Killed(BaseException):
        pass

    def die(done, total):
        if done == 4:
            raise Killed

    asked = [ask(f"q{i}") for i in range(12)]
    with pytest.raises(Killed):
        make(cache=tmp_path / "c.sqlite", progress=die, concurrency=1).generate(asked)
    before = list(server.said)
    assert 4 <= len(before) < 12
    seen = []
    engine = make(cache=tmp_path / "c.sqlite", progress=lambda done, total: seen.append((done, total)))
    assert texts(engine.generate(asked)) == [f"you said: q{i}" for i in range(12)]
    assert sorted(server.said) == sorted(f"q{i}" for i in range(12))  # nothing was asked twice
    assert seen == [(done, 12) for done in range(len(before), 13)]


def test_failures_are_not_cached(server, make, ask, tmp_path):
    server.faults = [Answer({"error": {"message": "too long"}}, status=400)]
    [failed] = make(cache=tmp_path / "c.sqlite").generate([ask("a")])
    [mended] = make(cache=tmp_path / "c.sqlite").generate([ask("a")])
    assert (failed.finish, mended.finish, mended.text) == ("error", "stop", "you said: a")


# --- failures


FAULTS = {
    "overloaded": Answer({"error": {"message": "slow down"}}, status=429),
    "internal": Answer(b"<h1>oops</h1>", status=500),
    "gateway": Answer({"detail": "no worker"}, status=503),
    "broken JSON": Answer(b'{"choices": [{"mess'),
    "web page": Answer(b"<html>welcome</html>", headers={"Content-Type": "text/html"}),
    "reset": Answer(cut=True),
    "cut body": Answer({"choices": []}, missing=50),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_passing_faults_are_retried(server, make, ask, waits, fault):
    server.faults = [FAULTS[fault]] * 2
    engine = make()
    [got] = engine.generate([ask("a")])
    assert got.text == "you said: a"
    assert (engine.usage.calls, engine.usage.retries, len(waits)) == (3, 2, 2)


@pytest.mark.parametrize("fault", FAULTS)
def test_lasting_faults_become_an_error_reply_beside_good_ones(server, make, ask, waits, fault):
    server.rule = lambda body: FAULTS[fault] if body["messages"][-1]["content"] == "bad" else completion("fine")
    good, bad, last = make(retries=2).generate([ask("good"), ask("bad"), ask("last")])
    assert (good.text, last.text) == ("fine", "fine")
    assert (bad.finish, bad.text, bad.tokens) == ("error", "", 0)
    assert server.url in bad.error
    assert server.said.count("bad") == 3


def test_waits_double_are_spread_and_do_not_depend_on_the_run(server, make, ask, waits):
    server.rule = lambda body: FAULTS["internal"]
    make(retries=4).generate([ask("a")])
    make(retries=4).generate([ask("a")])
    make(retries=4).generate([ask("b")])
    assert waits[:4] == waits[4:8] != waits[8:]
    assert all(0.5 * 2**i <= wait <= 2**i for i, wait in enumerate(waits[:4]))


def test_waits_stop_growing_at_a_minute(server, make, ask, waits):
    server.rule = lambda body: FAULTS["internal"]
    make(retries=12).generate([ask("a")])
    assert all(30 <= wait <= 60 for wait in waits[6:])
    assert len(waits) == 12


def test_retry_after_is_honoured(server, make, ask, waits):
    server.faults = [Answer({}, status=429, headers={"Retry-After": "17"})]
    make().generate([ask("a")])
    assert 17 <= waits[0] <= 18


def test_a_retry_after_of_an_hour_ends_the_request(server, make, ask, waits):
    server.faults = [Answer({}, status=429, headers={"Retry-After": "3600"})]
    [got] = make().generate([ask("a")])
    assert "asks to wait 3600 seconds, more than 300" in got.error
    assert waits == []


def test_a_hanging_server_times_out_and_is_asked_again(server, make, ask):
    server.faults = [Answer(after=lambda: time.sleep(0.5))]
    [got] = make(timeout=0.1).generate([ask("a")])
    assert got.text == "you said: a"


def test_a_server_that_is_not_there_ends_the_call(server, make, ask, waits):
    server.close()
    engine = EndpointEngine(server.url, "m", sleep=waits.append, retries=1, concurrency=2)
    with pytest.raises(EngineError, match=r"20 requests in a row failed after all retries.*could not be reached"):
        engine.generate([ask(f"q{i}") for i in range(100)])
    assert engine.usage.calls < 100


def test_a_bad_request_is_not_retried_and_shows_what_the_server_said(server, make, ask, waits):
    server.rule = lambda body: Answer({"error": {"message": "maximum context is 8 tokens"}}, status=400)
    [got] = make().generate([ask("a")])
    assert "answered 400: maximum context is 8 tokens" in got.error
    assert (len(server.bodies), waits) == (1, [])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer({"error": {"message": "no such key"}}, status=401), "answered 401: no such key"),
        (Answer({"error": "model m not found"}, status=404), "answered 404: model m not found"),
        (Answer({"error": {"message": "pay", "code": "insufficient_quota"}}, status=429), "answered 429: pay"),
        (Answer({}, status=307, headers={"Location": "http://127.0.0.1:9/v1"}), r"redirects to http://127.0.0.1:9/v1"),
    ],
)
def test_what_would_fail_every_request_ends_the_call_at_once(server, make, ask, waits, answer, said):
    server.rule = lambda body: answer
    with pytest.raises(EngineError, match=said):
        make(concurrency=1).generate([ask(f"q{i}") for i in range(50)])
    assert len(server.bodies) <= 3
    assert waits == []


def test_a_missing_key_is_named_by_its_variable(server, make, ask, monkeypatch):
    monkeypatch.delenv("PLANTED_KEY")
    server.rule = lambda body: Answer({"error": {"message": "key?"}}, status=401)
    with pytest.raises(EngineError, match="the environment variable PLANTED_KEY is not set"):
        make().generate([ask("a")])
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"choices": [], "usage": {"completion_tokens": 0}}, "has no choices"),
        ({}, "has no choices"),
        ([], "has no choices"),
        ({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}, "has no usage"),
        ({"choices": [{"finish_reason": "stop"}], "usage": {"completion_tokens": 1}}, "has no message"),
        (completion("x", finish="content_filter").body, "finish_reason 'content_filter'"),
        (completion("x", finish=None).body, "finish_reason None"),
    ],
)
def test_answers_that_cannot_be_used_are_errors_and_say_why(server, make, ask, body, said):
    server.rule = lambda _: Answer(body)
    [got] = make().generate([ask("a")])
    assert got.finish == "error"
    assert said in got.error
    assert len(server.bodies) == 1


def test_a_refusal_is_what_the_model_said(server, make, ask):
    body = completion("").body
    body["choices"][0]["message"] = {"content": None, "refusal": "I would rather not."}
    server.rule = lambda _: Answer(body)
    assert texts(make().generate([ask("a")])) == ["I would rather not."]


# --- limits


def test_the_price_is_counted(server, make, ask):
    engine = make(prices=Prices(2.0, 10.0))
    server.rule = lambda body: completion("a b c", prompt_tokens=100)
    engine.generate([ask(f"q{i}") for i in range(5)])
    used = engine.usage
    assert (used.calls, used.prompt_tokens, used.completion_tokens) == (5, 500, 15)
    assert used.price == pytest.approx((500 * 2 + 15 * 10) / 1e6)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_price_cap_is_not_crossed_and_a_higher_one_resumes(server, make, ask, tmp_path, concurrency):
    server.rule = lambda body: completion("w " * 50, prompt_tokens=50)
    asked = [ask(f"q{i}", max_tokens=50) for i in range(40)]
    settings = {"cache": tmp_path / "c.sqlite", "prices": Prices(1.0, 10.0), "concurrency": concurrency}
    engine = make(price_cap=0.006, **settings)
    with pytest.raises(EngineError, match=r"the price cap 0\.006 holds.*raise price_cap"):
        engine.generate(asked)
    sent = len(server.bodies)
    each = (50 * 1 + 50 * 10) / 1e6
    assert engine.usage.price == pytest.approx(sent * each)
    assert 0.006 - 2 * each <= engine.usage.price <= 0.006
    more = make(price_cap=1.0, **settings)
    assert all(reply.finish == "stop" for reply in more.generate(asked))
    assert len(server.bodies) == 40
    assert more.usage.cache_hits == sent


def test_a_call_whose_outcome_is_unknown_counts_at_its_bound(server, make, ask):
    server.rule = lambda body: FAULTS["broken JSON"]
    engine = make(prices=Prices(0.0, 1e6), retries=2)
    engine.generate([ask("a", max_tokens=5)])
    assert engine.usage.price == pytest.approx(15.0)
    server.rule = lambda body: FAULTS["gateway"]
    engine.generate([ask("a", max_tokens=5)])
    assert engine.usage.price == pytest.approx(15.0)


def test_requests_keep_the_pace(make, ask, waits):
    make(requests_per_minute=30, concurrency=1, clock=lambda: 0.0).generate([ask(f"q{i}") for i in range(4)])
    assert waits == pytest.approx([2.0, 4.0, 6.0])


def test_tokens_keep_the_pace_and_unused_bounds_are_given_back(server, make, ask, waits):
    server.rule = lambda body: completion("x", prompt_tokens=5, tokens=5)
    make(tokens_per_minute=600, concurrency=1, clock=lambda: 0.0).generate([ask(f"q{i}") for i in range(4)])
    assert waits == pytest.approx([1.0, 2.0, 3.0])  # ten tokens a second, ten used by each


# --- secrets


def nothing_holds_the_key(folder, *shown):
    assert list(folder.iterdir())
    assert not any(KEY.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert not any(KEY in text for text in shown)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 429, 500])
def test_the_key_is_in_no_file_and_no_message_even_if_the_server_sends_it_back(server, make, ask, tmp_path, status):
    leak = f"your key {KEY} is odd"
    body = completion(leak).body if status == 200 else {"error": {"message": "x" * 380 + leak}}
    server.rule = lambda _: Answer(body, status=status, headers={"Location": f"http://elsewhere/?{KEY}"})
    engine = make(cache=tmp_path / "c.sqlite", retries=1)
    try:
        shown = [str(engine.generate([ask("a")])), repr(engine), str(vars(engine))]
    except EngineError as error:
        shown = ["".join(traceback.format_exception(error)), str(error)]
    nothing_holds_the_key(tmp_path, *shown)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_a_key_that_fits_no_header_is_not_shown(server, make, ask, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANTED_KEY", KEY + "\nX-Other: é")
    with pytest.raises(EngineError, match="PLANTED_KEY holds characters") as caught:
        make(cache=tmp_path / "c.sqlite").generate([ask("a")])
    nothing_holds_the_key(tmp_path, "".join(traceback.format_exception(caught.value)))
    assert server.bodies == []


def test_a_placeholder_for_a_key_does_not_touch_the_answer(server, make, ask, monkeypatch):
    monkeypatch.setenv("PLANTED_KEY", "EMPTY")
    server.rule = lambda body: completion("The set is EMPTY.")
    assert texts(make().generate([ask("a")])) == ["The set is EMPTY."]


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(EngineError, match="base_url is"):
        EndpointEngine(url, "m")


@pytest.mark.parametrize("url", [f"http://me:{KEY}@host/v1", f"http://host/v1?key={KEY}"])
def test_a_secret_in_the_address_is_refused_and_not_shown(url):
    with pytest.raises(EngineError, match="through its environment variable") as caught:
        EndpointEngine(url, "m")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"timeout": -1.0}, "timeout is -1.0"),
        ({"requests_per_minute": 0}, "requests_per_minute is 0"),
        ({"price_cap": 1.0}, "needs prices"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        EndpointEngine("http://localhost/v1", "m", **settings)


def test_ids_that_occur_twice_are_refused(make, ask):
    with pytest.raises(EngineError, match="'a' occurs twice"):
        make().generate([ask("a"), ask("b", id="a")])


# --- log-probabilities


def scoring(body):
    """Echoes: token t has log-probability -t/100, the first none, and one token is made."""
    ids = [*body["prompt"], 7]
    values = [None, *(-token / 100 for token in ids[1:])]
    return Answer({"choices": [{"text": "", "logprobs": {"token_logprobs": values}, "finish_reason": "length"}]})


def test_logprobs_sum_over_the_completion_and_its_end(server, make, tokenizer, score, tmp_path):
    server.rule = scoring
    engine = make(tokenizer=tokenizer, cache=tmp_path / "c.sqlite")
    got = engine.logprobs([score("hi", "yes"), score("hello", "")])
    for found, completion_text in zip(got, ["yes<end>", "<end>"], strict=True):
        ids = tokenizer(completion_text, add_special_tokens=False)["input_ids"]
        assert found.tokens == len(ids)
        assert found.logprob == pytest.approx(-sum(ids) / 100)
    assert all(body["echo"] and body["logprobs"] == 1 for body in server.bodies)
    assert engine.logprobs([score("hi", "yes")])[0].logprob == got[0].logprob
    assert len(server.bodies) == 2


def test_logprobs_need_a_tokenizer(make, score):
    with pytest.raises(EngineError, match="pass tokenizer="):
        make().logprobs([score("hi", "yes")])


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"text": "x"}]},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"token_logprobs": [-1.0]}}]},
        {"choices": [{"logprobs": {"token_logprobs": [None] * 99}}]},
    ],
)
def test_a_server_that_does_not_echo_is_named(server, make, tokenizer, score, body):
    server.rule = lambda _: Answer(body)
    with pytest.raises(EngineError, match="does not echo log-probabilities"):
        make(tokenizer=tokenizer).logprobs([score("hi", "yes")])


def test_a_score_that_failed_is_an_error_with_its_request(server, make, tokenizer, score):
    server.rule = lambda _: Answer({"error": {"message": "too long"}}, status=400)
    with pytest.raises(EngineError, match=r"Score request 'hi\|yes' failed: .*too long"):
        make(tokenizer=tokenizer).logprobs([score("hi", "yes")])
