"""ratings cells, design, rate and import: from prompts to what the audit reads, and every refusal in one sentence."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cli_calls import call, python, sentence
from parts_server import serving
from parts_small import rows, write

COMMANDS = ("cells", "design", "rate", "import")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    asked = [
        {"id": f"p{n}", "language": "en", "messages": [{"role": "user", "content": f"What of thing {n}?"}]}
        for n in range(10)
    ]
    return write(tmp_path / "prompts.jsonl", asked)


@pytest.fixture
def answered(prompts: Path, tmp_path: Path) -> list[Path]:
    """Two models' answers to what `cells` told them to answer."""
    folder = tmp_path / "cells"
    done = call("ratings", "cells", prompts, "--models", "small,large", "--out", folder, "--per-input", 4)
    assert done.exit_code == 0, done.stderr
    files = []
    for model in ("small", "large"):
        given = [
            {
                "id": f"{model}/{row['id']}",
                "prompt_id": row["id"],
                "language": "en",
                "model": model,
                "text": f"{model} on {row['id'].split('@')[0]} in the manner {row['meta']['preamble']}.",
            }
            for row in rows(folder / f"{model}.jsonl")
        ]
        files.append(write(tmp_path / f"{model}.jsonl", given))
    return files


@pytest.fixture
def forms(prompts: Path, answered: list[Path], tmp_path: Path) -> Path:
    out = tmp_path / "forms.jsonl"
    done = call("ratings", "design", prompts, *answered, "--out", out)
    assert done.exit_code == 0, done.stderr
    return out


def obliging(messages: list[dict[str, str]]) -> str:
    """Strays score 1; the model `large` is better."""
    rules, material = messages[0]["content"], messages[1]["content"]
    thing = material.split("thing ")[1].split("?")[0]
    score = 1 if f"on p{thing} in" not in material else 4 if "large on" in material else 3
    if '"assertiveness"' in rules:
        return '{"assertiveness": 3, "complexity": 3}'
    if '"quality"' in rules:
        return json.dumps({"quality": score})
    names = [line.split('"')[1] for line in rules.splitlines() if line.startswith('"') and "response" in line.lower()]
    return json.dumps(dict.fromkeys(names, False) | {"overall": score})


def test_cells_are_dealt_evenly_and_name_the_preamble(prompts: Path, tmp_path: Path, answered: list[Path]) -> None:
    asked = [row for name in ("small", "large") for row in rows(tmp_path / "cells" / f"{name}.jsonl")]
    assert len(asked) == 40 and Counter(row["meta"]["input"] for row in asked) == {f"p{n}": 4 for n in range(10)}
    assert set(Counter((row["meta"]["preamble"]) for row in asked).values()) == {8}
    assert all((row["messages"][0]["role"] == "system") == (row["meta"]["preamble"] != "normal") for row in asked)


def test_forms_hold_all_pairs_under_the_inputs_own_names(forms: Path) -> None:
    made = rows(forms)
    assert Counter(row["pass"] for row in made) == {"errors": 78, "quality": 78, "style": 68}
    assert {item["meta"]["input"] for row in made for item in row["items"]} == {f"p{n}" for n in range(10)}
    assert {item["meta"]["preamble"] for row in made for item in row["items"]} <= {
        "normal", "assertive_high", "assertive_low", "complex_high", "complex_low"
    }  # fmt: skip


def test_design_leaves_out_what_failed_and_what_answers_other_prompts_and_says_so(
    prompts: Path, answered: list[Path], tmp_path: Path
) -> None:
    given = rows(answered[0])
    given[0] |= {"finish": "error", "text": ""}
    write(answered[0], [*given, {**given[1], "id": "stray", "prompt_id": "q9@normal"}])
    done = call("ratings", "design", prompts, *answered, "--out", tmp_path / "f.jsonl", "--passes", "quality")
    assert done.exit_code == 0, done.stderr
    assert "1 of 41 answers are to other prompts" in done.stderr and "1 of 40 answers failed" in done.stderr
    assert Counter(row["pass"] for row in rows(tmp_path / "f.jsonl")).keys() == {"quality"}


