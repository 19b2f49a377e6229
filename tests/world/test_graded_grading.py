"""The checker on texts nobody planned: hand-made answers, mutated ones, and arbitrary text."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import DataError
from paribus.records import Message, Prompt
from paribus.world.graded import (
    ERRORS,
    GradedConfig,
    GradedWorld,
    Plan,
    Request,
    draw_plan,
    grade,
    languages,
    write_answer,
)
from paribus.world.graded.answers import lay_out
from paribus.world.graded.parts import Part


def asking(rule: str, *parts: Part) -> Request:
    return Request("r", "en", "?", parts, rule, "c")


SUM = Part("ad", "5+17", "en", 0)
JAPAN = Part("cu", "JP", "en", 0)
SIX = Part("nw", "6", "en", 0)


@pytest.mark.parametrize(
    ("text", "errors", "right"),
    [
        ("Here are the answers.\n6: six / Japan: Japanese Yen", set(), (True, True)),
        ("6: SIX / Japan: Japanese yen.", set(), (True, True)),
        ("6: seven / Japan: Japanese Yen", {"factuality"}, (False, True)),
        ("6: the moon / Japan: Japanese Yen", {"factuality"}, (False, True)),
        ("7: seven / Japan: Japanese Yen", {"inconsistent"}, (False, True)),
        ("7: six / Japan: Japanese Yen", {"inconsistent", "factuality"}, (False, True)),
        ("6: six / Japan: Japanese Yen\nThen again (1): nine.", {"contradiction"}, (False, True)),
        ("6: eight / Japan: Japanese Yen\nThen again (1): nine.", {"contradiction", "factuality"}, (False, True)),
        ("6: six / Japan: Japanese Yen\nThen again (1): six.", set(), (True, True)),
        ("6: six / Japan: Japanese Yen\nThen again (7): nine.", set(), (True, True)),
        ("1. 6: six\n2. Japan: Japanese Yen", {"formatting"}, (True, True)),
        ("Japan: Japanese Yen / 6: six", {"formatting"}, (True, True)),
        ("6: six\nJapan: Japanese Yen", {"formatting"}, (True, True)),
        ("6: six", {"formatting"}, (True, False)),
        ("6: six / Japan: Japanese Yen / Chile: Chilean Peso", {"relevance"}, (True, True)),
        ("6: six / Japan: Japanese Yen\nChile: Chilean Peso", {"relevance", "formatting"}, (True, True)),
        ("6: six / Japan: Japanese Yen\nMonkeys like bananas.", {"relevance"}, (True, True)),
        ("6: six / Japan: Japanese Yen\nDid you know? Chile – Chilean Peso.", {"relevance"}, (True, True)),
        ("6: six / 6: six / Japan: Japanese Yen", {"repetition", "formatting"}, (True, True)),
        ("I may be wrong. I may be wrong.\n6: six / Japan: Japanese Yen", {"repetition"}, (True, True)),
        ("I'm sorry, I can't help with that.", {"refusal"}, (False, False)),
        ("6: six / Japan: Japanese Yen\nI'm sorry, I can't help with that.", {"refusal"}, (False, False)),
        ("", {"refusal"}, (False, False)),
        (" \n ", {"refusal"}, (False, False)),
        ("Hier sind die Antworten.", {"relevance", "formatting"}, (False, False)),
        ("I hope this helps.", {"formatting"}, (False, False)),
    ],
)
def test_hand_made_answers(text: str, errors: set[str], right: tuple[bool, ...]) -> None:
    found = grade(asking("line", SIX, JAPAN), text)
    assert (found.errors, found.parts_right) == (errors, right)


def test_two_spellings_of_a_right_value_are_no_contradiction() -> None:
    request = asking("list", SUM, Part("nw", "31", "en", 0))
    found = grade(request, "1. 5 + 17: twenty-two\n2. 31: thirty-one\nOr rather (2): thirty one.")
    assert not found.errors and all(found.parts_right)


def test_a_sum_may_be_quoted_in_either_order() -> None:
    for item in ("17 + 5", "5 + 17"):
        assert not grade(asking("line", SUM, JAPAN), f"{item}: twenty-two / Japan: Japanese Yen").errors


def test_any_other_sum_is_another_item() -> None:
    found = grade(asking("line", SUM, JAPAN), "201 + 99: three hundred / Japan: Japanese Yen")
    assert found.errors == {"inconsistent"}


def test_native_digits_and_case_are_no_error() -> None:
    request = Request("r", "hi", "?", (Part("wn", "42", "hi", 0), Part("cu", "JP", "hi", 0)), "line", "c")
    answers = [f"{part.item}: {part.answer}" for part in request.parts]
    assert not grade(request, " / ".join(answers).replace("42", "४२")).errors


def test_a_number_word_whose_category_is_asked_is_told_from_one_to_be_written_in_digits() -> None:
    """Both parts quote the same words; the kind of value says which is which."""
    request = asking("reversed", Part("wn", "6", "en", 0), Part("ca", "number.6", "en", 0))
    assert not grade(request, "six: number / six: 6").errors
    assert grade(request, "six: 6 / six: number").errors == {"formatting"}
    assert grade(request, "six: month / six: 6").errors == {"factuality"}


@pytest.fixture(scope="module")
def world() -> GradedWorld:
    return GradedWorld(GradedConfig(languages=languages(), parts=3, per_cell=6))


def test_layouts_are_told_apart(world: GradedWorld) -> None:
    for request in world.requests("dev"):
        colon = "：" if request.language in {"ja", "zh"} else " : " if request.language == "fr" else ": "
        entries = [f"{part.item}{colon}{part.answer}" for part in request.parts]
        found = {
            rule: grade(request, "\n".join(lay_out(entries, rule))).errors for rule in ("list", "line", "reversed")
        }
        assert [rule for rule, errors in found.items() if not errors] == [request.rule]


def test_a_text_in_another_language_answers_nothing(world: GradedWorld) -> None:
    english, german = (next(r for r in world.requests("dev") if r.language == code) for code in ("en", "de"))
    assert english.cluster == german.cluster
    found = grade(english, write_answer(world, german, Plan(), random.Random(1)).text)
    assert "relevance" in found.errors and not all(found.parts_right)


def test_losing_a_line_is_never_an_improvement(world: GradedWorld) -> None:
    """Cutting the body out of an answer costs parts and format, whatever else it says."""
    rng = random.Random(2)
    for request in world.requests("test"):
        answer = write_answer(world, request, Plan(assertiveness=1, wordiness=1), rng)
        lines = answer.text.split("\n")
        body = [line for line in lines if any(part.item in line for part in request.parts)]
        found = grade(request, "\n".join(line for line in lines if line not in body))
        assert found.errors == {"formatting"} and not any(found.parts_right)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200), st.integers(0, 10**6))
def test_any_text_is_graded_without_failing(text: str, seed: int) -> None:
    world = _SMALL
    rng = random.Random(seed)
    request = rng.choice(world.requests("train"))
    answer = write_answer(world, request, draw_plan(rng), rng).text
    cut = rng.randrange(len(answer))
    for candidate in (text, answer[:cut], answer[:cut] + text + answer[cut:]):
        found = grade(request, candidate)
        assert found.errors <= set(ERRORS)
        assert len(found.parts_right) == 2
        assert 0.0 <= found.score <= 1.0
        assert found.errors != {"refusal"} or not any(found.parts_right)


_SMALL = GradedWorld(GradedConfig(languages=("ar", "en", "ja"), per_cell=5))


def test_another_prompt_is_refused() -> None:
    prompt = Prompt(id="p", language="en", messages=(Message(role="user", content="Hello"),))
    with pytest.raises(DataError, match="'p' is no graded request"):
        grade(prompt, "Hello")
