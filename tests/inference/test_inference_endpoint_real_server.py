"""``transformers serve`` on the loopback with a tiny model built here: the engine against a server that is not ours."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import torch
from tiny_models import byte_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from paribus.errors import EngineError
from paribus.inference.endpoint import EndpointEngine
from paribus.inference.local import LocalEngine

pytestmark = pytest.mark.slow
START = 90.0  # seconds that the server may take to come up
CODE = "from transformers.cli.transformers import main; main()"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen, log) -> None:
    """Skip, with the server's own last words, if it does not come up."""
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    pytest.skip(f"transformers serve did not start: {log.read_text(errors='replace')[-300:]}")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(address, model's folder, model, tokenizer) of a running server."""
    folder = tmp_path_factory.mktemp("served")
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    shape = {"vocab_size": len(tokenizer), "max_position_embeddings": 256, "initializer_range": 0.3}
    shape |= {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = LlamaConfig(**shape, **special)
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    port, log = free_port(), folder / "log.txt"
    words = ["serve", str(folder / "model"), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "home")}
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", CODE, *words], env=environment, stdout=file, stderr=file)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1", str(folder / "model"), model, tokenizer
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_greedy_chats_are_those_of_the_local_engine(served, ask):
    url, name, model, tokenizer = served
    asked = [ask(text, max_tokens=12) for text in ("hi", "Where is Oslo?", "ÅÄÖ", "1 + 1 =")]
    engine = EndpointEngine(url, name, concurrency=2, tokenizer=tokenizer, timeout=60.0)
    got, own = engine.generate(asked), LocalEngine(model, tokenizer).generate(asked)
    assert [(reply.text, reply.finish) for reply in got] == [(reply.text, reply.finish) for reply in own]
    assert [reply.tokens for reply in got] == [reply.tokens for reply in own]
    assert engine.usage.calls == len(asked)
    assert engine.usage.prompt_tokens <= engine.estimate(asked).prompt_tokens


def test_text_completions_of_the_rendered_prompt_are_the_same_answers(served, ask):
    url, name, model, tokenizer = served
    asked = [ask(text, max_tokens=12) for text in ("hi", "Where is Oslo?")]
    settings = {"tokenizer": tokenizer, "timeout": 60.0, "api": "completions"}
    engine = EndpointEngine(url, name, token_prompts=False, **settings)
    own = LocalEngine(model, tokenizer).generate(asked)
    assert [(reply.text, reply.tokens) for reply in engine.generate(asked)] == [(r.text, r.tokens) for r in own]
    [refused] = EndpointEngine(url, name, **settings).generate(asked[:1])
    assert "prompt must be a string" in refused.error  # this server takes no ids, and says so
    assert refused.failure == "rejected"


def test_what_this_server_does_not_offer_is_said(served, ask, score):
    url, name, _, tokenizer = served
    engine = EndpointEngine(url, name, tokenizer=tokenizer, reply_logprobs=True, timeout=60.0)
    [got] = engine.generate([ask("hi", max_tokens=4)])
    assert (got.failure, got.logprob) == (None, None)  # asked for log-probabilities, it answers without
    with pytest.raises(EngineError, match=r"failed: .*prompt must be a string"):
        engine.logprobs([score("hi", "yes")])


def test_the_cache_outlives_the_server_s_answers(served, ask, tmp_path):
    url, name, _, _ = served
    first = EndpointEngine(url, name, cache=tmp_path / "c.sqlite", timeout=60.0).generate([ask("hi", max_tokens=4)])
    second = EndpointEngine(url, name, cache=tmp_path / "c.sqlite", timeout=60.0)
    assert second.generate([ask("hi", max_tokens=4)]) == first
    assert second.usage.calls == 0
