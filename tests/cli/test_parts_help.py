"""Every part explains itself at once: a summary, an example, options with defaults, and no heavy import."""

import pytest
from cli_calls import call, python
from typer.main import get_command

from paribus.cli.app import app
from paribus.cli.parts import COMMANDS

NAMES = [command.__name__.replace("_", "-") for command, _ in COMMANDS]


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example_and_says_what_each_option_is(name: str) -> None:
    text = call(name, "--help").stdout
    assert f"Example: paribus {name} " in text
    assert "default:" in text
    command = get_command(app).commands[name]
    unexplained = [param.name for param in command.params if not getattr(param, "help", None)]
    assert unexplained == []


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from paribus.cli.app import app
for name in {NAMES!r}:
    assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0
print([name for name in ("torch", "transformers", "datasets", "numpy", "pandas") if name in sys.modules])
"""
    assert python(code).strip() == "[]"


def test_the_overview_lists_all_parts() -> None:
    text = call("--help").stdout
    assert all(f"  {name} " in text for name in NAMES)
