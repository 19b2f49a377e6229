"""critique and reward --critiques: planted critics on the loopback, the graded world's verifier, resumed runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_calls import call, sentence
from parts_server import serving
from parts_small import answers, model_folder, pairs, questions, rows, write

from paribus.feedback.critiques import side_ids
from paribus.records import PreferencePair


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    write(folder / "prompts.jsonl", questions(12))
    write(folder / "answers.jsonl", answers("ours", 12))
    write(folder / "pairs.jsonl", pairs(12))
    return folder


def reviewer(messages: list[dict[str, str]]) -> str:
    """Says what it was shown."""
    shown = messages[-1]["content"]
    return f"Instruction: done.\nCorrectness: {'wrong' if 'bad' in shown else 'right'}.\nStyle: plain."


def critique(url: str, out: Path, *words: object) -> Any:
    return call("critique", *words, "--critic", "served", "--endpoint", url, "--out", out)


def record(out: Path) -> dict[str, Any]:
    return json.loads(out.with_name(f"{out.name}.run.json").read_text())


def test_every_answer_gets_a_critique_with_its_provenance(shelf: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.jsonl"
    with serving(reviewer) as server:
        done = critique(server.url, out, shelf / "prompts.jsonl", shelf / "answers.jsonl")
        assert done.exit_code == 0, done.stderr
        assert server.calls == 12
        assert "finished already" in critique(server.url, out, shelf / "prompts.jsonl", shelf / "answers.jsonl").stderr
        assert server.calls == 12
    found = rows(out)
    assert [row["completion_id"] for row in found] == [row["id"] for row in answers("ours", 12)]
    assert all(row["aspects"] == {"instruction": "done.", "correctness": "right.", "style": "plain."} for row in found)
    meta = found[0]["meta"]
    assert (found[0]["critic"], meta["template"], meta["finish"]) == ("served", "review/1", "stop")
    assert meta["sampling"] == {"max_tokens": 512, "temperature": 0.0, "top_p": 1.0, "seed": 0}
    told = record(out)
    assert told["cost"]["calls"] == 12 and told["cost"]["generated_tokens"] == 12 * len(
        reviewer([{"content": ""}]).split()
    )
    assert told["results"]["by_language"]["de"] == {
        "critiques": 6,
        "empty": 0,
        "at_limit": 0,
        "all_aspects": 6,
        "mean_letters": float(len(reviewer([{"content": ""}]))),
    }


def test_pairs_are_criticised_side_by_side_and_equal_answers_once(shelf: Path, tmp_path: Path) -> None:
    twice = [*pairs(12), *({**row, "id": f"{row['id']}/again"} for row in pairs(12))]
    source = write(tmp_path / "twice.jsonl", twice)
    seen = []
    with serving(lambda messages: seen.append(messages[-1]["content"]) or reviewer(messages)) as server:
        done = critique(server.url, tmp_path / "c.jsonl", source)
        assert done.exit_code == 0, done.stderr
        assert server.calls == 24
    assert len(rows(tmp_path / "c.jsonl")) == 48 and record(tmp_path / "c.jsonl")["cost"]["calls"] == 24
    assert not any("good" in shown and "bad !" in shown for shown in seen)


def test_failed_requests_are_asked_again_and_only_those(shelf: Path, tmp_path: Path) -> None:
    broken, out = True, tmp_path / "c.jsonl"

    def rule(messages: list[dict[str, str]]) -> str | int:
        return 400 if broken and "sw 2?" in messages[-1]["content"] else reviewer(messages)

    with serving(rule) as server:
        failed = critique(server.url, out, shelf / "pairs.jsonl")
        assert failed.exit_code == 1 and "2 requests failed" in failed.stderr
        assert not out.exists()
        calls, broken = server.calls, False
        assert critique(server.url, out, shelf / "pairs.jsonl").exit_code == 0
        assert server.calls == calls + 2
    assert all("error" not in row["meta"] for row in rows(out))


def test_a_run_is_the_same_after_a_stop(shelf: Path, tmp_path: Path) -> None:
    """The price cap ends the run in the middle; the kept part and the rest are what one run gives."""
    with serving(reviewer) as server:
        words = (shelf / "pairs.jsonl", "--prices", "0,100000", "--batch-size", 4, "--max-tokens", 20)
        assert critique(server.url, tmp_path / "whole.jsonl", *words).exit_code == 0
        capped = critique(server.url, tmp_path / "c.jsonl", *words, "--price-cap", 6)
        assert capped.exit_code == 2 and "price cap" in capped.stderr
        kept = len(rows(tmp_path / "c.jsonl.partial.jsonl"))
        assert 0 < kept < 24
        assert critique(server.url, tmp_path / "c.jsonl", *words).exit_code == 0
        assert server.calls == 48
    assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_dry_run_counts_and_asks_nothing(shelf: Path, tmp_path: Path) -> None:
    with serving(reviewer) as server:
        words = (shelf / "pairs.jsonl", "--dry-run", "--max-tokens", 100, "--prices", "0,1000")
        done = critique(server.url, tmp_path / "c.jsonl", *words)
        assert done.exit_code == 0, done.stderr
        assert server.calls == 0
    line = next(line.split() for line in done.stdout.splitlines() if line.strip().startswith("served"))
    assert line[1:4] == ["24", "0", "24"] and line[5:] == ["2400", "2.40"]
    assert not list(tmp_path.iterdir())


def test_the_rule_critic_knows_the_graded_world_only(shelf: Path, tmp_path: Path) -> None:
    prompts, given = graded_files(tmp_path)
    out = tmp_path / "c.jsonl"
    done = call("critique", prompts, given, "--critic", "rules", "--accuracy", 0.8, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert {row["meta"]["template"] for row in rows(out)} == {"claims/1"}
    assert record(out)["cost"]["calls"] == 0 and record(out)["options"]["accuracy"] == 0.8
    told = call("critique", prompts, given, "--critic", "rules", "--accuracy", 0.9, "--out", out)
    assert told.exit_code == 2 and "accuracy: 0.8 there, 0.9 asked for" in told.stderr
    words = (shelf / "prompts.jsonl", shelf / "answers.jsonl", "--critic", "rules", "--out", tmp_path / "d.jsonl")
    assert "no graded request" in sentence(call("critique", *words))
    assert "needs no --endpoint" in sentence(call("critique", *words, "--endpoint", "http://127.0.0.1:9/v1"))


def graded_files(folder: Path) -> tuple[Path, Path]:
    import random

    from paribus.world.graded import GradedConfig, GradedWorld, draw_plan, write_answer

    world, dice = GradedWorld(GradedConfig(languages=("de", "tr"), per_cell=4)), random.Random(0)
    asked = world.requests("train")
    said = [
        write_answer(world, request, draw_plan(dice), dice).to_completion(f"a{n}") for n, request in enumerate(asked)
    ]
    return (
        write(folder / "graded.jsonl", [json.loads(row.to_prompt().model_dump_json()) for row in asked]),
        write(folder / "said.jsonl", [json.loads(row.model_dump_json()) for row in said]),
    )


def test_a_local_critic_writes_and_refuses_what_does_not_fit(shelf: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "critic")
    words = (shelf / "prompts.jsonl", shelf / "answers.jsonl", "--critic", model, "--threads", 1, "--limit", 3)
    long = call("critique", *words, "--out", tmp_path / "long.jsonl")
    assert long.exit_code == 2 and "3 of 3 prompts are too long for critic: 'ours/q" in long.stderr
    out = tmp_path / "c.jsonl"
    done = call("critique", *words, "--template", "short", "--max-tokens", 5, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "9 to other prompts" in done.stderr
    assert [row["meta"]["tokens"] for row in rows(out)] == [5, 5, 5]


def test_answers_to_other_prompts_are_refused(shelf: Path, tmp_path: Path) -> None:
    def told(prompts: Path, given: Path) -> str:
        return sentence(critique("http://127.0.0.1:9/v1", tmp_path / "c.jsonl", prompts, given))

    other = write(tmp_path / "other.jsonl", answers("ours", 4, start=50))
    assert "has no answer to a prompt" in told(shelf / "prompts.jsonl", other)


def written(folder: Path, source: list[dict[str, Any]], say: Any, *, without: tuple[str, ...] = ()) -> Path:
    """Critiques of pairs by a rule, under the answers' names."""
    found = []
    for row in source:
        pair = PreferencePair(prompt_id=row["id"], **row)
        for name, text in zip(side_ids(pair), (pair.chosen, pair.rejected), strict=True):
            if pair.id not in without:
                found.append({"prompt_id": pair.prompt_id, "completion_id": name, "critic": "c", "text": say(text)})
    return write(folder / "critiques.jsonl", found)


