"""--dry-run: what would be asked and at most cost, before anything is sent and between two runs."""

from pathlib import Path

import pytest
from cli_calls import call
from parts_server import serving
from parts_small import answers, model_folder, questions, rows, write

COUNTS = ("requests", "kept", "to ask", "read", "written", "price")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    write(folder / "prompts.jsonl", questions(8))
    for name in ("good", "bad"):
        write(folder / f"{name}.jsonl", answers(name, 8))
    return folder


def foreseen(done, who: str = "served") -> dict[str, str]:
    """The row of the table that a dry run prints."""
    assert done.exit_code == 0, done.stderr
    cells = next(line.split() for line in done.stdout.splitlines() if line.strip().startswith(who))
    return dict(zip(COUNTS, cells[1:], strict=True))


def test_samples_are_counted_and_priced_and_nothing_is_sent_or_made(shelf: Path, tmp_path: Path) -> None:
    with serving(lambda messages: "fine") as server:
        words = ("--out", tmp_path / "a.jsonl", "--endpoint", server.url, "--samples", 3, "--temperature", 1)
        more = ("--max-tokens", 100, "--prices", "0,1000", "--dry-run")
        found = foreseen(call("generate", "served", shelf / "prompts.jsonl", *words, *more))
        assert server.calls == 0
    assert found.items() >= {"requests": "24", "to ask": "24", "written": "2400", "price": "2.40"}.items()
    assert list(tmp_path.iterdir()) == []


def test_the_bound_holds_for_what_is_then_read_and_written(shelf: Path, tmp_path: Path) -> None:
    """The server counts a word as a token; no tokenizer makes more tokens than bytes."""
    with serving(lambda messages: "so " * 20) as server:
        words = ("--out", tmp_path / "a.jsonl", "--endpoint", server.url, "--max-tokens", 20)
        found = foreseen(call("generate", "served", shelf / "prompts.jsonl", *words, "--dry-run"))
        assert call("generate", "served", shelf / "prompts.jsonl", *words).exit_code == 0
    assert sum(row["tokens"] for row in rows(tmp_path / "a.jsonl")) == int(found["written"]) == 160
    letters = sum(len(row["messages"][0]["content"].encode()) for row in questions(8))
    assert letters < int(found["read"]) < letters + 8 * 100
    assert found["price"] == "–"


def test_between_two_runs_only_the_rest_is_counted(shelf: Path, tmp_path: Path) -> None:
    refusing = True

    def rule(messages: list[dict[str, str]]) -> str | int:
        return 400 if refusing and "sw 1?" in messages[-1]["content"] else "fine"

    with serving(rule) as server:
        words = ("generate", "served", shelf / "prompts.jsonl", "--out", tmp_path / "a.jsonl", "--endpoint", server.url)
        assert call(*words).exit_code == 1
        before, calls = {path: path.read_bytes() for path in tmp_path.iterdir()}, server.calls
        found = foreseen(call(*words, "--dry-run"))
        assert server.calls == calls
        assert (found["requests"], found["kept"], found["to ask"]) == ("8", "7", "1")
        assert all(path.read_bytes() == content for path, content in before.items())
        other = call(*words, "--dry-run", "--max-tokens", 9)
        assert other.exit_code == 2 and "max-tokens: 256 there, 9 asked for" in other.stderr
        refusing = False
        assert call(*words).exit_code == 0
        done = call(*words, "--dry-run")
        assert done.exit_code == 0 and "finished already" in done.stderr
        assert server.calls == calls + 1


def test_games_are_counted_in_both_orders(shelf: Path, tmp_path: Path) -> None:
    files = [shelf / f"{name}.jsonl" for name in ("prompts", "good", "bad")]
    with serving(lambda messages: "[[A>B]]") as server:
        words = ("--judge", "served", "--endpoint", server.url, "--out", tmp_path / "v.jsonl", "--max-tokens", 50)
        found = foreseen(call("judge", *files, *words, "--prices", "0,1000", "--dry-run"))
        assert server.calls == 0 and list(tmp_path.iterdir()) == []
        assert call("judge", *files, *words).exit_code == 0
        assert server.calls == int(found["to ask"]) == 16
    assert found["price"] == "0.80"


def test_a_model_in_this_process_is_not_loaded(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*args: object, **settings: object) -> None:
        raise AssertionError("a dry run loads no model")

    monkeypatch.setattr("paribus.models.load.load_causal", loaded)
    folder = model_folder(tmp_path / "small")
    words = ("--out", tmp_path / "a.jsonl", "--max-tokens", 5, "--dry-run")
    found = foreseen(call("generate", folder, shelf / "prompts.jsonl", *words), "small")
    assert (found["to ask"], found["written"], found["price"]) == ("8", "40", "–")
    files = [shelf / f"{name}.jsonl" for name in ("prompts", "good", "bad")]
    words = ("--judge", folder, "--out", tmp_path / "v.jsonl", "--dry-run")
    assert foreseen(call("judge", *files, *words), "small")["to ask"] == "16"
