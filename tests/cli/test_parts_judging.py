"""judge and winrate: planted winners, biased judges and failing servers on the loopback."""

import json
from pathlib import Path

import pytest
from cli_calls import call, sentence
from parts_server import serving
from parts_small import answers, model_folder, questions, rows, write


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    write(folder / "prompts.jsonl", questions(12))
    for name in ("good", "bad"):
        write(folder / f"{name}.jsonl", answers(name, 12))
    return folder


def fair(messages: list[dict[str, str]]) -> str:
    """The answer that says 'good' wins wherever it stands."""
    shown = messages[-1]["content"]
    return "[[A>B]]" if shown.index("good says") < shown.index("bad says") else "[[B>A]]"


def judge(shelf: Path, url: str, out: Path, *more: object):
    files = (shelf / "prompts.jsonl", shelf / "good.jsonl", shelf / "bad.jsonl")
    return call("judge", *files, "--judge", "served", "--endpoint", url, "--out", out, *more)


def test_a_fair_judge_finds_the_planted_winner(shelf: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.jsonl"
    with serving(fair) as server:
        done = judge(shelf, server.url, out)
        assert done.exit_code == 0, done.stderr
        assert server.calls == 24
        assert "finished already" in judge(shelf, server.url, out).stderr
        assert server.calls == 24
    assert {row["label"] for row in rows(out)} == {"A>B"} and len(rows(out)) == 24
    found = json.loads((tmp_path / "v.jsonl.run.json").read_text())["results"]["by_language"]["all"]
    assert found["parse_rate"]["estimate"] == 1.0
    assert found["position"]["first_wins"]["estimate"] == 0.5 and found["position"]["flip_rate"]["estimate"] == 0.0
    table = call("winrate", out, "--model", "good", "--resamples", 200)
    assert table.exit_code == 0, table.stderr
    assert "ties_apart" in table.stdout and "half_ties" not in table.stdout and "strong_x3" not in table.stdout
    cells = [line.split() for line in table.stdout.splitlines() if line.strip().startswith(("all", "de", "sw"))]
    assert [(row[0], row[1]) for row in cells] == [("all", "100.0%"), ("de", "100.0%"), ("sw", "100.0%")]


def test_a_judge_of_places_is_found_out(shelf: Path, tmp_path: Path) -> None:
    with serving(lambda messages: "I prefer the first. [[A]]") as server:
        done = judge(shelf, server.url, tmp_path / "v.jsonl", "--labels", "three")
    assert done.exit_code == 0, done.stderr
    row = next(line.split() for line in done.stdout.splitlines() if line.strip().startswith("all"))
    assert row[1] == "100.0%" and row[-1] == "12"
    found = json.loads((tmp_path / "v.jsonl.run.json").read_text())["results"]["by_language"]["all"]["position"]
    assert found["first_wins"]["estimate"] == 1.0 and found["flip_rate"]["estimate"] == 1.0


def test_unread_replies_lower_the_parse_rate(shelf: Path, tmp_path: Path) -> None:
    with serving(lambda messages: "no idea" if "de " in messages[-1]["content"] else fair(messages)) as server:
        done = judge(shelf, server.url, tmp_path / "v.jsonl")
    assert done.exit_code == 0, done.stderr
    found = json.loads((tmp_path / "v.jsonl.run.json").read_text())["results"]["by_language"]
    assert (found["de"]["parse_rate"]["estimate"], found["sw"]["parse_rate"]["estimate"]) == (0.0, 1.0)
    assert found["de"]["position"] is None
    told = call("winrate", tmp_path / "v.jsonl", "--model", "good", "--unparsed", "fail")
    assert told.exit_code == 2


def test_why_replies_were_not_read_is_counted(shelf: Path, tmp_path: Path) -> None:
    def rule(messages: list[dict[str, str]]) -> str:
        shown = messages[-1]["content"]
        return "no idea" if "de 1?" in shown else "[A=B]" if "sw" in shown else fair(messages)

    with serving(rule) as server:
        done = judge(shelf, server.url, tmp_path / "v.jsonl")
    assert "2 of 24 games have no verdict: 0 requests failed, 0 replies were cut off" in done.stderr
    unread = json.loads((tmp_path / "v.jsonl.run.json").read_text())["results"]["unread"]
    assert unread == {"failed": 0, "cut_off": 0, "no_label": 2, "single_brackets": 12}


def test_a_local_judge_weighs_labels_and_leaves_preferences(shelf: Path, tmp_path: Path) -> None:
    files = (shelf / "prompts.jsonl", shelf / "good.jsonl", shelf / "bad.jsonl", "--out", tmp_path / "v.jsonl")
    local = model_folder(tmp_path / "local", max_position_embeddings=4096)
    words = ("--judge", local, "--labels", "two", "--logprobs", "--max-tokens", 4, "--limit", 2, "--threads", 1)
    done = call("judge", *files, *words)
    assert done.exit_code == 0, done.stderr
    for row in rows(tmp_path / "v.jsonl"):
        assert 0.0 < row["meta"]["preference"] < 1.0
        assert (row["label"] == "A>B") == (row["meta"]["preference"] > 0.5)
        assert row["meta"]["template"] == "alpaca" and "[[A]]" in row["raw"]
    told = sentence(call("judge", *files[:3], "--judge", local, "--logprobs", "--out", tmp_path / "w.jsonl"))
    assert "labels 'two' and was asked with 'five'" in told


def test_rules_come_in_the_language_of_the_prompt_and_answers_are_checked(shelf: Path, tmp_path: Path) -> None:
    asked = [row for row in questions(8) if row["language"] == "de"]
    texts = {"good": "Nach dem Montag kommt immer der Dienstag.", "bad": "After Monday there always comes Tuesday."}
    files = [write(tmp_path / "p.jsonl", asked)]
    for name, text in texts.items():
        said = [row | {"text": text} for row in answers(name, 8) if row["language"] == "de"]
        files.append(write(tmp_path / f"{name}.jsonl", said))
    rules = []

    def rule(messages: list[dict[str, str]]) -> str:
        rules.append(messages[0]["content"])
        return "[[A=B]]"

    with serving(rule) as server:
        words = ("--judge", "served", "--endpoint", server.url, "--judge-language", "prompt", "--check-language")
        done = call("judge", *files, *words, "--out", tmp_path / "v.jsonl")
    assert done.exit_code == 0, done.stderr
    assert all(text.startswith("Du vergleichst zwei Antworten") for text in rules) and len(rules) == 8
    lines = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("de")]
    shares = {line[1]: [cell for cell in line[2:] if cell.endswith("%")] for line in lines if line[1] in texts}
    assert shares == {"good": ["100.0%", "0.0%", "0.0%"], "bad": ["0.0%", "100.0%", "0.0%"]}
    kept = rows(tmp_path / "v.jsonl")
    assert {row["meta"]["judge_language"] for row in kept} == {"de"}
    assert kept[0]["meta"]["answer_languages"] == {"asked": "de", "a": "de", "b": "en"}


