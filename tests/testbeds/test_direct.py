"""Direct evaluation: a stand-in that reads the text gets exactly the learner's accuracy; nothing is lost or made up."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from language_models import byte_tokenizer, tiny_model

from paribus.errors import ConfigError, EngineError
from paribus.inference.endpoint_limits import Prices
from paribus.inference.engine import GenerationRequest, Reply
from paribus.inference.local import LocalEngine
from paribus.inference.scoring import completion_logprobs
from paribus.inference.scripted import ScriptedEngine
from paribus.testbeds.incontext.classes import CLASSES, parse_class
from paribus.testbeds.incontext.direct import (
    Asking,
    DirectRow,
    Exam,
    estimate,
    evaluate_engine,
    nearest_neighbour_engine,
)
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.learner import Null
from paribus.testbeds.incontext.learners_neighbours import NearestNeighbours
from paribus.testbeds.incontext.textual import chat_without_marks


def exam(name: str = "conjunction", *, functions: int = 12, points: int = 21, seed: int = 0, **asking) -> Exam:
    more = {"start": 6} if name == "nearest_neighbour" else {}
    return Exam.of(
        parse_class(name, dimensions=5, points=points, **more).llm(), Asking(**asking), functions=functions, seed=seed
    )


def curves(rows: Sequence[DirectRow]) -> dict[str, list[tuple]]:
    found: dict[str, list[tuple]] = {}
    for row in rows:
        found.setdefault(row.kind, []).append((row.shown, row.functions, row.accuracy, row.low, row.high))
    return found


@pytest.mark.parametrize("how", ["generate", "logprobs"])
@pytest.mark.parametrize("name", CLASSES)
def test_the_stand_in_reproduces_the_nearest_neighbour_learner_exactly(name: str, how: str) -> None:
    found = evaluate_engine(
        nearest_neighbour_engine(), exam(name, how=how), learners=lambda function_class: [NearestNeighbours(1)]
    )
    by_kind = curves(found.rows)
    assert by_kind["model"] == by_kind["learner"]
    assert [row[0] for row in by_kind["model"]] == [5, 10, 15, 20]
    assert found.unparsed == 0


@pytest.mark.parametrize("variant", ["basic", "description", "algorithm", "steps"])
def test_the_stand_in_answers_every_variant_alike(variant: str) -> None:
    rows = evaluate_engine(nearest_neighbour_engine(), exam(variant=variant)).rows
    assert curves(rows) == curves(evaluate_engine(nearest_neighbour_engine(), exam()).rows)


def test_unreadable_answers_are_counted_and_wrong() -> None:
    truth = {q.id: q.label for q in exam().questions}

    def rule(request: GenerationRequest) -> str:
        key = request.id.rpartition("|")[2]
        return "maybe" if key.startswith("0/") else str(truth[key])

    found = evaluate_engine(ScriptedEngine(rule), exam())
    assert found.unparsed == 4
    assert {(row.accuracy, row.unparsed) for row in found.rows} == {(11 / 12, 1)}


def test_equally_likely_labels_are_no_answer() -> None:
    engine = ScriptedEngine(lambda request: "", score=lambda request: -1.0)
    found = evaluate_engine(engine, exam(how="logprobs"))
    assert found.unparsed == len(found.answers) and {row.accuracy for row in found.rows} == {0.0}


def test_functions_come_from_class_and_seed_alone() -> None:
    assert exam().questions == exam().questions
    texts = {seed: {q.messages[-1].content for q in exam(seed=seed).questions} for seed in (0, 1)}
    assert not texts[0] & texts[1]


def test_several_classes_keep_their_rows_apart() -> None:
    sat = [exam("conjunction"), exam("majority", functions=7)]
    found = evaluate_engine(nearest_neighbour_engine(), sat, learners=lambda function_class: [Null(), Null(1)])
    alone = [evaluate_engine(nearest_neighbour_engine(), one).rows for one in sat]
    assert [row for row in found.rows if row.kind == "model"] == [*alone[0], *alone[1]]
    assert [(r.function_class, r.name, r.functions) for r in found.rows if r.kind == "learner" and r.shown == 5] == [
        ("conjunction", "null", 12), ("conjunction", "null", 12), ("majority", "null", 7), ("majority", "null", 7)
    ]  # fmt: skip


def test_exams_of_one_class_are_told_apart_by_how_they_are_put() -> None:
    sat = [exam(), exam(variant="steps"), exam(how="logprobs")]
    found = evaluate_engine(nearest_neighbour_engine(), sat)
    assert len({answer.id for answer in found.answers}) == len(found.answers) == 3 * 48
    puts = list(dict.fromkeys((row.variant, row.how) for row in found.rows))
    assert puts == [("basic", "generate"), ("steps", "generate"), ("basic", "logprobs")]


def test_exams_may_share_questions() -> None:
    """Few prompts of one bit are alike, also where what is right differs."""
    sat = [exam(points=2, every=1, functions=3), exam(points=2, every=1, functions=3)]
    found = evaluate_engine(nearest_neighbour_engine(), sat)
    assert len(found.answers) == 6 and found.rows[0] == found.rows[1]
    tiny = [
        Exam.of(parse_class("majority", dimensions=1, points=2), Asking(every=1), functions=8, seed=s) for s in (0, 1)
    ]
    apart = [evaluate_engine(nearest_neighbour_engine(), one).rows for one in tiny]
    assert evaluate_engine(nearest_neighbour_engine(), tiny).rows == [*apart[0], *apart[1]]


def test_taught_prompts_can_be_asked() -> None:
    task = parse_class("conjunction", dimensions=3, points=8)
    taught = Exam.of(task, Asking(every=7), functions=10, draws={"teaching": 1.0})
    assert bool((taught.prompts.taught > 0).all())
    assert taught.questions != Exam.of(task, Asking(every=7), functions=10).questions


def test_learners_are_chosen_by_class() -> None:
    def chosen(function_class: FunctionClass) -> list:
        return [NearestNeighbours(3)] if function_class.name == "majority" else []

    rows = evaluate_engine(nearest_neighbour_engine(), [exam(), exam("majority")], learners=chosen).rows
    assert {(row.function_class, row.name) for row in rows if row.kind == "learner"} == {("majority", "3-NN")}


class Breaking:
    """The stand-in, which counts what it is asked, and dies after ``calls`` calls."""

    name = "breaking"

    def __init__(self, calls: int, *, fails: str = "") -> None:
        self.inner, self.calls, self.fails = nearest_neighbour_engine(), calls, fails
        self.asked: list[str] = []

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
        if self.calls == 0:
            raise KeyboardInterrupt
        self.calls -= 1
        self.asked += [request.id for request in requests]
        replies = self.inner.generate(requests)
        failed = {"text": "", "tokens": 0, "finish": "error", "error": "busy"}
        return [r.model_copy(update=failed) if self.fails and self.fails in r.request_id else r for r in replies]

    def logprobs(self, requests: Sequence) -> list:
        raise AssertionError("not asked here")


def test_a_stopped_evaluation_goes_on_where_it_was(tmp_path: Path) -> None:
    large, path = exam(functions=50), tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        evaluate_engine(Breaking(2), large, answers=path)
    assert not path.exists()
    second = Breaking(9)
    resumed = evaluate_engine(second, large, answers=path)
    assert len(second.asked) == len(large.questions) - 2 * 64
    whole = evaluate_engine(Breaking(9), large, answers=tmp_path / "whole.jsonl")
    assert resumed == whole and path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert evaluate_engine(Breaking(0), large, answers=path) == whole


def test_answers_to_other_questions_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    evaluate_engine(Breaking(9), exam(seed=0), answers=path)
    other = Breaking(9)
    evaluate_engine(other, exam(seed=1), answers=path)
    assert len(other.asked) == len(exam().questions)
    described = Breaking(9)
    evaluate_engine(described, exam(variant="description"), answers=path)
    assert len(described.asked) == len(exam().questions)


def test_failed_requests_are_no_wrong_answers(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with pytest.raises(EngineError, match="4 of 48 requests to breaking failed; the first said: busy"):
        evaluate_engine(Breaking(9, fails="|3/"), exam(), answers=path)
    mended = Breaking(9)
    found = evaluate_engine(mended, exam(), answers=path)
    assert len(mended.asked) == 4 and found.unparsed == 0


def test_a_local_model_is_asked_by_log_probabilities() -> None:
    model, tokenizer = tiny_model(), byte_tokenizer()
    small = exam(functions=2, points=3, every=1, how="logprobs")
    engine = LocalEngine(model, tokenizer, name="tiny")
    found = evaluate_engine(engine, small)
    for question, answer in zip(small.questions, found.answers, strict=True):
        turns = [{"role": turn.role, "content": turn.content} for turn in question.messages]
        opened = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (opened, "0<end>", "1<end>")]
        zero, one = completion_logprobs(model, [(ids[0], ids[1]), (ids[0], ids[2])], max_batch_tokens=4096)
        assert answer.said == int(one > zero)


def test_a_model_without_a_chat_template_reads_the_bare_text() -> None:
    tokenizer = byte_tokenizer(template=None)
    chat_without_marks(tokenizer)
    engine = LocalEngine(tiny_model(), tokenizer)
    question = exam(functions=1, points=2, every=1).questions[0]
    ids = engine.chat.prompts([question.messages])[0]
    text = tokenizer.decode(ids)
    assert text.endswith("\nLabel:") and text.startswith("You learn a Boolean function")
    found = evaluate_engine(engine, exam(functions=1, points=2, every=1, how="logprobs"))
    assert found.answers[0].tokens == 4  # " 0" and " 1", two bytes each
    assert len(evaluate_engine(engine, exam(functions=1, points=2, every=1)).answers) == 1


def test_a_template_that_is_there_is_kept() -> None:
    tokenizer = byte_tokenizer()
    before = tokenizer.chat_template
    chat_without_marks(tokenizer)
    assert tokenizer.chat_template == before


def test_the_estimate_counts_requests_tokens_and_money() -> None:
    tokenizer = byte_tokenizer()
    bare = estimate(exam(functions=3, points=11), tokenizer=tokenizer, prices=Prices(1.0, 10.0))
    letters = sum(len(turn.content) + 6 for q in exam(functions=3, points=11).questions for turn in q.messages)
    assert (bare.requests, bare.prompt_tokens, bare.answer_tokens) == (6, letters, 12)
    assert bare.price == pytest.approx((letters + 120) / 1e6)
    scored = estimate(exam(functions=3, points=11, how="logprobs"), tokenizer=tokenizer)
    assert (scored.requests, scored.prompt_tokens, scored.answer_tokens, scored.price) == (12, 2 * letters, 0, None)
    words = estimate([exam(functions=3, points=11), exam("majority", functions=3, points=11)])
    assert words.requests == 12 and 0 < words.prompt_tokens < 2 * letters


@pytest.mark.parametrize(
    ("asking", "says"),
    [
        ({"variant": "poem"}, "variant is 'poem'"),
        ({"how": "guess"}, "how is 'guess'"),
        ({"how": "logprobs", "variant": "steps"}, "'steps' reasons before its label"),
    ],
)
def test_ways_of_asking_that_are_refused(asking: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Asking(**asking)
