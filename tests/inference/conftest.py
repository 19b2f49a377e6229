"""One tokenizer and one tiny model for the inference tests, and short ways to ask."""

import pytest
import torch
from tiny_models import byte_tokenizer, decoder
from transformers import PreTrainedTokenizerFast

from paribus.inference.engine import GenerationRequest, ScoreRequest
from paribus.models.decoder import DecoderForCausalLM
from paribus.records import Message


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture(scope="session")
def model() -> DecoderForCausalLM:
    return decoder()


def asked(text: str, **settings) -> GenerationRequest:
    """A request with a one-turn prompt; its id is the text unless given."""
    return GenerationRequest(**{"id": text, "messages": (Message(role="user", content=text),), **settings})


@pytest.fixture(scope="session")
def ask():
    return asked


@pytest.fixture(scope="session")
def score():
    """A score request with a one-turn prompt; its id is "prompt|completion"."""

    def scored(text: str, completion: str) -> ScoreRequest:
        messages = (Message(role="user", content=text),)
        return ScoreRequest(id=f"{text}|{completion}", messages=messages, completion=completion)

    return scored
