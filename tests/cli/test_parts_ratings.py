"""``paribus ratings audit``: a summary, a page, numbers as JSON; bad input named by file, line, column and value."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_calls import call, sentence
from typer.main import get_command

from paribus.cli.app import app

PLACE = "dataset,sample_ix,model,preamble_type"
HEAD = f"{PLACE},other_model,other_preamble_type"
MARKS = {"errors": "overall,factuality,refusal", "quality": "score", "style": "complexity,assertive"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Tables of each pass on 30 inputs with two models side by side, three times, and one of experts."""
    rng = np.random.default_rng(0)
    made = {name: tmp_path / f"{name}.csv" for name in (*MARKS, "experts")}
    for name, path in made.items():
        rows = [f"{PLACE if name == 'experts' else HEAD},{MARKS.get(name, 'factuality,refusal')}"]
        for n in range(30):
            for _ in range(3 if name != "experts" else 1):
                for one, other in (("a", "b"), ("b", "a")):
                    numbers = {
                        "errors": [rng.integers(1, 6), *rng.integers(0, 2, 2)],
                        "quality": [rng.integers(1, 6)],
                        "style": rng.integers(1, 6, 2),
                        "experts": rng.integers(0, 2, 2),
                    }[name]
                    beside = "" if name == "experts" else f",{other},normal"
                    rows.append(f"d,{n},{one},normal{beside},{','.join(map(str, numbers))}")
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return made


def test_the_whole_audit(files: dict[str, Path], tmp_path: Path) -> None:
    passes = [files[name] for name in MARKS]
    out, numbers = tmp_path / "new" / "audit.html", tmp_path / "audit.json"
    done = call(
        "ratings", "audit", *passes, "--experts", files["experts"], "--out", out, "--json", numbers, "--resamples", 100
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-2:] == [str(numbers), str(out)]
    for said in (
        "60 outputs of 30 inputs",
        "Agreement on repeated forms",
        "What an error costs quality",
        "What experts see",
    ):
        assert said in done.stdout
    assert "note (raters): No distractors" in done.stderr
    content = json.loads(numbers.read_text(encoding="utf-8"))
    assert content["files"] == [*map(str, passes), f"{files['experts']} (experts)"]
    assert [pool["counted"] for pool in content["pools"]] == [180, 180, 180] and content["experts"] == 60
    page = out.read_text(encoding="utf-8")
    assert "paribus ratings audit" in page and str(files["style"]) in page


def test_one_file_is_enough(files: dict[str, Path], tmp_path: Path) -> None:
    done = call("ratings", "audit", files["quality"], "--out", tmp_path / "a.html", "--resamples", 100)
    assert done.exit_code == 0 and "No pass with error labels" in done.stderr
    assert (tmp_path / "a.html").is_file()


def test_a_bad_row_is_named_and_can_be_set_aside(files: dict[str, Path], tmp_path: Path) -> None:
    with files["quality"].open("a", encoding="utf-8") as file:
        file.write("d,1,a,normal,b,normal,11\n")
    out = tmp_path / "a.html"
    said = sentence(call("ratings", "audit", files["quality"], "--out", out))
    assert f"{files['quality']}, row 182, column 'score': got '11', expected 1 to 5" in said and not out.exists()
    done = call("ratings", "audit", files["quality"], "--out", out, "--resamples", 100, "--on-bad-row", "skip")
    assert done.exit_code == 0 and "1 bad rows set aside" in done.stderr
    assert (tmp_path / "a.html.quality.csv.bad.jsonl").is_file()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--out", "audit.pdf"], "the page is .html"),
        (["--out", "a.html", "--reference", "gpt"], "the models are a, b"),
        (["--out", "a.html", "--level", "95"], "interval level"),
        (["--out", "a.html", "--experts", "none.csv"], "no file none.csv"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(files: dict[str, Path], more: list[str], said: str) -> None:
    assert said in sentence(call("ratings", "audit", files["quality"], *more))


def test_a_table_of_no_pass_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    assert "must hold one pass" in sentence(call("ratings", "audit", path, "--out", tmp_path / "a.html"))


def test_help_has_an_example_and_says_what_each_option_is() -> None:
    text = call("ratings", "audit", "--help").stdout
    assert "Example: paribus ratings audit " in text
    command = get_command(app).commands["ratings"].commands["audit"]
    assert [param.name for param in command.params if not getattr(param, "help", None)] == []
    assert "  ratings " in call("--help").stdout
