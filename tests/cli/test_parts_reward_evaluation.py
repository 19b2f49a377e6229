"""evaluate-reward: the three benches, scorers and judges, runs that stop and go on, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_calls import call, sentence
from parts_server import serving
from parts_small import model_folder, pairs, rows, write


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    varied = [
        {**row, "chosen": f"good {'!' * (n % 5)}", "rejected": f"bad {n % 3}", "meta": {"question_id": f"q{n // 2}"}}
        for n, row in enumerate(pairs(24))
    ]
    write(folder / "pairs.jsonl", varied)
    model_folder(folder / "arbiter", reward=True)
    return folder


def evaluate(shelf: Path, out: Path, *more: object):
    return call("evaluate-reward", shelf / "arbiter", "--out", out, "--resamples", 200, *more)


def result(out: Path) -> dict[str, Any]:
    return json.loads((out / "result.json").read_text())


def test_a_reward_model_on_own_pairs(shelf: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    done = evaluate(shelf, out, "--data", shelf / "pairs.jsonl")
    assert done.exit_code == 0, done.stderr
    found, scores = result(out), {row["id"]: row["score"] for row in rows(out / "scores.jsonl")}
    assert found["pairs"] == 24 and len(scores) == 48
    by_hand = [scores[f"{row['id']}/chosen"] > scores[f"{row['id']}/rejected"] for row in rows(shelf / "pairs.jsonl")]
    cells = {(row["language"], row["group"]): row["interval"] for row in found["accuracy"]}
    assert cells["all", "all"]["estimate"] == pytest.approx(sum(by_hand) / 24)
    assert cells["all", "all"]["n"] == 12 and {("de", "all"), ("sw", "all")} < set(cells)
    assert [row["language"] for row in found["length"]] == ["all", "de", "sw"]
    assert len(rows(out / "items.jsonl")) == 24 and "Length bias" in done.stdout
    assert done.stdout.splitlines()[-1] == str(out / "result.json")


def test_the_same_command_again_scores_nothing(shelf: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    assert evaluate(shelf, out, "--data", shelf / "pairs.jsonl").exit_code == 0
    before, record = result(out), (out / "run.json").read_text()
    again = evaluate(shelf, out, "--data", shelf / "pairs.jsonl")
    assert "nothing is scored again" in again.stderr
    assert result(out) == before and (out / "run.json").read_text() == record
    other = evaluate(shelf, out, "--data", shelf / "pairs.jsonl", "--seed", 1)
    assert other.exit_code == 2 and "- seed: 0 there, 1 asked for" in other.stderr


def test_a_stopped_run_goes_on(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paribus.feedback.arbiters import RewardModelArbiter

    whole, out, score, calls = tmp_path / "whole", tmp_path / "found", RewardModelArbiter.score, []

    def stopping(self: RewardModelArbiter, prompts, completions):
        calls.append(len(completions))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(self, prompts, completions)

    options = ("--data", shelf / "pairs.jsonl", "--batch-size", 5)
    assert evaluate(shelf, whole, *options).exit_code == 0
    monkeypatch.setattr(RewardModelArbiter, "score", stopping)
    assert evaluate(shelf, out, *options).exit_code != 0 and not (out / "result.json").exists()
    assert len(rows(out / "scores.jsonl.partial.jsonl")) == 20
    done = evaluate(shelf, out, *options)
    assert done.exit_code == 0, done.stderr
    assert calls == [10, 10, 10, 10, 10, 8]
    assert (out / "scores.jsonl").read_bytes() == (whole / "scores.jsonl").read_bytes()


def test_long_pairs_are_refused_or_left_out(shelf: Path, tmp_path: Path) -> None:
    some = rows(shelf / "pairs.jsonl")
    some[3]["rejected"] = "x" * 300
    path = write(tmp_path / "long.jsonl", some)
    refused = evaluate(shelf, tmp_path / "a", "--data", path)
    assert refused.exit_code == 2 and "reads 256" in refused.stderr
    done = evaluate(shelf, tmp_path / "b", "--data", path, "--on-long-pair", "skip")
    assert done.exit_code == 0, done.stderr
    assert result(tmp_path / "b")["left_out"] == {"ties": 0, "length": 1} and result(tmp_path / "b")["pairs"] == 23
    assert "1 of 24 pairs are longer" in done.stderr
    cut = evaluate(shelf, tmp_path / "c", "--data", path, "--on-long-pair", "truncate")
    assert cut.exit_code == 0, cut.stderr
    assert "1 of 24 pairs were cut to 256 tokens, 1 of them in an answer" in cut.stderr
    assert result(tmp_path / "c")["pairs"] == 24 and result(tmp_path / "c")["reading"]["cut"] == 1


def test_a_reward_model_that_reads_critiques(shelf: Path, tmp_path: Path) -> None:
    from paribus.evaluation.reward_models import completion_id

    some = rows(shelf / "pairs.jsonl")
    written = [
        {
            "prompt_id": row["id"],
            "completion_id": completion_id(row["id"], row[side]),
            "critic": "planted",
            "text": f"This is the {side} one.",
        }
        for row in some
        for side in ("chosen", "rejected")
    ]
    path = write(tmp_path / "critiques.jsonl", written)
    plain, read = tmp_path / "plain", tmp_path / "read"
    assert evaluate(shelf, plain, "--data", shelf / "pairs.jsonl").exit_code == 0
    done = evaluate(shelf, read, "--data", shelf / "pairs.jsonl", "--critiques", path)
    assert done.exit_code == 0, done.stderr
    assert result(read)["reading"]["critic"] == "planted" and result(plain)["reading"]["critic"] is None
    texts = {row["id"]: row["text"] for row in rows(read / "scores.jsonl")}
    assert all(text.endswith(f"This is the {name.split('/')[-1]} one.") for name, text in texts.items())
    # Lengths are those of the answers, with or without critiques.
    longer = [result(out)["length"][0]["longer_wins"] for out in (plain, read)]
    assert longer[0] == longer[1]
    changed = write(tmp_path / "changed.jsonl", written[::-1])
    again = evaluate(shelf, read, "--data", shelf / "pairs.jsonl", "--critiques", changed)
    assert again.exit_code == 2 and "critiques" in again.stderr
    missing = write(tmp_path / "missing.jsonl", written[2:])
    told = evaluate(shelf, tmp_path / "x", "--data", shelf / "pairs.jsonl", "--critiques", missing)
    assert told.exit_code == 2 and "1 of 24 pairs have no critique" in told.stderr


def bench_rows(per_subset: int = 2) -> list[dict[str, Any]]:
    from paribus.evaluation.reward_bench_data import COUNTS

    return [
        {"prompt": f"{s} {n}?", "chosen": f"good {n}", "rejected": "bad", "subset": s, "id": n}
        for s in COUNTS
        for n in range(per_subset)
    ]


def test_rewardbench(shelf: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "filtered.jsonl", bench_rows())
    done = evaluate(shelf, tmp_path / "found", "--bench", "rewardbench", "--data", path)
    assert done.exit_code == 0, done.stderr
    found = result(tmp_path / "found")["rewardbench"]
    sections = {row["section"] for row in found["sections"] if row["language"] == "all"}
    assert sections == {"Chat", "Chat Hard", "Safety", "Reasoning", "all"} and len(found["subsets"]) == 2 * 23
    assert "23 subsets differ from the published set, such as alpacaeval-easy (en): 2 pairs" in done.stderr
    lengths = [row["group"] for row in result(tmp_path / "found")["length"]]
    assert lengths == ["all", "all", "Chat", "Chat Hard", "Safety", "Reasoning"]
    assert "Chat Hard" in done.stdout and "math-prm" in done.stdout


def panda_rows(count: int = 10) -> list[dict[str, Any]]:
    votes = [(1, 1, 1), (2, 2, 1), (0, 0, 0), (2, 2, 2), (1, 1, 0)]
    return [
        {
            "idx": n,
            "cmp_key": "a_b",
            "instruction": f"Do {n}.",
            "input": "",
            "response1": "bad" if votes[n % 5][0] == 2 else "good",
            "response2": "good" if votes[n % 5][0] == 2 else "bad",
            **{f"annotator{i + 1}": vote for i, vote in enumerate(votes[n % 5])},
        }
        for n in range(count)
    ]


def panda(path: Path) -> Path:
    path.write_text(json.dumps(panda_rows()))
    return path


def fair(messages: list[dict[str, str]]) -> str:
    """The answer 'good' wins wherever it stands."""
    shown = messages[-1]["content"].split("ANSWER A", 1)[1]
    return "[[A>B]]" if shown.index("good") < shown.index("bad") else "[[B>A]]"


def judged(url: str, out: Path, *more: object):
    return call("evaluate-reward", "served", "--judge", "--endpoint", url, "--out", out, "--resamples", 200, *more)


@pytest.mark.parametrize(("ties", "games", "accuracy", "left"), [("drop", 16, 1.0, 2), ("three-way", 20, 0.8, 0)])
def test_a_judge_on_pandalm(tmp_path: Path, ties: str, games: int, accuracy: float, left: int) -> None:
    path, out = panda(tmp_path / "testset.json"), tmp_path / "found"
    with serving(fair) as server:
        done = judged(server.url, out, "--bench", "pandalm", "--data", path, "--ties", ties)
        assert done.exit_code == 0, done.stderr
        assert server.calls == games
        assert (
            "nothing is judged again"
            in judged(server.url, out, "--bench", "pandalm", "--data", path, "--ties", ties).stderr
        )
        assert server.calls == games
    found = result(out)
    assert found["accuracy"][0]["interval"]["estimate"] == accuracy and found["left_out"]["ties"] == left
    assert len(rows(out / "verdicts.jsonl")) == games and found["by"] == "served"
    assert list(tmp_path.glob("*.sqlite*")) == []


def test_a_judge_that_says_nothing_scores_a_half(shelf: Path, tmp_path: Path) -> None:
    with serving(lambda messages: "Hard to say.") as server:
        done = judged(server.url, tmp_path / "found", "--data", shelf / "pairs.jsonl", "--protocol", "single")
    assert done.exit_code == 0, done.stderr
    found = result(tmp_path / "found")
    assert found["accuracy"][0]["interval"]["estimate"] == 0.5 and found["unparsed"] == 24
    assert "24 unread verdicts" in done.stderr


def test_failed_games_are_asked_again(shelf: Path, tmp_path: Path) -> None:
    broken = True

    def rule(messages: list[dict[str, str]]) -> str | int:
        return 400 if broken and "de " in messages[-1]["content"] else fair(messages)

    with serving(rule) as server:
        first = judged(server.url, tmp_path / "found", "--data", shelf / "pairs.jsonl")
        assert first.exit_code == 1 and "--accept-failures" in first.stderr
        asked, broken = server.calls, False
        done = judged(server.url, tmp_path / "found", "--data", shelf / "pairs.jsonl")
        assert done.exit_code == 0, done.stderr
        assert server.calls - asked == 24  # the 12 German pairs, both orders
    assert result(tmp_path / "found")["accuracy"][0]["interval"]["estimate"] == 1.0


def test_what_cannot_be_done_is_refused(shelf: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    assert "needs --data" in sentence(evaluate(shelf, out))
    told = sentence(evaluate(shelf, out, "--data", shelf / "pairs.jsonl", "--endpoint", "http://localhost:1/v1"))
    assert "add --judge" in told
    assert "no file" in sentence(evaluate(shelf, out, "--data", tmp_path / "none.jsonl"))
    assert "cannot be read as JSON" in sentence(
        evaluate(shelf, out, "--bench", "pandalm", "--data", shelf / "pairs.jsonl")
    )
    causal = model_folder(tmp_path / "causal")
    told = sentence(call("evaluate-reward", causal, "--data", shelf / "pairs.jsonl", "--out", out))
    assert "lacks the weights" in told and not out.exists()
