"""Chat templates: what is rendered, what is scored, what ends a turn, what is refused."""

import pytest
from tiny_models import byte_tokenizer, decoder

from paribus.errors import EngineError
from paribus.inference.chat import Chat
from paribus.inference.local import LocalEngine
from paribus.records import Message

CONVERSATION = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="مرحبا"),
    Message(role="assistant", content="hi"),
    Message(role="user", content="bye"),
)


def templated(template):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def test_prompts_are_the_template_s_own_tokens(tokenizer):
    turns = [{"role": turn.role, "content": turn.content} for turn in CONVERSATION]
    wanted = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert Chat(tokenizer).prompts([CONVERSATION, CONVERSATION[:2], CONVERSATION])[::2] == [wanted, wanted]


def test_special_tokens_are_not_added_twice(tokenizer):
    [prompt] = Chat(tokenizer).prompts([CONVERSATION])
    assert prompt.count(tokenizer.bos_token_id) == 1


def test_a_completion_is_the_answer_and_its_end_of_turn(tokenizer, score):
    [(prompt, completion), (_, nothing)] = Chat(tokenizer).completions([score("hi", "yes"), score("hi", "")])
    assert tokenizer.decode(prompt) == "<bos><user>hi<end><assistant>"
    assert (tokenizer.decode(completion), tokenizer.decode(nothing)) == ("yes<end>", "<end>")


def test_what_follows_the_end_of_turn_is_not_scored(score):
    body = "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + '<end>\n' }}{% endfor %}"
    tokenizer = templated(body + "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}")
    [(_, completion)] = Chat(tokenizer).completions([score("hi", "yes")])
    assert tokenizer.decode(completion) == "yes<end>"


def test_a_tokenizer_without_a_template_is_refused(model):
    with pytest.raises(EngineError, match=r"has no chat template; set tokenizer\.chat_template"):
        LocalEngine(model, templated(None))


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages | length }}{{ messages[-1]['content'] }}",  # an answer changes what stands before it
        "{{ messages[0]['content'] }}",  # an answer is dropped
    ],
)
def test_a_template_that_does_not_keep_the_prompt_in_front_cannot_score(template, score):
    with pytest.raises(EngineError, match=r"Score request 'hi\|yes': the chat template renders the prompt differently"):
        Chat(templated(template)).completions([score("hi", "yes")])


def test_a_conversation_that_the_template_refuses_is_an_engine_error(model):
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn here') }}{% endif %}"
    with pytest.raises(EngineError, match=r"roles \(system, user, assistant, user\): no system turn here"):
        Chat(templated(template)).prompts([CONVERSATION])


def test_an_empty_rendering_is_refused_by_request(model, ask):
    with pytest.raises(EngineError, match="'a': the chat template renders its messages to no tokens"):
        LocalEngine(model, templated("{% if false %}x{% endif %}")).generate([ask("a")])


def test_every_declared_end_stops(tokenizer, ask):
    """Model and generation config, lists, the tokenizer's own, and the template's end of turn where that differs."""
    other = byte_tokenizer()
    other.eos_token = "<pad>"  # as in models whose end of text is not their end of turn
    model = decoder(eos_token_id=5)
    model.generation_config.eos_token_id = [7, 8]
    assert Chat(other).stop_ids(model) == {7, 8, 5, 0, 2}


def test_models_that_declare_no_end_stop_at_the_template_s(tokenizer, ask):
    other = byte_tokenizer()
    other.eos_token = None
    model = decoder(eos_token_id=None, pad_token_id=None)
    model.generation_config.eos_token_id = None
    assert Chat(other).stop_ids(model) == {2}
    assert LocalEngine(model, other).generate([ask("a", max_tokens=3)])[0].tokens == 3
