"""Choices are ranked by the likelihood of the whole text, wherever a tokenizer puts its seams; ties go to the first."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data.tokenizer import train_tokenizer
from paribus.errors import DataError
from paribus.evaluation.choices import chance_level, choice_accuracy, choice_logprobs, split_choices
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.records import ChoiceQuestion

CORPUS = ["the capital of the land is the town", "> 84", "> town", "is the land", "8 84 840"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CORPUS, vocab_size=300)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        initializer_range=0.3, max_position_embeddings=64,
    )  # fmt: skip
    return DecoderForCausalLM(config).eval()


def question(prompt: str, *choices: str, answer: int = 0, name: str = "q", domain: str = "law") -> ChoiceQuestion:
    return ChoiceQuestion(
        id=name, domain=domain, language="en", prompt=prompt, choices=choices, answer=answer, cluster=f"c/{name}"
    )


QUESTIONS = [
    question("the capital is ", "the town", "the land", "84", name="a"),
    question("> ", "8", "84", "840", "town", name="b", answer=2, domain="code"),
    question("is the", " land", " town", name="c", answer=1),
]


def log_likelihood(model, tokenizer, text: str, *, end: bool) -> float:
    """Of the whole text after BOS, token by token."""
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    ids += [tokenizer.eos_token_id] * end
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[place, token]) for place, token in enumerate(ids[1:]))


@pytest.mark.parametrize("with_end", [True, False])
@pytest.mark.parametrize("batch_tokens", [32, 4096])
def test_differences_between_choices_are_those_of_whole_texts(model, tokenizer, with_end, batch_tokens):
    found = choice_logprobs(model, tokenizer, QUESTIONS, with_end=with_end, batch_tokens=batch_tokens)
    for asked, scores in zip(QUESTIONS, found, strict=True):
        wholes = [log_likelihood(model, tokenizer, asked.prompt + choice, end=with_end) for choice in asked.choices]
        assert [s - scores[0] for s in scores] == pytest.approx([w - wholes[0] for w in wholes], abs=1e-4)


def test_where_the_prompt_is_a_prefix_scores_are_those_after_the_prompt(model, tokenizer):
    """The rule of the LM Evaluation Harness: encode the whole, cut where the prompt ends, no end of text."""
    asked = QUESTIONS[2]
    prompt = log_likelihood(model, tokenizer, asked.prompt, end=False)
    expected = [log_likelihood(model, tokenizer, asked.prompt + choice, end=False) - prompt for choice in asked.choices]
    assert choice_logprobs(model, tokenizer, [asked], with_end=False)[0] == pytest.approx(expected, abs=1e-4)


def test_a_seam_inside_a_token_moves_the_cut_before_it(tokenizer):
    """A byte-level tokenizer joins "> " and "town" to ">" and " town"."""
    pairs = split_choices(tokenizer, "> ", ["town", "84"])
    assert [tokenizer.decode(ids) for ids, _ in pairs] == [">", ">"]
    assert [tokenizer.decode(rest) for _, rest in pairs] == [" town", " 84"]


@settings(max_examples=60, deadline=None)
@given(
    st.text("ab t8>é今 ", min_size=1, max_size=8),
    st.lists(st.text("ab town84é今 ", min_size=1, max_size=8), min_size=2, max_size=4, unique=True),
)
def test_a_split_loses_nothing_and_leaves_every_choice_a_token(tokenizer, prompt, choices):
    pairs = split_choices(tokenizer, prompt, choices)
    assert len({tuple(ids) for ids, _ in pairs}) == 1
    for (ids, rest), choice in zip(pairs, choices, strict=True):
        assert rest and tokenizer(prompt + choice, add_special_tokens=False)["input_ids"] == ids + rest


def test_without_the_end_a_choice_that_begins_another_never_loses_to_it(model, tokenizer):
    asked = [question("> ", "8", "84", "840")]
    eight, more, most = choice_logprobs(model, tokenizer, asked, with_end=False)[0]
    assert eight > more > most
    # With the end the shorter answer may be the less likely: the last layer says that 8 goes on.
    ended = choice_logprobs(model, tokenizer, asked, with_end=True)[0]
    assert [plain - full for plain, full in zip((eight, more, most), ended, strict=True)] != pytest.approx([0] * 3)


def test_equal_choices_are_decided_for_the_first(tokenizer, model):
    blind = DecoderForCausalLM(model.config)
    torch.nn.init.zeros_(blind.get_output_embeddings().weight)
    asked = [question("is ", "8", "4", "0", name=str(place), answer=place) for place in range(3)]
    rows = choice_accuracy(blind, tokenizer, asked)
    assert [row.value for row in rows if row.measure == "choice_accuracy"] == [1.0, 0.0, 0.0]


def test_likelihood_prefers_short_choices_and_likelihood_per_byte_does_not(tokenizer, model):
    """A model that finds every token alike: the fewest tokens win, or the most bytes a token."""
    blind = DecoderForCausalLM(model.config)
    torch.nn.init.zeros_(blind.get_output_embeddings().weight)
    asked = [question("is", "8", " the land", answer=1)]
    scores = choice_logprobs(blind, tokenizer, asked, with_end=False)[0]
    assert scores == pytest.approx([-math.log(300), -2 * math.log(300)], rel=1e-5)
    rows = {row.measure: row for row in choice_accuracy(blind, tokenizer, asked, with_end=False)}
    assert rows["choice_accuracy"].value == 0 and rows["choice_accuracy_per_byte"].value == 1
    assert set(rows) == {
        f"{name}{end}" for name in ("choice_accuracy", "choice_accuracy_per_byte") for end in ("", "_law")
    }
    assert {(row.cluster, row.group, row.item) for row in rows.values()} == {("c/q", "law", "q")}


def test_planted_answers_are_found(tokenizer, model):
    """After some steps on the right texts alone, the right choices win in every measure."""
    learner = DecoderForCausalLM(model.config)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-2)
    texts = [asked.prompt + asked.choices[asked.answer] for asked in QUESTIONS]
    rows = [
        torch.tensor([[tokenizer.bos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
        for text in texts
    ]
    for _ in range(25):
        optimizer.zero_grad()
        sum(learner(input_ids=ids, labels=ids).loss for ids in rows).backward()
        optimizer.step()
    assert all(row.value == 1 for row in choice_accuracy(learner, tokenizer, QUESTIONS))


def test_chance_is_the_mean_of_one_over_the_choices():
    assert chance_level(QUESTIONS) == pytest.approx(
        {"law": (1 / 3 + 1 / 2) / 2, "code": 0.25, "all": (1 / 3 + 1 / 2 + 1 / 4) / 3}
    )
    assert chance_level([]) == {}


def test_questions_that_cannot_be_asked_are_refused(tokenizer, model):
    with pytest.raises(DataError, match="'a' stands twice"):
        choice_accuracy(model, tokenizer, [QUESTIONS[0], QUESTIONS[0]])
    long = question("zq" * 40, "a", "b", name="long")
    with pytest.raises(DataError, match=r"'long' has 83 tokens with its longest choice, the model 64 positions"):
        choice_accuracy(model, tokenizer, [long])
