"""What carries loss is what the assistant said, its end of turn included, under any chat template."""

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import TEMPLATES, UNSTABLE
from paribus.data.chat import as_messages, encode, encode_many, encode_prompts
from paribus.errors import DataError
from paribus.records import Message

END = "<|END_OF_TURN_TOKEN|>"
CLOSING = {"block": END, "block-without-end": "", "prefix": END, "prefix-newline": f"{END}\n", "prefix-plain": "\n"}


def talk(*texts: str) -> list[dict[str, str]]:
    roles = ["user", "assistant"] * len(texts)
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def learned(tokenizer, row) -> str:
    return tokenizer.decode(row.input_ids[row.completion_mask])


# Letters that need no special token, in every script; decomposed forms and emoji of several code points among them.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=20, deadline=None)
@given(question=texts, answer=texts)
@example(question="e\u0301", answer="e\u0301")
@example(question="ẹ̀kọ́", answer="👩🏽‍🚀")
@example(question=" ", answer=" ")
@example(question="x", answer="각")
@example(question="0", answer="s")
def test_the_answer_and_its_end_are_learned_and_nothing_else(with_template, template, question, answer):
    tokenizer = with_template(template)
    row = encode(tokenizer, talk(question, answer))
    normal = unicodedata.normalize("NFC", answer)
    # A tokenizer may join the space before a marked answer with its first letter: such a token is learned whole.
    joined = " " if template == "block-without-end" and not normal.startswith(" ") else ""
    assert learned(tokenizer, row).removeprefix(joined) == normal + CLOSING[template]
    whole = tokenizer.apply_chat_template(talk(question, answer), tokenize=False)
    assert tokenizer.decode(row.input_ids) == unicodedata.normalize("NFC", whole)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_prompt_is_the_beginning_of_its_answered_conversation(with_template, template):
    tokenizer = with_template(template)
    (prompt,) = encode_prompts(tokenizer, [talk("Hi")])
    row = encode(tokenizer, talk("Hi", "Hello"))
    opening = row.input_ids[: np.flatnonzero(row.completion_mask)[0]].tolist()
    if template != "block-without-end":
        assert prompt == opening
    assert tokenizer.decode(prompt) == tokenizer.decode(opening)


def test_every_assistant_turn_is_learned_where_the_template_marks_them(with_template):
    conversation = talk("one", "two", "three", "four")
    for template, expected in {"block": f"two{END}four{END}", "block-without-end": "twofour"}.items():
        tokenizer = with_template(template)
        assert learned(tokenizer, encode(tokenizer, conversation)) == expected


def test_only_the_last_turn_is_learned_where_it_does_not(with_template):
    tokenizer = with_template("prefix")
    assert learned(tokenizer, encode(tokenizer, talk("one", "two", "three", "four"))) == f"four{END}"


@pytest.mark.parametrize("template", TEMPLATES)
def test_many_conversations_are_encoded_as_one_by_one(with_template, template):
    tokenizer = with_template(template)
    conversations = [talk("a", "b"), talk("longer question", "longer answer", "more", "end"), talk("今天", "星期一")]
    for row, conversation in zip(encode_many(tokenizer, conversations), conversations, strict=True):
        alone = encode(tokenizer, conversation)
        assert row.input_ids.tolist() == alone.input_ids.tolist()
        assert row.completion_mask.tolist() == alone.completion_mask.tolist()
        assert (row.input_ids.dtype, row.completion_mask.dtype) == (np.int32, bool)
        assert len(row) == len(row.input_ids) == len(row.completion_mask)


@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_gives_nothing(with_template, template):
    tokenizer = with_template(template)
    assert encode_many(tokenizer, []) == [] == encode_prompts(tokenizer, [])


def test_records_and_dictionaries_are_the_same(tokenizer):
    records = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))
    assert as_messages(records) == talk("Hi", "Hello")
    assert encode(tokenizer, records).input_ids.tolist() == encode(tokenizer, talk("Hi", "Hello")).input_ids.tolist()


def test_an_unstable_template_is_refused(with_template):
    with pytest.raises(DataError, match=r"renders a prompt differently once the answer is there.*generation block"):
        encode(with_template(UNSTABLE), talk("Hi", "Hello"))


@pytest.mark.parametrize("template", ["block", "prefix"])
@pytest.mark.parametrize("conversation", [[], talk("Hi"), talk("Hi", "Hello", "And?"), talk("Hi", "Hello")[1:]])
def test_a_conversation_without_a_question_and_an_answer_is_refused(with_template, template, conversation):
    with pytest.raises(DataError, match="does not end with an assistant turn after a prompt"):
        encode(with_template(template), conversation)


def test_an_empty_answer_learns_its_end_if_the_template_learns_ends(with_template):
    tokenizer = with_template("block")
    assert learned(tokenizer, encode(tokenizer, talk("Hi", ""))) == END
    with pytest.raises(DataError, match="no assistant token to learn; is its answer empty"):
        encode(with_template("block-without-end"), talk("Hi", ""))


def test_a_tokenizer_without_a_template_is_refused(with_template):
    tokenizer = with_template("block")
    tokenizer.chat_template = None
    for encoder in (encode_many, encode_prompts):
        with pytest.raises(DataError, match=r"has no chat template; set tokenizer\.chat_template"):
            encoder(tokenizer, [talk("Hi", "Hello")])


def test_masks_equal_those_of_transformers_where_these_are_right(with_template):
    tokenizer = with_template("block")
    conversation = talk("What is 3 + 4?", "It is 7.", "Sure?", "Yes.")
    out = tokenizer.apply_chat_template(conversation, return_assistant_tokens_mask=True, return_dict=True)
    row = encode(tokenizer, conversation)
    assert row.input_ids.tolist() == out["input_ids"]
    assert row.completion_mask.astype(int).tolist() == out["assistant_masks"]
