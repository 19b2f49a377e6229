"""Prompts in text: what they say, that they can be read back, and how replies are read."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import CLASSES, parse_class
from paribus.testbeds.incontext.learners_neighbours import NearestNeighbours
from paribus.testbeds.incontext.prompts import Prompts
from paribus.testbeds.incontext.textual import (
    instruction,
    nearest_neighbour_answer,
    parse_bit,
    questions,
    read,
    written,
)

BITS = st.lists(st.integers(0, 1), min_size=3, max_size=3)


def prompts(count: int = 4, points: int = 11) -> tuple[Prompts, object]:
    task = parse_class("conjunction", dimensions=4, points=points)
    return task.sample(count, torch.Generator().manual_seed(0)), task


def test_a_prompt_word_for_word() -> None:
    text = written([[0, 1], [1, 1], [1, 0]], [1, 0])
    assert text == (
        "The examples, and the input whose label is wanted:\n"
        "Input: 0 1\nLabel: 1\nInput: 1 1\nLabel: 0\nInput: 1 0\nLabel:"
    )


@given(st.lists(st.tuples(BITS, st.integers(0, 1)), max_size=6), BITS)
def test_what_is_written_can_be_read_back(examples: list[tuple[list[int], int]], query: list[int]) -> None:
    x, y = [*(bits for bits, _ in examples), query], [label for _, label in examples]
    assert read(written(x, y)) == (x, y)


@pytest.mark.parametrize(
    "text", ["", "Input: 0 1\nLabel: 1", "Input: 0 1\nLabel:\nInput: 1 1\nLabel:", "Input: 2\nLabel:"]
)
def test_another_text_is_no_prompt(text: str) -> None:
    with pytest.raises(ConfigError, match="no prompt of examples"):
        read(text)


def test_questions_show_growing_prefixes_of_one_prompt() -> None:
    drawn, task = prompts()
    asked = questions(drawn, task, every=5)
    assert [(q.function, q.shown) for q in asked] == [(f, i) for f in range(4) for i in (5, 10)]
    for question in asked:
        x, y = read(question.messages[-1].content)
        assert len(x) == question.shown + 1
        assert torch.equal(2 * torch.tensor(x) - 1, drawn.x[question.function, : question.shown + 1].long())
        assert torch.equal(2 * torch.tensor(y) - 1, drawn.y[question.function, : question.shown].long())
        assert 2 * question.label - 1 == drawn.y[question.function, question.shown]


def test_the_right_label_is_not_in_the_question() -> None:
    drawn, task = prompts()
    flipped = Prompts(drawn.x, drawn.y.clone(), drawn.functions, drawn.forced, drawn.taught)
    flipped.y[:, 10] *= -1
    for question, other in zip(questions(drawn, task, every=10), questions(flipped, task, every=10), strict=True):
        assert question.messages == other.messages and question.id == other.id and question.label != other.label


def test_ids_are_distinct_and_belong_to_the_text() -> None:
    drawn, task = prompts()
    ids = [q.id for q in questions(drawn, task)]
    other = parse_class("conjunction", dimensions=4, points=11).sample(4, torch.Generator().manual_seed(1))
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {q.id for q in questions(other, task)}
    assert not set(ids) & {q.id for q in questions(drawn, task, variant="steps")}


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_can_be_described(name: str) -> None:
    told = instruction(parse_class(name), "description")
    assert not re.search(r"[{}]|None", told) and told.endswith("Answer with 0 or 1 and nothing else.")
    assert told != instruction(parse_class(name), "basic")


def test_variants_say_more_and_more() -> None:
    task = parse_class("conjunction", monotone=True)
    basic, described, taught = (instruction(task, variant) for variant in ("basic", "description", "algorithm"))
    assert "conjunction" not in basic and "conjunction" in described and "No variable is negated." in described
    assert "strike out" in taught and "strike out" not in described
    assert instruction(task, "steps").endswith("as the last number of your answer.")


def test_what_there_is_no_text_for_is_refused() -> None:
    with pytest.raises(ConfigError, match="no text for the class 'dnf' in the variant 'algorithm'"):
        instruction(parse_class("dnf"), "algorithm")
    with pytest.raises(ConfigError, match="variant is 'poem'"):
        instruction(parse_class("dnf"), "poem")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="every=11 asks nothing of prompts of 11 points"):
        questions(*prompts(), every=11)


@pytest.mark.parametrize(
    ("reply", "bit"),
    [
        ("0", 0),
        (" 1\n", 1),
        ("1\nInput: 0 0 1", 1),
        ("0 Input", 0),
        ("", None),
        ("01", None),
        ("2", None),
        ("The label is 1", None),
        ("Label: 1", None),
        ("1.", None),
        ("\n\n1", 1),
        ("yes", None),
    ],
)
def test_a_direct_reply_is_read_strictly(reply: str, bit: int | None) -> None:
    assert parse_bit(reply, "basic") == bit


@pytest.mark.parametrize(
    ("reply", "bit"),
    [
        ("x1 is in use. So the label is 0.", 0),
        ("First 0, then 1", 1),
        ("The answer is 1.5", None),
        ("It fits 12 examples", None),
        ("-1", None),
        ("no idea", None),
    ],
)
def test_after_reasoning_the_last_number_counts(reply: str, bit: int | None) -> None:
    assert parse_bit(reply, "steps") == bit


@given(st.lists(st.tuples(BITS, st.integers(0, 1)), max_size=8), BITS)
def test_the_neighbour_in_the_text_is_the_learners(examples: list[tuple[list[int], int]], query: list[int]) -> None:
    x = 2 * torch.tensor([[*(bits for bits, _ in examples), query]], dtype=torch.int8) - 1
    y = 2 * torch.tensor([[*(label for _, label in examples), 0]], dtype=torch.int8) - 1
    flags = torch.zeros(1, len(examples) + 1, dtype=torch.bool)
    shown = Prompts(x, y, {}, flags, torch.zeros(1, dtype=torch.int64))
    text = written([*(bits for bits, _ in examples), query], [label for _, label in examples])
    assert nearest_neighbour_answer(text) == int(NearestNeighbours(1).predict(shown)[0, -1] > 0)
