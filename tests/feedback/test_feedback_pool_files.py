"""Files of answers to a scored pool: names, languages, gaps, and scoring that goes on where it was cut off."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from feedback_toy import answer, gold, prompts_in

from paribus.data.growing import GrowingFile
from paribus.errors import ConfigError, DataError
from paribus.feedback.arbiters import GoldArbiter
from paribus.feedback.pool_files import answered_by_all, answers_of, registry_of, score_into, with_token_counts
from paribus.feedback.routing import build_pool
from paribus.records import Completion, Prompt, read_records

ASKED = prompts_in(["en", "hi"], 3)
BY_ID = {p.id: p for p in ASKED}
REGISTRY = registry_of(["all", "english"], {"english": ["en"]}, ["en", "hi"])


def _file(model: str, asked: Sequence[Prompt] = ASKED) -> list[Completion]:
    return [answer(p, model, f"1 {model}") for p in asked]


def test_unnamed_teachers_may_answer_everything() -> None:
    assert REGISTRY.teachers("en") == ("all", "english")
    assert REGISTRY.teachers("hi") == ("all",)
    with pytest.raises(ConfigError, match="registry names typo; the teachers are a, b"):
        registry_of(["b", "a"], {"typo": ["en"]}, ["en"])
    with pytest.raises(ConfigError, match="'hi'"):
        registry_of(["a"], {"a": ["en"]}, ["en", "hi"])


def test_answers_are_taken_under_the_teachers_name_where_it_may_answer() -> None:
    rows = _file("some/hub-model")
    rows[0] = rows[0].model_copy(update={"finish": "error", "text": ""})
    strangers = _file("some/hub-model", prompts_in(["en"], 9)[5:])
    found = answers_of("english", [*rows[::-1], *strangers], ASKED, REGISTRY)
    assert [row.prompt_id for row in found] == ["q1/en", "q2/en"]  # q0 failed; Hindi is not its language
    assert {row.model for row in found} == {"english"}
    assert [row.id for row in found] == ["english/q1/en", "english/q2/en"]
    with pytest.raises(DataError, match="'english' has two answers to 'q1/en'"):
        answers_of("english", [*rows, *rows], ASKED, REGISTRY)


def test_gaps_fail_or_are_left_out() -> None:
    rows = answers_of("all", _file("m"), ASKED, REGISTRY) + answers_of("english", _file("n")[2:], ASKED, REGISTRY)
    with pytest.raises(DataError, match=r"1 of 6 prompts lack .*'q0/en' has none of english"):
        answered_by_all(ASKED, rows, REGISTRY, "fail")
    kept = answered_by_all(ASKED, rows, REGISTRY, "skip")
    assert [p.id for p in kept] == [p.id for p in ASKED if p.id != "q0/en"]
    with pytest.raises(DataError, match="6 of 6 prompts lack"):
        answered_by_all(ASKED, [], REGISTRY, "skip")


class Counting(GoldArbiter):
    """A gold arbiter that can break down after some answers."""

    calls = 0
    limit = 10**9

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> np.ndarray:
        """Scores, until the limit is reached."""
        type(self).calls += len(completions)
        if self.calls > self.limit:
            raise KeyboardInterrupt
        return super().score(prompts, completions)


def test_scoring_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    rows = answers_of("all", _file("m"), ASKED, REGISTRY) + answers_of("english", _file("n"), ASKED, REGISTRY)

    def run(folder: str, limit: int) -> list[Completion]:
        Counting.calls, Counting.limit = 0, limit
        file = GrowingFile(tmp_path / folder / "pool.jsonl", Completion, lambda row: row.id)
        return score_into(file, Counting(gold, noise=0.5), BY_ID, rows, size=2)

    whole = run("whole", 100)
    with pytest.raises(KeyboardInterrupt):
        run("cut", 5)
    assert not (tmp_path / "cut" / "pool.jsonl").exists()
    assert run("cut", 100) == whole
    assert Counting.calls == len(rows) - 4  # the two batches that were scored before are not paid for again
    files = [(tmp_path / name / "pool.jsonl").read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]
    assert list(read_records(tmp_path / "cut" / "pool.jsonl", Completion)) == whole
    assert set(build_pool(whole, REGISTRY)) == set(BY_ID)


def test_token_counts_are_filled_where_they_are_missing() -> None:
    known, unknown = _file("m")[0], _file("m")[1].model_copy(update={"tokens": None, "text": "1 two three"})
    rows, counted = with_token_counts([known, unknown], lambda text: len(text.split()))
    assert ([row.tokens for row in rows], counted) == ([2, 3], 1)
    assert rows[0] is known