def test_rules_that_are_not_written_are_refused_before_anything_is_asked(shelf: Path, tmp_path: Path) -> None:
    with serving(fair) as server:
        told = sentence(judge(shelf, server.url, tmp_path / "v.jsonl", "--judge-language", "prompt"))
        assert "no rules for judges in 'sw'" in told and server.calls == 0


def test_single_games_are_half_as_many(shelf: Path, tmp_path: Path) -> None:
    with serving(fair) as server:
        assert judge(shelf, server.url, tmp_path / "v.jsonl", "--protocol", "single").exit_code == 0
        assert server.calls == 12
    assert {row["order"] for row in rows(tmp_path / "v.jsonl")} == {"ab", "ba"}


def test_failed_games_are_asked_again_and_only_those(shelf: Path, tmp_path: Path) -> None:
    broken = True

    def rule(messages: list[dict[str, str]]) -> str | int:
        return 400 if broken and "sw 2?" in messages[-1]["content"] else fair(messages)

    with serving(rule) as server:
        failed = judge(shelf, server.url, tmp_path / "v.jsonl")
        assert failed.exit_code == 1 and "2 requests failed" in failed.stderr
        assert not (tmp_path / "v.jsonl").exists()
        calls, broken = server.calls, False
        assert judge(shelf, server.url, tmp_path / "v.jsonl").exit_code == 0
        assert server.calls == calls + 2
    assert all(row["label"] == "A>B" for row in rows(tmp_path / "v.jsonl"))


