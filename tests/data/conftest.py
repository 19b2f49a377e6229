"""Tokenizers of several chat layouts and a tiny random decoder, shared by the data tests."""

import copy

import pytest
import torch

from paribus.data.tokenizer import train_tokenizer
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM

TEXTS = [
    "The sun rises in the east.",
    "La somme de 3 et 4 est 7.",
    "Сегодня понедельник.",
    "今天是星期一。",
    "اليوم الاثنين",
]

HEADER = "{{ '<BOS_TOKEN>' }}{% for message in messages %}"
TAIL = "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"

TEMPLATES = {
    # The turn's end is learned, and marked by the template itself.
    "block": None,
    # The block leaves the end of turn outside.
    "block-without-end": HEADER
    + "{{ message['role'] + ': ' }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}"
    + "{% endgeneration %}{% else %}{{ message['content'] }}{% endif %}{{ '<|END_OF_TURN_TOKEN|>' }}"
    + TAIL,
    # No block: the answer is what follows the rendered prompt.
    "prefix": HEADER + "{{ message['role'] + ': ' + message['content'] + '<|END_OF_TURN_TOKEN|>' }}" + TAIL,
    # As ChatML: a newline behind each end of turn.
    "prefix-newline": HEADER + "{{ message['role'] + ': ' + message['content'] + '<|END_OF_TURN_TOKEN|>\n' }}" + TAIL,
    # No special token ends a turn.
    "prefix-plain": HEADER + "{{ message['role'] + ': ' + message['content'] + '\n' }}" + TAIL,
}

UNSTABLE = (
    "{% if messages[-1]['role'] == 'assistant' %}{{ 'answered ' }}{% else %}{{ 'open ' }}{% endif %}"
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=300)


@pytest.fixture(scope="session")
def with_template(tokenizer):
    """A function that gives the tokenizer another chat template: a name of ``TEMPLATES`` or the template itself."""

    def changed(template: str):
        other = copy.deepcopy(tokenizer)
        text = TEMPLATES.get(template, template)
        if text is not None:
            other.chat_template = text
        return other

    return changed


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        initializer_range=0.2,
    )  # fmt: skip
    return DecoderForCausalLM(config).eval()