def test_one_of_several_answers_is_kept_when_that_is_asked(prompts: Path, answered: list[Path], tmp_path: Path) -> None:
    given = rows(answered[0])
    write(
        answered[0], [*given, *({**row, "id": f"{row['id']}#1", "text": f"I'm sorry, {row['text']}"} for row in given)]
    )
    out = tmp_path / "f.jsonl"
    assert "two outputs of" in sentence(call("ratings", "design", prompts, *answered, "--out", out))
    done = call(
        "ratings", "design", prompts, *answered, "--out", out, "--select", "--errors", "seven", "--no-attention"
    )
    assert done.exit_code == 0, done.stderr
    assert "Kept 40 of 60 answers" in done.stderr and "apologised" in done.stderr
    first = next(row for row in rows(out) if row["pass"] == "errors")
    assert len(first["asked"]) == 7 and first["attention"] == []


def test_a_model_rates_resumes_and_is_audited(forms: Path, tmp_path: Path) -> None:
    out, failing = tmp_path / "machine.jsonl", [True]

    def flaky(messages: list[dict[str, str]]) -> str | int:
        wanted = failing[0] and "in the manner complex_low." in messages[1]["content"]
        return 400 if wanted else obliging(messages)

    with serving(flaky) as server:
        asked = ("ratings", "rate", forms, "--rater", "served", "--endpoint", server.url, "--out", out)
        first = call(*asked)
        assert first.exit_code == 1 and not out.exists() and "requests failed" in first.stderr
        before, failing[0] = server.calls, False
        second = call(*asked)
        assert second.exit_code == 0, second.stderr
        made = rows(out)
        assert server.calls - before < len(made)  # what was answered is not asked again
        assert "finished already" in call(*asked).stderr
        assert "holds another run" in call(*asked, "--temperature", 1).stderr
    assert len({row["meta"]["task"] for row in made}) == len(made) == 3 * 40 + 2 * 2 * 10
    scores = {row["meta"]["model"]: row["scores"]["quality"] for row in made if row["pass"] == "quality"}
    assert scores == {"small": 3.0, "large": 4.0, "distractor": 1.0}
    record = json.loads((tmp_path / "machine.jsonl.run.json").read_text())
    assert record["results"] == {"failures": 0, "unread": 0} and record["cost"]["calls"] == len(made)
    page = tmp_path / "audit.html"
    audited = call("ratings", "audit", out, "--out", page, "--resamples", 100)
    assert audited.exit_code == 0 and page.exists(), audited.stderr


def test_unreadable_replies_are_kept_with_their_reason_and_stay_out_of_tables(forms: Path, tmp_path: Path) -> None:
    def muddled(messages: list[dict[str, str]]) -> str:
        return "Four, I think." if "small on p3 in" in messages[1]["content"] else obliging(messages)

    out = tmp_path / "machine.jsonl"
    with serving(muddled) as server:
        done = call("ratings", "rate", forms, "--rater", "served", "--endpoint", server.url, "--out", out)
    assert done.exit_code == 0, done.stderr
    lost = [row for row in rows(out) if "error" in row["meta"]]
    assert lost and all(row["scores"] == {} and row["meta"]["raw"] == "Four, I think." for row in lost)
    quality = write(tmp_path / "quality.jsonl", [row for row in rows(out) if row["pass"] == "quality"])
    table = tmp_path / "quality.csv"
    turned = call("ratings", "import", quality, "--out", table)
    assert turned.exit_code == 0 and "left out of the table" in turned.stderr, turned.stderr
    kept = [row for row in rows(quality) if "error" not in row["meta"]]
    assert len(table.read_text().splitlines()) == 1 + len(kept)


def test_a_dry_run_asks_nothing_and_names_the_price(forms: Path, tmp_path: Path) -> None:
    with serving(obliging) as server:
        words = ("--rater", "served", "--endpoint", server.url, "--out", tmp_path / "m.jsonl", "--dry-run")
        done = call("ratings", "rate", forms, *words, "--prices", "1000,0")
        assert done.exit_code == 0, done.stderr
        assert server.calls == 0 and list(tmp_path.glob("m.jsonl*")) == []
    cells = next(line.split() for line in done.stdout.splitlines() if line.strip().startswith("served"))
    read, price = int(cells[4]), float(cells[-1])
    assert cells[1:4] == ["160", "0", "160"] and price == pytest.approx(read / 1000, abs=0.01)