def train(model: Path, *words: object) -> Any:
    short = ("--steps", 2, "--batch-size", 4, "--learning-rate", 1e-3, "--compute", "float32", "--threads", 1)
    return call("reward", model, *words, *short)


def test_a_reward_model_reads_critiques(shelf: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "base")
    notes = tmp_path / "c.jsonl"
    with serving(reviewer) as server:
        assert critique(server.url, notes, shelf / "pairs.jsonl").exit_code == 0
    done = train(model, shelf / "pairs.jsonl", "--critiques", notes, "--length", 128, "--out", tmp_path / "rm")
    assert done.exit_code == 0, done.stderr
    told = json.loads((tmp_path / "rm" / "run.json").read_text())
    found = told["inputs"]["data"]["critiques"]
    assert (found["critic"], found["missing"], found["cut"]) == ("served", 0, 0)
    assert told["options"]["reads"] == "both"
    plain = train(model, shelf / "pairs.jsonl", "--length", 128, "--out", tmp_path / "plain")
    assert plain.exit_code == 0, plain.stderr
    assert told["cost"]["tokens"] > json.loads((tmp_path / "plain" / "run.json").read_text())["cost"]["tokens"]


def test_missing_critiques_are_refused_or_counted(shelf: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "base")
    notes = written(tmp_path, pairs(12), lambda text: "fine", without=("q1/de", "q2/de"))
    words = (shelf / "pairs.jsonl", "--critiques", notes, "--length", 128, "--out", tmp_path / "rm")
    assert "2 of 12 pairs have no critique" in sentence(train(model, *words))
    done = train(model, *words, "--on-missing-critique", "skip")
    assert done.exit_code == 0, done.stderr
    assert "10 pairs, 2 left out" in done.stderr
    assert json.loads((tmp_path / "rm" / "run.json").read_text())["inputs"]["data"]["critiques"]["missing"] == 2


def test_truncation_spares_critiques(shelf: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "base")
    notes = written(tmp_path, pairs(12), lambda text: "c" * 40)
    words = (shelf / "pairs.jsonl", "--critiques", notes, "--length", 65, "--out", tmp_path / "rm")
    assert "raise the length" in sentence(train(model, *words))
    done = train(model, *words, "--on-long-row", "truncate")
    assert done.exit_code == 0, done.stderr
    found = json.loads((tmp_path / "rm" / "run.json").read_text())["inputs"]["data"]
    assert found["critiques"]["cut"] == found["critiques"]["cut_answers"] == found["rows"] == 12
    told = sentence(train(model, *words[:-1], tmp_path / "no", "--on-long-row", "truncate", "--length", 40))
    assert "leaves no room" in told
