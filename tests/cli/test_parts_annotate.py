"""``paribus annotate`` and ``paribus arena`` as a user meets them: served, refused, stopped, exported, read on."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from cli_calls import call, command, environment, python, sentence

from paribus.feedback.annotation.design import Design, make_forms
from paribus.records import Completion, Message, Prompt, Rating, Verdict, read_records, write_records

MODELS = ("one", "two")
COMMANDS = [("annotate", "serve"), ("annotate", "export"), ("arena", "serve"), ("arena", "export")]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Prompts, two models' answers to them, and forms of these."""
    prompts = [
        Prompt(id=f"q{number}", language="en", messages=(Message(role="user", content=f"Question {number}?"),))
        for number in range(3)
    ]
    answers = [
        Completion(id=f"{row.id}/{name}", prompt_id=row.id, language="en", model=name, text=f"{name} on {row.id}")
        for row in prompts
        for name in MODELS
    ]
    write_records(tmp_path / "prompts.jsonl", prompts)
    for name in MODELS:
        write_records(tmp_path / f"{name}.jsonl", [row for row in answers if row.model == name])
    forms = make_forms(prompts, answers, Design(repeated=0.0, distractors=0, attention={}))
    write_records(tmp_path / "forms.jsonl", forms)
    return tmp_path


def started(*words: object) -> tuple["subprocess.Popen[str]", str]:
    """The command serving on a free port, and its address."""
    process = subprocess.Popen(
        command(*words, "--port", 0),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background of a shell ignores Ctrl-C, and children would take that over.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"Serving (http://\S+)", line):
            return process, found[1]
    raise AssertionError("".join(lines))