def test_tables_become_records_and_records_tables(tmp_path: Path) -> None:
    table = tmp_path / "style.csv"
    table.write_text(
        "dataset,sample_ix,model,preamble_type,other_model,other_preamble_type,complexity,assertive\n"
        "d,1,m,confidence_low,n,normal,1,5\n"
        "d,1,n,normal,m,confidence_low,2,4\n"
        "d,distractor_2,distractor,normal,n,normal,3,3\n"
    )
    out, back = tmp_path / "style.jsonl", tmp_path / "again.csv"
    done = call("ratings", "import", table, "--out", out, "--rater", "ada", "--language", "de")
    assert done.exit_code == 0, done.stderr
    made = rows(out)
    assert [row["rater"] for row in made] == ["ada"] * 3
    assert made[0]["meta"]["preamble"] == "assertive_low" and made[0]["scores"] == {"assertiveness": 5, "complexity": 1}
    assert [row["meta"]["distractor"] for row in made] == [False, False, True]
    assert call("ratings", "import", out, "--out", back).exit_code == 0
    assert call("ratings", "import", back, "--out", tmp_path / "twice.jsonl").exit_code == 0
    plain = [
        [{key: row[key] for key in ("item", "rater", "pass", "errors", "scores")} for row in found]
        for found in (made, rows(tmp_path / "twice.jsonl"))
    ]
    assert plain[0] == plain[1]
    bad = tmp_path / "bad.csv"
    bad.write_text(table.read_text().replace(",1,5", ",1,7"))
    said = sentence(call("ratings", "import", bad, "--out", tmp_path / "x.jsonl"))
    assert "bad.csv" in said and "'assertive'" in said and "'7'" in said
    assert call("ratings", "import", bad, "--out", tmp_path / "x.jsonl", "--on-bad-row", "skip").exit_code == 0
    assert len(rows(tmp_path / "x.jsonl")) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cells", "{prompts}", "--models", "a,a", "--out", "x"), "name one twice"),
        (("cells", "{prompts}", "--models", "a", "--out", "x", "--preambles", "loud", "--per-input", "1"), "'loud'"),
        (("cells", "{prompts}", "--models", "a", "--out", "x", "--per-input", "6"), "5 cells"),
        (("design", "{prompts}", "{small}", "--out", "f.jsonl", "--passes", "taste"), "'taste'"),
        (("design", "{prompts}", "nowhere.jsonl", "--out", "f.jsonl"), "nowhere.jsonl"),
        (("rate", "nowhere.jsonl", "--rater", "m", "--out", "m.jsonl"), "nowhere.jsonl"),
        (("rate", "{prompts}", "--rater", "m", "--out", "m.jsonl"), "row 1"),
        (("import", "nowhere.csv", "--out", "m.jsonl"), "nowhere.csv"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    words: tuple[str, ...], said: str, prompts: Path, answered: list[Path]
) -> None:
    named = [word.format(prompts=prompts, small=answered[0]) for word in words]
    assert said in sentence(call("ratings", *named))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_and_explains_every_option(name: str) -> None:
    from typer.main import get_command

    from paribus.cli.app import app

    text = call("ratings", name, "--help").stdout
    assert f"Example: paribus ratings {name} " in text
    group: Any = get_command(app).commands["ratings"]  # type: ignore[attr-defined]
    assert [param.name for param in group.commands[name].params if not getattr(param, "help", None)] == []


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from paribus.cli.app import app
for name in {COMMANDS!r}:
    assert CliRunner().invoke(app, ["ratings", name, "--help"]).exit_code == 0
print([name for name in ("torch", "transformers", "datasets", "numpy") if name in sys.modules])
"""
    assert python(code).strip() == "[]"
