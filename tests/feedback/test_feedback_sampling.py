"""Answers from engines as records."""

from collections.abc import Sequence

import pytest
from feedback_toy import prompts_in

from paribus.errors import EngineError
from paribus.feedback.sampling import sample_completions
from paribus.inference.engine import GenerationRequest, Reply
from paribus.inference.scripted import ScriptedEngine

ASKED = prompts_in(["en", "hi"], 3)


def test_samples_come_prompt_by_prompt_with_ids_of_their_own() -> None:
    seen: list[GenerationRequest] = []

    def rule(request: GenerationRequest) -> str:
        seen.append(request)
        return f"1 {request.id}"

    rows = sample_completions(
        ScriptedEngine(rule, name="teacher"), ASKED, samples=2, temperature=0.7, top_p=0.9, max_tokens=5, seed=3
    )
    assert [row.prompt_id for row in rows] == [p.id for p in ASKED for _ in range(2)]
    assert [row.text for row in rows[:2]] == ["1 q0/en#0", "1 q0/en#1"]
    assert len({row.id for row in rows}) == len(rows) == 12
    assert {(row.model, row.tokens, row.finish, row.meta["seed"]) for row in rows} == {("teacher", 2, "stop", 3)}
    assert {(r.temperature, r.top_p, r.max_tokens, r.seed) for r in seen} == {(0.7, 0.9, 5, 3)}
    assert [r.messages for r in seen] == [p.messages for p in ASKED for _ in range(2)]
    assert sample_completions(ScriptedEngine(rule), []) == []


class Flaky:
    """Fails where the id says so."""

    name = "flaky"

    def __init__(self, failing: str) -> None:
        self.failing = failing

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
        """Refused connections, and log-probabilities where there are answers."""
        return [
            Reply(request_id=r.id, text="", tokens=0, finish="error", error="refused")
            if self.failing in r.id
            else Reply(request_id=r.id, text="1", tokens=1, finish="length", logprob=-0.5)
            for r in requests
        ]

    def logprobs(self, requests: Sequence[object]) -> list[object]:
        """Not asked here."""
        raise NotImplementedError


def test_failures_are_kept_beside_the_answers() -> None:
    rows = sample_completions(Flaky("/hi"), ASKED)
    assert [(row.finish, row.meta.get("error"), row.meta["logprob"]) for row in rows[:2]] == [
        ("length", None, -0.5),
        ("error", "refused", None),
    ]
    assert len(rows) == len(ASKED)
    with pytest.raises(EngineError, match="All 6 requests to flaky failed; the first said: refused"):
        sample_completions(Flaky("q"), ASKED)
