"""The command as a whole: help, version, errors, Ctrl-C, pipes; and that none of it is slow for no reason."""

import json
import subprocess
import sys

import pytest
from cli_calls import MAIN, call, command, environment, process, python, sentence

import paribus
from paribus.cli import studies
from paribus.errors import ConfigError

HEAVY = ("torch", "transformers", "datasets", "numpy", "scipy", "pandas", "altair")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["list"],
        ["plan", "aya-expanse", "--scale", "smoke"],
        ["status", "aya-expanse", "--store", "none"],
    ],
)
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = f"""
import json, sys
from paribus.cli.app import app
code = app({words!r}, standalone_mode=False)
print()
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    assert json.loads(python(code).splitlines()[-1]) == []


def test_importing_the_package_does_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import paribus, paribus.cli; print(*sorted(set(sys.modules) - before))"
    )
    assert python(code).split() == ["paribus", "paribus.cli"]


def test_version() -> None:
    assert call("--version").stdout.strip() == f"paribus {paribus.__version__}"


def test_no_arguments_is_help_with_every_study_command() -> None:
    shown = call()
    for name in ("list", "plan", "run", "status", "report", "scoreboard"):
        assert f"\n  {name} " in shown.output
    assert "..." not in shown.output.split("Commands:")[1].split("scoreboard")[0]


def test_an_unknown_command_names_the_nearest() -> None:
    answer = call("rum")
    assert answer.exit_code == 2
    assert "Did you mean 'run'?" in answer.stderr


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(studies.Request, "plan", broken)
    assert isinstance(call("plan", "aya-expanse").exception, ZeroDivisionError)
    code = f"from paribus.cli import studies; studies.Request.plan = lambda self: 1 / 0; {MAIN}"
    shown = subprocess.run(
        [sys.executable, "-c", code, "plan", "aya-expanse"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert shown.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "Traceback" in shown.stderr


def test_an_error_is_one_sentence_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "abcdefgh12345678")

    def refused(*_: object) -> None:
        raise ConfigError("The endpoint refused the key abcdefgh12345678; give another.")

    monkeypatch.setattr(studies.Request, "plan", refused)
    assert sentence(call("plan", "aya-expanse")) == "Error: The endpoint refused the key [redacted]; give another."


def test_ctrl_c_outside_a_stage_exits_130_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(studies.Request, "plan", stopped)
    answer = call("run", "aya-expanse", "--set", "data.languages=en, tr")
    assert answer.exit_code == 130
    assert answer.stderr.endswith("paribus run aya-expanse --set 'data.languages=en, tr'\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    listing = subprocess.Popen(
        command("list"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert listing.stdout is not None and listing.stderr is not None
    listing.stdout.close()
    assert listing.wait() in (0, 1)
    assert "Traceback" not in listing.stderr.read()
    listing.stderr.close()


def test_errors_are_red_on_a_terminal_only() -> None:
    assert "\x1b" not in process("plan", "nothing").stderr
    pty = pytest.importorskip("pty")
    import os

    leader, follower = pty.openpty()
    asked = subprocess.Popen(command("plan", "nothing"), env=environment(TERM="xterm"), stderr=follower)
    os.close(follower)
    asked.wait()
    assert os.read(leader, 10_000).startswith(b"\x1b[31mError: ")
    os.close(leader)
