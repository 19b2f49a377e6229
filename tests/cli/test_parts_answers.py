"""generate: any architecture, item by item, local or served, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_calls import call, sentence
from parts_server import serving
from parts_small import CONFIGS, NO_SYSTEM, model_folder, questions, rows, write

BRIEF = ("--max-tokens", 6, "--threads", 1)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    for seed, kind in enumerate(CONFIGS):
        model_folder(folder / kind, kind, seed=seed)
    write(folder / "prompts.jsonl", questions(8))
    return folder


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_architecture_answers_every_prompt_in_order(shelf: Path, tmp_path: Path, kind: str) -> None:
    done = call(
        "generate", shelf / kind, shelf / "prompts.jsonl", "--out", tmp_path / "a.jsonl", "--samples", 2, *BRIEF
    )
    assert done.exit_code == 0, done.stderr
    found = rows(tmp_path / "a.jsonl")
    wanted = [f"{kind}/{row['id']}#{n}" for row in questions(8) for n in range(2)]
    assert [row["id"] for row in found] == wanted
    assert {row["model"] for row in found} == {kind} and all(row["tokens"] <= 6 for row in found)
    assert not list(tmp_path.glob("*.partial.jsonl"))


def test_samples_differ_and_the_seed_fixes_them(shelf: Path, tmp_path: Path) -> None:
    def texts(out: str, *more: object) -> list[str]:
        words = ("--samples", 3, "--temperature", 1, *BRIEF, *more)
        assert (
            call("generate", shelf / "llama", shelf / "prompts.jsonl", "--out", tmp_path / out, *words).exit_code == 0
        )
        return [row["text"] for row in rows(tmp_path / out)]

    first = texts("a.jsonl")
    assert first == texts("b.jsonl", "--batch-size", 3) != texts("c.jsonl", "--seed", 1)
    assert len(set(first)) > 12


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import paribus.feedback.sampling as sampling

    def run(out: str):
        words = ("--batch-size", 2, "--temperature", 1, *BRIEF)
        return call("generate", shelf / "llama", shelf / "prompts.jsonl", "--out", tmp_path / out, *words)

    assert run("whole.jsonl").exit_code == 0
    real, asked = sampling.sample_completions, list[str]()

    def stopping(engine: Any, prompts: Any, **more: Any) -> Any:
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.extend(prompt.id for prompt in prompts)
        return real(engine, prompts, **more)

    monkeypatch.setattr(sampling, "sample_completions", stopping)
    stopped = run("twice.jsonl")
    assert stopped.exit_code == 130 and "To go on:\n  paribus" in stopped.stderr
    partial = tmp_path / "twice.jsonl.partial.jsonl"
    assert len(rows(partial)) == 4 and not (tmp_path / "twice.jsonl").exists()
    partial.write_bytes(partial.read_bytes()[:-7])  # as a kill in the middle of a row would leave it
    monkeypatch.setattr(sampling, "sample_completions", real)
    assert run("twice.jsonl").exit_code == 0
    assert (tmp_path / "twice.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_other_settings_never_overwrite(shelf: Path, tmp_path: Path) -> None:
    words = ("generate", shelf / "llama", shelf / "prompts.jsonl", "--out", tmp_path / "a.jsonl")
    assert call(*words, *BRIEF).exit_code == 0
    before = (tmp_path / "a.jsonl").read_bytes()
    again = call(*words, *BRIEF)
    assert again.exit_code == 0 and "finished already" in again.stderr
    other = call(*words, *BRIEF, "--temperature", 1)
    assert other.exit_code == 2 and "- temperature: 0.0 there, 1.0 asked for" in other.stderr
    assert (tmp_path / "a.jsonl").read_bytes() == before
    write(tmp_path / "mine.jsonl", [{"kept": True}])
    told = sentence(call(*words[:3], "--out", tmp_path / "mine.jsonl", *BRIEF))
    assert "is there already" in told and rows(tmp_path / "mine.jsonl") == [{"kept": True}]


def test_prompts_too_long_are_all_counted_before_anything_is_answered(shelf: Path, tmp_path: Path) -> None:
    asked = questions(8)
    asked[5]["messages"][0]["content"] = "x" * 300
    write(tmp_path / "long.jsonl", asked)
    told = sentence(call("generate", shelf / "llama", tmp_path / "long.jsonl", "--out", tmp_path / "a.jsonl", *BRIEF))
    assert "1 of 8 prompts are too long for llama: 'q2/sw' has 3" in told and "256 positions" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.jsonl"]


def test_a_template_that_refuses_a_turn_is_told(shelf: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "strict", template=NO_SYSTEM)
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    write(tmp_path / "p.jsonl", [{"id": "p", "language": "de", "messages": turns}])
    told = sentence(call("generate", model, tmp_path / "p.jsonl", "--out", tmp_path / "a.jsonl", *BRIEF))
    assert "System role not supported" in told


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--languages", "xx"), "Unknown language code 'xx'"),
        (("--languages", "fr"), "fr"),
        (("--out", "answers.csv"), ".jsonl"),
        (("--samples", 0), "--samples"),
        (("--device", "cuda:99"), "--device cuda:99 cannot be used here"),
        (("--device", "toaster"), "--device toaster cannot be used here"),
        (("--dtype", "int4"), "--dtype"),
        (("--top-p", 1.5), "--top-p"),
        (("--endpoint", "http://localhost:1/v1", "--prices", "cheap"), "--prices"),
    ],
)
def test_options_that_cannot_be_used(shelf: Path, tmp_path: Path, more: tuple[object, ...], said: str) -> None:
    done = call("generate", shelf / "llama", shelf / "prompts.jsonl", "--out", tmp_path / "a.jsonl", *BRIEF, *more)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "a.jsonl").exists()


def test_one_language_can_be_chosen(shelf: Path, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "a.jsonl", "--languages", "sw", *BRIEF)
    assert call("generate", shelf / "llama", shelf / "prompts.jsonl", *words).exit_code == 0
    assert {row["language"] for row in rows(tmp_path / "a.jsonl")} == {"sw"}


def test_a_served_model_is_asked_once_a_prompt_and_failures_are_asked_again(shelf: Path, tmp_path: Path) -> None:
    refusing = True

    def rule(messages: list[dict[str, str]]) -> str | int:
        return 400 if refusing and "sw 1?" in messages[-1]["content"] else "answer to " + messages[-1]["content"]

    out = tmp_path / "a.jsonl"
    with serving(rule) as server:
        words = ("generate", "served", shelf / "prompts.jsonl", "--out", out, "--endpoint", server.url, *BRIEF)
        failed = call(*words)
        assert failed.exit_code == 1 and "1 requests failed" in failed.stderr and not out.exists()
        calls = server.calls
        refusing = False
        assert call(*words).exit_code == 0
        assert server.calls == calls + 1
    assert [row["text"] for row in rows(out)] == [f"answer to {row['messages'][0]['content']}" for row in questions(8)]
    record = json.loads((tmp_path / "a.jsonl.run.json").read_text())
    assert record["inputs"]["model"]["endpoint"] == server.url
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.run.json"]


def test_failures_can_be_accepted_and_stay_marked(shelf: Path, tmp_path: Path) -> None:
    def rule(messages: list[dict[str, str]]) -> str | int:
        return 400 if "sw 1?" in messages[-1]["content"] else "fine"

    with serving(rule) as server:
        words = ("--out", tmp_path / "a.jsonl", "--endpoint", server.url, "--accept-failures", *BRIEF)
        assert call("generate", "served", shelf / "prompts.jsonl", *words).exit_code == 0
    found = {row["prompt_id"]: row["finish"] for row in rows(tmp_path / "a.jsonl")}
    assert found.pop("q1/sw") == "error" and set(found.values()) == {"stop"}


def test_keys_never_reach_a_file(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-secretsecretsecretsecret")
    with serving(lambda messages: "fine") as server:
        words = ("--out", tmp_path / "a.jsonl", "--endpoint", server.url, "--api-key-variable", "MY_API_KEY", *BRIEF)
        assert call("generate", "served", shelf / "prompts.jsonl", *words).exit_code == 0
    assert all(b"sk-secret" not in path.read_bytes() for path in tmp_path.iterdir())
