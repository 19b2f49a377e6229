"""A byte-level tokenizer made in memory and tiny random models."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from paribus.models.decoder import DecoderConfig, DecoderForCausalLM

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
