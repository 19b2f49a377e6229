"""Byte-level BPE tokenizers trained on the user's own text, with the turn tokens of the Cohere chat layout.

Source: Aya 23 (arXiv 2405.15032) section 2.1: BPE, NFC normalisation, digits split one by one, chat turn tokens. Bytes
are the fallback alphabet, so any text can be encoded and no unknown token exists.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from paribus.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD = "<PAD>"
BOS = "<BOS_TOKEN>"
START = "<|START_OF_TURN_TOKEN|>"
END = "<|END_OF_TURN_TOKEN|>"
ROLES = {"user": "<|USER_TOKEN|>", "assistant": "<|CHATBOT_TOKEN|>", "system": "<|SYSTEM_TOKEN|>"}
SPECIAL_TOKENS: tuple[str, ...] = (PAD, BOS, START, END, *ROLES.values())

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '" + START + "' }}"
    "{% if message['role'] == 'user' %}{{ '" + ROLES["user"] + "' }}"
    "{% elif message['role'] == 'system' %}{{ '" + ROLES["system"] + "' }}"
    "{% else %}{{ '" + ROLES["assistant"] + "' }}{% endif %}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}{{ '" + END + "' }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{{ '" + END + "' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + START + ROLES["assistant"] + "' }}{% endif %}"
)
"""Turns as in the Cohere layout; the generation block marks what an assistant turn must learn, its end included."""

MINIMUM_VOCABULARY = 256 + len(SPECIAL_TOKENS)


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> "PreTrainedTokenizerFast":
    """Train a byte-level BPE of ``vocab_size`` pieces (special tokens and 256 bytes included); same texts, same bytes.

    Raises ``ConfigError`` for a vocabulary below the byte alphabet, ``DataError`` when there is no text.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocab_size < MINIMUM_VOCABULARY:
        raise ConfigError(f"vocab_size={vocab_size} is below the byte alphabet; use at least {MINIMUM_VOCABULARY}.")
    # Counting needs an order-free input: sorted unique-with-counts would change merges of equal frequency otherwise.
    rows = sorted(text for text in texts if text)
    if not rows:
        raise DataError("There is no text to train a tokenizer on; give at least one non-empty string.")
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(rows, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START, *ROLES.values()],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
