"""Asking a language model directly: how well it continues labelled examples of a function it has never met.

The model is used as it is, through any ``Engine``: it writes the label (``how="generate"``, read strictly: what is no
label is wrong, and counted), or the likelier of "0" and "1" is taken (``how="logprobs"``, for small models that do not
keep to the form). Learners answer the very same questions beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args

from paribus.data.growing import GrowingFile, fill
from paribus.data.sampled import generator_of
from paribus.errors import ConfigError, EngineError
from paribus.inference.engine import Engine, GenerationRequest, ScoreRequest
from paribus.inference.scripted import ScriptedEngine
from paribus.records import Message, read_records
from paribus.records.schema import Record
from paribus.statistics import wilson
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.learner import Learner, correct
from paribus.testbeds.incontext.prompts import Prompts
from paribus.testbeds.incontext.textual import (
    NEW_TOKENS,
    Question,
    Variant,
    asked_after,
    nearest_neighbour_answer,
    parse_bit,
    questions,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from paribus.inference.endpoint_limits import Prices

How = Literal["generate", "logprobs"]
AT_ONCE = 64
"""Questions that are asked, and kept, together."""
TURN_TOKENS = 6
"""What a chat template commonly adds to a turn."""


class DirectAnswer(Record):
    """What a model said to one question. ``said`` is None where no label could be read; ``label`` is the right one.

    ``id`` names model, way of asking, class and question. ``text`` is the reply, or both log-probabilities; ``error``
    says why a request failed (such answers are not kept, and asked for again).
    """

    id: str
    function: int
    shown: int
    label: int
    said: int | None = None
    text: str = ""
    tokens: int = 0
    error: str | None = None


class DirectRow(Record):
    """Accuracy after ``shown`` examples, of a model or of a learner that answered the same questions.

    ``low`` and ``high``: Wilson's 95% interval over the functions, which are independent draws. ``unparsed``: answers
    in which no label could be read; they count as wrong. ``variant`` and ``how`` are those of the exam, in a learner's
    rows too, which reads no text.
    """

    kind: Literal["model", "learner"]
    name: str
    function_class: str
    dimensions: int
    variant: str
    how: str
    shown: int
    functions: int
    accuracy: float
    low: float
    high: float
    unparsed: int = 0


@dataclass(frozen=True)
class Asking:
    """How questions are put: the prompt's variant, whether the label is written or scored, after how many examples.

    Raises ``ConfigError`` for unknown words, and for scoring the label of a variant that reasons before it.
    """

    variant: Variant = "basic"
    how: How = "generate"
    every: int = 5

    def __post_init__(self) -> None:
        for name, kind in (("variant", Variant), ("how", How)):
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; use one of {', '.join(get_args(kind))}.")
        if self.how == "logprobs" and self.variant == "steps":
            raise ConfigError(
                "The variant 'steps' reasons before its label, and how='logprobs' scores the label at once; use "
                "how='generate' or another variant."
            )


@dataclass(frozen=True)
class Exam:
    """Questions about fresh functions of one class, with the prompts they were written from."""

    function_class: FunctionClass
    prompts: Prompts
    questions: Sequence[Question]
    asking: Asking

    @classmethod
    def of(
        cls,
        function_class: FunctionClass,
        asking: Asking,
        *,
        functions: int = 100,
        seed: int = 0,
        draws: Mapping[str, Any] | None = None,
    ) -> Exam:
        """``functions`` new functions, fixed by class and seed; all points of a prompt but the last can be examples.

        ``draws``: further arguments of the class's ``sample``, such as ``{"teaching": 1.0}``.
        """
        name = f"direct:{function_class.model_dump_json()}:{seed}"
        prompts = function_class.sample(functions, generator_of(name), **(draws or {}))
        wanted = questions(prompts, function_class, every=asking.every, variant=asking.variant)
        return cls(function_class, prompts, wanted, asking)


@dataclass(frozen=True)
class Direct:
    """An evaluation: a row for each class and number of examples, of the model and of each learner; every answer."""

    rows: list[DirectRow]
    answers: list[DirectAnswer]

    @property
    def unparsed(self) -> int:
        """Answers in which no label could be read."""
        return sum(answer.said is None for answer in self.answers)


def evaluate_engine(
    engine: Engine,
    exams: Exam | Sequence[Exam],
    *,
    learners: Callable[[FunctionClass], Iterable[Learner]] = lambda function_class: (),
    answers: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Direct:
    """Accuracy of a model by number of examples, and of ``learners(function_class)`` on the same questions.

    Args:
        answers: a ``.jsonl`` file that keeps the answers as they come, so that a call that was stopped goes on where it
            was. It knows a model by the engine's name, so another model needs another name (or file). Without a file,
            an endpoint's request cache saves what was paid for.
        progress: is told how many questions are done.

    Raises ``EngineError`` where requests failed; those that were answered are kept.
    """
    items = [(exam, question) for exam in _listed(exams) for question in exam.questions]
    with TemporaryDirectory() as scratch:
        told = _answered(engine, items, answers or Path(scratch) / "answers.jsonl", progress)
    rows, rest = list[DirectRow](), told
    for exam in _listed(exams):
        rows += model_rows(engine.name, exam, rest[: len(exam.questions)])
        rows += [row for learner in learners(exam.function_class) for row in learner_rows(learner, exam)]
        rest = rest[len(exam.questions) :]
    return Direct(rows, told)


def _listed(exams: Exam | Sequence[Exam]) -> Sequence[Exam]:
    return [exams] if isinstance(exams, Exam) else exams


def model_rows(name: str, exam: Exam, answers: Sequence[DirectAnswer]) -> list[DirectRow]:
    """Accuracy after each number of examples, from answers in the order of the questions; none read is wrong."""
    said: dict[int, list[tuple[int | None, int]]] = {}
    for question, answer in zip(exam.questions, answers, strict=True):
        said.setdefault(question.shown, []).append((answer.said, question.label))
    return [
        _row("model", name, exam, shown, [bit == label for bit, label in some], sum(bit is None for bit, _ in some))
        for shown, some in said.items()
    ]


def learner_rows(learner: Learner, exam: Exam) -> list[DirectRow]:
    """The same of a learner on the same prompts. Where it was not asked it has no row."""
    right = correct(learner.predict(exam.prompts), exam.prompts)
    places = [
        shown for shown in asked_after(exam.function_class.points, exam.asking.every) if not right[0, shown].isnan()
    ]
    return [_row("learner", learner.name, exam, shown, (right[:, shown] > 0).tolist()) for shown in places]


def _row(
    kind: Literal["model", "learner"], name: str, exam: Exam, shown: int, right: Sequence[bool], unparsed: int = 0
) -> DirectRow:
    interval = wilson(sum(right), len(right))
    return DirectRow(
        kind=kind,
        name=name,
        function_class=exam.function_class.name,
        dimensions=exam.function_class.dimensions,
        variant=exam.asking.variant,
        how=exam.asking.how,
        shown=shown,
        functions=len(right),
        accuracy=interval.estimate,
        low=interval.low,
        high=interval.high,
        unparsed=unparsed,
    )


Item = tuple[Exam, Question]


def _answered(engine: Engine, items: Sequence[Item], path: Path, progress: Callable[[int], None]) -> list[DirectAnswer]:
    """An answer to every item, in their order; the file keeps them, and those of earlier calls."""
    file = GrowingFile(path, DirectAnswer, lambda row: row.id)
    if path.exists():
        file.add(read_records(path, DirectAnswer))
    asked = list({_key(engine, item): item for item in items}.values())  # exams may share a question
    failures = fill(
        file,
        asked,
        lambda item: [_key(engine, item)],
        lambda some: _ask(engine, some),
        size=AT_ONCE,
        failed=lambda row: row.error,
        progress=progress,
    )
    if failures:
        raise EngineError(
            f"{len(failures)} of {len(asked)} requests to {engine.name} failed; the first said: {failures[0][1]} Ask "
            "again: answers that arrived are kept in the answers' file, or in the engine's request cache."
        )
    file.finish(list(file.rows))
    return [file.rows[_key(engine, item)] for item in items]


def _key(engine: Engine, item: Item) -> str:
    exam, question = item
    return f"{engine.name}|{exam.asking.how}|{exam.function_class.name}/{exam.function_class.dimensions}|{question.id}"


def _ask(engine: Engine, items: Sequence[Item]) -> list[DirectAnswer]:
    """Answers in order, greedily, so that equal questions get equal answers."""
    said = {
        how: answer(engine, [item for item in items if item[0].asking.how == how])
        for how, answer in (("generate", _written), ("logprobs", _scored))
    }
    return [
        DirectAnswer(
            id=_key(engine, (exam, question)),
            function=question.function,
            shown=question.shown,
            label=question.label,
            **next(said[exam.asking.how]),
        )
        for exam, question in items
    ]


def _written(engine: Engine, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    requests = [
        GenerationRequest(
            id=_key(engine, item), messages=item[1].messages, max_tokens=NEW_TOKENS[item[0].asking.variant]
        )
        for item in items
    ]
    for (exam, _), reply in zip(items, engine.generate(requests) if requests else [], strict=True):
        said = parse_bit(reply.text, exam.asking.variant)
        yield {"said": said, "text": reply.text, "tokens": reply.tokens, "error": reply.error}


def _scored(engine: Engine, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    """The likelier label, the end of the turn included; none if both are as likely."""
    requests = [
        ScoreRequest(id=f"{_key(engine, item)}={bit}", messages=item[1].messages, completion=bit)
        for item in items
        for bit in "01"
    ]
    scores = engine.logprobs(requests) if requests else []
    for zero, one in zip(scores[::2], scores[1::2], strict=True):
        said = None if zero.logprob == one.logprob else int(one.logprob > zero.logprob)
        yield {"said": said, "text": f"{zero.logprob:.6f} {one.logprob:.6f}", "tokens": zero.tokens + one.tokens}


@dataclass(frozen=True)
class Estimate:
    """What asking will take: requests, tokens read and, at most, written; their price where prices are given."""

    requests: int
    prompt_tokens: int
    answer_tokens: int
    price: float | None = None


def estimate(
    exams: Exam | Sequence[Exam], *, tokenizer: PreTrainedTokenizerBase | None = None, prices: Prices | None = None
) -> Estimate:
    """What ``evaluate_engine`` will ask for, before anything is asked.

    Without a ``tokenizer`` a run of letters, a digit or a sign counts as a token, which on prompts of separated bits is
    close to what common tokenizers make; ``TURN_TOKENS`` are added a turn. A question whose labels are scored is read
    twice, once with each.
    """
    read = written = requests = 0
    for exam in _listed(exams):
        times = 2 if exam.asking.how == "logprobs" else 1
        requests += times * len(exam.questions)
        read += times * sum(_tokens(turn.content, tokenizer) for q in exam.questions for turn in q.messages)
        written += NEW_TOKENS[exam.asking.variant] * len(exam.questions) if times == 1 else 0
    return Estimate(requests, read, written, None if prices is None else prices.of(read, written))


def _tokens(text: str, tokenizer: PreTrainedTokenizerBase | None) -> int:
    if tokenizer is not None:
        return TURN_TOKENS + len(tokenizer(text, add_special_tokens=False)["input_ids"])
    return TURN_TOKENS + len(re.findall(r"[^\W\d]+|\d|[^\w\s]|\n", text))


def nearest_neighbour_engine() -> ScriptedEngine:
    """A stand-in for a model, without network or weights: it reads the prompt's text and answers what 1-NN would.

    Its accuracy is exactly that of the learner ``NearestNeighbours(1)``, which checks the whole way from prompts to
    rows; variants that reason get their last number, scores favour the same label.
    """

    def said(messages: Sequence[Message]) -> str:
        return str(nearest_neighbour_answer(messages[-1].content))

    return ScriptedEngine(
        lambda request: said(request.messages),
        name="offline 1-NN",
        score=lambda request: 0.0 if request.completion == said(request.messages) else -1.0,
    )
