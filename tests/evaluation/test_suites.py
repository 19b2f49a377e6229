"""Suites: a scripted engine, a checker with known verdicts, and the embedded world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from paribus.errors import DataError, EngineError
from paribus.evaluation.items import summarise
from paribus.evaluation.suites import ERROR_KINDS, grade_completions, run_suite
from paribus.inference.engine import GenerationRequest, Reply
from paribus.inference.scripted import ScriptedEngine
from paribus.records import Message, Prompt
from paribus.world import World, WorldConfig, check, corrupt


@dataclass(frozen=True)
class Verdict:
    """What the toy checker answers."""

    correct: bool
    error: str | None
    score: float


def _check(prompt: Prompt, text: str) -> Verdict:
    if text == prompt.meta["answer"]:
        return Verdict(True, None, 1.0)
    return Verdict(False, text if text in ERROR_KINDS else "wrong_fact", 0.25)


def _prompt(number: int, language: str, answer: str = "yes") -> Prompt:
    message = Message(role="user", content=f"{number} {language}")
    meta = {"answer": answer, "question_id": f"q{number}"}
    return Prompt(id=f"p{number}", language=language, messages=(message,), task="toy", meta=meta)


PROMPTS = [_prompt(n, code) for n in range(6) for code in ("en", "de")]


def _by_number(request: GenerationRequest) -> str:
    number, language = request.messages[-1].content.split()
    return "wrong_language" if language == "de" and int(number) < 3 else "yes"


def _value(rows: Sequence[object], measure: str, language: str) -> float:
    return float(np.mean([r.value for r in rows if r.measure == measure and r.language == language]))


def test_every_prompt_gets_every_measure() -> None:
    result = run_suite(
        ScriptedEngine(_by_number, name="m"), PROMPTS, _check, measures={"vowels": lambda p, t: t.count("e")}
    )
    expected = {"exact_match", "score", "length_limit", "length_characters", "length_tokens", "vowels", *ERROR_KINDS}
    for prompt in PROMPTS:
        mine = [r for r in result.rows if r.item == f"{prompt.id}/{prompt.language}"]
        assert {r.measure for r in mine} == expected
        assert len(mine) == len(expected)
        assert {(r.cluster, r.language, r.group) for r in mine} == {
            (prompt.meta["question_id"], prompt.language, "toy")
        }
    assert _value(result.rows, "exact_match", "en") == 1.0
    assert _value(result.rows, "exact_match", "de") == 0.5
    assert _value(result.rows, "wrong_language", "de") == 0.5
    assert [_value(result.rows, kind, "de") for kind in ERROR_KINDS if kind != "wrong_language"] == [0.0] * 5
    assert _value(result.rows, "score", "de") == pytest.approx(0.625)
    assert _value(result.rows, "vowels", "en") == 1.0
    assert [c.prompt_id for c in result.completions] == [p.id for p in PROMPTS]
    assert (result.completions[0].model, result.completions[0].text, result.failed) == ("m", "yes", 0)
    cell = next(s for s in summarise(result.rows) if (s.measure, s.language, s.group) == ("exact_match", "de", "toy"))
    assert (cell.interval.estimate, cell.interval.n) == (0.5, 6)


def test_the_length_limit_is_seen() -> None:
    result = run_suite(ScriptedEngine(lambda r: "one two three"), PROMPTS[:2], _check, max_tokens=2)
    assert {r.value for r in result.rows if r.measure == "length_limit"} == {1.0}
    assert {r.value for r in result.rows if r.measure == "length_tokens"} == {2.0}
    assert {r.value for r in result.rows if r.measure == "length_characters"} == {7.0}


class Flaky:
    """Fails on German."""

    name = "flaky"

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
        """A refused connection for every second request."""
        return [
            Reply(request_id=r.id, text="", tokens=0, finish="error", error="refused")
            if r.id.endswith("/de")
            else Reply(request_id=r.id, text="yes", tokens=1, finish="stop")
            for r in requests
        ]

    def logprobs(self, requests: Sequence[object]) -> list[object]:
        """Not asked here."""
        raise NotImplementedError


def test_a_failed_request_stops_the_suite_or_is_counted() -> None:
    with pytest.raises(EngineError, match=r"failed on 6 of 12 prompts, the first 'p0/de' \(refused\)"):
        run_suite(Flaky(), PROMPTS, _check)
    result = run_suite(Flaky(), PROMPTS, _check, on_engine_error="wrong")
    assert result.failed == 6
    assert (_value(result.rows, "engine_error", "de"), _value(result.rows, "engine_error", "en")) == (1.0, 0.0)
    assert (_value(result.rows, "exact_match", "de"), _value(result.rows, "wrong_fact", "de")) == (0.0, 0.0)


def test_mixed_up_replies_are_refused() -> None:
    class Shuffled(Flaky):
        def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
            return [Reply(request_id=r.id, text="yes", tokens=1, finish="stop") for r in reversed(requests)]

    with pytest.raises(EngineError, match="mixed up"):
        run_suite(Shuffled(), PROMPTS, _check)


def test_errors_of_the_checker_must_be_declared() -> None:
    with pytest.raises(DataError, match="'wrong_language' on 'p0'"):
        run_suite(ScriptedEngine(lambda r: "wrong_language"), PROMPTS, _check, error_kinds=("wrong_fact",))


def test_stored_answers_give_the_same_rows() -> None:
    result = run_suite(ScriptedEngine(_by_number), PROMPTS, _check)
    assert grade_completions(PROMPTS, list(reversed(result.completions)), _check) == list(result.rows)
    with pytest.raises(DataError, match=r"'p0' \(en\) has no completion"):
        grade_completions(PROMPTS, result.completions[1:], _check)
    with pytest.raises(DataError, match="several for one prompt"):
        grade_completions(PROMPTS, [*result.completions, result.completions[0]], _check)


def test_prompts_must_be_there_and_unique() -> None:
    with pytest.raises(DataError, match="no prompts"):
        run_suite(ScriptedEngine(_by_number), [], _check)
    with pytest.raises(DataError, match=r"'p0' \(en\) is in the suite twice"):
        run_suite(ScriptedEngine(_by_number), [PROMPTS[0], PROMPTS[0]], _check)


def test_the_worlds_checker_grades_planted_errors() -> None:
    """A model that answers right in English and spoils every German answer in a known way."""
    world = World(WorldConfig(languages=("de", "en"), tasks=("wn", "nw"), max_items_per_cell=6))
    items = {item.id: item for item in world.items("test")}
    prompts = [item.to_prompt() for item in items.values()]

    def answer(request: GenerationRequest) -> str:
        item = items[request.id.rsplit("/", 1)[0]]
        if item.language == "en":
            return item.answer
        return corrupt(world, item, "refusal", np.random.default_rng(0))

    result = run_suite(ScriptedEngine(answer), prompts, check)
    assert _value(result.rows, "exact_match", "en") == 1.0
    assert _value(result.rows, "exact_match", "de") == 0.0
    assert _value(result.rows, "refusal", "de") == 1.0
    assert {r.group for r in result.rows} == {p.task for p in prompts}
    clusters = {(r.cluster, r.language) for r in result.rows}
    assert len({c for c, _ in clusters}) < len(clusters)
