"""A byte-level tokenizer made in memory and tiny random models, shared by the inference tests."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from paribus.inference.engine import GenerationRequest, ScoreRequest
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.records import Message

TEMPLATE = (
    "{{ '<bos>' }}{% for message in messages %}{{ '<' + message['role'] + '>' + message['content'] + '<end>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
SPECIAL = ["<pad>", "<bos>", "<end>", "<system>", "<user>", "<assistant>"]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *letters])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<end>", pad_token="<pad>", extra_special_tokens=SPECIAL[3:]
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def decoder(**changes) -> DecoderForCausalLM:
    torch.manual_seed(0)
    shape = {
        "vocab_size": 262,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "initializer_range": 0.2,
        "max_position_embeddings": 512,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return DecoderForCausalLM(DecoderConfig(**{**shape, **changes})).eval()


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