def test_the_arbiter_may_not_judge(shelf: Path, tmp_path: Path) -> None:
    with serving(fair) as server:
        told = sentence(judge(shelf, server.url, tmp_path / "v.jsonl", "--arbiter", "Served"))
        assert "are the same" in told and server.calls == 0


def test_a_local_judge_and_one_whose_prompts_are_too_long(shelf: Path, tmp_path: Path) -> None:
    files = (shelf / "prompts.jsonl", shelf / "good.jsonl", shelf / "bad.jsonl", "--out", tmp_path / "v.jsonl")
    short = model_folder(tmp_path / "short")
    told = sentence(call("judge", *files, "--judge", short, "--max-tokens", 4))
    assert "24 of 24 prompts are too long for short" in told
    long = model_folder(tmp_path / "long", max_position_embeddings=4096)
    done = call("judge", *files, "--judge", long, "--max-tokens", 4, "--limit", 2, "--threads", 1)
    assert done.exit_code == 0, done.stderr
    assert len(rows(tmp_path / "v.jsonl")) == 4


def test_files_that_do_not_fit_are_refused(shelf: Path, tmp_path: Path) -> None:
    def told(a: Path, b: Path) -> str:
        words = ("--judge", "served", "--endpoint", "http://127.0.0.1:9/v1", "--out", tmp_path / "v.jsonl")
        return sentence(call("judge", shelf / "prompts.jsonl", a, b, *words))

    mixed = write(tmp_path / "mixed.jsonl", [*answers("x", 6), *answers("y", 6)])
    assert "2 models (x, y)" in told(mixed, shelf / "bad.jsonl")
    twice = [*answers("x", 12), *({**row, "id": row["id"] + "#1"} for row in answers("x", 12))]
    assert "24 answers to 12 prompts" in told(write(tmp_path / "twice.jsonl", twice), shelf / "bad.jsonl")
    assert "has not answered" in told(write(tmp_path / "few.jsonl", answers("x", 6)), shelf / "bad.jsonl")
    assert "'good'" in told(shelf / "good.jsonl", shelf / "good.jsonl")


# strong_x3: (3 * 1 + 1/2) / (3 + 1 + 1 + 1)
DEFINITIONS = {"ties_apart": "25.0%", "half_ties": "37.5%", "strong_x3": "58.3%"}


@pytest.fixture
def verdicts(tmp_path: Path) -> Path:
    """Four single games of a against b: a strong win, a tie, two losses."""
    labels = ("A>>B", "A=B", "B>A", "B>A")
    return write(
        tmp_path / "v.jsonl",
        [
            {"prompt_id": f"q{n}", "language": "de", "a": "a", "b": "b", "judge": "j", "order": "ab", "label": label}
            for n, label in enumerate(labels)
        ],
    )


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_each_definition_gives_its_own_number_in_its_own_table(verdicts: Path, tmp_path: Path, definition: str) -> None:
    out = tmp_path / "table.json"
    words = ("--definition", definition, "--no-by-language", "--out", out, "--resamples", 200)
    done = call("winrate", verdicts, "--model", "a", *words)
    assert done.exit_code == 0, done.stderr
    total = next(line for line in done.stdout.splitlines() if line.strip().startswith("all"))
    assert total.split()[1] == DEFINITIONS[definition]
    assert [name for name in DEFINITIONS if name in done.stdout] == [definition]
    assert {row["definition"] for row in json.loads(out.read_text())["rows"]} == {definition}


def test_winrate_refuses_what_is_not_there(verdicts: Path, tmp_path: Path) -> None:
    assert "its models are a, b" in sentence(call("winrate", verdicts, "--model", "c"))
    assert "no verdicts in sw" in sentence(call("winrate", verdicts, "--model", "a", "--languages", "sw"))
    assert "missing.jsonl" in sentence(call("winrate", tmp_path / "missing.jsonl", "--model", "a"))
    two = call("winrate", verdicts, "--model", "a", "--definition", "ties_apart,half_ties")
    assert two.exit_code == 2