@contextmanager
def serving(*words: object) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address of the command serving, and its process; stopped by Ctrl-C."""
    process, address = started(*words)
    try:
        yield address, process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


class Visitor:
    """A browser without script: it signs in and answers every form alike."""

    def __init__(self, address: str, name: str = "ana") -> None:
        self.address, self.name = address, name
        self.opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def answer_all(self, task: str, *, at_most: int = 1000, **fields: str) -> int:
        """How many forms there were, and were answered."""
        page, count = self._sign_in(task), 0
        while 'name="nonce"' in page and count < at_most:
            sent = {"csrf": _hidden(page, "csrf"), "nonce": _hidden(page, "nonce"), **fields}
            page, count = self._post(task, {name.replace("_", "."): value for name, value in sent.items()}), count + 1
        return count

    def _sign_in(self, task: str) -> str:
        page = self.opener.open(f"{self.address}sign-in?task={task}").read().decode()
        sent = {"csrf": _hidden(page, "csrf"), "name": self.name, "task": task, "ui": "en", "language": "en"}
        return self._post("sign-in", sent)

    def _post(self, path: str, fields: dict[str, str]) -> str:
        return self.opener.open(self.address + path, urlencode(fields).encode()).read().decode()


def _hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


def test_forms_are_served_answered_stopped_and_exported(files: Path) -> None:
    db = files / "ratings.sqlite"
    with serving("annotate", "serve", files / "forms.jsonl", "--db", db) as (address, process):
        assert address.startswith("http://127.0.0.1:")
        assert Visitor(address).answer_all("quality", first_quality="4", second_quality="2") == 3
        live = call("annotate", "export", db, "--out", files / "live.jsonl")
        assert live.exit_code == 0, "also while it is served"
    assert process.returncode == 130
    assert process.stderr is not None and "Stopped. To go on:" in process.stderr.read()
    done = call("annotate", "export", db, "--out", files / "ratings.jsonl")
    assert done.exit_code == 0 and done.stdout.strip().endswith("ratings.jsonl")
    rows = list(read_records(files / "ratings.jsonl", Rating))
    assert len(rows) == 6 and {row.scores["quality"] for row in rows} == {4.0, 2.0}
    assert {row.rater for row in rows} == {"ana"} and {row.meta["model"] for row in rows} == set(MODELS)


def test_an_exported_file_goes_straight_into_the_audit(files: Path) -> None:
    db, rows, out = files / "ratings.sqlite", files / "ratings.jsonl", files / "audit.json"
    with serving("annotate", "serve", files / "forms.jsonl", "--db", db) as (address, _):
        Visitor(address, "ana").answer_all("quality", first_quality="4", second_quality="2")
        scores = {"first_assertiveness": "5", "first_complexity": "1"}
        Visitor(address, "ben").answer_all("style", **scores, second_assertiveness="3", second_complexity="2")
    assert call("annotate", "export", db, "--out", rows).exit_code == 0
    done = call("ratings", "audit", rows, "--out", files / "audit.html", "--json", out, "--resamples", 100)
    assert done.exit_code == 0, done.output
    pools = {row["pass"]: row for row in json.loads(out.read_text())["pools"]}
    assert {name: (row["given"], row["counted"], row["raters"]) for name, row in pools.items() if row["given"]} == {
        "quality": (6, 6, 1),
        "style": (6, 6, 1),
    }


def test_a_killed_server_loses_no_answer_and_raters_go_on(files: Path) -> None:
    db = files / "ratings.sqlite"
    process, address = started("annotate", "serve", files / "forms.jsonl", "--db", db)
    assert Visitor(address).answer_all("quality", at_most=2, first_quality="4", second_quality="2") == 2
    process.kill()
    process.wait(30)
    with serving("annotate", "serve", "--db", db) as (address, _):
        assert Visitor(address).answer_all("quality", first_quality="4", second_quality="2") == 1
    assert call("annotate", "export", db, "--out", files / "ratings.jsonl").exit_code == 0
    assert len(list(read_records(files / "ratings.jsonl", Rating))) == 6


def test_serving_goes_on_with_the_files_own_forms(files: Path) -> None:
    db = files / "ratings.sqlite"
    for words, first in (((files / "forms.jsonl",), "4"), ((), "5")):
        with serving("annotate", "serve", *words, "--db", db, "--overlap", 2) as (address, _):
            done = Visitor(address).answer_all("quality", first_quality=first, second_quality="2")
            assert done == (3 if words else 0), "the same rater has seen them all"


def test_votes_become_win_rates(files: Path) -> None:
    db, out = files / "arena.sqlite", files / "verdicts.jsonl"
    sides = [files / f"{name}.jsonl" for name in MODELS]
    with serving("arena", "serve", files / "prompts.jsonl", *sides, "--db", db) as (address, _):
        assert Visitor(address).answer_all("arena", vote="first") == 3
    assert call("arena", "export", db, "--out", out, "--judge", "people").exit_code == 0
    rows = list(read_records(out, Verdict))
    assert {(row.judge, row.meta["rater"], row.meta["protocol"]) for row in rows} == {("people", "ana", "single")}
    table = files / "winrate.json"
    done = call("winrate", out, "--model", "one", "--definition", "half_ties", "--resamples", 100, "--out", table)
    assert done.exit_code == 0, done.output
    shown_first = sum(row.order == "ab" for row in rows)
    rate = next(row for row in json.loads(table.read_text())["rows"] if row["language"] == "all")
    assert rate["rate"]["estimate"] == pytest.approx(shown_first / 3)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_another_address_is_refused_without_a_token(files: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARIBUS_UI_TOKEN", raising=False)
    words = ("annotate", "serve", files / "forms.jsonl", "--db", files / "x.sqlite", "--host", host)
    assert "PARIBUS_UI_TOKEN" in sentence(call(*words))
    assert not (files / "x.sqlite").exists()


def test_a_short_token_is_refused_and_not_shown(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARIBUS_UI_TOKEN", "hunter2")
    told = sentence(call("annotate", "serve", files / "forms.jsonl", "--db", files / "x.sqlite", "--host", "0.0.0.0"))
    assert "7 characters" in told and "hunter2" not in told


def test_a_port_that_is_taken_is_said(files: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("annotate", "serve", files / "forms.jsonl", "--db", files / "x.sqlite", "--port", port)
        done = call(*words)
    assert done.exit_code == 2 and f"127.0.0.1 port {port} cannot be served" in done.stderr


def test_nothing_to_serve_or_to_export_is_said(files: Path) -> None:
    assert "holds no forms" in sentence(call("annotate", "serve", "--db", files / "x.sqlite"))
    assert "There is no file" in sentence(call("annotate", "export", files / "y.sqlite", "--out", files / "r.jsonl"))
    assert not (files / "y.sqlite").exists()
    assert "holds no answers" in sentence(call("arena", "export", files / "x.sqlite", "--out", files / "v.jsonl"))


def test_a_bad_form_is_named_by_its_row(files: Path) -> None:
    path = files / "forms.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace('"pass"', '"past"')]) + "\n")
    told = sentence(call("annotate", "serve", path, "--db", files / "x.sqlite"))
    assert "forms.jsonl, row 2" in told and "field 'pass'" in told


def test_the_missing_extra_is_named(files: Path) -> None:
    words = ["annotate", "serve", str(files / "forms.jsonl"), "--db", str(files / "x.sqlite")]
    code = f"""
import sys
sys.modules["uvicorn"] = None
from typer.testing import CliRunner
from paribus.cli.app import app
done = CliRunner().invoke(app, {words!r})
print(done.exit_code, done.stderr)
"""
    told = python(code)
    assert told.startswith("2 Error: ") and "(uvicorn); run: pip install 'paribus[ui]'" in told


@pytest.mark.parametrize("words", COMMANDS)
def test_help_has_an_example_and_says_what_each_option_is(words: tuple[str, str]) -> None:
    text = call(*words, "--help").stdout
    assert f"Example: paribus {' '.join(words)} " in text
    for option in re.findall(r"^  (?:-\w, )?--[\w-]+.*$", text, re.MULTILINE):
        assert len(option.split()) > 1


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from paribus.cli.app import app
for words in {COMMANDS!r}:
    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0
print([name for name in ("torch", "numpy", "fastapi", "uvicorn", "sqlite3") if name in sys.modules])
"""
    assert python(code).strip() == "[]"
