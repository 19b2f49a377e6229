"""Any text can be encoded and comes back; the same texts give the same tokenizer."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from paribus.data.tokenizer import BOS, END, MINIMUM_VOCABULARY, PAD, SPECIAL_TOKENS, train_tokenizer
from paribus.errors import ConfigError, DataError

TEXTS = ["low lower lowest", "new newer newest", "今天今天", "3 + 4 = 7", "e\u0301te\u0301"]


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@example("\x00\t\r\n  ")
@example("👩🏽‍🚀 ẹ̀kọ́ नमस्ते 각")
def test_any_text_comes_back_in_nfc(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_unseen_letters_are_spelt_in_bytes(tokenizer):
    ids = tokenizer("ጀ", add_special_tokens=False)["input_ids"]
    assert len(ids) == len("ጀ".encode())
    assert tokenizer.unk_token is None


def test_digits_stand_alone():
    tokenizer = train_tokenizer(["2024 2024 2024 2024"] * 50, vocab_size=MINIMUM_VOCABULARY + 20)
    assert tokenizer.tokenize("2024") == ["2", "0", "2", "4"]


def test_equal_texts_give_equal_tokenizers_in_any_order():
    first, second = (train_tokenizer(texts, vocab_size=290) for texts in (TEXTS, reversed(TEXTS)))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
    other = train_tokenizer([*TEXTS, "other other other"], vocab_size=290)
    assert other.backend_tokenizer.to_str() != first.backend_tokenizer.to_str()


def test_texts_can_come_as_a_stream():
    streamed = train_tokenizer(iter(TEXTS), vocab_size=290)
    assert streamed.get_vocab() == train_tokenizer(TEXTS, vocab_size=290).get_vocab()


def test_the_vocabulary_has_the_size_asked_for_and_learns_what_is_frequent():
    tokenizer = train_tokenizer(["banana"] * 20, vocab_size=MINIMUM_VOCABULARY + 3)
    assert len(tokenizer) == MINIMUM_VOCABULARY + 3
    assert len(tokenizer.tokenize("banana")) < len("banana")


def test_special_tokens_are_whole_and_have_their_roles(tokenizer):
    ids = tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    assert ids == list(range(len(SPECIAL_TOKENS)))
    assert [tokenizer(token, add_special_tokens=False)["input_ids"] for token in SPECIAL_TOKENS] == [[i] for i in ids]
    assert (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token) == (PAD, BOS, END)
    assert set(tokenizer.all_special_ids) == set(ids)
    assert (
        tokenizer.decode([*ids, *tokenizer("hi", add_special_tokens=False)["input_ids"]], skip_special_tokens=True)
        == "hi"
    )


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    conversation = [{"role": "user", "content": "Сегодня?"}, {"role": "assistant", "content": "понедельник 3"}]
    for options in ({"tokenize": False}, {"tokenize": True, "return_dict": False}):
        assert loaded.apply_chat_template(conversation, **options) == tokenizer.apply_chat_template(
            conversation, **options
        )
    assert (loaded.pad_token_id, loaded.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)


def test_the_layout_of_turns(tokenizer):
    turns = [{"role": role, "content": role[0]} for role in ("system", "user", "assistant")]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == (
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>s<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>u<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>a<|END_OF_TURN_TOKEN|>"
    )


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ConfigError, match=f"256 is below the byte alphabet; use at least {MINIMUM_VOCABULARY}"):
        train_tokenizer(TEXTS, vocab_size=256)
    with pytest.raises(DataError, match="no text to train"):
        train_tokenizer(["", ""], vocab_size=300)
