"""From the user's files to a pool: names, registry, gaps, scores that survive an interruption; and the whole call."""

from pathlib import Path

import numpy as np
import pytest

from paribus.data.growing import GrowingFile
from paribus.errors import ConfigError, DataError
from paribus.feedback.arbitrage import Practice, arbitrate, check_router
from paribus.feedback.pool_files import answered_by_all, answers_of, registry_of, score_into, with_token_counts
from paribus.feedback.routing import Experts
from paribus.records import Completion, Message, Prompt

LANGUAGES = ("de", "sw")


def prompts(first: int = 0, count: int = 4) -> list[Prompt]:
    return [
        Prompt(id=f"q{n}", language=LANGUAGES[n % 2], messages=(Message(role="user", content=f"{n}?"),))
        for n in range(first, first + count)
    ]


def answer(model: str, prompt: Prompt, score: float | None = None, **fields: object) -> Completion:
    more = {"id": f"{model}-{prompt.id}", "text": f"{model} to {prompt.id}", "tokens": 3, "score": score, **fields}
    return Completion(prompt_id=prompt.id, language=prompt.language, model=model, **more)


def test_answers_take_the_teachers_name_and_keep_to_prompts_and_languages() -> None:
    asked = prompts()
    registry = registry_of(["a", "b"], {"a": ["de"]}, LANGUAGES)
    rows = [answer("some-model", one) for one in prompts(count=6)]
    found = answers_of("a", rows, asked, registry)
    assert [(row.id, row.model, row.language) for row in found] == [("a/q0", "a", "de"), ("a/q2", "a", "de")]
    assert len(answers_of("b", rows, asked, registry)) == 4


def test_failed_requests_are_no_answers_and_two_answers_are_refused() -> None:
    asked = prompts(count=2)
    registry = registry_of(["a"], {}, LANGUAGES)
    rows = [answer("a", asked[0], finish="error"), answer("a", asked[0], id="again"), answer("a", asked[1])]
    assert len(answers_of("a", rows, asked, registry)) == 2
    with pytest.raises(DataError, match="two answers to 'q1'"):
        answers_of("a", [*rows, answer("a", asked[1], id="more")], asked, registry)


def test_a_registry_must_name_teachers_and_leave_no_language_alone() -> None:
    with pytest.raises(ConfigError, match="names c; the teachers are a, b"):
        registry_of(["a", "b"], {"c": ["de"]}, LANGUAGES)
    with pytest.raises(ConfigError, match="'sw'"):
        registry_of(["a", "b"], {"a": ["de"], "b": ["de"]}, LANGUAGES)


def test_prompts_that_a_teacher_lacks_stop_or_are_left_out() -> None:
    asked = prompts()
    registry = registry_of(["a", "b"], {"a": ["de"]}, LANGUAGES)
    rows = [answer("a", asked[0]), *(answer("b", one) for one in asked)]
    with pytest.raises(DataError, match=r"1 of 4 prompts lack .*'q2' has none of a"):
        answered_by_all(asked, rows, registry, "fail")
    assert [one.id for one in answered_by_all(asked, rows, registry, "skip")] == ["q0", "q1", "q3"]
    with pytest.raises(DataError, match="2 of 2 prompts lack"):
        answered_by_all([asked[0], asked[2]], [], registry, "skip")


class Lengths:
    """An arbiter that likes long answers, and breaks down at its second call."""

    identity = "lengths"

    def __init__(self, calls: int = 99) -> None:
        self.left, self.seen = calls, 0

    def score(self, prompts: list[Prompt], completions: list[Completion]) -> np.ndarray:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.seen += len(completions)
        return np.array([float(len(row.text)) for row in completions])


def test_scores_are_kept_and_only_missing_ones_are_asked_for(tmp_path: Path) -> None:
    asked = prompts(count=5)
    rows = [answer("a", one) for one in asked]
    by_id = {one.id: one for one in asked}

    def run(arbiter: Lengths) -> list[Completion]:
        file = GrowingFile(tmp_path / "pool.jsonl", Completion, lambda row: row.id)
        return score_into(file, arbiter, by_id, rows, size=2)

    with pytest.raises(KeyboardInterrupt):
        run(Lengths(calls=1))
    rest = Lengths()
    scored = run(rest)
    assert rest.seen == 3
    assert [row.score for row in scored] == [float(len(row.text)) for row in rows]


def test_missing_token_counts_are_filled_and_counted() -> None:
    one, two = prompts(count=2)
    rows, counted = with_token_counts([answer("a", one), answer("a", two, tokens=None)], len)
    assert counted == 1 and [row.tokens for row in rows] == [3, len("a to q1")]


def scored(asked: list[Prompt]) -> list[Completion]:
    """Teacher a is good in German, b in Swahili."""
    best = {"de": "a", "sw": "b"}
    return [answer(name, one, float(best[one.language] == name)) for one in asked for name in ("a", "b")]


@pytest.mark.parametrize("router", ["fixed", "reward", "learned"])
def test_planted_specialists_are_found(router: str) -> None:
    asked, dev = prompts(count=20), prompts(first=100, count=20)
    registry = registry_of(["a", "b"], {}, LANGUAGES)
    found = arbitrate(router, asked, scored(asked), registry, practice=Practice(dev, scored(dev)), temperature=0.1)
    assert {(one.language, found.chosen[one.id].model) for one in asked} == {("de", "a"), ("sw", "b")}
    assert found.report.agreement == 1.0 and found.report.gold == {}
    assert (found.experts is not None) == (router == "fixed")


def test_experts_given_by_hand_need_no_practice() -> None:
    asked = prompts()
    registry = registry_of(["a", "b"], {}, LANGUAGES)
    wrong = Experts({"de": "b", "sw": "a"}, "a")
    found = arbitrate("fixed", asked, scored(asked), registry, experts=wrong)
    assert found.report.agreement == 0.0
    assert {
        row.model for row in arbitrate("single", asked, scored(asked), registry, experts=wrong).chosen.values()
    } == {"a"}


def test_what_a_router_lacks_is_said_before_anything_is_paid_for() -> None:
    asked = prompts()
    for router in ("single", "fixed", "learned"):
        with pytest.raises(ConfigError, match=f"The {router} router is fitted on development prompts"):
            check_router(router, asked, [], None)
    with pytest.raises(ConfigError, match="4 of the development prompts are routed as well, such as 'q0'"):
        check_router("learned", asked, asked, None)
    with pytest.raises(ConfigError, match="no router 'best'"):
        check_router("best", asked, [], None)
    check_router("reward", asked, [], None)
