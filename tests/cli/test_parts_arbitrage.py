"""arbitrage: planted specialists found by every router, from files and from models, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_calls import call, sentence
from parts_small import answers, model_folder, questions, rows, write

GOOD = {"a": "de", "b": "sw"}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teacher a scores high in German, b in Swahili."""
    folder = tmp_path_factory.mktemp("shelf")
    write(folder / "prompts.jsonl", questions(12))
    write(folder / "dev.jsonl", questions(12, start=100))
    for name, language in GOOD.items():
        score = {"score": lambda n, row, language=language: float(row["language"] == language)}
        write(folder / f"{name}.jsonl", [*answers(name, 12, **score), *answers(name, 12, 100, **score)])
    model_folder(folder / "arbiter", reward=True, seed=3)
    model_folder(folder / "llama", seed=1)
    model_folder(folder / "other", seed=2)
    return folder


def arbitrage(shelf: Path, out: Path, *more: object):
    teachers = [word for name in GOOD for word in ("--teacher", f"{name}={shelf / name}.jsonl")]
    return call("arbitrage", shelf / "prompts.jsonl", *teachers, "--out", out, *more)


def sources(out: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows(out / "examples.jsonl"):
        found.setdefault(row["language"], set()).add(row["source"])
    return found


@pytest.mark.parametrize("router", ["reward", "fixed", "learned"])
def test_planted_specialists_are_found(shelf: Path, tmp_path: Path, router: str) -> None:
    more = () if router == "reward" else ("--dev", shelf / "dev.jsonl")
    done = arbitrage(shelf, tmp_path / "r", "--scores-in-file", "--router", router, "--router-temperature", 0.1, *more)
    assert done.exit_code == 0, done.stderr
    assert sources(tmp_path / "r") == {"de": {"a"}, "sw": {"b"}}
    report = json.loads((tmp_path / "r" / "routing.json").read_text())
    assert report["shares"]["de"] == {"a": 1.0} and report["agreement"] == 1.0
    assert report["generated_tokens"] == 5 * 12 * (2 if router == "reward" else 1)
    table = done.stdout
    assert "de" in table and "100.0%" in table and table.splitlines()[-1] == str(tmp_path / "r")


def test_single_and_random_choose_as_they_should(shelf: Path, tmp_path: Path) -> None:
    assert (
        arbitrage(shelf, tmp_path / "s", "--scores-in-file", "--router", "single", "--expert", "all=b").exit_code == 0
    )
    assert sources(tmp_path / "s") == {"de": {"b"}, "sw": {"b"}}
    again = arbitrage(shelf, tmp_path / "s", "--scores-in-file", "--router", "single", "--expert", "all=b")
    assert again.exit_code == 0 and ["language", "a", "b", "best-scored"] in [
        x.split() for x in again.stdout.splitlines()
    ]
    for name, seed in (("r1", 1), ("r2", 1), ("r3", 2)):
        words = ("--scores-in-file", "--router", "random", "--seed", seed)
        assert arbitrage(shelf, tmp_path / name, *words).exit_code == 0
    chosen = [(tmp_path / name / "examples.jsonl").read_bytes() for name in ("r1", "r2", "r3")]
    assert chosen[0] == chosen[1] != chosen[2]


def test_pairs_are_best_against_worst_of_the_same_pool(shelf: Path, tmp_path: Path) -> None:
    assert arbitrage(shelf, tmp_path / "r", "--scores-in-file").exit_code == 0
    for row in rows(tmp_path / "r" / "pairs.jsonl"):
        assert row["margin"] == 1.0 and row["meta"]["chosen_model"] == {"de": "a", "sw": "b"}[row["language"]]
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert record["results"]["pairs"]["pairs"] == 12


def test_the_registry_keeps_teachers_out_of_languages(shelf: Path, tmp_path: Path) -> None:
    assert arbitrage(shelf, tmp_path / "r", "--scores-in-file", "--registry", "b=de").exit_code == 0
    assert sources(tmp_path / "r") == {"de": {"a"}, "sw": {"a"}}
    assert "nobody" in sentence(arbitrage(shelf, tmp_path / "x", "--scores-in-file", "--registry", "nobody=de"))
    told = sentence(arbitrage(shelf, tmp_path / "x", "--scores-in-file", "--registry", "a=de", "--registry", "b=de"))
    assert "'sw'" in told


def test_models_answer_and_a_reward_model_scores(shelf: Path, tmp_path: Path) -> None:
    words = ["--teacher", f"a={shelf / 'llama'}", "--teacher", f"b={shelf / 'other'}", "--arbiter", shelf / "arbiter"]
    words += ["--max-tokens", 6, "--threads", 1, "--out", tmp_path / "r"]
    done = call("arbitrage", shelf / "prompts.jsonl", *words)
    assert done.exit_code == 0, done.stderr
    pool = rows(tmp_path / "r" / "pool.jsonl")
    best: dict[str, dict[str, Any]] = {}
    for row in pool:
        if row["prompt_id"] not in best or row["score"] > best[row["prompt_id"]]["score"]:
            best[row["prompt_id"]] = row
    for row in rows(tmp_path / "r" / "examples.jsonl"):
        assert row["messages"][-1]["content"] == best[row["id"]]["text"]
    assert sorted(path.name for path in (tmp_path / "r" / "answers").glob("*.jsonl")) == [
        "pool-a.jsonl",
        "pool-b.jsonl",
    ]


def test_scoring_goes_on_where_it_was_stopped(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paribus.feedback.arbiters import RewardModelArbiter

    real, scored = RewardModelArbiter.score, list[int]()

    def stopping(self: RewardModelArbiter, prompts: Any, completions: Any) -> Any:
        if len(scored) == 2:
            scored.append(0)
            raise KeyboardInterrupt
        scored.append(len(completions))
        return real(self, prompts, completions)

    words = ("--arbiter", shelf / "arbiter", "--batch-size", 5)
    assert arbitrage(shelf, tmp_path / "whole", *words).exit_code == 0
    monkeypatch.setattr(RewardModelArbiter, "score", stopping)
    assert arbitrage(shelf, tmp_path / "twice", *words).exit_code == 130
    assert len(rows(tmp_path / "twice" / "pool.jsonl.partial.jsonl")) == 10
    assert arbitrage(shelf, tmp_path / "twice", *words).exit_code == 0
    assert sum(scored) == 24
    for name in ("pool.jsonl", "examples.jsonl", "pairs.jsonl", "routing.json"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_gaps_stop_or_are_left_out(shelf: Path, tmp_path: Path) -> None:
    write(tmp_path / "short.jsonl", rows(shelf / "b.jsonl")[1:])
    words = ("arbitrage", shelf / "prompts.jsonl", "--teacher", f"a={shelf / 'a.jsonl'}", "--scores-in-file")
    words = (*words, "--teacher", f"b={tmp_path / 'short.jsonl'}", "--out", tmp_path / "r")
    assert "1 of 12 prompts lack an answer" in sentence(call(*words)).replace("\n", " ")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "--arbiter"),
        (("--scores-in-file", "--arbiter", "x"), "not both"),
        (("--scores-in-file", "--router", "fixed"), "development prompts"),
        (("--scores-in-file", "--router", "best"), "--router"),
        (("--scores-in-file", "--registry", "a"), "'='"),
        (("--scores-in-file", "--registry", "a=xx"), "'xx'"),
        (("--scores-in-file", "--languages", "xx"), "'xx'"),
        (("--arbiter", "nowhere/at/all"), "nowhere"),
    ],
)
def test_what_cannot_be_used_is_refused(shelf: Path, tmp_path: Path, more: tuple[object, ...], said: str) -> None:
    done = arbitrage(shelf, tmp_path / "out", *more)
    assert done.exit_code == 2, done.output
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_missing_file_and_a_lone_teacher_are_refused(shelf: Path, tmp_path: Path) -> None:
    words = ("arbitrage", shelf / "prompts.jsonl", "--scores-in-file", "--out", tmp_path / "r", "--teacher")
    assert "one teacher" in sentence(call(*words, f"a={shelf / 'a.jsonl'}"))
    told = sentence(call(*words, f"a={shelf / 'a.jsonl'}", "--teacher", "b=missing.jsonl"))
    assert "no file missing.jsonl" in told


def test_answers_without_a_score_are_refused(shelf: Path, tmp_path: Path) -> None:
    for name in GOOD:
        write(tmp_path / f"{name}.jsonl", answers(name, 12))
    words = ["arbitrage", shelf / "prompts.jsonl", "--scores-in-file", "--out", tmp_path / "r"]
    words += [word for name in GOOD for word in ("--teacher", f"{name}={tmp_path / name}.jsonl")]
    assert "let an arbiter score it first" in sentence(call(*words))
